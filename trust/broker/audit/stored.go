package audit

import (
	"encoding/json"
	"fmt"
	"iter"

	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/store"
)

// Stored is the log in a store as it lies there, for who does not trust it:
// nothing of it is verified.
type Stored struct {
	// Checkpoint is the last that was co-signed, or nil.
	Checkpoint []byte
	// Size is the number of entries. The last ones may not be co-signed yet.
	Size int64

	tx *store.Tx
}

// Record is an entry as it is stored.
type Record struct {
	Index int64
	// Leaf is the hash that was stored with the line.
	Leaf tlog.Hash
	Line []byte
}

// ReadStored calls fn with the log in a store. The records are good in fn alone.
func ReadStored(st *store.Store, fn func(*Stored) error) error {
	return st.View(func(tx *store.Tx) error {
		s := &Stored{Size: int64(tx.Len(bucketEntries)), tx: tx}
		if text, ok := tx.Get(bucketHead, keyWitnessed); ok {
			var w Witnessed
			if err := json.Unmarshal(text, &w); err != nil {
				return fmt.Errorf("the last checkpoint does not decode: %w: %w", err, ErrTampered)
			}
			s.Checkpoint = []byte(w.Note)
		}
		return fn(s)
	})
}

// Records are the entries up to but without one of an index, in their order. The
// first that does not decode, or is missing, ends them with an error that names
// it.
func (s *Stored) Records(to int64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for index := range min(to, s.Size) {
			sums, line, err := record(s.tx, index)
			if err != nil {
				yield(nil, &ChangeError{From: index, To: index, Reason: "its record in the store is missing or does not decode"})
				return
			}
			if !yield(&Record{index, tlog.Hash(sums[:tlog.HashSize]), line}, nil) {
				return
			}
		}
	}
}
