package store

import (
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
)

// frameWriter makes the frames of one file.
type frameWriter struct {
	header header
	raw    [headerSize]byte
	aead   cipher.AEAD
	number uint64
}

// newFrameWriter returns the writer of a new file, and the file's header.
func (s *Store) newFrameWriter(kind byte, generation uint64) (*frameWriter, []byte, error) {
	w := &frameWriter{header: header{kind: kind, sealed: s.opts.Sealer != nil, generation: generation}}
	rand.Read(w.header.salt[:])
	w.raw = w.header.bytes()
	if s.opts.Sealer != nil {
		var err error
		if w.aead, err = s.opts.Sealer.AEAD(w.header.salt); err != nil {
			return nil, nil, err
		}
	}
	return w, w.raw[:], nil
}

// frame appends the next frame.
func (w *frameWriter) frame(dst, payload []byte) []byte {
	if w.aead != nil {
		payload = w.aead.Seal(nil, nil, payload, associated(w.raw, w.number))
	}
	dst = appendFrame(dst, w.number, payload)
	w.number++
	return dst
}

// journal is the newest journal and what it goes on from. Once the store is
// open only the committer uses it.
type journal struct {
	s *Store

	f          file
	generation uint64
	w          *frameWriter
	end        int64     // all before it is on disk
	digest     hash.Hash // of these bytes
	broken     bool      // nothing can be appended: a new generation is needed

	// next is the file of the next generation if it was created and could not
	// be begun, for want of space.
	next file

	base         uint64
	snapshotSize int64
	since        []predecessor // from base on, without this journal
}

// takeOver creates the next generation, reads those before it, and begins it.
func (j *journal) takeOver() error {
	s := j.s
	for attempt := 0; ; attempt++ {
		l, err := s.list()
		if err != nil {
			return err
		}
		g := l.next()
		f, err := s.fs.create(s.path(journalPrefix, g))
		if errors.Is(err, fs.ErrExist) && attempt < 10 {
			continue
		}
		if err != nil {
			return err
		}
		// From here on an older writer acknowledges nothing that is not yet
		// there to be read.
		read, err := s.replay(g)
		if err != nil {
			f.Close() //nolint:errcheck // nothing was written
			if s.lock.exclusive() {
				// Nobody else can rest on its being there.
				s.fs.remove(s.path(journalPrefix, g)) //nolint:errcheck // an empty journal does no harm
			}
			return err
		}
		if read.empty() && !s.opts.Create {
			f.Close() //nolint:errcheck // nothing was written
			return ErrNotFound
		}
		s.durable.Store(read.state)
		j.base, j.snapshotSize, j.since = read.base, read.snapshotSize, read.since
		if err := j.start(f, g); err != nil {
			return err
		}
		s.removeUnnamed(g, read.state)
		return nil
	}
}

// start writes the beginning of a new generation's journal and goes over to it.
func (j *journal) start(f file, generation uint64) error {
	w, head, err := j.s.newFrameWriter(kindJournal, generation)
	if err != nil {
		j.next = f
		return err
	}
	since := j.since
	if j.w != nil {
		since = append(since[:len(since):len(since)], j.done())
	}
	start := journalStart{base: j.base, since: since}
	buf := w.frame(append([]byte{}, head...), start.append(nil))
	if err := j.begin(f, buf); err != nil {
		j.next = f
		return err
	}
	if j.f != nil {
		j.f.Close() //nolint:errcheck // all of it that counts is synced
	}
	j.f, j.generation, j.w, j.end, j.since = f, generation, w, int64(len(buf)), since
	j.digest = sha256.New()
	j.digest.Write(buf)
	j.next, j.broken = nil, false
	return j.fenced()
}

func (j *journal) begin(f file, buf []byte) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.Write(buf); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	return j.s.fs.syncDir(j.s.dir)
}

// done is this journal as a later one names it.
func (j *journal) done() predecessor {
	p := predecessor{generation: j.generation, end: uint64(j.end)}
	j.digest.Sum(p.digest[:0])
	return p
}

// rotate begins a new generation, whose journal goes on from this one.
func (j *journal) rotate() error {
	f := j.next
	if f == nil {
		var err error
		f, err = j.s.fs.create(j.s.path(journalPrefix, j.generation+1))
		if errors.Is(err, fs.ErrExist) {
			return ErrFenced
		}
		if err != nil {
			return err
		}
		j.next, j.broken = f, true
	}
	return j.start(f, j.generation+1)
}

// fenced returns ErrFenced if another process created the next generation. That
// file may be gone again, replaced by a snapshot; then this journal was removed
// before it (removeBefore), so the order of the two questions counts.
func (j *journal) fenced() error {
	next, nextErr := os.Lstat(j.s.path(journalPrefix, j.generation+1))
	_, ownErr := os.Lstat(j.s.path(journalPrefix, j.generation))
	switch {
	case next != nil, errors.Is(ownErr, fs.ErrNotExist):
		return ErrFenced
	case !errors.Is(nextErr, fs.ErrNotExist):
		return fmt.Errorf("whether another process has taken over the store cannot be told: %w", nextErr)
	case ownErr != nil:
		return fmt.Errorf("whether another process has taken over the store cannot be told: %w", ownErr)
	}
	return nil
}

// append puts payloads on disk, all or none. An error may leave the journal in
// need of a new generation, which the next append begins.
func (j *journal) append(payloads [][]byte) error {
	if j.broken {
		if err := j.rotate(); err != nil {
			return err
		}
	}
	number := j.w.number
	var buf []byte
	for _, p := range payloads {
		buf = j.w.frame(buf, p)
	}
	_, err := j.f.Write(buf)
	if err == nil {
		if err = j.f.Sync(); err != nil {
			// What is on disk now is not known, and a second sync would not say
			// (the system may have dropped the pages): write no more here.
			j.broken = true
		}
	}
	if err != nil {
		j.w.number = number
		if j.f.Truncate(j.end) != nil {
			j.broken = true
		}
		return err
	}
	j.end += int64(len(buf))
	j.digest.Write(buf)
	return j.fenced()
}

// size is what the next opener would read beside the snapshot.
func (j *journal) size() int64 {
	n := j.end
	for _, p := range j.since {
		n += int64(p.end)
	}
	return n
}

// replaced says that the snapshot of a generation was written.
func (j *journal) replaced(base uint64, size int64) {
	j.base, j.snapshotSize = base, size
	kept := j.since[:0:0]
	for _, p := range j.since {
		if p.generation >= base {
			kept = append(kept, p)
		}
	}
	j.since = kept
}

func (j *journal) close() error {
	if j.next != nil {
		j.next.Close() //nolint:errcheck // it was not begun
	}
	if j.f == nil {
		return nil
	}
	return j.f.Close()
}
