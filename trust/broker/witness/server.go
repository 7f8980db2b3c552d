package witness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
)

// bucketLatest has, under a log's origin, the latest checkpoint that was
// co-signed for it, as the log signed it.
const bucketLatest = "witness"

// contentSize is the type of an answer that tells the latest size.
const contentSize = "text/x.tlog.size"

// Witness co-signs the checkpoints of some logs. It is an http.Handler of
// add-checkpoint (C2SP tlog-witness) and safe for concurrent use.
//
// The latest checkpoint is on disk before it is co-signed, so that a witness
// that was killed in between has signed nothing that it does not know.
type Witness struct {
	st     *store.Store
	signer *Signer
	logs   map[string]*witnessed
	log    *slog.Logger
	mux    *http.ServeMux
}

// witnessed is a log that is known.
type witnessed struct {
	mu   sync.Mutex // held from the check to the signature
	keys []note.Verifier
}

// New returns a witness of the logs with the keys given; a log may have several.
// Its state is in the store.
func New(st *store.Store, signer *Signer, logs []note.Verifier, log *slog.Logger) (*Witness, error) {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if len(logs) == 0 {
		return nil, errors.New("a witness of no logs: give the key of one")
	}
	w := &Witness{st: st, signer: signer, logs: map[string]*witnessed{}, log: log, mux: http.NewServeMux()}
	for _, key := range logs {
		if w.logs[key.Name()] == nil {
			w.logs[key.Name()] = new(witnessed)
		}
		w.logs[key.Name()].keys = append(w.logs[key.Name()].keys, key)
	}
	w.mux.HandleFunc("POST /add-checkpoint", w.serveAdd)
	w.mux.HandleFunc("GET /healthz", func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprintln(rw, "ok") })
	return w, nil
}

// ServeHTTP implements http.Handler.
func (w *Witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) { w.mux.ServeHTTP(rw, r) }

// Latest returns the latest checkpoint that was co-signed for a log, as the log
// signed it, or nil. It is what an owner compares a broker with.
func (w *Witness) Latest(origin string) (c *audit.Checkpoint, signed []byte, err error) {
	err = w.st.View(func(tx *store.Tx) error {
		c, signed, err = latest(tx, origin)
		return err
	})
	return c, signed, err
}

// Origins are the names of the logs that are witnessed.
func (w *Witness) Origins() []string { return slices.Sorted(maps.Keys(w.logs)) }

// Alive returns nil if the witness can read its state.
func (w *Witness) Alive() error {
	for _, origin := range w.Origins() {
		if _, _, err := w.Latest(origin); err != nil {
			return err
		}
	}
	return nil
}

// Reset makes an earlier checkpoint of a log the latest. It is for an owner who
// accepted that what the log had after it is lost: a broker was restored from a
// backup of that time. The checkpoint must be signed by the log. What it replaced
// is returned; from here on this witness co-signs another history.
func (w *Witness) Reset(ctx context.Context, signed []byte) (before []byte, err error) {
	claimed, err := audit.ParseCheckpoint(string(signed))
	if err != nil {
		return nil, err
	}
	known := w.logs[claimed.Origin]
	if known == nil {
		return nil, fmt.Errorf("the log %.80q is not one that is witnessed here", claimed.Origin)
	}
	n, err := note.Open(signed, note.VerifierList(known.keys...))
	if err != nil {
		return nil, fmt.Errorf("the checkpoint is not signed by the log %.80q: %w", claimed.Origin, err)
	}
	c, err := audit.ParseCheckpoint(n.Text)
	if err != nil {
		return nil, err
	}
	known.mu.Lock()
	defer known.mu.Unlock()
	return before, w.st.Update(ctx, func(tx *store.Tx) error {
		latest, text, err := latest(tx, c.Origin)
		switch {
		case err != nil:
			return err
		case latest == nil:
			return fmt.Errorf("no checkpoint of %s was co-signed here: there is nothing to put back", c.Origin)
		case latest.Size < c.Size:
			return fmt.Errorf("the latest checkpoint is of %d entries, and this one of %d: a log that goes on needs no reset", latest.Size, c.Size)
		}
		before = bytes.Clone(text)
		return tx.Put(bucketLatest, c.Origin, signed)
	})
}

func latest(tx *store.Tx, origin string) (*audit.Checkpoint, []byte, error) {
	signed, ok := tx.Get(bucketLatest, origin)
	if !ok {
		return nil, nil, nil
	}
	c, err := audit.ParseCheckpoint(string(signed))
	return c, signed, err
}

