package tree

import (
	"math"
	"slices"

	"cloister/engine/dataset"
)

const (
	// linearChunk is the number of rows whose sums are added up by themselves.
	linearChunk = 1 << 13
	// linearRows is the number of rows in a block: few enough that their values
	// stay in the first-level cache while pairs of columns are multiplied.
	linearRows = 128
	// centerRows is the number of rows that say where a leaf's values lie.
	centerRows = 1 << 10
)

// linearSums are the sums over rows of a Newton system. Values are taken
// relative to a point among them, so that what is left after the subtraction of
// the mean does not drown in it.
type linearSums struct {
	rows       int       // without missing values
	grad, hess float64   //
	gradX      []float64 // Σ gradient · x
	hessX      []float64 // Σ hessian · x
	hessXX     []float64 // Σ hessian · x · y, the upper triangle, row by row
}

func newLinearSums(columns int) linearSums {
	return linearSums{
		gradX: make([]float64, columns), hessX: make([]float64, columns),
		hessXX: make([]float64, columns*(columns+1)/2),
	}
}

func (s *linearSums) add(o *linearSums) {
	s.rows += o.rows
	s.grad += o.grad
	s.hess += o.hess
	addTo(s.gradX, o.gradX)
	addTo(s.hessX, o.hessX)
	addTo(s.hessXX, o.hessXX)
}

func addTo(to, what []float64) {
	for i, v := range what {
		to[i] += v
	}
}

// touch reads a value of every cache line of the rows. These loads do not wait
// for one another, so that memory serves many at a time; what comes after finds
// the rows in the cache.
func touch(raw *dataset.RawValues, rows []uint32) (sum float32) {
	const line = 16
	for _, r := range rows {
		values := raw.Row(int(r))
		for i := 0; i < len(values); i += line {
			sum += values[i]
		}
	}
	return sum
}

// center sets the leaf's shift: the mean over its first complete rows.
func (l *linearLeaf) center(raw *dataset.RawValues) {
	l.shift = make([]float64, len(l.places))
	n := 0
	for i, r := range l.rows {
		if i%linearRows == 0 {
			l.touched += touch(raw, l.rows[i:min(len(l.rows), i+linearRows)])
		}
		values := raw.Row(int(r))
		if missing(values, l.places) {
			continue
		}
		for j, p := range l.places {
			l.shift[j] += float64(values[p])
		}
		if n++; n == centerRows {
			break
		}
	}
	for j := range l.shift {
		l.shift[j] /= float64(max(1, n))
	}
}

func missing(values []float32, places []int32) bool {
	for _, p := range places {
		if v := values[p]; v != v {
			return true
		}
	}
	return false
}

// linearBlock is the working memory for a block of rows.
type linearBlock struct {
	columns  []float64 // linearRows places for each
	touched  float32   // see linearLeaf
	weighted [linearRows]float64
	grad     [linearRows]float64
	hess     [linearRows]float64
}

func (b *linearBlock) column(i int) []float64 { return b.columns[i*linearRows : (i+1)*linearRows] }

// sum computes the sums of a chunk of the leaf's rows.
func (l *linearLeaf) sum(raw *dataset.RawValues, g *Gradients, chunk int, b *linearBlock) {
	k := len(l.places)
	s := newLinearSums(k)
	if len(b.columns) < k*linearRows {
		b.columns = make([]float64, k*linearRows)
	}
	rows := l.rows[chunk*linearChunk : min(len(l.rows), (chunk+1)*linearChunk)]
	for block := range slices.Chunk(rows, linearRows) {
		b.touched += touch(raw, block)
		n := l.gather(raw, g, block, b)
		s.addBlock(b, k, n)
	}
	l.parts[chunk] = s
}

// gather copies the rows without missing values into the block.
func (l *linearLeaf) gather(raw *dataset.RawValues, g *Gradients, rows []uint32, b *linearBlock) int {
	places, shift := l.places, l.shift[:len(l.places)]
	n := 0
	for _, r := range rows {
		values := raw.Row(int(r))
		if missing(values, places) {
			continue
		}
		at := n
		for j, p := range places {
			b.columns[at] = float64(values[p]) - shift[j]
			at += linearRows
		}
		b.grad[n], b.hess[n] = float64(g.Grad[r]), float64(g.Hess[r])
		n++
	}
	return n
}

