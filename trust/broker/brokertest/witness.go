package brokertest

import (
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"cloister/trust/broker/store"
	"cloister/trust/broker/witness"
)

// Witness is a witness that serves over TLS. It knows no log, and co-signs
// nothing, before Watch.
type Witness struct {
	Name string
	Key  string // the verifier key, as a policy has it
	URL  string

	signer *witness.Signer
	dir    string
	store  *store.Store
	server *httptest.Server
	now    atomic.Pointer[witness.Witness]
}

func newWitness(name string) (*Witness, error) {
	secret, public, err := witness.GenerateKey(rand.Reader, name)
	if err != nil {
		return nil, err
	}
	w := &Witness{Name: name, Key: public}
	if w.signer, err = witness.NewSigner(secret, time.Now); err != nil {
		return nil, err
	}
	if w.dir, err = os.MkdirTemp("", "witness"); err != nil {
		return nil, err
	}
	if w.store, err = store.Open(w.dir, store.Options{Create: true}); err != nil {
		return nil, err
	}
	config, err := w.signer.ServerTLS()
	if err != nil {
		return nil, err
	}
	w.server = httptest.NewUnstartedServer(http.HandlerFunc(w.serve))
	w.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w.server.TLS = config
	w.server.StartTLS()
	w.URL = w.server.URL
	return w, nil
}

func (w *Witness) serve(rw http.ResponseWriter, r *http.Request) {
	if now := w.now.Load(); now != nil {
		now.ServeHTTP(rw, r)
		return
	}
	http.Error(rw, "no log is known yet", http.StatusServiceUnavailable)
}

// Watch has the witness co-sign for the log of a key.
func (w *Witness) Watch(logKey string) error {
	key, err := note.NewVerifier(logKey)
	if err != nil {
		return err
	}
	one, err := witness.New(w.store, w.signer, []note.Verifier{key}, nil)
	if err == nil {
		w.now.Store(one)
	}
	return err
}

func (w *Witness) close() {
	w.server.Close()
	w.store.Close()     //nolint:errcheck // nothing rests on it any more
	os.RemoveAll(w.dir) //nolint:errcheck // as above
}
