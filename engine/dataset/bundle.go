package dataset

import "slices"

// Bundle is a lane that several columns share, which are almost never set in
// the same row, as those of a spelled-out category are not (exclusive feature
// bundling: Ke et al., section 4). The lane is 0 where all of them have their
// most frequent bins. Where two are set the first has the lane, and the others
// are entries of Dataset.Sparse: nothing is lost.
type Bundle struct {
	// Columns lists the columns, ascending.
	Columns []int
	// Place has, for each value of the lane, the place in a flat histogram that
	// it stands for (Column.Offset + bin). Place[0] has no meaning.
	Place []uint32
}

// newBundle bundles columns and says so in them.
func (d *Dataset) newBundle(columns []int) *Bundle {
	b := &Bundle{Columns: columns, Place: []uint32{0}}
	for _, i := range columns {
		c := &d.Columns[i]
		c.First = len(b.Place)
		for bin := range c.Mapper.NumBins {
			if uint32(bin) != c.Mapper.MostFreqBin {
				b.Place = append(b.Place, c.Offset+uint32(bin))
			}
		}
	}
	return b
}

// BundleBin is the bin that a value of the lane of the column's bundle stands
// for; own is false if the value is another column's, or nobody's.
func (c *Column) BundleBin(value uint32) (bin uint32, own bool) {
	at := value - uint32(c.First)
	if at >= uint32(c.Mapper.NumBins-1) {
		return c.Mapper.MostFreqBin, false
	}
	if at >= c.Mapper.MostFreqBin {
		at++
	}
	return at, true
}

// bundleValue is the opposite of BundleBin, for any bin but the most frequent.
func (c *Column) bundleValue(bin uint32) uint64 {
	if bin > c.Mapper.MostFreqBin {
		bin--
	}
	return uint64(c.First) + uint64(bin)
}

// set stores the bin, which is not the most frequent one, of a column that is
// not dense in a row whose words are given. If it has no place there it appends
// it to the row's entries.
func (w *writer) set(column int, bin uint32, words []uint64, entries []uint32) []uint32 {
	c := &w.d.Columns[column]
	if c.First > 0 {
		if c.setBundled(&words[c.Block], bin) {
			return entries
		}
		w.noteConflict(column)
	}
	return append(entries, c.Offset+bin)
}

// setBundled stores a bin in the lane of the column's bundle, if the lane is free.
func (c *Column) setBundled(word *uint64, bin uint32) bool {
	shift := c.Lane * 8
	if *word>>shift&0xff != 0 {
		return false
	}
	*word |= c.bundleValue(bin) << shift
	return true
}

// noteConflict remembers that a bundle's column has entries. It may be called
// concurrently.
func (w *writer) noteConflict(column int) {
	if c := &w.conflicts[column]; !c.Load() {
		c.Store(true)
	}
}

// isListed says that a column is not dense: it belongs to a bundle or to the
// sparse rows.
func (c *Column) isListed() bool { return c.Block < 0 || c.First > 0 }

// listed are the columns that are not dense.
func (d *Dataset) listed() []int {
	var list []int
	for i := range d.Columns {
		if d.Columns[i].isListed() {
			list = append(list, i)
		}
	}
	return list
}

// trimSparse leaves in Sparse the columns that may have entries, or drops it.
func (w *writer) trimSparse() {
	d := w.d
	d.Sparse.Columns = slices.DeleteFunc(d.listed(), func(i int) bool {
		return d.Columns[i].First > 0 && !w.conflicts[i].Load()
	})
	if len(d.Sparse.Columns) == 0 {
		d.Sparse = nil
	}
}

// grouper sorts some columns, given in order, into groups of those that are
// almost never set in the same row.
type grouper func(columns []int) [][]int

// bundle takes columns to bundle from the dense and the sparse ones. Fewer than
// least sparse columns become dense ones.
func (d *Dataset) bundle(narrow, thin []int, least int, group grouper) (stillNarrow, stillThin []int) {
	var may []int
	for _, c := range slices.Concat(narrow, thin) {
		if d.Columns[c].Mapper.mayBundle() {
			may = append(may, c)
		}
	}
	if len(may) < 2 {
		return narrow, thin
	}
	slices.Sort(may)
	d.exclusives = group(may)
	for _, columns := range d.worthBundling(thin, least) {
		d.Bundles = append(d.Bundles, d.newBundle(columns))
	}
	bundled := func(c int) bool { return d.Columns[c].First > 0 }
	return slices.DeleteFunc(narrow, bundled), slices.DeleteFunc(thin, bundled)
}

// leastBundled is the least share of the most frequent bin of columns that are
// bundled: two of the least may fill a lane.
const leastBundled = 0.4

// bundleValues is the number of values of a lane.
const bundleValues = 256

// mayBundle says whether a column can share a lane: as sparse rows leave it out,
// and its bins leave room for others.
func (m *Mapper) mayBundle() bool {
	return m.DefaultBin == m.MostFreqBin && m.SparseRate >= leastBundled && m.NumBins <= bundleValues/2
}

// worthBundling chooses among exclusives what saves time, whose unit here is
// that of a lane. Fewer than least sparse columns become dense ones.
func (d *Dataset) worthBundling(thin []int, least int) [][]int {
	alone := func(column int) float64 { // the time of a column by itself
		if m := d.Columns[column].Mapper; m.SparseRate >= sparseShare && len(thin) >= least {
			return float64(entryLanes * (1 - m.SparseRate))
		}
		return 1
	}
	var worth [][]int
	gain, saved := 0.0, 0.0 // by those that are, and by all others
	outside := make(map[int]bool)
	for _, c := range thin {
		outside[c] = true
	}
	for _, columns := range d.exclusives {
		time := -1.0
		for _, c := range columns {
			time += alone(c)
			delete(outside, c)
		}
		if time > 0 {
			worth = append(worth, columns)
			gain += time
			continue
		}
		saved += time
	}
	total := 0.0
	for _, c := range thin {
		total += alone(c)
		if outside[c] {
			saved += alone(c) - 1
		}
	}
	if len(outside) < least && saved+visitLanes > 0 {
		return d.exclusives // and there are no sparse rows to visit
	}
	if gain < leastGain*total {
		return nil // it would take longer to lay them out
	}
	return worth
}

const (
	// entryLanes is the number of lanes that take the time of an entry of a sparse
	// row, visitLanes of what a sparse row takes besides.
	entryLanes = 2.0
	visitLanes = 3.0
	// leastGain is the least share of the time of sparse columns that bundles
	// have to save.
	leastGain = 0.1
)