// answer is an answer other than success.
type answer struct {
	status int
	size   int64 // of the latest checkpoint, with 409
	reason string
}

// Error implements error.
func (a *answer) Error() string { return a.reason }

func refuse(status int, format string, args ...any) error {
	return &answer{status: status, reason: fmt.Sprintf(format, args...)}
}

func (w *Witness) serveAdd(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(rw, r.Body, maxRequest))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		http.Error(rw, "the request is too long", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(rw, "the request ends early", http.StatusBadRequest)
		return
	}
	line, err := w.add(r.Context(), body)
	var a *answer
	switch {
	case err == nil:
		rw.Header().Set("Content-Type", "text/plain; charset=utf-8")
		rw.Write(line) //nolint:errcheck // the client asks again
	case errors.As(err, &a) && a.status == http.StatusConflict:
		rw.Header().Set("Content-Type", contentSize)
		rw.WriteHeader(a.status)
		fmt.Fprintf(rw, "%d\n", a.size)
	case errors.As(err, &a):
		w.log.Warn("a checkpoint was refused", "status", a.status, "reason", a.reason)
		http.Error(rw, a.reason, a.status)
	default:
		w.log.Error("a checkpoint could not be co-signed", "error", err)
		http.Error(rw, "the witness's state could not be kept", http.StatusInternalServerError)
	}
}

// add handles a request and returns the signature line.
func (w *Witness) add(ctx context.Context, body []byte) ([]byte, error) {
	r, err := parseRequest(body)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	claimed, err := audit.ParseCheckpoint(string(r.signed))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	known := w.logs[claimed.Origin]
	if known == nil {
		return nil, refuse(http.StatusNotFound, "the log %.80q is not one that is witnessed here", claimed.Origin)
	}
	n, err := note.Open(r.signed, note.VerifierList(known.keys...))
	var unknown *note.UnverifiedNoteError
	var invalid *note.InvalidSignatureError
	switch {
	case errors.As(err, &unknown), errors.As(err, &invalid):
		return nil, refuse(http.StatusForbidden, "the checkpoint is not signed by the log: %v", err)
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	c, err := audit.ParseCheckpoint(n.Text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	if r.oldSize > c.Size {
		return nil, refuse(http.StatusBadRequest, "the old size %d is greater than the checkpoint's %d", r.oldSize, c.Size)
	}

	known.mu.Lock()
	defer known.mu.Unlock()
	if err := w.advance(ctx, r, c); err != nil {
		return nil, err
	}
	return w.signer.line(n.Text)
}

// advance checks a checkpoint against the latest and makes it the latest, on
// disk.
func (w *Witness) advance(ctx context.Context, r *request, c *audit.Checkpoint) error {
	return w.st.Update(ctx, func(tx *store.Tx) error {
		before, _, err := latest(tx, c.Origin)
		if err != nil {
			return err
		}
		if before == nil {
			before = &audit.Checkpoint{Origin: c.Origin}
			if before.Root, err = tlog.TreeHash(0, nil); err != nil {
				return err
			}
		}
		if r.oldSize != before.Size {
			if r.oldSize > before.Size {
				w.log.Warn("a log says that more of it was co-signed here than is known: was this witness put back from an older copy?",
					"origin", c.Origin, "latest_size", before.Size, "log_says", r.oldSize)
			}
			return &answer{status: http.StatusConflict, size: before.Size, reason: "another size is the latest"}
		}
		if err := follows(r, before, c); err != nil {
			w.log.Error("a log shows two histories", "origin", c.Origin, "latest_size", before.Size, "latest_root", before.Root, "size", c.Size, "root", c.Root, "error", err)
			return err
		}
		if c.Size == before.Size {
			return nil
		}
		return tx.Put(bucketLatest, c.Origin, r.signed)
	})
}

// follows proves that a checkpoint goes on from the one before.
func follows(r *request, before, c *audit.Checkpoint) error {
	if c.Size == before.Size && c.Root != before.Root {
		return &answer{status: http.StatusConflict, size: before.Size, reason: fmt.Sprintf("another root at %d entries", c.Size)}
	}
	if before.Size == 0 || before.Size == c.Size {
		if len(r.proof) != 0 {
			return refuse(http.StatusUnprocessableEntity, "a proof where there is nothing to prove")
		}
		return nil
	}
	if err := tlog.CheckTree(r.proof, c.Size, c.Root, before.Size, before.Root); err != nil {
		return refuse(http.StatusUnprocessableEntity, "the tree of %d entries does not begin with that of %d: %v", c.Size, before.Size, err)
	}
	return nil
}
