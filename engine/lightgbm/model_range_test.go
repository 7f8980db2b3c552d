package lightgbm_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"cloister/engine/lightgbm"
	"cloister/engine/tree"

	"github.com/google/go-cmp/cmp"
)

func readFixture(t *testing.T, name string) *lightgbm.Model {
	t.Helper()
	m, err := lightgbm.ReadModel(name, strings.NewReader(fixtureText(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestIterationRange(t *testing.T) {
	t.Parallel()
	m := readFixture(t, "multiclass") // 4 iterations
	for _, c := range []struct{ start, num, first, end int }{
		{0, 0, 0, 4},
		{0, -1, 0, 4},
		{1, 2, 1, 3},
		{3, 9, 3, 4},
		{9, 1, 4, 4},
		{-2, 2, 0, 2},
		{1, math.MaxInt, 1, 4},
		{math.MinInt, 0, 0, 4},
	} {
		if first, end := m.IterationRange(c.start, c.num); first != c.first || end != c.end {
			t.Errorf("IterationRange(%d, %d) = %d, %d, want %d, %d", c.start, c.num, first, end, c.first, c.end)
		}
	}
}

// TestRangesAddUp shows that the scores of two ranges are those of the whole,
// and that a truncated model is its first range.
func TestRangesAddUp(t *testing.T) {
	t.Parallel()
	m := readFixture(t, "multiclass")
	row := []float64{5.9, 3, math.NaN(), 1.8}
	score := func(m *lightgbm.Model, start, num int) []float64 {
		p, err := m.Predictor(start, num)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float64, p.Models())
		if err := p.Raw(row, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	sum := score(m, 0, 1)
	for i, v := range score(m, 1, 0) {
		sum[i] += v
	}
	if diff := cmp.Diff(score(m, 0, 0), sum, near(1e-12)); diff != "" {
		t.Errorf("sum of ranges (-whole +sum):\n%s", diff)
	}
	want := score(m, 0, 3)
	m.Truncate(3)
	if m.NumIterations() != 3 || m.Importances != nil {
		t.Errorf("after Truncate(3): %d iterations, importances %v", m.NumIterations(), m.Importances)
	}
	if diff := cmp.Diff(want, score(m, 0, 0)); diff != "" {
		t.Errorf("truncated model (-range +truncated):\n%s", diff)
	}
}

func TestPredictorRefusesWrongShapes(t *testing.T) {
	t.Parallel()
	p, err := readFixture(t, "multiclass").Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	x, err := p.Explainer()
	if err != nil {
		t.Fatal(err)
	}
	row, out := make([]float64, 4), make([]float64, 3)
	for name, err := range map[string]error{
		"narrow row":    p.Raw(row[1:], out),
		"short out":     p.Output(row, out[1:]),
		"rows":          p.RawRows(make([]float64, 7), out),
		"output rows":   p.OutputRows(row, out[1:]),
		"leaves":        p.Leaves(row, make([]int32, 1)),
		"sparse":        p.RawSparse([]int32{1}, nil, out),
		"contributions": x.Contributions(row, out),
	} {
		if !errors.Is(err, tree.ErrShape) {
			t.Errorf("%s: error %v, want ErrShape", name, err)
		}
	}
	linear, err := readFixture(t, "linear").Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := linear.Explainer(); !errors.Is(err, tree.ErrLinear) {
		t.Errorf("contributions of linear trees: error %v, want ErrLinear", err)
	}
}

func TestRowsAndSparseRowsPredictAsSingleOnes(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		p, err := f.model.Predictor(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		var values, want, got []float64
		sparse := make([]float64, p.Models())
		for _, row := range f.want.Rows {
			one := make([]float64, p.Models())
			if err := p.Output(row, one); err != nil {
				t.Fatal(err)
			}
			values, want = append(values, row...), append(want, one...)
			if err := p.Raw(row, one); err != nil {
				t.Fatal(err)
			}
			var index []int32
			var value []float64
			for i, v := range row {
				if v != 0 {
					index, value = append(index, int32(i)), append(value, v)
				}
			}
			if err := p.RawSparse(index, value, sparse); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(one, sparse); diff != "" {
				t.Errorf("%s: sparse row (-dense +sparse):\n%s", f.name, diff)
			}
		}
		got = make([]float64, len(want))
		if err := p.OutputRows(values, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: rows (-single +rows):\n%s", f.name, diff)
		}
	}
}

func TestTransformsOfOtherNames(t *testing.T) {
	t.Parallel()
	for objective, want := range map[string]float64{
		"":                          2,
		"custom":                    2,
		"mae":                       2,
		"xentropy":                  0.8807970779778823,
		"regression sqrt":           4,
		"binary sigmoid:0.5":        0.7310585786300049,
		"tweedie":                   7.38905609893065,
		"xentlambda":                2.1269280110429727,
		"lambdarank":                2,
		"binary sigmoid:1 other:7 ": 0.8807970779778823,
	} {
		m := lightgbm.Model{NumClass: 1, TreesPerIteration: 1, Objective: objective}
		transform, err := m.Transform(3)
		if err != nil {
			t.Errorf("%q: %v", objective, err)
			continue
		}
		got := []float64{2}
		transform.Apply(got)
		if diff := cmp.Diff([]float64{want}, got, near(1e-15)); diff != "" {
			t.Errorf("%q of 2 (-want +got):\n%s", objective, diff)
		}
	}
	extremes := lightgbm.Model{NumClass: 1, TreesPerIteration: 1, Objective: "cross_entropy_lambda"}
	transform, err := extremes.Transform(1)
	if err != nil {
		t.Fatal(err)
	}
	got := []float64{800, -800}
	transform.Apply(got)
	if diff := cmp.Diff([]float64{800, 0}, got); diff != "" {
		t.Errorf("extreme scores (-want +got):\n%s", diff)
	}
}
