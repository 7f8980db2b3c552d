package metric

import (
	"errors"
	"fmt"
	"slices"

	"cloister/engine/dataset"
	"cloister/engine/internal/dcg"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
	"cloister/engine/parallel"
)

// queryChunk is the number of queries of one task.
const queryChunk = 64

// ranking is a mean over queries of a value at each of some positions.
type ranking struct {
	table
	at    []int
	start []int32
	// weight is the mean weight of each query's rows, or nil; total their sum.
	weight []float64
	total  float64
	// one adds the values of query q times its weight to sums; order is its
	// rows from the greatest score down.
	one    func(q int, weight float64, order []int32, label []float32, sums []float64)
	orders *dcg.Orders
}

func newRanking(cfg *lightgbm.Config, t table, md *dataset.Metadata) (*ranking, error) {
	m := &ranking{table: t, at: slices.Clone(cfg.EvalAt), start: md.QueryStart}
	if len(m.at) == 0 {
		m.at = []int{1, 2, 3, 4, 5}
	}
	slices.Sort(m.at)
	m.at = slices.Compact(m.at)
	if m.at[0] < 1 {
		return nil, fmt.Errorf("%w %s: eval_at has %d; positions count from 1", ErrMetric, t.name, m.at[0])
	}
	if err := dcg.CheckQueries(md.QueryStart, len(t.label)); err != nil {
		return nil, &DataError{t.name, err.Error()}
	}
	m.orders = dcg.NewOrders(md.QueryStart)
	queries := len(m.start) - 1
	m.total = float64(queries)
	if t.weight == nil {
		return m, nil
	}
	m.weight = make([]float64, queries)
	m.total = 0
	for q := range m.weight {
		// Single precision, as LightGBM has it.
		var s float32
		rows := t.weight[m.start[q]:m.start[q+1]]
		for _, w := range rows {
			s += w
		}
		if len(rows) > 0 {
			s /= float32(len(rows))
		}
		m.weight[q] = float64(s)
		m.total += float64(s)
	}
	return m, nil
}

// Names implements Metric.
func (m *ranking) Names() []string {
	names := make([]string, len(m.at))
	for i, k := range m.at {
		names[i] = fmt.Sprintf("%s@%d", m.name, k)
	}
	return names
}

// HigherIsBetter implements Metric.
func (*ranking) HigherIsBetter() bool { return true }

// Eval implements Metric.
func (m *ranking) Eval(pool *parallel.Pool, scores []float64, _ objective.Output) []float64 {
	queries := len(m.start) - 1
	orders, giveBack := m.orders.Borrow(m.start)
	defer giveBack()
	parts := make([][]float64, (queries+queryChunk-1)/queryChunk)
	pool.Chunks(queries, queryChunk, func(c, first, last int) {
		sums := make([]float64, len(m.at))
		var sorter dcg.Sorter
		for q := first; q < last; q++ {
			lo, hi := m.start[q], m.start[q+1]
			order := orders[lo:hi]
			sorter.Sort(order, scores[lo:hi])
			w := 1.
			if m.weight != nil {
				w = m.weight[q]
			}
			m.one(q, w, order, m.label[lo:hi], sums)
		}
		parts[c] = sums
	})
	values := make([]float64, len(m.at))
	for _, p := range parts {
		for i := range values {
			values[i] += p[i]
		}
	}
	for i := range values {
		values[i] /= m.total
	}
	return values
}

// newNDCG is DCG over the greatest that the query's labels allow. A query with
// no gain counts 1 (whatever its weight, as in LightGBM).
func newNDCG(cfg *lightgbm.Config, t table, md *dataset.Metadata) (Metric, error) {
	gains := dcg.New(cfg.LabelGain)
	if err := gains.Check(t.label); err != nil {
		var label *dcg.LabelError
		if !errors.As(err, &label) {
			return nil, err
		}
		return nil, &LabelError{t.name, "label", label.Row + 1, float64(t.label[label.Row]), label.Reason}
	}
	m, err := newRanking(cfg, t, md)
	if err != nil {
		return nil, err
	}
	best := make([][]float64, len(m.start)-1)
	for q := range best {
		best[q] = make([]float64, len(m.at))
		for i, k := range m.at {
			best[q][i] = gains.Max(k, t.label[m.start[q]:m.start[q+1]])
		}
	}
	m.one = func(q int, weight float64, order []int32, label []float32, sums []float64) {
		if best[q][0] <= 0 {
			for i := range sums {
				sums[i]++
			}
			return
		}
		value, position := 0., 0
		for i, k := range m.at {
			for ; position < min(k, len(order)); position++ {
				value += float64(gains.Label(label[order[position]]) * gains.Discount(position))
			}
			sums[i] += float64(value / best[q][i] * weight)
		}
	}
	return m, nil
}

// newMAP is the mean of the precisions at the relevant rows (labels above
// 0.5); a query without any counts 1.
func newMAP(cfg *lightgbm.Config, t table, md *dataset.Metadata) (Metric, error) {
	m, err := newRanking(cfg, t, md)
	if err != nil {
		return nil, err
	}
	m.one = func(_ int, weight float64, order []int32, label []float32, sums []float64) {
		relevant := 0
		for _, y := range label {
			if y > 0.5 {
				relevant++
			}
		}
		value, hits, position := 0., 0, 0
		for i, k := range m.at {
			k = min(k, len(order))
			for ; position < k; position++ {
				if label[order[position]] > 0.5 {
					hits++
					value += float64(hits) / float64(position+1)
				}
			}
			precision := 1.
			if relevant > 0 {
				precision = value / float64(min(relevant, k))
			}
			sums[i] += float64(precision * weight)
		}
	}
	return m, nil
}
