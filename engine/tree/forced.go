package tree

// ForcedSplit is a split that a tree starts with.
type ForcedSplit struct {
	Feature int
	// Threshold is moved up to the border of its bin. For a categorical feature
	// it is the category that goes left.
	Threshold   float64
	Left, Right *ForcedSplit // on the children; nil for none
}

// forceSplits splits as Options.Forced says, level by level. As in LightGBM
// the first split that is not possible, or makes the objective worse, ends it,
// and min_data_in_leaf does not count.
func (g *Grower) forceSplits(out *Grown) {
	type pending struct {
		split *ForcedSplit
		leaf  int
	}
	queue := []pending{{g.opt.Forced, 0}}
	for ; len(queue) > 0 && len(out.leaves) < g.opt.NumLeaves; queue = queue[1:] {
		next := queue[0]
		if next.split == nil {
			continue
		}
		s, ok := g.forcedSplit(&out.leaves[next.leaf], next.split)
		if !ok {
			return
		}
		out.leaves[next.leaf].best = s
		g.expand(&out.leaves[next.leaf])
		g.commit(out, next.leaf)
		queue = append(queue, pending{next.split.Left, next.leaf}, pending{next.split.Right, len(out.leaves) - 1})
	}
}

// forcedSplit is the split in terms of bins; false if it is not possible.
func (g *Grower) forcedSplit(l *leaf, f *ForcedSplit) (split, bool) {
	column := g.columnOf(f.Feature)
	if column < 0 || (g.opt.MaxDepth > 0 && l.depth >= g.opt.MaxDepth) {
		return noSplit, false
	}
	m := g.data.Columns[column].Mapper
	s := split{column: column, threshold: m.Bin(f.Threshold), defaultLeft: true, l2: g.opt.L2}
	if m.Categorical {
		if s.threshold == 0 {
			return noSplit, false // bin 0 has no category of its own
		}
		s.cat, s.threshold, s.defaultLeft = []uint32{s.threshold}, 0, false
	}
	g.sumLeft(l, &s)
	if s.leftRows == 0 || s.leftRows == l.count() {
		return noSplit, false
	}
	w := g.workers.get()
	defer g.workers.put(w)
	search := &w.search
	search.pick, search.monotone = -1, g.opt.monotone(&g.data.Columns[column])
	terms := search.terms(l, g.key)
	shift := terms.catShift
	if l.parent < 0 {
		// LightGBM compares the root's forced split with a value of zero.
		shift = g.opt.MinGainToSplit
	}
	s.gain = search.childrenGain(&terms, s.left, s.leftRows, s.l2) - shift
	return s, s.gain > 0
}

func (g *Grower) columnOf(feature int) int {
	for c := range g.data.Columns {
		if g.data.Columns[c].Feature == feature {
			return c
		}
	}
	return -1
}

// sumLeft sums over the rows that a split sends left.
func (g *Grower) sumLeft(l *leaf, s *split) {
	lookup := newBinLookup(g.data, s.column)
	table := directions(nil, s, &lookup, s.cat != nil)
	for _, r := range g.rows[l.begin:l.end] {
		if table[lookup.bin(r)] == 1 {
			s.left += g.packed[r]
			s.leftRows++
		}
	}
}
