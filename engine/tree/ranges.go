package tree

import "slices"

// What is summed over the rows of all leaves, or added to them, goes range of
// rows by range of rows, and within a range leaf by leaf: the rows of leaves lie
// among each other, and so a range stays in a near cache, and two threads do not
// write the same lines of it in turns. A task has several ranges.
const (
	rangeRows      = 1 << 15
	mostTasks      = 8
	tasksForThread = 4
)

// rangeTasks is the number of tasks to use. It cannot change a result.
func (t *Grown) rangeTasks() int {
	most := max(mostTasks, tasksForThread*t.grower.pool.Threads())
	return max(1, min(2*t.grower.data.Rows/rangeRows, most))
}

// eachRange calls run for every range and leaf with the leaf's rows in the
// range, by all threads; those of a task by one.
func (t *Grown) eachRange(tasks int, run func(task, leaf int, rows []uint32)) {
	n := t.grower.data.Rows
	t.grower.pool.Run(tasks, func(task int) {
		first, last := n*task/tasks, n*(task+1)/tasks
		rest := make([][]uint32, len(t.leaves))
		for leaf := range rest {
			rest[leaf] = t.Rows(leaf)
			if first > 0 {
				skip, _ := slices.BinarySearch(rest[leaf], uint32(first))
				rest[leaf] = rest[leaf][skip:]
			}
		}
		for first < last {
			first = min(first+rangeRows, last)
			for leaf, rows := range rest {
				if n := rowsBelow(rows, uint32(first)); n > 0 {
					run(task, leaf, rows[:n])
					rest[leaf] = rows[n:]
				}
			}
		}
	})
}

// rowsBelow returns how many rows are below an end, which is not far.
func rowsBelow(rows []uint32, end uint32) int {
	const step = 16
	n := 0
	for n+step <= len(rows) && rows[n+step-1] < end {
		n += step
	}
	for n < len(rows) && rows[n] < end {
		n++
	}
	return n
}

// leafSums are the exact sums of the leaves.
func (t *Grown) leafSums(grad *Gradients) []sums {
	tasks, leaves := t.rangeTasks(), len(t.leaves)
	parts := make([]sums, tasks*leaves)
	t.eachRange(tasks, func(task, leaf int, rows []uint32) {
		s := &parts[task*leaves+leaf]
		g, h := t.grower.fix.exact.sum(grad, rows)
		s.grad += g
		s.hess += h
	})
	out := parts[:leaves]
	for i := range parts[leaves:] {
		s := &out[i%leaves]
		s.grad += parts[leaves+i].grad
		s.hess += parts[leaves+i].hess
	}
	for i := range out {
		out[i].count = t.leaves[i].count()
	}
	return out
}

// AddLeafScores adds the tree's values to the scores of the rows that it was
// grown from.
func (t *Grown) AddLeafScores(scores []float64) {
	t.eachRange(t.rangeTasks(), func(_, leaf int, rows []uint32) {
		value := t.Tree.LeafValue[leaf]
		for _, r := range rows {
			scores[r] += value
		}
	})
}
