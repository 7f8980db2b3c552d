package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// The format of a file, all integers little-endian:
//
//	header  64 bytes: magic "CLSTORE2", kind 'J', 'S' or 'L', sealed 0 or 1, six
//	        zeros, generation u64, salt 32 bytes, four zeros, CRC-32C of the
//	        60 bytes before it
//	frame   length of the body u32, CRC-32C of the body u32, number u64 from 0
//	        on, CRC-32C of these 16 bytes u32, body
//
// If the file is sealed a body is the AEAD's output for a payload, with the
// file's header and the frame's number as associated data; else it is the
// payload. The first byte of a payload says what it is.
const (
	headerSize = 64
	frameSize  = 20

	kindJournal  = 'J'
	kindSnapshot = 'S'
	kindSegment  = 'L'

	payloadOps           = 1 // changes
	payloadJournalStart  = 2 // a journal's first frame: what it goes on from
	payloadSnapshotStart = 3 // a snapshot's first frame: the journal that goes on from it
	payloadSnapshotEnd   = 4 // a snapshot's last frame: the numbers of keys and of entries
	payloadEntries       = 5 // entries of a log, in a segment
	payloadIndex         = 6 // a segment's last frame: where its entries are

	opBucket  = 1 // name: the changes that follow are in this bucket
	opPut     = 2 // key, value
	opDelete  = 3 // key
	opLog     = 4 // name: the entries that follow are of this log
	opAppend  = 5 // entry
	opSegment = 6 // a segment that has the log's next entries

	// maxBody bounds the body of a frame: one transaction and what sealing adds.
	maxBody = MaxTx + MaxValue + 1<<10
)

var (
	magic      = [8]byte{'C', 'L', 'S', 'T', 'O', 'R', 'E', '2'}
	magicOlder = [8]byte{'C', 'L', 'S', 'T', 'O', 'R', 'E', '1'}
	castagnoli = crc32.MakeTable(crc32.Castagnoli)

	errPayload = errors.New("a record does not decode")
)

// header is the first 64 bytes of a file.
type header struct {
	kind       byte
	sealed     bool
	generation uint64
	salt       [32]byte
}

func (h *header) bytes() [headerSize]byte {
	var b [headerSize]byte
	copy(b[:], magic[:])
	b[8] = h.kind
	if h.sealed {
		b[9] = 1
	}
	binary.LittleEndian.PutUint64(b[16:], h.generation)
	copy(b[24:56], h.salt[:])
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b
}

func parseHeader(b []byte) (header, error) {
	h := header{kind: b[8], sealed: b[9] == 1, generation: binary.LittleEndian.Uint64(b[16:]), salt: [32]byte(b[24:56])}
	switch {
	case [8]byte(b) == magicOlder:
		return h, ErrOlder
	case [8]byte(b) != magic:
		return h, fmt.Errorf("the file does not begin with %q", magic)
	case h.bytes() != [headerSize]byte(b):
		return h, errors.New("the header's checksum is wrong")
	}
	return h, nil
}

// appendFrame appends the frame of a body.
func appendFrame(dst []byte, number uint64, body []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(body)))
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(body, castagnoli))
	dst = binary.LittleEndian.AppendUint64(dst, number)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
	return append(dst, body...)
}

// associated is what a sealed frame is bound to: its file and its place.
func associated(head [headerSize]byte, number uint64) []byte {
	return binary.LittleEndian.AppendUint64(head[:], number)
}

func appendBytes[T string | []byte](dst []byte, b T) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func appendPut(dst []byte, key string, value []byte) []byte {
	return appendBytes(appendBytes(append(dst, opPut), key), value)
}

func appendDelete(dst []byte, key string) []byte {
	return appendBytes(append(dst, opDelete), key)
}

// cursor reads a payload.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.bad, c.b = true, nil
		return 0
	}
	c.b = c.b[n:]
	return v
}

func (c *cursor) bytes() []byte {
	n := c.uvarint()
	if n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

func (c *cursor) array32() (a [32]byte) {
	if len(c.b) < len(a) {
		c.bad, c.b = true, nil
		return a
	}
	copy(a[:], c.b)
	c.b = c.b[len(a):]
	return a
}

// apply makes the changes of a payload of changes, whose first byte was read.
// Values stay slices of ops, which must not change.
func (s *state) apply(ops []byte) error {
	a := applying{state: s, c: cursor{b: ops}}
	for len(a.c.b) > 0 {
		op := a.c.b[0]
		a.c.b = a.c.b[1:]
		if err := a.one(op); err != nil {
			return err
		}
	}
	return nil
}

// applying is one payload that is being applied, in a bucket or in a log.
type applying struct {
	state *state
	c     cursor
	in    *bucket
	log   string
	named bool
}

func (a *applying) one(op byte) error {
	switch op {
	case opBucket:
		if name := string(a.c.bytes()); !a.c.bad {
			a.in, a.named = a.state.bucket(name), false
		}
	case opLog:
		a.log, a.in, a.named = string(a.c.bytes()), nil, true
	case opPut, opDelete:
		if a.in == nil {
			return errPayload
		}
		a.key(op)
	case opAppend:
		if !a.named {
			return errPayload
		}
		if entry := a.c.bytes(); !a.c.bad {
			a.state.append(a.log, entry)
		}
	case opSegment:
		if !a.named {
			return errPayload
		}
		if g := a.c.segment(); a.c.bad || !a.state.archive(a.log, g) {
			return errPayload
		}
	default:
		return errPayload
	}
	if a.c.bad {
		return errPayload
	}
	return nil
}

func (a *applying) key(op byte) {
	key := string(a.c.bytes())
	if op == opDelete {
		if !a.c.bad {
			a.in.Delete(key)
		}
		return
	}
	if value := a.c.bytes(); !a.c.bad {
		// Load is Set, and faster where the key is the greatest so far.
		a.in.Load(key, value)
	}
}

// predecessor is a journal that a later one goes on from.
type predecessor struct {
	generation uint64
	end        uint64   // the bytes of it that count; zero for none
	digest     [32]byte // SHA-256 of these bytes
}

// journalStart is the first record of a journal.
type journalStart struct {
	base  uint64 // the snapshot that was there; zero for none
	since []predecessor
}

func (j *journalStart) append(dst []byte) []byte {
	dst = append(dst, payloadJournalStart)
	dst = binary.AppendUvarint(dst, j.base)
	dst = binary.AppendUvarint(dst, uint64(len(j.since)))
	for _, p := range j.since {
		dst = binary.AppendUvarint(dst, p.generation)
		dst = binary.AppendUvarint(dst, p.end)
		dst = append(dst, p.digest[:]...)
	}
	return dst
}

func parseJournalStart(payload []byte) (*journalStart, error) {
	if len(payload) == 0 || payload[0] != payloadJournalStart {
		return nil, errors.New("the first record of a journal does not say what it goes on from")
	}
	c := cursor{b: payload[1:]}
	j := &journalStart{base: c.uvarint()}
	n := c.uvarint()
	const least = 1 + 1 + 32 // bytes of one
	if n > uint64(len(c.b)/least) {
		return nil, errPayload
	}
	for range n {
		j.since = append(j.since, predecessor{c.uvarint(), c.uvarint(), c.array32()})
	}
	if c.bad || len(c.b) != 0 {
		return nil, errPayload
	}
	return j, nil
}
