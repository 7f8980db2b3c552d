package tree

import "math"

// costs keeps what cost-effective gradient boosting (S. Peter et al., "Cost
// efficient gradient boosting", NIPS 2017) charges for splits, over all trees
// of a grower: a feature costs once in the model, once for every row, or both.
type costs struct {
	opt    *CostOptions
	inTree []bool     // column → some tree splits on it
	ofRow  [][]uint64 // column → bit set of the rows that met a split on it
	rows   int
}

// CostOptions are the penalties of cost-effective gradient boosting.
type CostOptions struct {
	Tradeoff float64 // factor on all of them
	Split    float64 // of a split, for every row of the leaf
	// Coupled is the penalty of every feature for its first use in the model,
	// Lazy that for every row that meets it for the first time; nil for none.
	Coupled, Lazy []float64
}

func newCosts(opt *CostOptions, columns, rows int) *costs {
	if opt == nil {
		return nil
	}
	c := &costs{opt: opt, inTree: make([]bool, columns), rows: rows}
	if opt.Lazy != nil {
		c.ofRow = make([][]uint64, columns)
	}
	return c
}

// of is what a split of the given rows on a column costs.
func (c *costs) of(column, feature int, rows []uint32) float64 {
	cost := float64(c.opt.Tradeoff * c.opt.Split * float64(len(rows)))
	if c.opt.Coupled != nil && !c.inTree[column] {
		cost += float64(c.opt.Tradeoff * c.opt.Coupled[feature])
	}
	if c.opt.Lazy != nil {
		cost += float64(c.opt.Tradeoff * c.opt.Lazy[feature] * float64(c.unmet(column, rows)))
	}
	return cost
}

// unmet counts the rows that have met no split on the column.
func (c *costs) unmet(column int, rows []uint32) int {
	met := c.ofRow[column]
	if met == nil {
		return len(rows)
	}
	n := len(rows)
	for _, r := range rows {
		n -= int(met[r/64] >> (r % 64) & 1)
	}
	return n
}

// pay notes a split of the rows on a column, and reports whether this pays for
// the column in the whole model.
func (c *costs) pay(column int, rows []uint32) bool {
	if c.opt.Lazy != nil {
		if c.ofRow[column] == nil {
			c.ofRow[column] = make([]uint64, (c.rows+63)/64)
		}
		for _, r := range rows {
			c.ofRow[column][r/64] |= 1 << (r % 64)
		}
	}
	first := !c.inTree[column]
	c.inTree[column] = true
	return first && c.opt.Coupled != nil
}

// preferColumn gives other leaves than the two that one was split into (at the
// given index and at the end) their best split on a column that was just paid
// for, if it beats the one they have. LightGBM does not value these splits as
// all others: no penalty is taken from their gain, and that of the column is
// added to it.
func (g *Grower) preferColumn(leaves []leaf, at, column int) {
	feature := g.data.Columns[column].Feature
	bonus := float64(g.costs.opt.Tradeoff * g.costs.opt.Coupled[feature])
	w := g.workers.get()
	defer g.workers.put(w)
	for i := range leaves[:len(leaves)-1] {
		l := &leaves[i]
		if i == at || math.IsInf(l.best.gain, -1) || !l.use.column[column] || l.drawn != nil && !l.drawn[column] {
			continue
		}
		if l.hist == nil {
			g.rebuild(l)
		}
		s := &w.search
		terms := s.terms(l, g.key)
		if got := s.bestOn(column, l.hist, &terms); got.gain > terms.noise {
			got.gain = s.contribution(column, got.gain) + bonus
			if got.better(&l.best) {
				l.best = got
			}
		}
		if !(l.best.gain > 0) {
			g.memory.release(l)
		}
	}
}
