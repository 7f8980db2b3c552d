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
//
// What becomes of a leaf that is split does not depend on the other leaves, so
// that with several threads the leaves that are likely to be split next are
// expanded (see expand.go) while the best one is (see growth.go).
type Grower struct {
	data *dataset.Dataset
	pool *parallel.Pool
	opt  Options

	build   *builder
	workers workers
	memory  histograms
	maxKept int // most leaves that keep their histograms

	packed []int64
	bytes  [][]uint8
	sparse []sparseColumn
	fix    fixed
	rows   []uint32

	costs   *costs // nil for none
	key     uint64 // of the tree
	columns []bool // that the tree may split on
	divided uint64 // id of the leaf that was split last, for MonotoneAdvanced
}

// leaf is a leaf of the tree that is being grown.
type leaf struct {
	id         uint64 // differs from that of all other leaves of the tree
	begin, end int    // its rows in Grower.rows
	depth      int
	total      int64
	hist       []int64 // nil if it was given up, or is not needed
	use        *usage  // the columns that may still be split on
	best       split
	busy       bool         // it is being expanded
	failed     bool         // it was tried, but it cannot be divided
	children   *children    // what its best split makes of it, once it is expanded
	parent     int          // node whose child it is, or -1
	right      bool         // it is the right child
	box        []span       // where its rows lie, if monotone values need it
	around     []neighbour  // leaves that bound it, by MonotoneAdvanced
	memo       []columnMemo // splits that were found within these bounds
	path       []int        // features of the splits above, if interaction_constraints are set
	drawn      []bool       // columns drawn by feature_fraction_bynode; nil means all
	standing
}

// children are those of a leaf that is split.
type children struct {
	left, right leaf
	paid        bool // the split pays for its column in the whole model
}

func (l *leaf) count() int { return l.end - l.begin }

// NewGrower returns a grower for trees over the data set.
func NewGrower(d *dataset.Dataset, pool *parallel.Pool, opt Options) *Grower {
	if !slices.ContainsFunc(opt.Monotone, func(sign int8) bool { return sign != 0 }) {
		opt.Monotone = nil
	}
	g := &Grower{data: d, pool: pool, opt: opt, packed: make([]int64, d.Rows)}
	g.build = newBuilder(d)
	g.costs = newCosts(opt.Costs, len(d.Columns), d.Rows)
	g.bytes = transpose(d, pool)
	g.sparse = sparseColumns(d)
	g.workers.make = g.newWorker
	g.memory.bins = d.TotalBins
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
	root := leaf{id: 1, end: len(g.rows), parent: -1, best: noSplit, use: g.rootUsage(columns), total: g.totalOf(rows)}
	root.standing = g.rootStanding(root.total)
	// Leaves that are being expanded must not move.
	out := &Grown{grower: g, leaves: make([]leaf, 0, max(1, min(g.opt.NumLeaves, len(g.rows))))}
	out.leaves = append(out.leaves, root)
	g.prepare(nil, &out.leaves[0], rows == nil)
	g.forceSplits(out)
	if g.pool.Threads() == 1 || g.ordered() || g.small() {
		err = g.splitInOrder(ctx, out)
	} else {
		err = g.splitAhead(ctx, out)
	}
	if err != nil {
		return nil, err
	}
	for i := range out.leaves {
		g.giveUp(&out.leaves[i])
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
	g.pool.Chunks(len(g.rows), sumChunk, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			g.rows[i] = uint32(i)
		}
	})
}

// totalOf sums the packed gradients of the rows (nil: of all).
func (g *Grower) totalOf(rows []uint32) (sum int64) {
	n := len(rows)
	if rows == nil {
		n = len(g.packed)
	}
	sums := make([]int64, (n+sumChunk-1)/sumChunk)
	g.pool.Chunks(n, sumChunk, func(c, lo, hi int) {
		var sum int64
		if rows == nil {
			for _, v := range g.packed[lo:hi] {
				sum += v
			}
		} else {
			for _, r := range rows[lo:hi] {
				sum += g.packed[r]
			}
		}
		sums[c] = sum
	})
	for _, v := range sums {
		sum += v
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

// splitInOrder expands and splits one leaf after the other.
func (g *Grower) splitInOrder(ctx context.Context, out *Grown) error {
	for len(out.leaves) < g.opt.NumLeaves {
		if err := ctx.Err(); err != nil {
			return err
		}
		at := bestLeaf(out.leaves)
		l := &out.leaves[at]
		if !(l.best.gain > 0) {
			break
		}
		g.expand(l)
		g.commit(out, at)
	}
	return nil
}

// ordered reports whether a split changes what other leaves are worth.
func (g *Grower) ordered() bool {
	return g.costs != nil || g.opt.Monotone != nil && g.opt.MonotoneMethod != MonotoneBasic
}

// small reports whether a split takes less time than to share the work.
func (g *Grower) small() bool {
	return len(g.rows)*len(g.data.Columns) < 1<<16 && g.data.TotalBins < 1<<14
}

// commit takes the expansion of the leaf at the given index into the tree: the
// left child takes its place, the right one is appended, as LightGBM numbers
// them.
func (g *Grower) commit(out *Grown, at int) {
	l := &out.leaves[at]
	made := l.children
	if made == nil {
		// Counts are estimated from hessians; an estimate may promise a child
		// rows that it has not.
		l.best = noSplit
		g.memory.release(l)
		return
	}
	column := l.best.column
	node := out.addNode(g.data, at, &l.best)
	made.left.parent, made.right.parent = node, node
	out.leaves[at] = made.left
	out.leaves = append(out.leaves, made.right)
	if made.paid {
		g.preferColumn(out.leaves, at, column)
	}
	g.boundOthers(out.leaves, at)
	g.trim(out.leaves)
}

// giveUp returns a leaf that stays one to what it was before it was expanded.
func (g *Grower) giveUp(l *leaf) {
	g.memory.release(l)
	if c := l.children; c != nil {
		g.memory.release(&c.left)
		g.memory.release(&c.right)
		g.undivide(g.rows[l.begin:l.end], c.left.count())
		l.children = nil
	}
}

// trim gives up histograms beyond the limit, of the leaves that are least
// likely to be split next. Integer sums come out the same when they are built
// again, so that the limit cannot change the tree.
func (g *Grower) trim(leaves []leaf) {
	kept := 0
	for i := range leaves {
		if l := &leaves[i]; !l.busy && l.hist != nil {
			kept++
		}
	}
	for ; kept > g.maxKept; kept-- {
		var worst *leaf
		for i := range leaves {
			l := &leaves[i]
			if !l.busy && l.hist != nil && (worst == nil || worst.best.better(&l.best)) {
				worst = l
			}
		}
		g.memory.release(worst)
	}
}

// transpose copies the 8-bit columns out of their words. A division of rows
// reads one column; at a byte a row it fits a nearer cache than the words do.
func transpose(d *dataset.Dataset, pool *parallel.Pool) [][]uint8 {
	out := make([][]uint8, len(d.Columns))
	var first []int // of each lane its column, or the first of them
	for i := range d.Columns {
		if c := &d.Columns[i]; out[i] == nil && c.Block >= 0 && d.Blocks[c.Block].Bits == 8 {
			out[i] = make([]uint8, d.Rows)
			first = append(first, i)
			shareLane(d, out, i)
		}
	}
	pool.Chunks(d.Rows, sumChunk, func(_, lo, hi int) {
		for _, i := range first {
			to := out[i]
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
