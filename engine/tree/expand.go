package tree

import (
	"sync"

	"cloister/engine/random"
)

// Expanding a leaf is to divide its rows by its best split and to find the
// children's best splits. A leaf of many rows is expanded by all threads
// together, step by step; of smaller ones each is expanded by one thread, with
// working memory of its own.

// worker is the working memory of one task.
type worker struct {
	lanes  []laneSums // one per 8-bit block
	words  []uint64   // of a stretch of rows, block after block
	values [mostRows]int64
	few    fewRows
	spare  []uint32
	table  []uint8
	marks  []uint8 // of rows, all 0 between uses
	search searcher
}

func (g *Grower) newWorker() *worker {
	w := &worker{lanes: make([]laneSums, g.build.narrow), words: make([]uint64, g.build.stretch*len(g.data.Blocks)), search: newSearcher(g.data, &g.opt, &g.fix)}
	w.search.costs = g.costs
	return w
}

// workers are those that no task uses.
type workers struct {
	mu   sync.Mutex
	idle []*worker
	make func() *worker
}

func (w *workers) get() *worker {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.idle); n > 0 {
		got := w.idle[n-1]
		w.idle = w.idle[:n-1]
		return got
	}
	return w.make()
}

func (w *workers) put(used *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.idle = append(w.idle, used)
}

// histograms keeps the memory of histograms that are not in use.
type histograms struct {
	mu   sync.Mutex
	bins int
	free [][]int64
}

// take returns a histogram that nobody uses, with any content.
func (m *histograms) take() []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n := len(m.free); n > 0 {
		h := m.free[n-1]
		m.free = m.free[:n-1]
		return h
	}
	return make([]int64, m.bins)
}

func (m *histograms) put(h []int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.free = append(m.free, h)
}

// release gives up a leaf's histogram.
func (m *histograms) release(l *leaf) {
	if l.hist != nil {
		m.put(l.hist)
		l.hist = nil
	}
}

// manyRows is the number of rows from which all threads work on one leaf.
const manyRows = 1 << 15

// expand expands a leaf. One of many rows makes work for all threads.
func (g *Grower) expand(l *leaf) { l.children = g.expansion(l) }

func (g *Grower) expansion(l *leaf) *children {
	if g.pool.Threads() > 1 && l.count() >= manyRows {
		return g.expandWith(nil, l)
	}
	w := g.workers.get()
	defer g.workers.put(w)
	return g.expandWith(w, l)
}

// expandWith expands a leaf: a worker by itself, nil with all threads. It
// returns nil if the leaf cannot be divided.
func (g *Grower) expandWith(w *worker, l *leaf) *children {
	s := &l.best
	rows := g.rows[l.begin:l.end]
	nLeft := g.divide(w, rows, s)
	if nLeft == 0 || nLeft == len(rows) {
		return nil
	}
	c := &children{paid: g.costs != nil && g.costs.pay(s.column, rows)}
	c.left = leaf{id: random.Extend(l.id, 0), begin: l.begin, end: l.begin + nLeft, total: s.left}
	c.right = leaf{id: random.Extend(l.id, 1), begin: c.left.end, end: l.end, total: l.total - s.left, right: true}
	c.left.standing, c.right.standing = g.childStandings(l, s)
	for _, child := range []*leaf{&c.left, &c.right} {
		child.depth = l.depth + 1
		child.best = noSplit
		g.inheritColumns(child, l, s.column)
	}
	g.setBoxes(l, &c.left, &c.right, s)
	g.searchChildren(w, l, c)
	return c
}

// searchChildren finds the children's best splits. Only the smaller child's
// histogram is summed from rows; the larger one's is the parent's less it.
func (g *Grower) searchChildren(w *worker, parent *leaf, c *children) {
	small, large := &c.left, &c.right
	if small.count() > large.count() {
		small, large = large, small
	}
	switch {
	case !g.canSplit(large): // nor the smaller one
		g.memory.release(parent)
	case parent.hist == nil:
		g.prepare(w, small, false)
		g.prepare(w, large, false)
	default:
		small.hist = g.memory.take()
		parts := g.fill(w, small, false)
		large.hist, parent.hist = parent.hist, nil
		g.search(w, pair{leaf: small, sibling: large, parts: parts})
	}
}

// canSplit reports whether a leaf may have children at all.
func (g *Grower) canSplit(l *leaf) bool {
	return (g.opt.MaxDepth <= 0 || l.depth < g.opt.MaxDepth) && l.count() >= 2*max(1, g.opt.MinDataInLeaf)
}

// prepare builds a leaf's histogram from its rows and finds its best split.
func (g *Grower) prepare(w *worker, l *leaf, all bool) {
	if !g.canSplit(l) {
		return
	}
	l.hist = g.memory.take()
	parts := g.fill(w, l, all)
	g.search(w, pair{leaf: l, parts: parts})
}

// rebuild builds the whole histogram of a leaf that gave it up.
func (g *Grower) rebuild(l *leaf) {
	l.hist = g.memory.take()
	p := pair{leaf: l, parts: g.fill(nil, l, false)}
	for c := range g.data.Columns {
		if l.use.column[c] {
			g.complete(&p, c)
		}
	}
	p.release(&g.memory)
}

