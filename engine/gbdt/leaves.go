package gbdt

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
)

// Leaves has the leaf of every row in every tree of a model, a byte each where a
// tree has at most 256 leaves, and the values that its linear trees need.
type Leaves struct {
	of       []leafColumn      // of each tree
	features []int             // whose values are kept
	raw      dataset.RawValues // of these; Place is by feature
}

// leafColumn has the leaves of a tree, in one, two or four bytes each.
type leafColumn struct {
	leaves int // of the tree
	width  int
	bytes  []byte
}

// NewLeaves prepares for a model's trees.
func NewLeaves(m *lightgbm.Model) *Leaves {
	l := &Leaves{of: make([]leafColumn, len(m.Trees))}
	for i, t := range m.Trees {
		c := leafColumn{leaves: t.NumLeaves, width: 1}
		if t.NumLeaves > 1<<8 {
			c.width = 2
		}
		if t.NumLeaves > 1<<16 {
			c.width = 4
		}
		l.of[i] = c
		for _, features := range t.LeafFeatures {
			for _, f := range features {
				l.features = append(l.features, int(f))
			}
		}
	}
	slices.Sort(l.features)
	l.features = slices.Compact(l.features)
	l.raw.Width = len(l.features)
	if l.raw.Width > 0 {
		l.raw.Place = make([]int32, l.features[l.raw.Width-1]+1)
	}
	for i, f := range l.features {
		l.raw.Place[f] = int32(i)
	}
	return l
}

// Grow makes room for that many more rows, so that no memory is taken beyond what
// they need.
func (l *Leaves) Grow(rows int) {
	for i := range l.of {
		c := &l.of[i]
		c.bytes = slices.Grow(c.bytes, rows*c.width)
	}
	l.raw.Values = slices.Grow(l.raw.Values, rows*l.raw.Width)
}

// Features are the features whose values AppendValues needs: those of the
// linear models in leaves, ascending.
func (l *Leaves) Features() []int { return slices.Clone(l.features) }

// AppendValues adds values of rows, row after row, one for each of Features;
// where there are any, every row needs them as it needs its leaves. NaN is a
// missing value. After an error the leaves are of no use.
func (l *Leaves) AppendValues(values []float64) error {
	width := len(l.features)
	if width == 0 && len(values) > 0 || width > 0 && len(values)%width != 0 {
		return fmt.Errorf("%d values are no whole number of rows of %d features", len(values), width)
	}
	for i, v := range values {
		single := float32(v)
		if math.IsInf(float64(single), 0) {
			return &SetError{trainingSet, advise("leave the row out",
				"row %d: feature %d is %v: linear trees need values in the range of single precision",
				len(l.raw.Values)/width+1, l.features[i%width], v)}
		}
		l.raw.Values = append(l.raw.Values, single)
	}
	return nil
}

// Append adds rows by their leaves, row after row, one leaf for each tree: what
// lightgbm.Predictor.Leaves gives. After an error the leaves are of no use.
func (l *Leaves) Append(leaves []int32) error {
	trees := len(l.of)
	if trees == 0 || len(leaves)%trees != 0 {
		return fmt.Errorf("%d leaves are no whole number of rows of %d trees", len(leaves), trees)
	}
	for i := range l.of {
		c := &l.of[i]
		for at := i; at < len(leaves); at += trees {
			leaf := leaves[at]
			if leaf < 0 || int(leaf) >= c.leaves {
				return fmt.Errorf("tree %d has %d leaves, but no leaf %d: leaves must be of this model", i, c.leaves, leaf)
			}
			switch c.width {
			case 1:
				c.bytes = append(c.bytes, byte(leaf))
			case 2:
				c.bytes = binary.LittleEndian.AppendUint16(c.bytes, uint16(leaf))
			default:
				c.bytes = binary.LittleEndian.AppendUint32(c.bytes, uint32(leaf))
			}
		}
	}
	return nil
}

// Rows is the number of rows.
func (l *Leaves) Rows() int {
	if len(l.of) == 0 {
		return 0
	}
	return len(l.of[0].bytes) / l.of[0].width
}

// expand writes the leaves to out, one for each row.
func (c *leafColumn) expand(out []int32) {
	switch c.width {
	case 1:
		for i := range out {
			out[i] = int32(c.bytes[i])
		}
	case 2:
		for i := range out {
			out[i] = int32(binary.LittleEndian.Uint16(c.bytes[2*i:]))
		}
	default:
		for i := range out {
			out[i] = int32(binary.LittleEndian.Uint32(c.bytes[4*i:]))
		}
	}
}
