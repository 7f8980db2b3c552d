package tree

import (
	"math"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// Linear is Tree for a linear tree. A leaf's coefficients and constant become
// Decay times the old ones plus the rest, times the tree's Shrinkage, of what
// LinearFitter would give the leaf for the features that it has. raw has the
// values of these for all rows; its Place is by feature.
func (f *Refit) Linear(
	pool *parallel.Pool, t *Tree, leaf []int32, g *Gradients, raw *dataset.RawValues,
) (*Tree, error) {
	values := f.values(t, leaf, g.Grad, g.Hess)
	refitted, err := f.blended(t, values)
	if err != nil {
		return nil, err
	}
	refitted.LeafConst, refitted.LeafCoeff = make([]float64, t.NumLeaves), make([][]float64, t.NumLeaves)
	rows := rowsOf(leaf, t.NumLeaves)
	pool.Run(t.NumLeaves, func(i int) {
		l := linearLeaf{rows: rows[i]}
		for _, feature := range t.LeafFeatures[i] {
			l.places = append(l.places, raw.Place[feature])
		}
		coeff, constant := f.linear(&l, g, raw, values[i])
		refitted.LeafConst[i] = f.blend(t, t.LeafConst[i], constant)
		refitted.LeafCoeff[i] = make([]float64, len(coeff))
		for j, c := range coeff {
			refitted.LeafCoeff[i][j] = f.blend(t, t.LeafCoeff[i][j], c)
		}
	})
	for i, c := range refitted.LeafConst {
		if !finite(c) || slices.ContainsFunc(refitted.LeafCoeff[i], func(c float64) bool { return !finite(c) }) {
			return nil, ErrNotFinite
		}
	}
	return refitted, nil
}

// linear fits a leaf's model as LinearFitter does. value is what the leaf gives
// rows with missing values.
func (f *Refit) linear(l *linearLeaf, g *Gradients, raw *dataset.RawValues, value float64) (coeff []float64, constant float64) {
	coeff = make([]float64, len(l.places))
	if len(l.places) == 0 {
		return coeff, value
	}
	s := l.total(g, raw)
	if found, constant, ok := s.solve(l.shift, f.Lambda); ok {
		return found, constant
	}
	if s.rows == len(l.rows) {
		return coeff, value
	}
	if v := f.Options.leafValue(s.grad, s.hess+epsilon, f.Options.L2); finite(v) {
		return coeff, v
	}
	return coeff, 0
}

// total sums over all rows of a leaf; of few rows no more than a constant
// needs.
func (l *linearLeaf) total(g *Gradients, raw *dataset.RawValues) *linearSums {
	if len(l.rows) < modelRows(len(l.places)) {
		s := new(linearSums)
		l.shift = make([]float64, len(l.places))
		for _, r := range l.rows {
			if !missing(raw.Row(int(r)), l.places) {
				s.rows++
				s.grad += float64(g.Grad[r])
				s.hess += float64(g.Hess[r])
			}
		}
		return s
	}
	l.center(raw)
	l.parts = make([]linearSums, (len(l.rows)+linearChunk-1)/linearChunk)
	var b linearBlock
	for c := range l.parts {
		l.sum(raw, g, c, &b)
		if c > 0 {
			l.parts[0].add(&l.parts[c])
		}
	}
	return &l.parts[0]
}

// rowsOf lists the rows of each leaf.
func rowsOf(leaf []int32, leaves int) [][]uint32 {
	end := make([]int, leaves)
	for _, l := range leaf {
		end[l]++
	}
	all, rows, at := make([]uint32, len(leaf)), make([][]uint32, leaves), 0
	for l, n := range end {
		rows[l] = all[at : at : at+n]
		at += n
	}
	for i, l := range leaf {
		rows[l] = append(rows[l], uint32(i))
	}
	return rows
}

// AddLinear adds a linear tree's output to the scores of rows whose leaves are
// known. raw is that of Refit.Linear.
func (t *Tree) AddLinear(pool *parallel.Pool, leaf []int32, raw *dataset.RawValues, scores []float64) {
	pool.Chunks(len(leaf), scoreChunk, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			scores[i] += t.storedOutput(leaf[i], raw.Row(i), raw.Place)
		}
	})
}

// storedOutput is linearOutput for values that stand where place says.
func (t *Tree) storedOutput(leaf int32, values []float32, place []int32) float64 {
	sum, coeff := t.LeafConst[leaf], t.LeafCoeff[leaf]
	for j, feature := range t.LeafFeatures[leaf] {
		v := float64(values[place[feature]])
		if math.IsNaN(v) {
			return t.LeafValue[leaf]
		}
		sum += float64(coeff[j] * v)
	}
	return sum
}
