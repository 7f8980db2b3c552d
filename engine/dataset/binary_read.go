package dataset

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"

	"cloister/engine/dataset/read"
)

// IsBinary reports whether a source is a data set that WriteBinary wrote. One
// that opens once is not looked at: a binary data set is a plain file.
func IsBinary(ctx context.Context, src read.Source) bool {
	if src.Once || src.Size < int64(binaryHead) {
		return false
	}
	r, err := src.Open(ctx)
	if err != nil {
		return false // who reads it as a table says so
	}
	defer r.Close() //nolint:errcheck // only read
	var magic [len(binaryMagic)]byte
	_, err = io.ReadFull(r, magic[:])
	return err == nil && string(magic[:]) == binaryMagic
}

// BinarySettings reads the parameters that a binary data set was made with. Of
// names that this program does not know nothing is said.
func BinarySettings(ctx context.Context, src read.Source) ([]Setting, error) {
	f, err := openBinary(ctx, src)
	if err != nil {
		return nil, err
	}
	defer f.r.Close() //nolint:errcheck // only read
	if _, err := f.expect(tagHead); err != nil {
		return nil, err
	}
	p, err := f.expect(tagRecipe)
	if err != nil {
		return nil, err
	}
	list := p.settings()
	known, err := (&Options{FeaturePreFilter: true}).recipe(&read.Options{}, nil, false)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(s Setting) bool {
		return !slices.ContainsFunc(known, func(k Setting) bool { return k.Name == s.Name })
	})
	return list, f.ended(tagRecipe, p)
}

// binaryFile reads the sections of a binary data set.
type binaryFile struct {
	name string
	r    io.ReadCloser
	size int64
	left int64 // bytes to come

	exclusives []byte // payload of the section, if it came
}

// damaged is the error for what no writer writes.
func (f *binaryFile) damaged(format string, args ...any) error {
	return &read.Error{Table: f.name, Problem: "is a damaged binary data set: " + fmt.Sprintf(format, args...), Hint: "save it again from its table"}
}

func openBinary(ctx context.Context, src read.Source) (*binaryFile, error) {
	r, err := src.Open(ctx)
	if err != nil {
		return nil, &read.Error{Table: src.Name, Problem: "cannot open", Err: err}
	}
	f := &binaryFile{name: src.Name, r: r, size: src.Size, left: src.Size}
	var head [binaryHead]byte
	if err := f.full(head[:]); err != nil {
		_ = r.Close()
		return nil, err
	}
	if v := binary.LittleEndian.Uint32(head[len(binaryMagic):]); v != binaryVersion {
		_ = r.Close()
		return nil, &read.Error{
			Table: src.Name, Problem: fmt.Sprintf("is a binary data set of version %d, and this program reads version %d", v, binaryVersion),
			Hint: "save it again from its table",
		}
	}
	return f, nil
}

// full fills p.
func (f *binaryFile) full(p []byte) error {
	n, err := io.ReadFull(f.r, p)
	f.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return f.damaged("it is truncated")
	case err != nil:
		return &read.Error{Table: f.name, Problem: "cannot read", Err: err}
	}
	return nil
}

// section is a section whose checksum is right, or to be checked.
type section struct {
	tag string
	// data is the whole section; its payload lies between head and tail.
	data []byte
}

func (s *section) payload() []byte { return s.data[sectionHead : len(s.data)-sectionTail] }

func (s *section) sound() bool {
	n := len(s.data) - sectionTail
	return crc32.Checksum(s.data[:n], castagnoli) == binary.LittleEndian.Uint32(s.data[n:])
}

// next reads a section into buf or, where that is too small, new memory, which
// the rest of the file is sure to fill.
func (f *binaryFile) next(buf []byte) (*section, error) {
	var head [sectionHead]byte
	if err := f.full(head[:]); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(head[4:])
	if f.left < sectionTail || length > uint64(f.left-sectionTail) {
		return nil, f.damaged("a section is longer than the file, or the file is truncated")
	}
	size := sectionHead + int(length) + sectionTail
	if cap(buf) < size {
		buf = make([]byte, size)
	}
	s := &section{tag: string(head[:4]), data: buf[:size]}
	copy(s.data, head[:])
	return s, f.full(s.data[sectionHead:])
}

// checked is next for a section that is small or read once. It skips what may be
// skipped.
func (f *binaryFile) checked() (*section, error) {
	for {
		s, err := f.next(nil)
		if err != nil {
			return nil, err
		}
		if !s.sound() {
			return nil, f.damaged("the checksum of section %q is wrong", s.tag)
		}
		if s.tag[0] < 'a' || s.tag[0] > 'z' {
			return s, nil
		}
		if s.tag == tagExclusives {
			f.exclusives = s.payload()
		}
	}
}

// expect reads the section that must come now.
func (f *binaryFile) expect(tag string) (*payload, error) {
	s, err := f.checked()
	if err != nil {
		return nil, err
	}
	if s.tag != tag {
		return nil, f.unexpected(s.tag, tag)
	}
	return &payload{rest: s.payload()}, nil
}

