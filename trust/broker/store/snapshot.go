package store

import (
	"encoding/binary"
	"fmt"
)

// snapshotWriter writes the frames of a snapshot.
type snapshotWriter struct {
	s    *Store
	f    file
	w    *frameWriter
	size int64
	buf  []byte // of changes that are not yet written
}

func (w *snapshotWriter) write(b []byte) error {
	w.size += int64(len(b))
	_, err := w.f.Write(b)
	return err
}

func (w *snapshotWriter) put(payload []byte) error {
	select {
	case <-w.s.stop:
		return ErrClosed
	default:
		return w.write(w.w.frame(nil, payload))
	}
}

// begin begins changes of a bucket or a log.
func (w *snapshotWriter) begin(op byte, name string) {
	w.buf = appendBytes(append(w.buf[:0], payloadOps, op), name)
}

// full writes the changes if they are many, and begins others.
func (w *snapshotWriter) full(op byte, name string) error {
	const portion = 1 << 20
	if len(w.buf) < portion {
		return nil
	}
	err := w.put(w.buf)
	w.begin(op, name)
	return err
}

func (w *snapshotWriter) bucket(name string, b *bucket) (err error) {
	w.begin(opBucket, name)
	b.Scan(func(key string, value []byte) bool {
		w.buf = appendPut(w.buf, key, value)
		err = w.full(opBucket, name)
		return err == nil
	})
	if err == nil && b.Len() > 0 {
		err = w.put(w.buf)
	}
	return err
}

// log writes which segments a log has, and the entries that are in none.
func (w *snapshotWriter) log(name string, l *log) error {
	w.begin(opLog, name)
	for i := range l.segments {
		w.buf = l.segments[i].append(w.buf)
		if err := w.full(opLog, name); err != nil {
			return err
		}
	}
	for _, entry := range l.entries {
		w.buf = appendBytes(append(w.buf, opAppend), entry)
		if err := w.full(opLog, name); err != nil {
			return err
		}
	}
	return w.put(w.buf)
}

// state writes all that a snapshot has.
func (w *snapshotWriter) state(salt [32]byte, st *state) error {
	if err := w.put(append([]byte{payloadSnapshotStart}, salt[:]...)); err != nil {
		return err
	}
	for name, b := range st.buckets {
		if err := w.bucket(name, b); err != nil {
			return err
		}
	}
	for name, l := range st.logs {
		if err := w.log(name, &l); err != nil {
			return err
		}
	}
	end := binary.AppendUvarint([]byte{payloadSnapshotEnd}, uint64(st.keys()))
	return w.put(binary.AppendUvarint(end, uint64(st.lengths())))
}

// writeSnapshot writes a state as snapshot of a generation.
func (s *Store) writeSnapshot(generation uint64, salt [32]byte, st *state) (size int64, err error) {
	path := s.path(snapshotPrefix, generation)
	temp := path + tempSuffix
	f, err := s.fs.create(temp)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			f.Close()         //nolint:errcheck // the first error is the one to tell
			s.fs.remove(temp) //nolint:errcheck // as above
		}
	}()
	w := &snapshotWriter{s: s, f: f}
	var head []byte
	if w.w, head, err = s.newFrameWriter(kindSnapshot, generation); err != nil {
		return 0, err
	}
	if err := w.write(head); err != nil {
		return 0, err
	}
	if err := w.state(salt, st); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	if err := s.fs.rename(temp, path); err != nil {
		return 0, err
	}
	if err := s.fs.syncDir(s.dir); err != nil {
		return 0, fmt.Errorf("sync %s: %w", s.dir, err)
	}
	return w.size, nil
}
