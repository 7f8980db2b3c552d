package store

import (
	"container/list"
	"sync"
)

// mostRecent bounds the bytes of frames that are kept after they were read. A
// Merkle tree reads the same few again and again.
const mostRecent = 1 << 20

// recentFrames are the payloads of segments' frames that were read last.
type recentFrames struct {
	mu    sync.Mutex
	of    map[frameID]*list.Element
	order list.List // of recentFrame, the newest first
	bytes int
}

type frameID struct {
	segmentID
	off int64
}

type recentFrame struct {
	id      frameID
	payload []byte
}

func (r *recentFrames) get(id frameID) ([]byte, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e, ok := r.of[id]
	if !ok {
		return nil, false
	}
	r.order.MoveToFront(e)
	f, _ := e.Value.(recentFrame)
	return f.payload, true
}

func (r *recentFrames) put(id frameID, payload []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.of[id]; ok || len(payload) > mostRecent/4 {
		return
	}
	if r.of == nil {
		r.of = make(map[frameID]*list.Element)
	}
	r.of[id] = r.order.PushFront(recentFrame{id, payload})
	for r.bytes += len(payload); r.bytes > mostRecent; {
		f, _ := r.order.Remove(r.order.Back()).(recentFrame)
		delete(r.of, f.id)
		r.bytes -= len(f.payload)
	}
}

// readEntry reads the entry of a number in a segment.
func (s *Store) readEntry(g *segment, i int64) ([]byte, error) {
	index, err := s.frame(g, uint64(g.frames), g.index, g.size-g.index, payloadIndex)
	if err != nil {
		return nil, err
	}
	for p, err := range g.places(index) {
		if err != nil {
			return nil, &DamageError{File: s.segmentPath(g.segmentID), Offset: g.index, Reason: err.Error()}
		}
		if i >= p.first+p.count {
			continue
		}
		payload, err := s.frame(g, p.number, p.off, p.size, payloadEntries)
		if err != nil {
			return nil, err
		}
		entry, err := entryOf(payload, i-p.first, p.count)
		if err != nil {
			return nil, &DamageError{File: s.segmentPath(g.segmentID), Offset: p.off, Reason: err.Error()}
		}
		return entry, nil
	}
	return nil, &DamageError{File: s.segmentPath(g.segmentID), Offset: g.index, Reason: "the index lacks an entry"}
}

// frame returns the payload of a segment's frame, from memory if it was read
// lately.
func (s *Store) frame(g *segment, number uint64, off, size int64, kind byte) ([]byte, error) {
	id := frameID{g.segmentID, off}
	if payload, ok := s.recent.get(id); ok {
		return payload, nil
	}
	o, err := s.openSegment(g)
	if err != nil {
		return nil, err
	}
	defer o.close()
	payload, err := o.frame(number, off, size, kind)
	if err == nil {
		s.recent.put(id, payload)
	}
	return payload, err
}
