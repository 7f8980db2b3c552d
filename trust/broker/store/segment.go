package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
)

// A segment is a file of entries of one log. It is written once, synced, and only
// then named, in a transaction like any other; from then on it is never changed
// nor removed. Its salt is its own, and named with it: no other file can stand in
// for it, not even one that another copy of the store wrote.

// segmentID is a segment's name: the generation of the process that wrote it,
// and a number that this process gave once.
type segmentID struct{ generation, number uint64 }

// segment says which entries a segment has, and what the file is.
type segment struct {
	segmentID
	first, count int64 // entries
	frames       int64 // with entries, before the index
	index        int64 // offset of the index, which is the last frame
	size         int64 // of the file
	salt         [32]byte
}

func (g *segment) append(dst []byte) []byte {
	dst = append(dst, opSegment)
	for _, v := range []uint64{uint64(g.first), uint64(g.count), g.generation, g.number, uint64(g.frames), uint64(g.index), uint64(g.size)} {
		dst = binary.AppendUvarint(dst, v)
	}
	return append(dst, g.salt[:]...)
}

// segment reads what append wrote.
func (c *cursor) segment() *segment {
	g := new(segment)
	for _, p := range []*int64{&g.first, &g.count} {
		*p = c.int64()
	}
	g.generation, g.number = c.uvarint(), c.uvarint()
	for _, p := range []*int64{&g.frames, &g.index, &g.size} {
		*p = c.int64()
	}
	g.salt = c.array32()
	if g.count < 1 || g.first > math.MaxInt64-g.count || g.frames < 1 || g.frames > g.count ||
		g.index < headerSize || g.size < g.index || g.size-g.index < frameSize {
		c.bad = true
	}
	return g
}

func (c *cursor) int64() int64 {
	v := c.uvarint()
	if v > math.MaxInt64 {
		c.bad = true
		return 0
	}
	return int64(v)
}

func (s *Store) segmentPath(id segmentID) string {
	return filepath.Join(s.dir, fmt.Sprintf("%s%016d-%06d", segmentPrefix, id.generation, id.number))
}

// segmentFrame is how many bytes of entries a frame of a segment has at least,
// but for the last: to read one entry is to read one frame.
const segmentFrame = 16 << 10

// writeSegment writes entries of a log, from index first on, into a new segment.
func (s *Store) writeSegment(id segmentID, first int64, entries [][]byte) (g *segment, err error) {
	path := s.segmentPath(id)
	f, err := s.fs.create(path)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()         //nolint:errcheck // the first error is the one to tell
			s.fs.remove(path) //nolint:errcheck // nothing names it
		}
	}()
	w, head, err := s.newFrameWriter(kindSegment, id.generation)
	if err != nil {
		return nil, err
	}
	g = &segment{segmentID: id, first: first, count: int64(len(entries)), salt: w.header.salt}
	buf, index := bytes.Clone(head), []byte(nil)
	for len(entries) > 0 {
		payload, n := []byte{payloadEntries}, 0
		for n < len(entries) && len(payload) < segmentFrame {
			payload = appendBytes(payload, entries[n])
			n++
		}
		before := len(buf)
		buf = w.frame(buf, payload)
		index = binary.AppendUvarint(index, uint64(n))
		index = binary.AppendUvarint(index, uint64(len(buf)-before))
		entries = entries[n:]
		g.frames++
	}
	g.index = int64(len(buf))
	buf = w.frame(buf, append([]byte{payloadIndex}, index...))
	g.size = int64(len(buf))
	if _, err := f.Write(buf); err != nil {
		return nil, err
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return g, s.fs.syncDir(s.dir)
}

// segmentFile is an open segment.
type segmentFile struct {
	s    *Store
	g    *segment
	f    *os.File
	path string
	head [headerSize]byte
}

// openSegment opens a segment and checks that it is the one that is named.
func (s *Store) openSegment(g *segment) (*segmentFile, error) {
	path := s.segmentPath(g.segmentID)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &DamageError{File: path, Reason: "the file is missing"}
	}
	if err != nil {
		return nil, err
	}
	o := &segmentFile{s: s, g: g, f: f, path: path}
	if err := o.check(); err != nil {
		f.Close() //nolint:errcheck // only read
		return nil, err
	}
	return o, nil
}

func (o *segmentFile) check() error {
	info, err := o.f.Stat()
	if err != nil {
		return err
	}
	switch size := info.Size(); {
	case size < o.g.size:
		return &DamageError{File: o.path, Offset: size, Reason: "the file was cut"}
	case size > o.g.size:
		return &DamageError{File: o.path, Offset: o.g.size, Reason: "more follows the end"}
	}
	want := header{kind: kindSegment, sealed: o.s.opts.Sealer != nil, generation: o.g.generation, salt: o.g.salt}
	o.head = want.bytes()
	var have [headerSize]byte
	if _, err := o.f.ReadAt(have[:], 0); err != nil {
		return err
	}
	if have != o.head {
		return &DamageError{File: o.path, Reason: "the file is another than the one that was written"}
	}
	return nil
}

