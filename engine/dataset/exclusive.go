package dataset

import (
	"slices"

	"cloister/engine/random"
)

// What follows finds columns to bundle. The choice is made from some rows, and
// cannot change a model: whatever does not fit its lane is stored beside it.
const (
	// spotRows is the number of rows that are looked at.
	spotRows = 2048
	// openBundles is the greatest number of bundles that a column is tried with.
	openBundles = 64
)

// spots are, for each of some columns, the rows among those looked at where it
// is set.
type spots struct {
	rows int
	row  [][]uint16
}

// bundling is a bundle that is being put together.
type bundling struct {
	columns []int
	values  int      // of the lane in use
	filled  int      // rows where one of the columns is set
	set     []uint64 // a bit for each of these
}

// exclusive sorts columns into bundles, greedily: each joins the fullest bundle
// with whose columns it is almost never set together. The fullest that takes it
// is the one of which that says most. A column that no bundle takes opens one.
//
// The time is bounded: of openBundles bundles each is asked about as many rows
// as the column is set in, and a full bundle refuses after few.
func (d *Dataset) exclusive(columns []int, s *spots) (groups [][]int) {
	var open []bundling // by fill, the fullest first
	for k, c := range columns {
		m := d.Columns[c].Mapper
		rows, need := s.row[k], m.NumBins-1
		conflicts := mostConflicts
		if m.SparseRate < sparseShare {
			conflicts = 0 // for which there should be sparse rows
		}
		at := -1
		for i := range open {
			if b := &open[i]; b.values+need <= bundleValues && b.accepts(rows, s.rows, conflicts) {
				at = i
				break
			}
		}
		if at < 0 {
			if len(open) == openBundles { // the fullest is the least likely to take more
				groups = append(groups, open[0].columns)
				open = slices.Delete(open, 0, 1)
			}
			at = len(open)
			open = append(open, bundling{values: 1, set: make([]uint64, (s.rows+63)/64)})
		}
		b := &open[at]
		b.add(c, need, rows)
		for ; at > 0 && open[at-1].filled < open[at].filled; at-- {
			open[at-1], open[at] = open[at], open[at-1]
		}
		if open[at].values == bundleValues {
			groups = append(groups, open[at].columns)
			open = slices.Delete(open, at, at+1)
		}
	}
	for _, b := range open {
		groups = append(groups, b.columns)
	}
	groups = slices.DeleteFunc(groups, func(g []int) bool { return len(g) < 2 })
	slices.SortFunc(groups, slices.Compare)
	return groups
}

// accepts says whether a column that is set in the given rows of total is so
// much less often together with the bundle's than by chance that they exclude
// each other, but for a share of conflicts.
func (b *bundling) accepts(rows []uint16, total int, conflicts float64) bool {
	chance := float64(len(rows)) * float64(b.filled) / float64(total)
	most := int(min(float64(len(rows))*conflicts, chance*mostOfChance))
	for _, r := range rows {
		if b.set[r/64]>>(r%64)&1 == 1 {
			if most--; most < 0 {
				return false
			}
		}
	}
	return true
}

const (
	// mostConflicts is the greatest share of a column's rows in which another one
	// of its bundle is set, expectedConflicts what is usual.
	mostConflicts     = 0.2
	expectedConflicts = 0.01
	// mostOfChance is that part of the conflicts that there would be by chance.
	// Columns that know nothing of each other, as words do, gain nothing: the
	// lanes take the time that the entries take no more.
	mostOfChance = 0.3
)

func (b *bundling) add(column, values int, rows []uint16) {
	b.columns = append(b.columns, column)
	b.values += values
	for _, r := range rows {
		if bit := uint64(1) << (r % 64); b.set[r/64]&bit == 0 {
			b.set[r/64] |= bit
			b.filled++
		}
	}
}

// spotted chooses about spotRows of n rows, spread evenly and with no period.
func spotted(n int) []int {
	step := max(1, n/spotRows)
	var rows []int
	for lo := 0; lo+step <= n && len(rows) < spotRows; lo += step {
		rows = append(rows, lo+int(random.Hash1(1, uint64(lo))%uint64(step)))
	}
	return rows
}

// spotsOf looks at some of the picked rows (nil: of all) of a table in memory.
func (d *Dataset) spotsOf(s source, picked, columns []int) *spots {
	n, features := s.shape()
	if picked != nil {
		n = len(picked)
	}
	place := make([]int32, features)
	for f := range place {
		place[f] = -1
	}
	for k, c := range columns {
		place[d.Columns[c].Feature] = int32(k)
	}
	rows := spotted(n)
	if picked != nil {
		for i, r := range rows {
			rows[i] = picked[r]
		}
	}
	out := &spots{rows: len(rows), row: make([][]uint16, len(columns))}
	s.spot(rows, place, out.row)
	return out
}

// spot implements source.
func (t *rowTable) spot(rows []int, place []int32, out [][]uint16) {
	i, at := 0, 0
	for ; i < len(t.list); i++ {
		b := &t.list[i]
		for ; at < len(rows) && rows[at] < b.First+b.Rows; at++ {
			r := rows[at] - b.First
			if b.RowStart == nil {
				for f, v := range b.Values[r*b.Features : (r+1)*b.Features] {
					if k := place[f]; k >= 0 && !isZero(v) {
						out[k] = append(out[k], uint16(at))
					}
				}
				continue
			}
			for e := b.RowStart[r]; e < b.RowStart[r+1]; e++ {
				if k := place[b.Index[e]]; k >= 0 && !isZero(b.Value[e]) {
					out[k] = append(out[k], uint16(at))
				}
			}
		}
	}
}

// spot implements source.
func (t *columnTable) spot(rows []int, place []int32, out [][]uint16) {
	for f, c := range t.columns {
		k := place[f]
		if k < 0 {
			continue
		}
		for at, r := range rows {
			if !isZero(c[r]) {
				out[k] = append(out[k], uint16(at))
			}
		}
	}
}
