package lightgbm_test

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"testing"

	"cloister/engine/tree"

	"github.com/google/go-cmp/cmp"
)

func TestEarlyStopIsLightGBMs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/models/earlystop/scores.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Model       string
		Freq, Start int
		Margin      float64
		Raw         matrix
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	byName := map[string]fixture{}
	for _, f := range fixtures(t) {
		byName[f.name] = f
	}
	stopped := 0
	for _, c := range cases {
		f := byName[c.Model]
		whole, err := f.model.Predictor(c.Start, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, stops, err := f.model.EarlyStop(whole, c.Freq, c.Margin)
		if err != nil {
			t.Fatal(err)
		}
		none := c.Model == "regression" || c.Model == "cross_entropy" || c.Model == "custom"
		if stops == none {
			t.Errorf("%s: early stopping is %v", c.Model, stops)
		}
		var one, sparse, full matrix
		var values []float64
		for _, row := range f.want.Rows {
			raw, entries, all := make([]float64, p.Models()), make([]float64, p.Models()), make([]float64, p.Models())
			index := make([]int32, len(row))
			for i := range index {
				index[i] = int32(i)
			}
			if err := errors.Join(p.Raw(row, raw), p.RawSparse(index, row, entries), whole.Raw(row, all)); err != nil {
				t.Fatal(err)
			}
			one, sparse, full, values = append(one, raw), append(sparse, entries), append(full, all), append(values, row...)
		}
		together := make([]float64, len(one)*p.Models())
		if err := p.RawRows(values, together); err != nil {
			t.Fatal(err)
		}
		var many matrix
		for i := range one {
			many = append(many, together[i*p.Models():(i+1)*p.Models()])
		}
		if diff := cmp.Diff(c.Raw, one, near(1e-12)); diff != "" {
			t.Errorf("%s, every %d, margin %v: raw scores (-LightGBM +ours):\n%s", c.Model, c.Freq, c.Margin, diff)
		}
		if diff := cmp.Diff(one, many); diff != "" {
			t.Errorf("%s, every %d, margin %v: many rows (-one by one +together):\n%s", c.Model, c.Freq, c.Margin, diff)
		}
		if diff := cmp.Diff(one, sparse); diff != "" {
			t.Errorf("%s, every %d, margin %v: sparse rows (-dense +sparse):\n%s", c.Model, c.Freq, c.Margin, diff)
		}
		if !cmp.Equal(one, full) {
			stopped++
		}
	}
	if stopped < 15 {
		t.Errorf("early stopping changed the scores of %d cases only", stopped)
	}
}

// TestEarlyStopOfManyRows has more rows than one block.
func TestEarlyStopOfManyRows(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		if f.name != "binary" && f.name != "multiclass" {
			continue
		}
		whole, err := f.model.Predictor(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		p, _, err := f.model.EarlyStop(whole, 1, 1)
		if err != nil {
			t.Fatal(err)
		}
		const rows = 20000
		var values, want []float64
		for i := range rows {
			row, out := f.want.Rows[i%len(f.want.Rows)], make([]float64, p.Models())
			if err := p.Output(row, out); err != nil {
				t.Fatal(err)
			}
			values, want = append(values, row...), append(want, out...)
		}
		got := make([]float64, len(want))
		if err := p.OutputRows(values, got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-one by one +together):\n%s", f.name, diff)
		}
		if err := p.RawRows(values[1:], got); !errors.Is(err, tree.ErrShape) {
			t.Errorf("%s: error %v, want ErrShape", f.name, err)
		}
	}
}

func TestEarlyStopRefusesNonsense(t *testing.T) {
	t.Parallel()
	m := chain(t, 2)
	p, err := m.Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		freq   int
		margin float64
	}{"no iterations": {0, 1}, "negative": {1, -1}, "nan": {1, math.NaN()}} {
		if _, _, err := m.EarlyStop(p, c.freq, c.margin); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	m.Objective, m.AverageOutput = "binary sigmoid:1", true
	if _, stops, err := m.EarlyStop(p, 1, 0); stops || err != nil {
		t.Errorf("a random forest stops early: %v, %v", stops, err)
	}
}