// minRowsPerTask keeps a task's rows worth the merge of its histogram.
const minRowsPerTask = 8192

// fill sums the gradients of a leaf's rows (all: of all rows) into its
// histogram and into parts that are to be added to it.
func (g *Grower) fill(w *worker, l *leaf, all bool) (parts [][]int64) {
	rows := g.rows[l.begin:l.end]
	n := len(rows)
	if all {
		rows = nil
	}
	if w != nil {
		g.build.add(w, l.hist, rows, 0, n, g.packed, l.use)
		return nil
	}
	tasks := min(g.pool.Threads(), max(1, n/max(minRowsPerTask, g.data.TotalBins/8)))
	for range tasks - 1 {
		parts = append(parts, g.memory.take())
	}
	g.pool.Run(tasks, func(t int) {
		w := g.workers.get()
		defer g.workers.put(w)
		hist := l.hist
		if t > 0 {
			hist = parts[t-1]
		}
		g.build.add(w, hist, rows, n*t/tasks, n*(t+1)/tasks, g.packed, l.use)
	})
	return parts
}

// pair is what one search is for: a leaf with its histogram and what is to be
// added to it, and, unless it is nil, the leaf's sibling, whose histogram is
// still that of both.
type pair struct {
	leaf, sibling *leaf
	parts         [][]int64
	complete      bool // the leaf's histogram was completed before
}

func (p *pair) release(m *histograms) {
	for _, h := range p.parts {
		m.put(h)
	}
}

// minBinsPerTask keeps a search task worth starting.
const minBinsPerTask = 4096

// search completes the histograms of a pair, finds the best splits and gives up
// the histograms of leaves that have none. The columns are shared out among the
// threads; since splits are totally ordered, it does not matter how.
func (g *Grower) search(w *worker, p pair) {
	leaves := []*leaf{p.leaf}
	if p.sibling != nil {
		leaves = append(leaves, p.sibling)
	}
	for _, l := range leaves {
		g.drawColumns(l)
	}
	if w != nil {
		found := [2]split{noSplit, noSplit}
		g.searchColumns(w, p, 0, len(g.data.Columns), found[:])
		for i, l := range leaves {
			l.take(&found[i])
		}
	} else {
		g.searchTogether(p, leaves)
	}
	p.release(&g.memory)
	for _, l := range leaves {
		if !(l.best.gain > 0) {
			g.memory.release(l)
		}
	}
}

func (l *leaf) take(s *split) {
	if s.better(&l.best) {
		l.best = *s
	}
}

func (g *Grower) searchTogether(p pair, leaves []*leaf) {
	tasks := min(g.pool.Threads(), max(1, g.data.TotalBins/minBinsPerTask))
	columns := len(g.data.Columns)
	found := make([][2]split, tasks)
	g.pool.Run(tasks, func(task int) {
		w := g.workers.get()
		defer g.workers.put(w)
		found[task] = [2]split{noSplit, noSplit}
		g.searchColumns(w, p, columns*task/tasks, columns*(task+1)/tasks, found[task][:])
	})
	for task := range found {
		for i, l := range leaves {
			l.take(&found[task][i])
		}
	}
}

// searchColumns is search for the columns lo … hi-1.
func (g *Grower) searchColumns(w *worker, p pair, lo, hi int, found []split) {
	var terms [2]leafTerms
	leaves := [2]*leaf{p.leaf, p.sibling}
	for i, l := range leaves {
		if l == nil || !g.canSplit(l) {
			leaves[i] = nil
			continue
		}
		terms[i] = w.search.terms(l, g.key)
		terms[i].members = g.rows[l.begin:l.end]
	}
	for c := lo; c < hi; c++ {
		if !p.leaf.use.column[c] {
			continue
		}
		if !p.complete {
			g.complete(&p, c)
		}
		for i, l := range leaves {
			if l == nil || l.drawn != nil && !l.drawn[c] || !l.use.column[c] {
				continue
			}
			if !w.search.best(c, l.hist, &terms[i], &found[i]) {
				// A column that cannot divide a leaf will not be tried below it.
				l.use.column[c] = false
			}
		}
	}
}

// complete completes a column's sums: it adds the parts, derives the most
// frequent bin of a sparse or bundled column, which is not stored, from the total over the
// leaf, and takes the sums from those of both siblings.
func (g *Grower) complete(p *pair, column int) {
	c := &g.data.Columns[column]
	lo, hi := int(c.Offset), int(c.Offset)+c.Mapper.NumBins
	own := p.leaf.hist[lo:hi]
	for _, part := range p.parts {
		for i, v := range part[lo:hi] {
			own[i] += v
		}
	}
	if c.Block < 0 || c.First > 0 {
		rest := p.leaf.total
		for _, v := range own {
			rest -= v
		}
		own[c.Mapper.MostFreqBin] += rest
	}
	if p.sibling != nil {
		subtract(p.sibling.hist[lo:hi], own)
	}
}

func subtract(from, what []int64) {
	what = what[:len(from)]
	for i := range from {
		from[i] -= what[i]
	}
}
