package tree

import (
	"errors"
	"fmt"
	"math"
)

// ErrShape means that rows, iterations and outputs do not fit together.
var ErrShape = errors.New("wrong shape")

// lanes is the number of rows that go down a tree together: while one waits
// for its node, the others move.
const lanes = 8

// blockBytes bounds the rewritten rows that are kept at a time, so that they
// stay in the second-level cache while every tree passes over them.
const blockBytes = 96 << 10

// maxBlock bounds the groups of rows in a block.
const maxBlock = 64

// group has one column of rows that go down together.
type group [lanes]int64

// scratch has the rewritten rows of a block: for each lanes of them, one group
// per column.
type scratch struct {
	groups []group
}

// Features is the least number of values that rows must have.
func (e *Ensemble) Features() int { return e.features }

// Iterations is the number of iterations: groups of trees, one for each model.
func (e *Ensemble) Iterations() int { return len(e.trees) / e.models }

// AddScores adds the raw scores that the trees of iterations start … end-1
// give to out. Values has rows of the given width (at least Features), row
// after row, NaN where a value is missing; out has one value per row and
// model, row after row. The error is ErrShape; nothing was added then. It
// allocates nothing per row and may be called by several goroutines, each with
// rows of its own.
func (e *Ensemble) AddScores(values []float64, features, start, end int, out []float64) error {
	if err := e.checkShape(values, features, start, end, out); err != nil {
		return err
	}
	s := e.scratch.Get().(*scratch)
	defer e.scratch.Put(s)
	width := len(e.columns)
	block := min(maxBlock, max(1, blockBytes/8/lanes/width), (len(out)/e.models+lanes-1)/lanes)
	if len(s.groups) < block*width {
		s.groups = make([]group, block*width)
	}
	for len(out) > 0 {
		rows := min(block*lanes, len(out)/e.models)
		groups := s.groups[:(rows+lanes-1)/lanes*width]
		e.rewrite(values[:rows*features], features, groups)
		e.addBlock(values[:rows*features], features, start*e.models, end*e.models, groups, out[:rows*e.models])
		values, out = values[rows*features:], out[rows*e.models:]
	}
	return nil
}

func (e *Ensemble) checkShape(values []float64, features, start, end int, out []float64) error {
	switch {
	case features < e.features:
		return fmt.Errorf("%w: rows have %d features, the trees use %d", ErrShape, features, e.features)
	case len(out)%e.models != 0 || len(values) != len(out)/e.models*features:
		return fmt.Errorf("%w: %d values in rows of %d do not go with %d outputs of %d models",
			ErrShape, len(values), features, len(out), e.models)
	case start < 0 || start > end || end > e.Iterations():
		return fmt.Errorf("%w: iterations %d to %d of %d", ErrShape, start, end, e.Iterations())
	}
	return nil
}

// rewrite turns rows into groups of columns. The lanes that no row fills keep
// what they had, but for the column that holds walkers in the leaves.
func (e *Ensemble) rewrite(values []float64, features int, groups []group) {
	width := len(e.columns)
	for g := 0; g < len(groups); g += width {
		groups[g] = group{missingRight, missingRight, missingRight, missingRight, missingRight, missingRight, missingRight, missingRight}
		for lane := 0; lane < lanes && len(values) > 0; lane++ {
			e.rewriteRow(values[:features], groups[g:g+width], lane)
			values = values[features:]
		}
	}
}

func (e *Ensemble) rewriteRow(row []float64, into []group, lane int) {
	for i, c := range e.columns[:len(into)] {
		v := row[c.feature]
		k := key(v)
		switch c.kind {
		case alwaysRight:
			k = missingRight
		case plain:
			if math.IsNaN(v) {
				k = 0
			}
		case zeroRight, nanRight:
			if math.IsNaN(v) || c.kind == zeroRight && isZero(v) {
				k = missingRight
			}
		case zeroLeft, nanLeft:
			if math.IsNaN(v) || c.kind == zeroLeft && isZero(v) {
				k = missingLeft
			}
		case categories:
			k = int64(category(v))
		}
		into[i][lane] = k
	}
}