func (s *linearSums) addBlock(b *linearBlock, k, n int) {
	grad, hess := b.grad[:n], b.hess[:n]
	s.rows += n
	for i := range grad {
		s.grad += grad[i]
		s.hess += hess[i]
	}
	w := b.weighted[:n]
	at := 0
	for i := range k {
		x := b.column(i)[:n]
		sumG, sumH := 0.0, 0.0
		for r, v := range x {
			hx := float64(hess[r] * v)
			w[r] = hx
			sumG += float64(grad[r] * v)
			sumH += hx
		}
		s.gradX[i] += sumG
		s.hessX[i] += sumH
		j := i
		for ; j+4 <= k; j += 4 {
			p, q, u, v := dot4(w, b.column(j), b.column(j+1), b.column(j+2), b.column(j+3))
			s.hessXX[at] += p
			s.hessXX[at+1] += q
			s.hessXX[at+2] += u
			s.hessXX[at+3] += v
			at += 4
		}
		for ; j < k; j++ {
			s.hessXX[at] += dot(w, b.column(j))
			at++
		}
	}
}

func dot(w, x []float64) (sum float64) {
	x = x[:len(w)]
	for r, v := range w {
		sum += float64(v * x[r])
	}
	return sum
}

// dot4 is dot for four columns at once: no sum waits for another's addition.
func dot4(w, x0, x1, x2, x3 []float64) (s0, s1, s2, s3 float64) {
	n := len(w)
	x0, x1, x2, x3 = x0[:n], x1[:n], x2[:n], x3[:n]
	for r, v := range w {
		s0 += float64(v * x0[r])
		s1 += float64(v * x1[r])
		s2 += float64(v * x2[r])
		s3 += float64(v * x3[r])
	}
	return s0, s1, s2, s3
}

// Bounds below which a column tells nothing: its variance in the leaf relative
// to the mean of its squares, which single precision cannot go below unless
// next to all values are the same; and what other columns leave of its variance.
const (
	leastVariance = 1e-14
	leastPivot    = 1e-12
)

// solve gives the coefficients and the constant that minimise the second-order
// approximation of the loss, with a ridge term on the coefficients. Columns
// that others determine get 0. Not ok means that there are too few rows, or
// that no finite model exists.
func (s *linearSums) solve(shift []float64, lambda float64) (coeff []float64, constant float64, ok bool) {
	k := len(shift)
	if s.rows < modelRows(k) || !(s.hess > 0) {
		return nil, 0, false
	}
	// Without the constant, which follows from the coefficients, the system has
	// the columns' covariances. It is scaled to a diagonal of ones.
	m, b := newSymmetric(k), make([]float64, k)
	scale := make([]float64, k)
	at := 0
	for i := range k {
		b[i] = float64(s.hessX[i]*s.grad)/s.hess - s.gradX[i]
		for j := i; j < k; j++ {
			m.set(i, j, s.hessXX[at]-float64(s.hessX[i]*s.hessX[j])/s.hess)
			at++
		}
		d := m.get(i, i)
		squares := d + float64(s.hess*square(shift[i]+s.hessX[i]/s.hess))
		if d > leastVariance*squares {
			scale[i] = 1 / math.Sqrt(d+lambda)
		}
		m.set(i, i, d+lambda)
	}
	for i := range k {
		b[i] *= scale[i]
		for j := i; j < k; j++ {
			m.set(i, j, m.get(i, j)*scale[i]*scale[j])
		}
	}
	coeff = m.solve(b, leastPivot)
	constant = s.grad
	for i := range coeff {
		coeff[i] *= scale[i]
		constant += float64(s.hessX[i] * coeff[i])
	}
	constant = -constant / s.hess
	for i, c := range coeff {
		constant -= float64(c * shift[i])
	}
	for _, c := range append([]float64{constant}, coeff...) {
		if !finite(c) {
			return nil, 0, false
		}
	}
	return coeff, constant, true
}

// modelRows is the number of rows that a model is made of at least: twice as
// many as it has coefficients, the constant among them. LightGBM takes as many,
// which fits noise and is far off for other rows.
func modelRows(columns int) int { return 2 * (columns + 1) }

func square(v float64) float64 { return v * v }
