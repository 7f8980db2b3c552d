package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"cloister/engine/dataset/read"
	"cloister/engine/parallel"
)

// loadBinary reads what WriteBinary wrote.
func (b *building) loadBinary(ctx context.Context, in *Input) (*Dataset, []Notice, error) {
	f, err := openBinary(ctx, in.Table)
	if err != nil {
		return nil, nil, err
	}
	defer f.r.Close() //nolint:errcheck // only read
	l := &binaryLoad{building: b, f: f}
	if err := l.head(in); err != nil {
		return nil, nil, err
	}
	first, err := l.metadata()
	if err != nil {
		return nil, nil, err
	}
	if b.ref == nil {
		if err := l.layOut(); err != nil {
			return nil, nil, err
		}
	}
	if err := l.rows(ctx, first); err != nil {
		return nil, nil, err
	}
	if f.left != 0 {
		return nil, nil, f.damaged("%d bytes follow its end", f.left)
	}
	if err := b.d.checkMetadata(b.name); err != nil {
		return nil, nil, err
	}
	sides := []*read.Source{in.Weight, in.Query, in.Init, in.Position}
	if b.ref != nil {
		// As of a table, nobody asks where the rows of a validation set stood.
		b.d.Position, b.d.PositionNames, sides[3] = nil, nil, nil
	}
	for _, side := range sides {
		if side != nil {
			b.notice("%s: is a binary data set, which has weights, queries, scores and positions of its own; %s is not used", b.name, side.Name)
		}
	}
	return b.d, b.list, nil
}

type binaryLoad struct {
	*building
	f     *binaryFile
	chunk int // rows of a section
	// raw says that the file has raw values, and rawWidth how many a row.
	raw      bool
	rawWidth int
}

// head reads all that stands before the rows' data, and lays the data set out.
func (l *binaryLoad) head(in *Input) error {
	d, f := l.d, l.f
	p, err := f.expect(tagHead)
	if err != nil {
		return err
	}
	rows, features := p.count(1<<40), p.count(1<<40)
	d.LabelIndex, l.chunk = p.count(1<<31), int(p.uint32())
	flags := p.uint32()
	l.raw = flags&flagRaw != 0
	if flags > flagRaw || l.chunk < 1 || l.chunk > chunkLimit {
		p.bad = true
	}
	if err := f.ended(tagHead, p); err != nil {
		return err
	}
	if p, err = f.expect(tagRecipe); err != nil {
		return err
	}
	d.recipe = p.settings()
	if err := f.ended(tagRecipe, p); err != nil {
		return err
	}
	if l.keepsRaw() && !l.raw {
		return badOption("linear_tree", "is true, but %s was made without the values that linear trees need; "+
			"save the data set again with linear_tree=true", l.name)
	}
	// Each feature has some bytes in the file.
	if int64(features) > f.left {
		return f.damaged("it has more features than bytes")
	}
	if err := l.checkRows(rows); err != nil {
		return err
	}
	d.Rows = rows
	if l.ref != nil && features != l.ref.Features() {
		return widthError(l.name, features, l.ref.Features())
	}
	if err := l.names(features); err != nil {
		return err
	}
	if l.ref != nil {
		return l.likeReference()
	}
	if err := checkRecipe(l.name, d.recipe, l.o, &in.Read, d.FeatureNames); err != nil {
		return err
	}
	if err := l.o.checkWidth(features); err != nil {
		return err
	}
	return l.mappers(features)
}

// keepsRaw says whether raw values are wanted.
func (l *binaryLoad) keepsRaw() bool {
	if l.ref != nil {
		return l.ref.Raw != nil
	}
	return l.o.KeepRaw
}