func (e *Ensemble) addBlock(values []float64, features, first, last int, groups []group, out []float64) {
	for i := first; i < last; i++ {
		t := &e.trees[i]
		k := i % e.models
		if t.linear != nil {
			for r := 0; r*e.models < len(out); r++ {
				out[r*e.models+k] += t.linear.Predict(values[r*features : (r+1)*features])
			}
			continue
		}
		t.add(groups, len(e.columns), out[k:], e.models)
	}
}

// add adds the tree's values for groups of rows, of width columns each, to
// out, one row every models values.
func (t *flatTree) add(groups []group, width int, out []float64, models int) {
	for o := 0; o < len(out); o += lanes * models {
		var at [lanes]int32
		if t.categorical {
			at = t.walkCategorical(groups[:width])
		} else {
			at = t.walk(groups[:width])
		}
		rest := out[o:]
		for lane, leaf := range at {
			if lane*models >= len(rest) {
				break
			}
			rest[lane*models] += t.nodes[leaf].leafValue()
		}
		groups = groups[width:]
	}
}

// less is 1 if a <= b, else 0, without a branch.
func less(a, b int64) int32 {
	var yes int32
	if a <= b {
		yes = 1
	}
	return yes
}

// walk takes the rows of a group from the root to their leaves in a tree
// without categories. Written out lane by lane, the places stay in registers.
func (t *flatTree) walk(columns []group) [lanes]int32 {
	nodes := t.nodes
	var a, b, c, d, e, f, g, h int32
	for steps := t.minDepth; ; steps-- {
		n := &nodes[a]
		a1 := n.next + less(columns[n.column][0], n.key)
		n = &nodes[b]
		b1 := n.next + less(columns[n.column][1], n.key)
		n = &nodes[c]
		c1 := n.next + less(columns[n.column][2], n.key)
		n = &nodes[d]
		d1 := n.next + less(columns[n.column][3], n.key)
		n = &nodes[e]
		e1 := n.next + less(columns[n.column][4], n.key)
		n = &nodes[f]
		f1 := n.next + less(columns[n.column][5], n.key)
		n = &nodes[g]
		g1 := n.next + less(columns[n.column][6], n.key)
		n = &nodes[h]
		h1 := n.next + less(columns[n.column][7], n.key)
		if steps <= 0 && (a^a1)|(b^b1)|(c^c1)|(d^d1)|(e^e1)|(f^f1)|(g^g1)|(h^h1) == 0 {
			return [lanes]int32{a, b, c, d, e, f, g, h}
		}
		a, b, c, d, e, f, g, h = a1, b1, c1, d1, e1, f1, g1, h1
	}
}

// walkCategorical is walk for trees with categories, for half of the lanes at a
// time, as its steps need more registers.
func (t *flatTree) walkCategorical(columns []group) (at [lanes]int32) {
	nodes, words := t.nodes, t.words
	for lane := 0; lane < lanes; lane += lanes / 2 {
		lane &= lanes / 2 // says that lane+3 is in range
		var a, b, c, d int32
		for steps := t.minDepth; ; steps-- {
			n := &nodes[a]
			a1 := n.either(columns[n.column&^categoryBit][lane], words)
			n = &nodes[b]
			b1 := n.either(columns[n.column&^categoryBit][lane+1], words)
			n = &nodes[c]
			c1 := n.either(columns[n.column&^categoryBit][lane+2], words)
			n = &nodes[d]
			d1 := n.either(columns[n.column&^categoryBit][lane+3], words)
			if steps <= 0 && (a^a1)|(b^b1)|(c^c1)|(d^d1) == 0 {
				break
			}
			a, b, c, d = a1, b1, c1, d1
		}
		at[lane], at[lane+1], at[lane+2], at[lane+3] = a, b, c, d
	}
	return at
}

// either is the place after a node of either kind. It makes both decisions and
// keeps one, for which kind comes next cannot be foreseen.
func (n *flatNode) either(v int64, words []uint32) int32 {
	categorical := int32(n.column) >> 31 // all ones, or 0
	set := n.key & int64(categorical)
	size := set & math.MaxUint32
	// The word after a set is 0, for the categories beyond it (and for -1,
	// which is none): take the lesser of the category's word and that one.
	beyond := int64(uint32(v)>>5) - size
	word := uint64(set)>>32 + uint64(size+beyond&(beyond>>63))
	in := int32(words[word] >> (uint32(v) & 31))
	return n.next + (in&1&categorical | less(v, n.key)&^categorical)
}
