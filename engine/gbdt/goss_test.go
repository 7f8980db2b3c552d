package gbdt

import (
	"math"
	"slices"
	"testing"

	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

func TestKthLargest(t *testing.T) {
	t.Parallel()
	r := random.New(1)
	for _, span := range []uint64{1, 3, 1 << 12, 1 << 32} {
		values := make([]uint32, 500)
		for i := range values {
			values[i] = uint32(r.Uint64() % span)
		}
		sorted := slices.Sorted(slices.Values(values))
		for k := 1; k <= len(values); k++ {
			if got, want := kthLargest(values, k), sorted[len(values)-k]; got != want {
				t.Fatalf("values below %d: number %d from the top is %d, want %d", span, k, got, want)
			}
		}
	}
}

// TestGradientSampler checks that the large gradients are all there and that
// those drawn from the others stand for all of them.
func TestGradientSampler(t *testing.T) {
	t.Parallel()
	const rows, models = 40_000, 2
	pool := parallel.New(2)
	t.Cleanup(pool.Close)
	cfg := lightgbm.NewConfig()
	cfg.TopRate, cfg.OtherRate, cfg.LearningRate = 0.1, 0.2, 0.5
	s := newGradientSampler(cfg, rows)
	grad, hess := make([]float32, models*rows), make([]float32, models*rows)
	r := random.New(2)
	for i := range grad {
		grad[i], hess[i] = float32(r.Float64()-0.5), float32(r.Float64())
	}
	size := func(i int) float64 {
		return math.Abs(float64(grad[i]*hess[i])) + math.Abs(float64(grad[rows+i]*hess[rows+i]))
	}
	if s.sample(pool, 1, grad, hess) != nil || s.amplifies(1) {
		t.Error("rows are drawn while warming up")
	}
	before := slices.Clone(grad)
	drawn := slices.Clone(s.sample(pool, 2, grad, hess))
	if len(drawn) != rows/10+rows/5 || len(drawn)+len(s.left()) != rows || !slices.IsSorted(drawn) {
		t.Fatalf("%d rows drawn, %d left, want %d of %d in order", len(drawn), len(s.left()), rows*3/10, rows)
	}
	least, amplified, total, want := math.Inf(1), 0, 0.0, 0.0
	for _, i := range drawn {
		switch ratio := grad[i] / before[i]; {
		case ratio == 1:
			least = min(least, size(int(i)))
		case math.Abs(float64(ratio)-4.5) < 1e-5: // 0.9 of the rows, of which 0.2 are drawn
			amplified++
		default:
			t.Fatalf("row %d is amplified by %g", i, ratio)
		}
		total += float64(hess[i])
	}
	if amplified != rows/5 {
		t.Errorf("%d rows are amplified, want %d", amplified, rows/5)
	}
	for _, i := range s.left() {
		if size(int(i)) > least {
			t.Fatalf("row %d of size %g is left out, one of %g is not", i, size(int(i)), least)
		}
		want += float64(hess[i])
	}
	for _, i := range drawn {
		if grad[i] == before[i] {
			want += float64(hess[i])
		} else {
			want += float64(hess[i]) / 4.5
		}
	}
	if math.Abs(total-want) > 0.01*want {
		t.Errorf("the rows drawn have hessians of %g, all have %g", total, want)
	}
	if again := s.sample(pool, 3, before, hess); slices.Equal(drawn, again) {
		t.Error("the next iteration draws the same rows")
	}
}

// Where all gradients are equally large nothing is left out.
func TestGradientSamplerOfEqualRows(t *testing.T) {
	t.Parallel()
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	cfg := lightgbm.NewConfig()
	cfg.LearningRate = 1
	s := newGradientSampler(cfg, 100)
	grad, hess := make([]float32, 100), make([]float32, 100)
	for i := range grad {
		grad[i], hess[i] = float32(1-2*(i%2)), 1
	}
	if n := len(s.sample(pool, 1, grad, hess)); n != 100 || s.left() == nil || len(s.left()) != 0 {
		t.Errorf("%d rows drawn, %v left", n, s.left())
	}
}
