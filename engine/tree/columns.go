package tree

import (
	"math/bits"
	"slices"

	"cloister/engine/random"
)

// Streams keep the uses of random numbers apart.
const (
	streamThresholds uint64 = iota + 1
	streamNodeColumns
	streamLevels
)

// draw chooses which of n thresholds of the column extra_trees tries, each
// with the same probability: the first if n is not positive. Without
// extra_trees all are tried.
func (s *searcher) draw(t *leafTerms, n int) {
	s.pick = -1
	if s.opt.ExtraTrees {
		pick, _ := bits.Mul64(random.Extend(t.draw, s.feature), uint64(max(0, n)))
		s.pick = int(pick)
	}
}

// rootUsage says which columns the root may be split on, of those that the
// tree may use (nil: all).
func (g *Grower) rootUsage(columns []bool) *usage {
	use := newUsage(g.data)
	for i := range use.column {
		use.column[i] = columns == nil || columns[i]
	}
	g.columns = append(g.columns[:0], use.column...)
	g.constrainColumns(use.column, nil)
	use.refresh(g.data)
	return use
}

// drawColumns draws the columns that a leaf may be split on, by
// feature_fraction_bynode. Its count is a part of the tree's columns, even when
// interaction_constraints leave fewer to draw from.
func (g *Grower) drawColumns(l *leaf) {
	fraction := g.opt.FeatureFractionByNode
	if fraction <= 0 || fraction >= 1 {
		return
	}
	count := 0
	for _, in := range g.columns {
		if in {
			count++
		}
	}
	count = max(1, int(float64(float64(count)*fraction)+0.5))
	l.drawn = append(l.drawn[:0], g.columns...)
	g.constrainColumns(l.drawn, l.path)
	var from []int
	for c, in := range l.drawn {
		if in {
			from = append(from, c)
		}
	}
	clear(l.drawn)
	r := random.New(g.opt.FeatureFractionSeed, streamNodeColumns, g.key, l.id)
	for _, i := range r.Sample(len(from), count) {
		l.drawn[from[i]] = true
	}
}

// inheritColumns sets the columns that a child may be split on.
func (g *Grower) inheritColumns(child, parent *leaf, splitOn int) {
	child.use = parent.use.clone(g.data)
	if g.opt.InteractionConstraints == nil {
		return
	}
	child.path = append(slices.Clip(parent.path), g.data.Columns[splitOn].Feature)
	g.constrainColumns(child.use.column, child.path)
	child.use.refresh(g.data)
}

// constrainColumns keeps the columns that interaction_constraints allow below
// splits on the features of the path: those of the path and those of every
// group that holds all of the path.
func (g *Grower) constrainColumns(columns []bool, path []int) {
	if g.opt.InteractionConstraints == nil {
		return
	}
	allowed := make(map[int]bool)
	for _, f := range path {
		allowed[f] = true
	}
	for _, group := range g.opt.InteractionConstraints {
		if slices.ContainsFunc(path, func(f int) bool { return !slices.Contains(group, f) }) {
			continue
		}
		for _, f := range group {
			allowed[f] = true
		}
	}
	for i := range columns {
		columns[i] = columns[i] && allowed[g.data.Columns[i].Feature]
	}
}
