package dcg

import (
	"cmp"
	"math"
	"slices"
	"sync"
)

// Sorter sorts the rows of queries by their scores; the zero value is ready. It
// is not safe for concurrent use.
type Sorter struct{ rows []keyedRow }

// keyedRow is a row whose key is smaller the greater its score is.
type keyedRow struct {
	key uint64
	row int32
}

// Sort reorders row indices, the greatest score first and equal ones by index.
// order must have the indices of scores, each once. Which order it begins with
// changes the time that it takes and nothing else.
func (s *Sorter) Sort(order []int32, scores []float64) {
	rows := slices.Grow(s.rows[:0], len(order))[:len(order)]
	s.rows = rows
	for i, r := range order {
		rows[i] = keyedRow{descending(scores[r]), r}
	}
	if !insert(rows) {
		slices.SortFunc(rows, func(a, b keyedRow) int {
			return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.row, b.row))
		})
	}
	for i := range rows {
		order[i] = rows[i].row
	}
}

// descending maps greater numbers to smaller integers, and equal ones, such as
// both zeros, to the same.
func descending(score float64) uint64 {
	bits := math.Float64bits(score + 0)
	// A negative number's bits grow with its size already.
	if bits>>63 == 0 {
		return ^bits &^ (1 << 63)
	}
	return bits
}

// movesPerRow is how far insert moves a row on average before it gives up: for
// short queries it never does.
const movesPerRow = 16

// insert sorts by insertion, which is fastest where there are few rows or they
// are in order nearly. It tells whether it got to the end.
func insert(rows []keyedRow) bool {
	left := movesPerRow * len(rows)
	for i := 1; i < len(rows); i++ {
		r, j := rows[i], i
		for ; j > 0; j-- {
			above := rows[j-1]
			if above.key < r.key || above.key == r.key && above.row < r.row {
				break
			}
			rows[j] = above
		}
		rows[j] = r
		if left -= i - j; left < 0 {
			return false
		}
	}
	return true
}

// Orders remembers the order of the rows of queries: from one iteration of
// training to the next it changes little, and what is in order nearly is sorted
// soon.
type Orders struct {
	busy sync.Mutex
	rows []int32
}

// NewOrders returns the orders of the queries that queryStart cuts rows into.
func NewOrders(queryStart []int32) *Orders {
	o := &Orders{rows: make([]int32, queryStart[len(queryStart)-1])}
	for q := range len(queryStart) - 1 {
		Reset(o.rows[queryStart[q]:queryStart[q+1]])
	}
	return o
}

// Borrow returns the orders of all rows, for one to sort, unless somebody else
// has them: then, as no one should wait, orders of no past. The function gives
// them back.
func (o *Orders) Borrow(queryStart []int32) ([]int32, func()) {
	if o.busy.TryLock() {
		return o.rows, o.busy.Unlock
	}
	return NewOrders(queryStart).rows, func() {}
}

// Reset fills order with 0, 1, …
func Reset(order []int32) {
	for i := range order {
		order[i] = int32(i)
	}
}
