package tree

// symmetric is a symmetric matrix, all of it row by row.
type symmetric struct {
	n int
	v []float64
}

func newSymmetric(n int) symmetric { return symmetric{n: n, v: make([]float64, n*n)} }

func (m symmetric) get(i, j int) float64 { return m.v[i*m.n+j] }

func (m symmetric) set(i, j int, v float64) {
	m.v[i*m.n+j], m.v[j*m.n+i] = v, v
}

func (m symmetric) row(i int) []float64 { return m.v[i*m.n : (i+1)*m.n] }

// swap exchanges two rows and the columns of the same numbers.
func (m symmetric) swap(i, j int) {
	a, b := m.row(i), m.row(j)
	for k := range a {
		a[k], b[k] = b[k], a[k]
	}
	for k := range m.n {
		r := m.row(k)
		r[i], r[j] = r[j], r[i]
	}
}

// solve gives x with m·x = b for a positive semidefinite matrix, which it
// overwrites as it does b. The greatest pivot comes first (Higham, "Accuracy
// and Stability of Numerical Algorithms", section 10.3); unknowns whose pivots
// are not above least are 0 in x, as their equations follow from the others.
func (m symmetric) solve(b []float64, least float64) []float64 {
	n := m.n
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	rank := 0
	for ; rank < n; rank++ {
		best := rank
		for i := rank + 1; i < n; i++ {
			if m.get(i, i) > m.get(best, best) {
				best = i
			}
		}
		if !(m.get(best, best) > least) {
			break
		}
		if best != rank {
			m.swap(rank, best)
			b[rank], b[best] = b[best], b[rank]
			order[rank], order[best] = order[best], order[rank]
		}
		m.eliminate(b, rank)
	}
	x := make([]float64, n)
	for i := rank - 1; i >= 0; i-- {
		v, row := b[i], m.row(i)
		for j := i + 1; j < rank; j++ {
			v -= float64(row[j] * x[order[j]])
		}
		x[order[i]] = v / row[i]
	}
	return x
}

// eliminate subtracts row k from those below it, so that column k is 0 there.
func (m symmetric) eliminate(b []float64, k int) {
	pivot := m.row(k)
	for i := k + 1; i < m.n; i++ {
		row := m.row(i)
		factor := pivot[i] / pivot[k]
		if factor == 0 {
			continue
		}
		for j := k + 1; j < m.n; j++ {
			row[j] -= float64(factor * pivot[j])
		}
		row[k] = 0
		b[i] -= float64(factor * b[k])
	}
}
