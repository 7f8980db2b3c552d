package tree

import (
	"context"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
)

// Grower grows trees leaf by leaf, always splitting the leaf with the
// greatest gain (Shi, "Best-First Decision Tree Learning", 2007; LightGBM's
// SerialTreeLearner). It keeps its working memory from tree to tree; it is not
// safe for concurrent use.
type Grower struct {
	data *dataset.Dataset
	pool *parallel.Pool
	opt  Options

	build     *builder
	part      partitioner
	searchers []searcher
	found     []split
	free      [][]int64 // histograms not in use
	maxKept   int       // most leaves that keep their histograms

	packed []int64
	bytes  [][]uint8
	fix    fixed
	rows   []uint32

	costs   *costs // nil for none
	key     uint64 // of the tree
	columns []bool // that the tree may split on
	divided uint64 // id of the leaf that was split last, for MonotoneAdvanced
}

// leaf is a leaf of the tree that is being grown.
type leaf struct {
	begin, end int // its rows in Grower.rows
	depth      int
	total      int64
	hist       []int64 // nil if it was given up, or is not needed
	use        *usage  // the columns that may still be split on
	best       split
	parent     int          // node whose child it is, or -1
	right      bool         // it is the right child
	box        []span       // where its rows lie, if monotone values need it
	around     []neighbour  // leaves that bound it, by MonotoneAdvanced
	memo       []columnMemo // splits that were found within these bounds
	path       []int        // features of the splits above, if interaction_constraints are set
	drawn      []bool       // columns drawn by feature_fraction_bynode; nil means all
	standing
}

func (l *leaf) count() int { return l.end - l.begin }

// NewGrower returns a grower for trees over the data set.
func NewGrower(d *dataset.Dataset, pool *parallel.Pool, opt Options) *Grower {
	if !slices.ContainsFunc(opt.Monotone, func(sign int8) bool { return sign != 0 }) {
		opt.Monotone = nil
	}
	g := &Grower{data: d, pool: pool, opt: opt, build: newBuilder(d, pool), packed: make([]int64, d.Rows)}
	g.costs = newCosts(opt.Costs, len(d.Columns), d.Rows)
	g.part.pool = pool
	g.bytes = transpose(d, pool)
	g.searchers = make([]searcher, 2*pool.Threads())
	g.found = make([]split, 2*pool.Threads())
	for i := range g.searchers {
		g.searchers[i] = newSearcher(d, &g.opt, &g.fix)
		g.searchers[i].costs = g.costs
	}
	memory := opt.HistogramMemory
	if memory <= 0 {
		memory = 1 << 30
	}
	g.maxKept = max(4, memory/(8*max(1, d.TotalBins)))
	return g
}

// Grow grows one tree from the gradients of all rows. Rows lists the rows that
// take part, ascending; nil means all. Columns says which columns may be
// split on; nil means all. The result refers to the grower's memory and is
// valid until the next call.
func (g *Grower) Grow(ctx context.Context, grad Gradients, rows []uint32, columns []bool) (*Grown, error) {
	fix, err := g.quantize(&grad)
	if err != nil {
		return nil, err
	}
	g.fix = fix
	g.key = grad.Key
	g.resetRows(rows)
	root := leaf{end: len(g.rows), parent: -1, best: noSplit, use: g.rootUsage(columns), total: g.totalOf(rows)}
	root.standing = g.rootStanding(root.total)
	out := &Grown{grower: g, leaves: []leaf{root}}
	g.prepare(&out.leaves[0], rows == nil)
	g.forceSplits(out)
	for len(out.leaves) < g.opt.NumLeaves {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		at := bestLeaf(out.leaves)
		if !(out.leaves[at].best.gain > 0) {
			break
		}
		g.split(out, at)
	}
	for i := range out.leaves {
		g.release(&out.leaves[i])
	}
	out.finish(&grad)
	return out, nil
}

func (g *Grower) resetRows(rows []uint32) {
	if rows != nil {
		g.rows = append(g.rows[:0], rows...)
		return
	}
	g.rows = slices.Grow(g.rows[:0], g.data.Rows)[:g.data.Rows]
	for i := range g.rows {
		g.rows[i] = uint32(i)
	}
}

// totalOf sums the packed gradients of the rows (nil: of all).
func (g *Grower) totalOf(rows []uint32) (sum int64) {
	if rows == nil {
		for _, v := range g.packed {
			sum += v
		}
		return sum
	}
	for _, r := range rows {
		sum += g.packed[r]
	}
	return sum
}

func bestLeaf(leaves []leaf) int {
	best := 0
	for i := 1; i < len(leaves); i++ {
		if leaves[i].best.better(&leaves[best].best) {
			best = i
		}
	}
	return best
}

// canSplit reports whether a leaf may have children at all.
func (g *Grower) canSplit(l *leaf) bool {
	return (g.opt.MaxDepth <= 0 || l.depth < g.opt.MaxDepth) && l.count() >= 2*max(1, g.opt.MinDataInLeaf)
}

// prepare builds a leaf's histogram from its rows and finds its best split.
func (g *Grower) prepare(l *leaf, all bool) {
	if !g.canSplit(l) {
		return
	}
	l.hist = g.take()
	g.fill(l, all)
	g.search(l)
}

func (g *Grower) fill(l *leaf, all bool) {
	rows := g.rows[l.begin:l.end]
	if all {
		rows = nil
	}
	g.build.build(l.hist, rows, g.packed, l.total, l.use)
}

