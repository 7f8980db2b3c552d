package metric

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
	"cloister/engine/parallel"
	"cloister/engine/portmath"
)

// multiclass is a weighted mean of a loss of class and predictions.
type multiclass struct {
	table
	title string
	loss  func(class int, predictions []float64) float64
}

func newMulticlass(t table, title string, loss func(class int, predictions []float64) float64) (Metric, error) {
	if err := t.checkClasses(); err != nil {
		return nil, err
	}
	return &multiclass{t, title, loss}, nil
}

func (t *table) checkClasses() error {
	return t.check(func(y float64) string {
		if y != math.Trunc(y) || y < 0 || y >= float64(t.models) {
			return fmt.Sprintf("is not a whole number from 0 to num_class-1 = %d", t.models-1)
		}
		return ""
	})
}

// Names implements Metric.
func (m *multiclass) Names() []string { return []string{m.title} }

// HigherIsBetter implements Metric.
func (*multiclass) HigherIsBetter() bool { return false }

// Eval implements Metric.
func (m *multiclass) Eval(pool *parallel.Pool, scores []float64, out objective.Output) []float64 {
	n := len(m.label)
	s := sum(pool, n, chunk, func(lo, hi int) float64 {
		total := 0.
		p := make([]float64, m.models)
		for i := lo; i < hi; i++ {
			for k := range p {
				p[k] = scores[k*n+i]
			}
			if out != nil {
				out.Transform(p, p)
			}
			total += float64(m.loss(int(m.label[i]), p) * m.weightOf(i))
		}
		return total
	})
	return []float64{s / m.total}
}

func newMultiLogloss(_ *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	worst := -portmath.Log(epsilon)
	return newMulticlass(t, t.name, func(class int, p []float64) float64 {
		if p[class] > epsilon {
			return -portmath.Log(p[class])
		}
		return worst
	})
}

// newMultiError counts rows of whose class multi_error_top_k others have a
// prediction as high.
func newMultiError(cfg *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	top, title := max(1, cfg.MultiErrorTopK), t.name
	if top > 1 {
		title = fmt.Sprintf("%s@%d", t.name, top)
	}
	return newMulticlass(t, title, func(class int, p []float64) float64 {
		asHigh := 0
		for _, x := range p {
			if x >= p[class] {
				asHigh++
			}
		}
		if asHigh > top {
			return 1
		}
		return 0
	})
}

// aucMu is the mean over all pairs of classes of how well the scores separate
// them (R. Kleiman and D. Page, "AUC-mu: a performance metric for multi-class
// machine learning models", ICML 2019).
type aucMu struct {
	table
	// cost is the matrix of auc_mu_weights, row by row.
	cost []float64
	// rows has the rows of each class, and weights their weight.
	rows    [][]uint32
	weights []float64
}

func newAUCMu(cfg *lightgbm.Config, t table, _ *dataset.Metadata) (Metric, error) {
	if err := t.checkClasses(); err != nil {
		return nil, err
	}
	k := t.models
	m := &aucMu{table: t, cost: slices.Clone(cfg.AUCMuWeights), rows: make([][]uint32, k), weights: make([]float64, k)}
	if len(m.cost) == 0 {
		m.cost = slices.Repeat([]float64{1}, k*k)
	}
	if len(m.cost) != k*k {
		return nil, fmt.Errorf("%w auc_mu: auc_mu_weights has %d numbers, not num_class² = %d", ErrMetric, len(m.cost), k*k)
	}
	for i := range k {
		m.cost[i*k+i] = 0
	}
	for i, y := range t.label {
		m.rows[int(y)] = append(m.rows[int(y)], uint32(i))
		m.weights[int(y)] += t.weightOf(i)
	}
	for class, w := range m.weights {
		if w == 0 {
			return nil, &DataError{t.name, fmt.Sprintf("class %d has no rows with a weight; every class needs some", class)}
		}
	}
	return m, nil
}

// HigherIsBetter implements Metric.
func (*aucMu) HigherIsBetter() bool { return true }

// Eval implements Metric.
func (m *aucMu) Eval(pool *parallel.Pool, scores []float64, _ objective.Output) []float64 {
	k := m.models
	pairs := make([]float64, k*k)
	pool.Run(k*k, func(p int) {
		if i, j := p/k, p%k; i < j {
			pairs[p] = m.separation(i, j, scores) / m.weights[i] / m.weights[j]
		}
	})
	total := 0.
	for _, p := range pairs {
		total += p
	}
	return []float64{2 * total / float64(k) / float64(k-1)}
}

// placed is a row with its distance from the plane between two classes.
type placed struct {
	distance float64
	row      uint32
	first    bool
}

// separation is the weight of the pairs of a row of class i and one of class j
// that lie in the right order; ties count half.
func (m *aucMu) separation(i, j int, scores []float64) float64 {
	k, n := m.models, len(m.label)
	plane := make([]float64, k)
	for c := range plane {
		plane[c] = m.cost[i*k+c] - m.cost[j*k+c]
	}
	side := plane[i] - plane[j]
	place := func(row uint32, first bool) placed {
		v := 0.
		for c := range plane {
			v += float64(plane[c] * scores[c*n+int(row)])
		}
		return placed{float64(side * v), row, first}
	}
	rows := make([]placed, 0, len(m.rows[i])+len(m.rows[j]))
	for _, r := range m.rows[i] {
		rows = append(rows, place(r, true))
	}
	for _, r := range m.rows[j] {
		rows = append(rows, place(r, false))
	}
	slices.SortFunc(rows, func(a, b placed) int {
		if c := cmp.Compare(a.distance, b.distance); c != 0 {
			return c
		}
		if a.first != b.first {
			if a.first {
				return 1
			}
			return -1
		}
		return cmp.Compare(a.row, b.row)
	})
	right, below, tied, tiedAt := 0., 0., 0., 0.
	for _, r := range rows {
		w := m.weightOf(int(r.row))
		same := math.Abs(r.distance-tiedAt) < epsilon
		switch {
		case r.first && same:
			right += float64(w * (below - float64(0.5*tied)))
		case r.first:
			right += float64(w * below)
		default:
			below += w
			if same {
				tied += w
			} else {
				tied, tiedAt = w, r.distance
			}
		}
	}
	return right
}
