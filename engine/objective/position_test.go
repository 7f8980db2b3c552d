package objective

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

// shownQueries are queries of ten rows, each at the place of its number; all
// rows are alike, but the lower their place the less often they are chosen.
func shownQueries(queries int) *dataset.Metadata {
	const rows = 10
	r := random.New(5)
	md := &dataset.Metadata{QueryStart: []int32{0}}
	for range queries {
		for place := range int32(rows) {
			label := float32(0)
			if r.Float64() < 1/(1+float64(place)) {
				label = 1
			}
			md.Label = append(md.Label, label)
			md.Position = append(md.Position, place)
		}
		md.QueryStart = append(md.QueryStart, int32(len(md.Label)))
	}
	return md
}

// TestPositionBiasExplainsTheOrder leaves nothing to the trees where places
// alone decide: the biases fall with the places, and the gradients shrink.
func TestPositionBiasExplainsTheOrder(t *testing.T) {
	t.Parallel()
	md := shownQueries(400)
	cfg := lightgbm.NewConfig()
	cfg.Objective = "lambdarank"
	o, err := New(cfg, md)
	if err != nil {
		t.Fatal(err)
	}
	pool := parallel.New(2)
	t.Cleanup(pool.Close)
	n := len(md.Label)
	scores, grad, hess := make([]float64, n), make([]float32, n), make([]float32, n)
	// pull is the greatest pull that a place gets, by the sum of its gradients.
	pull := func() float64 {
		o.Gradients(pool, 0, scores, grad, hess)
		sums := make([]float64, 10)
		for i, g := range grad {
			sums[md.Position[i]] += float64(g)
		}
		most := 0.0
		for _, s := range sums {
			most = max(most, math.Abs(s))
		}
		return most
	}
	first := pull()
	for range 200 {
		pull()
		o.(Biased).UpdateBias(grad, hess)
	}
	if last := pull(); last > first/20 {
		t.Errorf("the greatest pull of a place went from %v to %v only", first, last)
	}
	_, bias := o.(Biased).Bias()
	if len(bias) != 10 {
		t.Fatalf("%d biases for 10 places", len(bias))
	}
	for p := range 5 {
		if !(bias[p] > bias[p+1]) {
			t.Errorf("biases do not fall with the place: %v", bias)
			break
		}
	}
}

// TestPositionBiasStep compares a step with LightGBM's formula, by hand.
func TestPositionBiasStep(t *testing.T) {
	t.Parallel()
	cfg := lightgbm.NewConfig()
	cfg.Objective, cfg.LearningRate, cfg.LambdarankPositionBiasRegularization = "lambdarank", 0.5, 0.25
	o, err := New(cfg, &dataset.Metadata{
		Label: []float32{1, 0, 1}, QueryStart: []int32{0, 3},
		Position: []int32{1, 0, 1}, PositionNames: []string{"top", "left"},
	})
	if err != nil {
		t.Fatal(err)
	}
	b := o.(Biased)
	b.UpdateBias([]float32{1, -2, 3}, []float32{1, 2, 0.5})
	b.UpdateBias([]float32{1, -2, 3}, []float32{1, 2, 0.5})
	step := func(bias float32, first, second, rows float64) float32 {
		first -= float64(bias) * 0.25 * rows
		second -= 0.25 * rows
		return float32(float64(bias) + 0.5*first/(math.Abs(second)+0.001))
	}
	want := []float32{step(step(0, 2, -2, 1), 2, -2, 1), step(step(0, -4, -1.5, 2), -4, -1.5, 2)}
	names, got := b.Bias()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("biases (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"top", "left"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestPositionsThatDoNotFit(t *testing.T) {
	t.Parallel()
	for name, md := range map[string]dataset.Metadata{
		"too few":  {Position: []int32{0, 1}},
		"negative": {Position: []int32{0, -1, 0}},
		"unnamed":  {Position: []int32{0, 2, 0}, PositionNames: []string{"a", "b"}},
		"gap":      {Position: []int32{0, 1 << 30, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := lightgbm.NewConfig()
			cfg.Objective = "lambdarank"
			md.Label, md.QueryStart = []float32{1, 0, 1}, []int32{0, 3}
			if _, err := New(cfg, &md); err == nil {
				t.Error("no error")
			}
		})
	}
}