// split divides the leaf at the given index by its best split: the left child
// takes its place, the right one is appended, as LightGBM numbers them.
func (g *Grower) split(out *Grown, at int) {
	parent := out.leaves[at]
	s := parent.best
	lookup := newBinLookup(g.data, s.column)
	lookup.bytes = g.bytes[s.column]
	categorical := g.data.Columns[s.column].Mapper.Categorical
	nLeft := g.part.divide(g.rows[parent.begin:parent.end], &lookup, &s, categorical)
	if nLeft == 0 || nLeft == parent.count() {
		// Counts are estimated from hessians; an estimate may promise a child
		// rows that it has not.
		out.leaves[at].best = noSplit
		g.release(&out.leaves[at])
		return
	}
	paid := g.costs != nil && g.costs.pay(s.column, g.rows[parent.begin:parent.end])
	node := out.addNode(g.data, at, &s)
	left := leaf{begin: parent.begin, end: parent.begin + nLeft, total: s.left, parent: node}
	right := leaf{begin: left.end, end: parent.end, total: parent.total - s.left, parent: node, right: true}
	left.standing, right.standing = g.childStandings(&parent, &s)
	for _, child := range []*leaf{&left, &right} {
		child.depth = parent.depth + 1
		child.best = noSplit
		g.inheritColumns(child, &parent, s.column)
	}
	g.setBoxes(&parent, &left, &right, &s)
	g.searchChildren(&parent, &left, &right)
	out.leaves[at] = left
	out.leaves = append(out.leaves, right)
	if paid {
		g.preferColumn(out.leaves, at, s.column)
	}
	g.boundOthers(out.leaves, at)
	g.trim(out.leaves)
}

// searchChildren finds the children's best splits. Only the smaller child's
// histogram is summed from rows; the larger one's is the parent's less it.
func (g *Grower) searchChildren(parent, left, right *leaf) {
	if !g.canSplit(left) && !g.canSplit(right) {
		g.release(parent)
		return
	}
	if parent.hist == nil {
		g.prepare(left, false)
		g.prepare(right, false)
		return
	}
	small, large := left, right
	if left.count() > right.count() {
		small, large = right, left
	}
	small.hist = g.take()
	g.fill(small, false)
	large.hist, parent.hist = parent.hist, nil
	subtract(large.hist, small.hist)
	g.search(small, large)
}

func subtract(from, what []int64) {
	what = what[:len(from)]
	for i := range from {
		from[i] -= what[i]
	}
}

// minBinsPerTask keeps a search task worth starting.
const minBinsPerTask = 4096

// search finds the best splits of the leaves and gives up the histograms of
// those that have none. The columns are shared out among the threads; since
// splits are totally ordered, it does not matter how.
func (g *Grower) search(leaves ...*leaf) {
	per := min(g.pool.Threads(), max(1, g.data.TotalBins/minBinsPerTask))
	columns := len(g.data.Columns)
	for _, l := range leaves {
		g.drawColumns(l)
	}
	g.pool.Run(per*len(leaves), func(task int) {
		l, part := leaves[task/per], task%per
		g.found[task] = g.searchColumns(&g.searchers[task], l, columns*part/per, columns*(part+1)/per)
	})
	for i, l := range leaves {
		for part := range per {
			if f := &g.found[i*per+part]; f.better(&l.best) {
				l.best = *f
			}
		}
		if !(l.best.gain > 0) {
			g.release(l)
		}
	}
}

func (g *Grower) searchColumns(s *searcher, l *leaf, lo, hi int) split {
	best := noSplit
	if !g.canSplit(l) {
		return best
	}
	terms := s.terms(l, g.key)
	terms.members = g.rows[l.begin:l.end]
	for c := lo; c < hi; c++ {
		if l.drawn != nil && !l.drawn[c] {
			continue
		}
		if l.use.column[c] && !s.best(c, l.hist, &terms, &best) {
			// A column that cannot divide a leaf will not be tried below it.
			l.use.column[c] = false
		}
	}
	return best
}

// take returns a histogram that nobody uses, with any content.
func (g *Grower) take() []int64 {
	if n := len(g.free); n > 0 {
		h := g.free[n-1]
		g.free = g.free[:n-1]
		return h
	}
	return make([]int64, g.data.TotalBins)
}

func (g *Grower) release(l *leaf) {
	if l.hist != nil {
		g.free = append(g.free, l.hist)
		l.hist = nil
	}
}

// trim gives up histograms beyond the limit, of the leaves that are least
// likely to be split next. Integer sums come out the same when they are built
// again, so that the limit cannot change the tree.
func (g *Grower) trim(leaves []leaf) {
	kept := 0
	for i := range leaves {
		if leaves[i].hist != nil {
			kept++
		}
	}
	for ; kept > g.maxKept; kept-- {
		var worst *leaf
		for i := range leaves {
			l := &leaves[i]
			if l.hist != nil && (worst == nil || worst.best.better(&l.best)) {
				worst = l
			}
		}
		g.release(worst)
	}
}

// transpose copies the 8-bit columns out of their words. A division of rows
// reads one column; at a byte a row it fits a nearer cache than the words do.
func transpose(d *dataset.Dataset, pool *parallel.Pool) [][]uint8 {
	out := make([][]uint8, len(d.Columns))
	for i := range d.Columns {
		if c := &d.Columns[i]; c.Block >= 0 && d.Blocks[c.Block].Bits == 8 {
			out[i] = make([]uint8, d.Rows)
		}
	}
	pool.Chunks(d.Rows, sumChunk, func(_, lo, hi int) {
		for i, to := range out {
			if to == nil {
				continue
			}
			c := &d.Columns[i]
			at, stride, shift := lo*len(d.Blocks)+c.Block, len(d.Blocks), uint(8*c.Lane)
			for r := lo; r < hi; r++ {
				to[r] = uint8(d.Words[at] >> shift)
				at += stride
			}
		}
	})
	return out
}
