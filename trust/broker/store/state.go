package store

import (
	"maps"

	"github.com/tidwall/btree"
)

// bucket is an ordered map.
type bucket = btree.Map[string, []byte]

// state is all that is stored.
type state struct {
	buckets map[string]*bucket
	logs    map[string]log
}

func newState() *state {
	return &state{buckets: make(map[string]*bucket), logs: make(map[string]log)}
}

// bucket returns the bucket of a name, made if there is none.
func (s *state) bucket(name string) *bucket {
	b := s.buckets[name]
	if b == nil {
		// Nodes of 32 to 64 keys.
		b = btree.NewMap[string, []byte](32)
		s.buckets[name] = b
	}
	return b
}

// copy returns a state that can be changed without changing s, and the other
// way round. It shares all nodes until then.
func (s *state) copy() *state {
	c := &state{buckets: make(map[string]*bucket, len(s.buckets)), logs: maps.Clone(s.logs)}
	for name, b := range s.buckets {
		c.buckets[name] = b.IsoCopy()
	}
	return c
}

func (s *state) keys() int {
	n := 0
	for _, b := range s.buckets {
		n += b.Len()
	}
	return n
}
