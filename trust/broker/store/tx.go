package store

import (
	"fmt"
	"iter"
	"maps"
	"slices"
)

// The limits of one transaction.
const (
	MaxKey   = 4 << 10  // bytes in the name of a bucket, and in a key
	MaxValue = 16 << 20 // bytes in a value
	MaxTx    = 64 << 20 // bytes that one transaction writes
)

// Tx is a transaction. It is used by one goroutine and not after the function
// that it was given to has returned.
type Tx struct {
	s     *Store
	state *state
	batch *batch // nil in a View
	undo  []change
	last  string // the bucket or log that the encoded changes are in
	op    byte   // opBucket or opLog; zero before the first
	err   error  // the first failure; the transaction is lost
}

// change is what was there before.
type change struct {
	bucket, key string
	value       []byte
	existed     bool
	log         *log // of a change of a log, which bucket names
}

// Writable tells a transaction of Update from one of View.
func (tx *Tx) Writable() bool { return tx.batch != nil }

// Get returns the value of a key, and whether there is one. The value must not
// be changed.
func (tx *Tx) Get(bucket, key string) ([]byte, bool) {
	if b := tx.state.buckets[bucket]; b != nil {
		return b.Get(key)
	}
	return nil, false
}

// Put sets the value of a key. The value is copied. A failure also fails the
// whole transaction.
func (tx *Tx) Put(bucket, key string, value []byte) error {
	switch {
	case tx.batch == nil:
		return ErrReadOnly
	case tx.err != nil:
		return tx.err
	case len(bucket) > MaxKey || len(key) > MaxKey:
		tx.err = fmt.Errorf("bucket %.40q, key %.40q: a key has at most %d bytes: %w", bucket, key, MaxKey, ErrTooLarge)
		return tx.err
	case len(value) > MaxValue:
		tx.err = fmt.Errorf("bucket %q, key %.40q: a value of %d bytes, of at most %d: %w", bucket, key, len(value), MaxValue, ErrTooLarge)
		return tx.err
	}
	tx.enter(opBucket, bucket)
	tx.batch.ops = appendPut(tx.batch.ops, key, value)
	if len(tx.batch.ops) > MaxTx {
		tx.err = fmt.Errorf("a transaction writes at most %d bytes: %w", MaxTx, ErrTooLarge)
		return tx.err
	}
	old, existed := tx.state.bucket(bucket).Set(key, append([]byte{}, value...))
	tx.undo = append(tx.undo, change{bucket: bucket, key: key, value: old, existed: existed})
	return nil
}

// Delete removes a key, which need not be there.
func (tx *Tx) Delete(bucket, key string) error {
	switch {
	case tx.batch == nil:
		return ErrReadOnly
	case tx.err != nil:
		return tx.err
	}
	b := tx.state.buckets[bucket]
	if b == nil {
		return nil
	}
	old, existed := b.Delete(key)
	if !existed {
		return nil
	}
	tx.undo = append(tx.undo, change{bucket: bucket, key: key, value: old, existed: true})
	tx.enter(opBucket, bucket)
	tx.batch.ops = appendDelete(tx.batch.ops, key)
	return nil
}

// OnCommit has fn called once the transaction is on disk, before Update
// returns. Such functions are called in the order of the transactions, must be
// quick and must not call Update.
func (tx *Tx) OnCommit(fn func()) {
	if tx.batch != nil {
		tx.batch.onCommit = append(tx.batch.onCommit, fn)
	}
}

func (tx *Tx) enter(op byte, name string) {
	if tx.op != op || tx.last != name {
		tx.batch.ops = appendBytes(append(tx.batch.ops, op), name)
		tx.op, tx.last = op, name
	}
}

func (tx *Tx) rollBack() {
	for _, c := range slices.Backward(tx.undo) {
		if c.log != nil {
			tx.state.logs[c.bucket] = *c.log
			continue
		}
		if c.existed {
			tx.state.bucket(c.bucket).Set(c.key, c.value)
		} else {
			tx.state.bucket(c.bucket).Delete(c.key)
		}
	}
}

// Range yields the keys of a bucket from the key from up to but without to, in
// the order of their bytes; an empty to means no end. The values must not be
// changed. Whether changes that this transaction makes meanwhile are seen is
// not defined.
func (tx *Tx) Range(bucket, from, to string) iter.Seq2[string, []byte] {
	return func(yield func(string, []byte) bool) {
		if !tx.Writable() {
			if b := tx.state.buckets[bucket]; b != nil {
				b.Ascend(from, func(key string, value []byte) bool {
					return (to == "" || key < to) && yield(key, value)
				})
			}
			return
		}
		// The tree may not be changed while it is walked, so it is read in
		// portions.
		type item struct {
			key   string
			value []byte
		}
		portion := make([]item, 0, 64)
		for {
			b := tx.state.buckets[bucket]
			if b == nil {
				return
			}
			portion = portion[:0]
			b.Ascend(from, func(key string, value []byte) bool {
				if to != "" && key >= to {
					return false
				}
				portion = append(portion, item{key, value})
				return len(portion) < cap(portion)
			})
			for _, it := range portion {
				if !yield(it.key, it.value) {
					return
				}
			}
			if len(portion) < cap(portion) {
				return
			}
			from = portion[len(portion)-1].key + "\x00"
		}
	}
}

// Prefix yields the keys of a bucket that begin with prefix, as Range does.
func (tx *Tx) Prefix(bucket, prefix string) iter.Seq2[string, []byte] {
	return tx.Range(bucket, prefix, after(prefix))
}

// after is the least string that is greater than all that begin with prefix, or
// empty if there is none.
func after(prefix string) string {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			return prefix[:i] + string([]byte{prefix[i] + 1})
		}
	}
	return ""
}

// Last returns the greatest key of a bucket and its value.
func (tx *Tx) Last(bucket string) (key string, value []byte, ok bool) {
	if b := tx.state.buckets[bucket]; b != nil {
		return b.Max()
	}
	return "", nil, false
}

// Len returns the number of keys in a bucket.
func (tx *Tx) Len(bucket string) int {
	if b := tx.state.buckets[bucket]; b != nil {
		return b.Len()
	}
	return 0
}

// Buckets returns the names of the buckets that have keys, sorted.
func (tx *Tx) Buckets() []string {
	names := slices.Sorted(maps.Keys(tx.state.buckets))
	return slices.DeleteFunc(names, func(name string) bool { return tx.state.buckets[name].Len() == 0 })
}
