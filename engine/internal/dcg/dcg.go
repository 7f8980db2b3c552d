// Package dcg computes discounted cumulative gains (K. Järvelin and
// J. Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS
// 20, 2002) as LightGBM does, for ranking objectives and metrics.
package dcg

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"cloister/engine/portmath"
)

// MaxRows is the greatest number of rows of a query.
const MaxRows = 10_000

// defaultLabels is the number of labels with a default gain; 2^31 - 1 is the
// greatest gain.
const defaultLabels = 31

// Gains has the gain of each label and the discount of each position.
type Gains struct {
	label    []float64
	discount []float64
}

// New returns gains for the labels 0, 1, …; without label gains that of label
// i is 2^i - 1.
func New(labelGain []float64) *Gains {
	g := &Gains{label: slices.Clone(labelGain), discount: make([]float64, MaxRows)}
	if len(g.label) == 0 {
		g.label = make([]float64, defaultLabels)
		for i := range g.label {
			g.label[i] = float64(uint64(1)<<i - 1)
		}
	}
	for i := range g.discount {
		g.discount[i] = 1 / portmath.Log2(2+float64(i))
	}
	return g
}

// Label is the gain of a label that Check accepted.
func (g *Gains) Label(label float32) float64 { return g.label[int(label)] }

// Discount is the factor of a position from 0 to MaxRows-1.
func (g *Gains) Discount(position int) float64 { return g.discount[position] }

// LabelError names a row whose label has no gain.
type LabelError struct {
	// Row is the index of the row, from 0.
	Row    int
	Reason string
}

func (e *LabelError) Error() string {
	return fmt.Sprintf("row %d: %s", e.Row+1, e.Reason)
}

// Check returns a *LabelError for the first label that is no integer with a
// gain.
func (g *Gains) Check(labels []float32) error {
	for i, l := range labels {
		switch x := float64(l); {
		case !(x >= 0) || x != math.Trunc(x):
			return &LabelError{Row: i, Reason: "is not a whole number of at least 0; give gains other than 2^label-1 with label_gain"}
		case x >= float64(len(g.label)):
			return &LabelError{Row: i, Reason: fmt.Sprintf("has no gain: label_gain has %d numbers, for the labels below that", len(g.label))}
		}
	}
	return nil
}

// CheckQueries returns an error unless queryStart cuts rows into queries of at
// most MaxRows rows.
func CheckQueries(queryStart []int32, rows int) error {
	if len(queryStart) < 2 {
		return errors.New("the data has no query groups; give a .query file or group_column")
	}
	if queryStart[0] != 0 || int(queryStart[len(queryStart)-1]) != rows {
		return fmt.Errorf("the query groups end at row %d but the data has %d rows",
			queryStart[len(queryStart)-1], rows)
	}
	for q := range len(queryStart) - 1 {
		switch n := queryStart[q+1] - queryStart[q]; {
		case n < 0:
			return fmt.Errorf("query %d begins after its end", q+1)
		case n > MaxRows:
			return fmt.Errorf("query %d has %d rows, more than the %d that a ranking can have", q+1, n, MaxRows)
		}
	}
	return nil
}

// Max is the greatest DCG that the first k rows of a query can have.
func (g *Gains) Max(k int, labels []float32) float64 {
	counts := make([]int, len(g.label))
	for _, l := range labels {
		counts[int(l)]++
	}
	sum, top := 0., len(counts)-1
	for i := range min(k, len(labels)) {
		for counts[top] == 0 {
			top--
		}
		counts[top]--
		sum += float64(g.discount[i] * g.label[top])
	}
	return sum
}