func (f *binaryFile) unexpected(tag, want string) error {
	return f.damaged("there is a section %q where %s belongs", tag, want)
}

// ended checks that a section was what it should be.
func (f *binaryFile) ended(tag string, p *payload) error {
	if p.bad || len(p.rest) > 0 {
		return f.damaged("section %s has a wrong length or content", tag)
	}
	return nil
}

// payload takes numbers from the front of a section. After the first that is not
// there all are 0.
type payload struct {
	rest []byte
	bad  bool
}

func (p *payload) take(n int) []byte {
	if p.bad || n < 0 || n > len(p.rest) {
		p.bad = true
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

func (p *payload) byte() byte {
	if b := p.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (p *payload) uint32() uint32 {
	if b := p.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

// count is a number that must be below limit.
func (p *payload) count(limit uint64) int {
	b := p.take(8)
	if b == nil {
		return 0
	}
	n := binary.LittleEndian.Uint64(b)
	if n >= limit {
		p.bad = true
		return 0
	}
	return int(n)
}

func (p *payload) double() float64 {
	if b := p.take(8); b != nil {
		return math.Float64frombits(binary.LittleEndian.Uint64(b))
	}
	return 0
}

func (p *payload) text() string { return string(p.take(int(p.uint32()))) }

func (p *payload) settings() []Setting {
	var list []Setting
	for n := p.uint32(); n > 0 && !p.bad; n-- {
		list = append(list, Setting{Name: p.text(), Value: p.text()})
	}
	return list
}

// singles reads n numbers.
func (p *payload) singles(n int) []float32 {
	b := p.take(4 * n)
	if b == nil {
		return nil
	}
	list := make([]float32, n)
	for i := range list {
		list[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return list
}

// positions reads n positions and their names; checkPositions compares them.
func (p *payload) positions(n int) (list []int32, names []string) {
	b := p.take(4 * n)
	if b == nil {
		return nil, nil
	}
	list = make([]int32, n)
	for i := range list {
		list[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	for left := p.uint32(); left > 0 && !p.bad; left-- {
		names = append(names, p.text())
	}
	return list, names
}

func (p *payload) doubles(n int) []float64 {
	b := p.take(8 * n)
	if b == nil {
		return nil
	}
	list := make([]float64, n)
	for i := range list {
		list[i] = math.Float64frombits(binary.LittleEndian.Uint64(b[8*i:]))
	}
	return list
}

// mapper reads a feature's bins. It checks all that the rest of the engine
// relies on.
func (p *payload) mapper() *Mapper {
	flags := p.byte()
	m := &Mapper{Categorical: flags&flagCategorical != 0, Trivial: flags&flagTrivial != 0, Missing: MissingType(p.byte())}
	m.NumBins = int(p.uint32())
	m.DefaultBin, m.MostFreqBin = p.uint32(), p.uint32()
	m.Min, m.Max, m.SparseRate = p.double(), p.double(), p.double()
	if flags > flagCategorical|flagTrivial || m.Missing > MissingNaN || m.NumBins < 1 || m.NumBins > MaxBins ||
		m.NumBins == 1 && !m.Trivial || int(m.DefaultBin) >= m.NumBins || int(m.MostFreqBin) >= m.NumBins ||
		!(m.SparseRate >= 0 && m.SparseRate <= 1) || !isFinite(m.Min) || !isFinite(m.Max) {
		p.bad = true
		return m
	}
	if m.Categorical {
		p.categories(m)
	} else {
		p.bounds(m)
	}
	if p.bad {
		return m
	}
	m.prepare()
	if !m.Trivial && m.DefaultBin != m.Bin(0) {
		p.bad = true
	}
	return m
}

func isFinite(v float64) bool { return v-v == 0 }

// bounds reads the bounds of a numerical feature, which ascend to +Inf.
func (p *payload) bounds(m *Mapper) {
	n := m.NumBins
	if m.Missing == MissingNaN {
		n--
	}
	m.UpperBound = p.doubles(n)
	for i, v := range m.UpperBound {
		last := i == n-1
		if math.IsNaN(v) || math.IsInf(v, 1) != last || math.IsInf(v, -1) || i > 0 && v < m.UpperBound[i-1] {
			p.bad = true
		}
	}
	if n < 1 {
		p.bad = true
	}
	if m.Missing == MissingNaN {
		m.UpperBound = append(m.UpperBound, math.NaN())
	}
}

// categories reads the categories of the bins, which differ; that of bin 0 is -1.
func (p *payload) categories(m *Mapper) {
	b := p.take(4 * m.NumBins)
	if b == nil {
		return
	}
	m.Categories = make([]int32, m.NumBins)
	for i := range m.Categories {
		m.Categories[i] = int32(binary.LittleEndian.Uint32(b[4*i:]))
	}
	sorted := slices.Sorted(slices.Values(m.Categories))
	if m.Categories[0] != -1 || sorted[0] != -1 || len(slices.Compact(sorted)) != m.NumBins {
		p.bad = true
	}
}
