package broker

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// PathBackup is where an administrator gets a backup.
const PathBackup = "/v1/backup"

// BackupRequest asks for a backup, which is encrypted to age recipients.
type BackupRequest struct {
	Recipients []string `json:"recipients"`
}

// backupTrailer is the trailer, after the backup, that has its header in JSON: it
// is there only if the backup is whole.
const backupTrailer = "Cloister-Backup"

// mostRecipients bounds a request.
const mostRecipients = 64

// backupPart is how long one part of a backup may take to be read by who asked.
const backupPart = time.Minute

// administrator makes sure that the peer is an administrator, and returns the
// name.
func (s *Server) administrator(r *http.Request) (policy.Name, error) {
	p := s.inForce.Load()
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 || p == nil {
		return "", refuse(CodeForbidden, "this is for administrators, who show a client certificate")
	}
	hash := policy.Hash(sha256.Sum256(r.TLS.PeerCertificates[0].RawSubjectPublicKeyInfo))
	for name, a := range p.policy.Administrators {
		if a.Client == hash {
			return name, nil
		}
	}
	return "", refuse(CodeForbidden, "the client certificate with the key %s is not an administrator's", hash)
}

// handleBackup streams a backup of the store as it is now, while the broker goes
// on. That there is one is in the log, and co-signed, before the first byte
// leaves.
func (s *Server) handleBackup(w http.ResponseWriter, r *http.Request) {
	var q BackupRequest
	one := requestOf(r)
	name, err := s.administrator(r)
	if err == nil {
		err = s.readBody(w, r, 64<<10, &q)
	}
	if err == nil && (len(q.Recipients) == 0 || len(q.Recipients) > mostRecipients) {
		err = refuse(CodeMalformed, "recipients has %d age public keys; it has 1 to %d", len(q.Recipients), mostRecipients)
	}
	if err == nil {
		err = badRequest(vault.CheckRecipients(q.Recipients))
	}
	if err != nil {
		s.refused(w, r, "backup", err)
		return
	}
	entry := &audit.Entry{
		Type: "backup", Request: one.id, Client: clientOf(r.RemoteAddr), Subject: "the whole store", Decision: audit.Granted,
		Reason: fmt.Sprintf("asked for by administrator %s", name), Details: map[string]string{"recipients": strings.Join(q.Recipients, " ")},
	}
	var index int64
	err = s.store.Update(r.Context(), func(tx *store.Tx) (err error) {
		index, err = s.audit.Append(tx, entry)
		return err
	})
	if err == nil {
		_, err = s.witnessed(r.Context(), index)
	}
	if err != nil {
		s.refused(w, r, "backup", err)
		return
	}
	s.streamBackup(w, r, &q)
}

func (s *Server) streamBackup(w http.ResponseWriter, r *http.Request, q *BackupRequest) {
	// The stream may take longer than other answers, and ends with the broker.
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	go func() {
		select {
		case <-s.events.done:
			cancel()
		case <-ctx.Done():
		}
	}()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Trailer", backupTrailer)
	out := &slowWriter{w: w, control: http.NewResponseController(w)}
	header, err := s.vault.Backup(ctx, s.store, out, vault.BackupOptions{Recipients: q.Recipients, Checkpoint: lastCheckpoint(s.audit)})
	var text []byte
	if err == nil {
		text, err = json.Marshal(backupMade(header))
	}
	switch {
	case err == nil:
		w.Header().Set(backupTrailer, string(text))
		s.log.InfoContext(r.Context(), "backed up", "request", requestID(r), "backup", header.ID, "size", header.Checkpoint.Size)
	case !out.began:
		w.Header().Del("Trailer")
		s.refused(w, r, "backup", err)
	default:
		s.log.ErrorContext(r.Context(), "a backup failed", "request", requestID(r), "error", err)
		// Half of an answer must not look like a whole one.
		panic(http.ErrAbortHandler)
	}
}

// slowWriter gives each part of an answer time of its own.
type slowWriter struct {
	w       io.Writer
	control *http.ResponseController
	began   bool
}

// Write implements io.Writer.
func (s *slowWriter) Write(p []byte) (int, error) {
	if err := s.control.SetWriteDeadline(time.Now().Add(backupPart)); err != nil {
		return 0, err
	}
	s.began = true
	return s.w.Write(p)
}

// BackupMade says what is in a backup.
type BackupMade struct {
	ID         string           `json:"id"`
	Broker     string           `json:"broker"`
	Made       time.Time        `json:"made"`
	Checkpoint vault.Checkpoint `json:"checkpoint"` // the last in it
	Owners     []string         `json:"owners"`     // who confirm a restore
	// Key is the broker's public key for backups. A restore asks for it: keep
	// it elsewhere than the backup.
	Key []byte `json:"key"`
}

func backupMade(h *vault.BackupHeader) *BackupMade {
	return &BackupMade{ID: h.ID, Broker: h.Broker, Made: h.Made, Checkpoint: h.Checkpoint, Owners: h.Owners, Key: h.SignatureKey}
}

// Backup writes a backup of the running broker. It is good only if the error is
// nil: a stream that ends early leaves half of one.
func (c *Client) Backup(ctx context.Context, w io.Writer, recipients []string) (*BackupMade, error) {
	text, err := json.Marshal(&BackupRequest{recipients})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+c.options.Address+PathBackup, bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	endless := *c.http
	endless.Timeout = 0
	resp, err := endless.Do(req)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		if err != nil {
			return nil, c.failed(ctx, err)
		}
		return nil, problemOf(resp.StatusCode, text)
	}
	if _, err := io.Copy(w, &networkReader{c, ctx, resp.Body}); err != nil {
		return nil, err
	}
	made := new(BackupMade)
	if err := json.Unmarshal([]byte(resp.Trailer.Get(backupTrailer)), made); err != nil {
		return nil, fmt.Errorf("%w: the backup ends early", ErrNetwork)
	}
	return made, nil
}

// networkReader tells a failure to read from one to write.
type networkReader struct {
	client *Client
	ctx    context.Context
	r      io.Reader
}

// Read implements io.Reader.
func (n *networkReader) Read(p []byte) (int, error) {
	k, err := n.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = n.client.failed(n.ctx, err)
	}
	return k, err
}