// names reads the features' names, which must be fit for a model.
func (l *binaryLoad) names(features int) error {
	p, err := l.f.expect(tagNames)
	if err != nil {
		return err
	}
	names := make([]string, 0, min(features, len(p.rest)/4))
	for range features {
		if names = append(names, p.text()); p.bad {
			break
		}
	}
	if err := l.f.ended(tagNames, p); err != nil {
		return err
	}
	if clean, _, err := cleanNames(l.name, names, features); err != nil || !slices.Equal(clean, names) {
		return l.f.damaged("its features have impossible names")
	}
	if l.ref != nil && !slices.Equal(names, l.ref.FeatureNames) {
		return l.otherBins("its features have other names")
	}
	l.d.FeatureNames = names
	return nil
}

// otherBins is the error for a validation set that was not made for the
// training data.
func (l *binaryLoad) otherBins(why string) error {
	return &read.Error{
		Table: l.name, Problem: "is a binary data set that does not go with the training data: " + why,
		Hint: "save both in one run, with valid",
	}
}

// likeReference takes the reference's bins and layout, if the file has the same
// bins.
func (l *binaryLoad) likeReference() error {
	p, err := l.f.expect(tagMappers)
	if err != nil {
		return err
	}
	var want []byte
	for _, m := range l.ref.Mappers {
		want = m.appendBinary(want)
	}
	if !bytes.Equal(want, p.rest) {
		return l.otherBins("its bins are others")
	}
	recipe := l.d.recipe
	l.d.layoutLike(l.ref)
	l.d.recipe = recipe
	l.setRawWidth()
	return nil
}

func (l *binaryLoad) mappers(features int) error {
	p, err := l.f.expect(tagMappers)
	if err != nil {
		return err
	}
	list := make([]*Mapper, 0, min(features, len(p.rest)))
	for range features {
		if list = append(list, p.mapper()); p.bad {
			break
		}
	}
	if err := l.f.ended(tagMappers, p); err != nil {
		return err
	}
	l.d.Mappers = list
	l.setRawWidth()
	return nil
}

// layOut lays the data set out, once all that stands before the rows is read.
func (l *binaryLoad) layOut() error {
	groups, err := l.exclusives()
	if err != nil {
		return err
	}
	if err := l.d.layout(l.o, func(columns []int) [][]int { return l.d.exclusivesOf(columns, groups) }); err != nil {
		return err
	}
	if l.keepsRaw() {
		l.d.placeRaw()
	}
	return nil
}

// exclusives reads the groups of features that exclude each other.
func (l *binaryLoad) exclusives() ([][]int, error) {
	p := &payload{rest: l.f.exclusives}
	var groups [][]int
	seen := map[int]bool{}
	for n := p.uint32(); n > 0 && !p.bad; n-- {
		var group []int
		for k := p.uint32(); k > 0 && !p.bad; k-- {
			f := int(p.uint32())
			p.bad = p.bad || f >= len(l.d.Mappers) || seen[f] || len(group) > 0 && group[len(group)-1] > f
			seen[f] = true
			group = append(group, f)
		}
		groups = append(groups, group)
	}
	if l.f.exclusives == nil {
		return nil, nil
	}
	return groups, l.f.ended(tagExclusives, p)
}

// setRawWidth is called once the mappers are known.
func (l *binaryLoad) setRawWidth() {
	if l.raw {
		l.rawWidth = rawWidth(l.d.Mappers)
	}
}