// frame reads the payload of a frame, which begins with a byte of a kind.
func (o *segmentFile) frame(number uint64, off, size int64, kind byte) ([]byte, error) {
	damage := func(reason string) error { return &DamageError{File: o.path, Offset: off, Reason: reason} }
	if off < headerSize || size < frameSize || size > maxBody+frameSize || off > o.g.size-size {
		return nil, damage("a record is not where the index says")
	}
	b := make([]byte, size)
	if _, err := o.f.ReadAt(b, off); err != nil {
		return nil, err
	}
	head, body := b[:frameSize], b[frameSize:]
	switch {
	case crc32.Checksum(head[:16], castagnoli) != binary.LittleEndian.Uint32(head[16:]):
		return nil, damage("a record's header has a wrong checksum")
	case binary.LittleEndian.Uint64(head[8:]) != number, int64(binary.LittleEndian.Uint32(head)) != int64(len(body)):
		return nil, damage("a record is missing, repeated or out of order")
	case crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]):
		return nil, damage("a record has a wrong checksum")
	}
	payload := body
	if o.s.opts.Sealer != nil {
		aead, err := o.s.opts.Sealer.AEAD(o.g.salt)
		if err != nil {
			return nil, err
		}
		if payload, err = aead.Open(nil, nil, body, associated(o.head, number)); err != nil {
			return nil, damage("a record is not authentic, or the key is another")
		}
	}
	if len(payload) == 0 || payload[0] != kind {
		return nil, damage("a record is of another kind than was written")
	}
	return payload[1:], nil
}

func (o *segmentFile) close() {
	o.f.Close() //nolint:errcheck // only read
}

// place is where a frame is, and which entries of the segment it has.
type place struct {
	number       uint64
	off, size    int64
	first, count int64
}

// places yields the frames that an index tells of, and after the last whether
// they are all that there are.
func (g *segment) places(index []byte) iter.Seq2[place, error] {
	return func(yield func(place, error) bool) {
		c := cursor{b: index}
		p := place{off: headerSize}
		for ; len(c.b) > 0 && !c.bad; p.number++ {
			p.count, p.size = c.int64(), c.int64()
			if c.bad || p.count < 1 || p.count > g.count-p.first || p.size < frameSize || p.size > g.index-p.off {
				c.bad = true
				break
			}
			if !yield(p, nil) {
				return
			}
			p.first += p.count
			p.off += p.size
		}
		if c.bad || p.number != uint64(g.frames) || p.first != g.count || p.off != g.index {
			yield(place{}, errPayload)
		}
	}
}

// entryOf returns an entry of a frame's payload of so many.
func entryOf(payload []byte, i, count int64) ([]byte, error) {
	c := cursor{b: payload}
	var entry []byte
	for j := range count {
		if b := c.bytes(); j == i {
			entry = b
		}
	}
	if c.bad || len(c.b) != 0 || i >= count {
		return nil, errPayload
	}
	return entry, nil
}

// readEntries reads entries of a segment, whose first has number 0.
func (s *Store) readEntries(g *segment, from, to int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		o, err := s.openSegment(g)
		if err != nil {
			yield(nil, err)
			return
		}
		defer o.close()
		index, err := o.frame(uint64(g.frames), g.index, g.size-g.index, payloadIndex)
		if err != nil {
			yield(nil, err)
			return
		}
		for p, err := range g.places(index) {
			if err != nil {
				yield(nil, &DamageError{File: o.path, Offset: g.index, Reason: err.Error()})
				return
			}
			if p.first+p.count <= from || p.first >= to {
				continue
			}
			if !o.yield(&p, from, to, yield) {
				return
			}
		}
	}
}

// yield yields the entries of a frame that are asked for.
func (o *segmentFile) yield(p *place, from, to int64, yield func([]byte, error) bool) bool {
	payload, err := o.frame(p.number, p.off, p.size, payloadEntries)
	if err != nil {
		yield(nil, err)
		return false
	}
	if _, err := entryOf(payload, 0, p.count); err != nil {
		yield(nil, &DamageError{File: o.path, Offset: p.off, Reason: err.Error()})
		return false
	}
	c := cursor{b: payload}
	for i := p.first; i < p.first+p.count; i++ {
		if entry := c.bytes(); i >= from && i < to && !yield(entry, nil) {
			return false
		}
	}
	return true
}
