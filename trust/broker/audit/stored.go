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
		s := &Stored{Size: tx.Length(logEntries), tx: tx}
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
// first that does not decode, or cannot be read, ends them with an error that names
// it.
func (s *Stored) Records(to int64) iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		index := int64(0)
		for value, err := range s.tx.Entries(logEntries, 0, min(to, s.Size)) {
			if err != nil {
				yield(nil, fmt.Errorf("entry %d: %w", index, err))
				return
			}
			sums, line, err := splitRecord(index, value)
			if err != nil {
				yield(nil, &ChangeError{From: index, To: index, Reason: "its record in the store does not decode"})
				return
			}
			if !yield(&Record{index, tlog.Hash(sums[:tlog.HashSize]), line}, nil) {
				return
			}
			index++
		}
	}
}