// metadata reads what is known of the rows besides their bins, and returns the
// first section of rows.
func (l *binaryLoad) metadata() (*section, error) {
	d := l.d
	seen := map[string]bool{}
	for {
		s, err := l.f.checked()
		if err != nil {
			return nil, err
		}
		if s.tag == tagRows {
			if !seen[tagLabels] {
				return nil, l.f.unexpected(s.tag, tagLabels)
			}
			return s, nil
		}
		p := &payload{rest: s.payload()}
		p.bad = seen[s.tag]
		seen[s.tag] = true
		switch s.tag {
		case tagLabels:
			d.Label = p.singles(d.Rows)
		case tagWeights:
			d.Weight = p.singles(d.Rows)
		case tagQueries:
			n := len(p.rest) / 4
			queries := p.take(4 * n)
			d.QueryStart = make([]int32, n)
			for i := range d.QueryStart {
				d.QueryStart[i] = int32(binary.LittleEndian.Uint32(queries[4*i:]))
			}
		case tagScores:
			d.InitScore = p.doubles(len(p.rest) / 8)
		case tagPlaces:
			d.Position, d.PositionNames = p.positions(d.Rows)
		case tagHead, tagRecipe, tagNames, tagMappers, tagEnd:
			return nil, l.f.unexpected(s.tag, tagRows)
		default:
			return nil, &read.Error{
				Table: l.name, Problem: fmt.Sprintf("is a binary data set with a section %q, which this program does not know", s.tag),
				Hint: "use the version of Cloister that wrote it, or save it again",
			}
		}
		if err := l.f.ended(s.tag, p); err != nil {
			return nil, err
		}
	}
}

// rows reads the sections of rows, the first of which is given, and what ends
// them. One goroutine reads, others check and unpack.
func (l *binaryLoad) rows(ctx context.Context, first *section) error {
	if err := l.fits(int64(len(first.data))); err != nil {
		return err
	}
	if err := l.admitBins(); err != nil {
		return err
	}
	w := newWriter(l.d, l.name, int(min(int64(l.expectedEntries()), (l.f.left+int64(len(first.data)))/3+1)))
	threads := l.pool.Threads()
	chunks := make(chan rowChunk)
	free := make(chan []byte, threads+1)
	for range cap(free) {
		free <- nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for range threads {
		workers.Go(func() {
			u := &unpacker{load: l, w: w}
			for c := range chunks {
				if ctx.Err() == nil {
					if err := parallel.Catch(func() error { return u.unpack(c) }); err != nil {
						cancel(err)
					}
				}
				free <- c.section.data
			}
		})
	}
	err := l.readRows(ctx, first, chunks, free)
	close(chunks)
	workers.Wait()
	if cause := context.Cause(ctx); cause != nil {
		parallel.Raise(cause)
		return cause
	}
	if err != nil {
		return err
	}
	w.finish()
	return nil
}

// fits says whether the rest of the file, and a section of n bytes before it,
// can hold the rows: no short file is to ask for much memory.
func (l *binaryLoad) fits(n int64) error {
	need := int64(0)
	for i := range l.d.Columns {
		m := l.d.Columns[i].Mapper
		if !m.isThin() {
			need += int64(m.storedBytes(l.d.Rows))
		}
		if l.raw && !m.Categorical {
			need += 4 * int64(l.d.Rows)
		}
		if need > n+l.f.left {
			return l.f.damaged("it is too short for its rows")
		}
	}
	return nil
}

// rowChunk is a section of rows and its place.
type rowChunk struct {
	section  *section
	seq      int
	first, n int
}

func (l *binaryLoad) readRows(ctx context.Context, s *section, chunks chan<- rowChunk, free <-chan []byte) error {
	for seq, first := 0, 0; first < l.d.Rows; seq++ {
		if s == nil {
			var buf []byte
			select {
			case buf = <-free:
			case <-ctx.Done():
				return ctx.Err()
			}
			var err error
			if s, err = l.f.next(buf); err != nil {
				return err
			}
			if s.tag != tagRows {
				return l.f.unexpected(s.tag, tagRows)
			}
		} else {
			<-free
		}
		c := rowChunk{section: s, seq: seq, first: first, n: min(l.chunk, l.d.Rows-first)}
		select {
		case chunks <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
		if l.in.Progress != nil {
			l.in.Progress(l.f.size-l.f.left, l.f.size)
		}
		first += c.n
		s = nil
	}
	end, err := l.f.expect(tagEnd)
	if err != nil {
		return err
	}
	return l.f.ended(tagEnd, end)
}
