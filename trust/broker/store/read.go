package store

import (
	"bufio"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"os"
)

// errTorn is what a frameReader returns where a kill or a power cut tore the
// last write of a file.
var errTorn = errors.New("the last record is incomplete")

// frameReader reads the frames of one file.
type frameReader struct {
	file   string
	r      *bufio.Reader
	size   int64 // the bytes that count
	off    int64 // of the next frame
	header header
	raw    [headerSize]byte
	aead   cipher.AEAD
	number uint64
	digest hash.Hash // of the bytes before off; nil if nobody asks
}

// newFrameReader reads the header of a file of which size bytes count.
func newFrameReader(r io.Reader, file string, size int64, sealer Sealer) (*frameReader, error) {
	f := &frameReader{file: file, r: bufio.NewReaderSize(r, int(min(max(size, 4096), 1<<20))), size: size}
	if n := min(size, headerSize); n < headerSize {
		return f, errTorn
	}
	if _, err := io.ReadFull(f.r, f.raw[:]); err != nil {
		return f, f.failure(err)
	}
	h, err := parseHeader(f.raw[:])
	if errors.Is(err, ErrOlder) {
		return f, fmt.Errorf("%s: %w", file, err)
	}
	if err != nil {
		if f.raw == [headerSize]byte{} && f.restIsZero() {
			return f, errTorn
		}
		return f, f.damage(0, err.Error())
	}
	f.header = h
	switch {
	case h.sealed && sealer == nil:
		return f, ErrSealed
	case !h.sealed && sealer != nil:
		return f, f.damage(0, "the file is not sealed, although the store is")
	case h.sealed:
		if f.aead, err = sealer.AEAD(h.salt); err != nil {
			return f, err
		}
	}
	f.off = headerSize
	return f, nil
}

func (f *frameReader) damage(off int64, reason string) error {
	return &DamageError{File: f.file, Offset: off, Reason: reason}
}

// failure is a failure to read bytes that must be there.
func (f *frameReader) failure(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return f.damage(f.off, "the file became shorter while it was read")
	}
	return err
}

// withDigest has the reader sum what it read, from the header on.
func (f *frameReader) withDigest() *frameReader {
	f.digest = sha256.New()
	f.digest.Write(f.raw[:])
	return f
}

// next returns the next payload, io.EOF at the end, errTorn where the last
// write is incomplete, or what is wrong.
func (f *frameReader) next() ([]byte, error) {
	rest := f.size - f.off
	if rest == 0 {
		return nil, io.EOF
	}
	if rest < frameSize {
		return nil, errTorn
	}
	var head [frameSize]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return nil, f.failure(err)
	}
	if crc32.Checksum(head[:16], castagnoli) != binary.LittleEndian.Uint32(head[16:]) {
		// A power cut can leave zeros where bytes were to be, from a sector on.
		from := int(min(sectorEnd(f.off)-f.off, frameSize)) % frameSize
		if allZero(head[from:]) && f.restIsZero() {
			return nil, errTorn
		}
		return nil, f.damage(f.off, "a record's header has a wrong checksum")
	}
	length := int64(binary.LittleEndian.Uint32(head[:]))
	if number := binary.LittleEndian.Uint64(head[8:]); number != f.number {
		return nil, f.damage(f.off, "a record is missing, repeated or out of order")
	}
	if length > maxBody {
		return nil, f.damage(f.off, "a record is longer than any that is written")
	}
	if length > rest-frameSize {
		return nil, errTorn
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(f.r, body); err != nil {
		return nil, f.failure(err)
	}
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(head[4:]) {
		if length == rest-frameSize && hasZeroSector(body, f.off+frameSize) {
			return nil, errTorn
		}
		return nil, f.damage(f.off, "a record has a wrong checksum")
	}
	payload := body
	if f.aead != nil {
		var err error
		if payload, err = f.aead.Open(nil, nil, body, associated(f.raw, f.number)); err != nil {
			return nil, f.damage(f.off, "a record is not authentic, or the key is another")
		}
	}
	if len(payload) == 0 {
		return nil, f.damage(f.off, "a record is empty")
	}
	if f.digest != nil {
		f.digest.Write(head[:])
		f.digest.Write(body)
	}
	f.off += frameSize + length
	f.number++
	return payload, nil
}

// sum is the digest of what was read.
func (f *frameReader) sum() (d [32]byte) {
	f.digest.Sum(d[:0])
	return d
}

// restIsZero reads to the end.
func (f *frameReader) restIsZero() bool {
	buf := make([]byte, 64<<10)
	for {
		n, err := f.r.Read(buf)
		if !allZero(buf[:n]) {
			return false
		}
		if err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// sector is what a disk writes whole or not at all.
const sector = 512

func sectorEnd(off int64) int64 { return off&^(sector-1) + sector }

func allZero(b []byte) bool {
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

// hasZeroSector reports whether a sector's part of b, which is at off in its
// file, is zero, as a power cut leaves it. Parts of fewer than 16 bytes can be
// zero by chance and do not count.
func hasZeroSector(b []byte, off int64) bool {
	for len(b) > 0 {
		n := min(int(sectorEnd(off)-off), len(b))
		if n >= 16 && allZero(b[:n]) {
			return true
		}
		b, off = b[n:], off+int64(n)
	}
	return false
}

// openFrames opens a file of the store for reading. Size is the number of bytes
// that count, or negative for all.
func (s *Store) openFrames(prefix string, generation uint64, size int64) (*frameReader, *os.File, error) {
	path := s.path(prefix, generation)
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close() //nolint:errcheck // the first error is the one to tell
		return nil, nil, err
	}
	if size < 0 {
		size = info.Size()
	}
	if info.Size() < size {
		file.Close() //nolint:errcheck // as above
		return nil, nil, &DamageError{File: path, Offset: info.Size(), Reason: "the file was cut"}
	}
	f, err := newFrameReader(file, path, size, s.opts.Sealer)
	if err != nil {
		file.Close() //nolint:errcheck // as above
		return f, nil, err
	}
	kind := byte(kindJournal)
	if prefix == snapshotPrefix {
		kind = kindSnapshot
	}
	if f.header.kind != kind || f.header.generation != generation {
		file.Close() //nolint:errcheck // as above
		return f, nil, f.damage(0, "the file is another one, renamed")
	}
	return f, file, nil
}
