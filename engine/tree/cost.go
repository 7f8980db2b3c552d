package tree

import "math"

// costs keeps what cost-effective gradient boosting (S. Peter et al., "Cost
// efficient gradient boosting", NIPS 2017) charges for splits, over all trees
// of a grower: a feature costs once in the model, once for every row, or both.
// When a feature has been paid for, LightGBM gives its splits of other leaves
// the penalty back that it never took from them, and so prefers them; here
// they are valued as all others.
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

// pay notes a split of the rows on a column, and reports whether other leaves'
// splits on it became cheaper.
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

// searchOthers searches all leaves anew that can be split, but the two that
// the leaf at the given index was split into (the right one is the last).
func (g *Grower) searchOthers(leaves []leaf, at int) {
	for i := range leaves[:len(leaves)-1] {
		if l := &leaves[i]; i != at && !math.IsInf(l.best.gain, -1) {
			g.searchAgain(l)
		}
	}
}
