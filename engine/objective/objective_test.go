package objective

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

// losses are the losses of one row, of score s, label y and weight w, whose
// derivatives the objectives give. Fair, poisson and lambdarank have no second
// derivative here: theirs are changed on purpose.
var losses = map[string]struct {
	loss   func(cfg *lightgbm.Config, s, y, w float64) float64
	label  func(u float64) float64
	second bool
}{
	"regression":    {func(_ *lightgbm.Config, s, y, w float64) float64 { return w * (s - y) * (s - y) / 2 }, anyNumber, true},
	"regression_l1": {func(_ *lightgbm.Config, s, y, w float64) float64 { return w * math.Abs(s-y) }, anyNumber, false},
	"huber": {func(cfg *lightgbm.Config, s, y, w float64) float64 {
		if d := math.Abs(s - y); d > cfg.Alpha {
			return w * cfg.Alpha * (d - cfg.Alpha/2)
		}
		return w * (s - y) * (s - y) / 2
	}, anyNumber, false},
	"fair": {func(cfg *lightgbm.Config, s, y, w float64) float64 {
		d := math.Abs(s-y) / cfg.FairC
		return w * cfg.FairC * cfg.FairC * (d - math.Log1p(d))
	}, anyNumber, true},
	"quantile": {func(cfg *lightgbm.Config, s, y, w float64) float64 {
		return w * max((y-s)*cfg.Alpha, (y-s)*(cfg.Alpha-1))
	}, anyNumber, false},
	"mape":    {func(_ *lightgbm.Config, s, y, w float64) float64 { return w * math.Abs(s-y) / max(1, math.Abs(y)) }, anyNumber, false},
	"poisson": {func(_ *lightgbm.Config, s, y, w float64) float64 { return w * (math.Exp(s) - y*s) }, count, false},
	"gamma":   {func(_ *lightgbm.Config, s, y, w float64) float64 { return w * (s + y*math.Exp(-s)) }, count, true},
	"tweedie": {func(cfg *lightgbm.Config, s, y, w float64) float64 {
		a, b := 1-cfg.TweedieVariancePower, 2-cfg.TweedieVariancePower
		return w * (math.Exp(b*s)/b - y*math.Exp(a*s)/a)
	}, count, true},
	"binary": {func(cfg *lightgbm.Config, s, y, w float64) float64 {
		return w * math.Log1p(math.Exp(-(2*y-1)*cfg.Sigmoid*s))
	}, zeroOrOne, true},
	"cross_entropy": {func(_ *lightgbm.Config, s, y, w float64) float64 {
		return w * (math.Log1p(math.Exp(s)) - y*s)
	}, share, true},
	"cross_entropy_lambda": {func(_ *lightgbm.Config, s, y, w float64) float64 {
		total := w * math.Log1p(math.Exp(s))
		return -y*math.Log(-math.Expm1(-total)) + (1-y)*total
	}, share, true},
}

func anyNumber(u float64) float64 { return 10*u - 5 }
func count(u float64) float64     { return math.Floor(5*u) + 1 }
func zeroOrOne(u float64) float64 { return math.Floor(2 * u) }
func share(u float64) float64     { return u }

func TestGradientsAreDerivatives(t *testing.T) {
	t.Parallel()
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	for name, test := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n, step = 200, 1e-4
			cfg := lightgbm.NewConfig()
			cfg.Objective, cfg.Sigmoid, cfg.Alpha, cfg.FairC, cfg.TweedieVariancePower = name, 1.3, 0.7, 1.4, 1.4
			src := random.New(3, uint64(len(name)))
			md := &dataset.Metadata{}
			scores, grad, hess := make([]float64, n), make([]float32, n), make([]float32, n)
			for i := range n {
				md.Label = append(md.Label, float32(test.label(src.Float64())))
				md.Weight = append(md.Weight, float32(src.Float64()*2+0.1))
				scores[i] = src.Float64()*8 - 4
			}
			o, err := New(cfg, md)
			if err != nil {
				t.Fatal(err)
			}
			o.Gradients(pool, 0, scores, grad, hess)
			for i, s := range scores {
				y, w := float64(md.Label[i]), float64(md.Weight[i])
				f := func(s float64) float64 { return test.loss(cfg, s, y, w) }
				if math.Abs(s-y) < 2*step || math.Abs(math.Abs(s-y)-cfg.Alpha) < 2*step {
					continue // A kink.
				}
				if g := (f(s+step) - f(s-step)) / (2 * step); !near(float64(grad[i]), g, 1e-5) {
					t.Errorf("gradient at score %v, label %v, weight %v is %v, want %v", s, y, w, grad[i], g)
				}
				if h := (f(s+step) - 2*f(s) + f(s-step)) / (step * step); test.second && !near(float64(hess[i]), h, 1e-4) {
					t.Errorf("hessian at score %v, label %v, weight %v is %v, want %v", s, y, w, hess[i], h)
				}
			}
		})
	}
}

func TestSoftmaxGradientsAddUpToNothing(t *testing.T) {
	t.Parallel()
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	const n, classes = 300, 5
	cfg := lightgbm.NewConfig()
	cfg.Objective, cfg.NumClass = "multiclass", classes
	md, scores := data(n, classes)
	o, err := New(cfg, md)
	if err != nil {
		t.Fatal(err)
	}
	grad, hess := make([]float32, n*classes), make([]float32, n*classes)
	o.Gradients(pool, 0, scores, grad, hess)
	for i := range n {
		total := 0.
		for k := range classes {
			total += float64(grad[k*n+i])
		}
		if math.Abs(total) > 1e-6 {
			t.Errorf("gradients of row %d add up to %v, want 0", i, total)
		}
	}
}

// data has labels 0 … classes-1, weights, queries and scores.
func data(n, classes int) (*dataset.Metadata, []float64) {
	src := random.New(8, uint64(n))
	md := &dataset.Metadata{QueryStart: []int32{0}}
	for i := range n {
		md.Label = append(md.Label, float32(src.IntN(classes)))
		md.Weight = append(md.Weight, float32(src.Float64())+0.1)
		if i%53 == 52 || i == n-1 {
			md.QueryStart = append(md.QueryStart, int32(i+1))
		}
	}
	scores := make([]float64, n*classes)
	for i := range scores {
		scores[i] = src.Float64()*6 - 3
	}
	return md, scores
}

func TestReproducibleGradients(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"binary":               "bdc39c6b1b6b70c1",
		"cross_entropy":        "bdc39c6b1b6b70c1",
		"cross_entropy_lambda": "a9aff1cd25c994dc",
		"fair":                 "1ebb035aaac5be25",
		"gamma":                "d3b3a55fb6821e0c",
		"huber":                "614a0cc9e52a3fb1",
		"lambdarank":           "01b600cb55c02601",
		"mape":                 "823ac9b65caf10d4",
		"multiclass":           "8f364a20cc040c72",
		"multiclassova":        "2a6a445e9e52cc0b",
		"poisson":              "4e14f40f6fdc6046",
		"quantile":             "971ed6e63f2b2e51",
		"rank_xendcg":          "23f4f9c6a87ae893",
		"regression":           "18269356980f64a1",
		"regression_l1":        "823ac9b65caf10d4",
		"tweedie":              "c1fa6a0d83a782a2",
	}
	for name := range builders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 30_000
			cfg := lightgbm.NewConfig()
			cfg.Objective, cfg.NumClass, cfg.Alpha = name, 2, 0.7
			md, scores := data(n, 2)
			o, err := New(cfg, md)
			if err != nil {
				t.Fatal(err)
			}
			for _, threads := range []int{1, 2, 3, 8} {
				if got := hashOf(o, threads, scores, n); got != want[name] {
					t.Errorf("hash of the gradients with %d threads is %s, want %s", threads, got, want[name])
				}
			}
		})
	}
}

func hashOf(o Objective, threads int, scores []float64, n int) string {
	pool := parallel.New(threads)
	defer pool.Close()
	grad, hess := make([]float32, n*o.Models()), make([]float32, n*o.Models())
	o.Gradients(pool, 3, scores, grad, hess)
	sum := sha256.New()
	var buffer []byte
	for i := range grad {
		buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(grad[i]))
		buffer = binary.LittleEndian.AppendUint32(buffer, math.Float32bits(hess[i]))
	}
	for k := range o.Models() {
		buffer = binary.LittleEndian.AppendUint64(buffer, math.Float64bits(o.BoostFromScore(k)))
	}
	if r, ok := o.(Renewer); ok {
		rows := make([]uint32, 0, n/3)
		for i := 0; i < n; i += 3 {
			rows = append(rows, uint32(i))
		}
		buffer = binary.LittleEndian.AppendUint64(buffer, math.Float64bits(r.RenewLeaf(rows, scores)))
	}
	sum.Write(buffer)
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

func TestXENDCGDrawsAnewEachIteration(t *testing.T) {
	t.Parallel()
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	md, scores := data(100, 3)
	cfg := lightgbm.NewConfig()
	cfg.Objective = "rank_xendcg"
	gradients := func(seed, iteration int) []float32 {
		cfg.ObjectiveSeed = seed
		o, err := New(cfg, md)
		if err != nil {
			t.Fatal(err)
		}
		grad, hess := make([]float32, 100), make([]float32, 100)
		o.Gradients(pool, iteration, scores, grad, hess)
		return grad
	}
	if !slices.Equal(gradients(1, 2), gradients(1, 2)) {
		t.Error("the same seed and iteration give other gradients")
	}
	if slices.Equal(gradients(1, 2), gradients(1, 3)) || slices.Equal(gradients(1, 2), gradients(2, 2)) {
		t.Error("another seed or iteration gives the same gradients")
	}
}

func TestConstantHessian(t *testing.T) {
	t.Parallel()
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	constant := []string{"regression", "regression_l1", "huber", "quantile", "mape"}
	for name := range builders {
		for _, weighted := range []bool{false, true} {
			cfg := lightgbm.NewConfig()
			cfg.Objective, cfg.NumClass = name, 2
			md, scores := data(100, 2)
			if !weighted {
				md.Weight = nil
			}
			o, err := New(cfg, md)
			if err != nil {
				t.Fatal(err)
			}
			want := !weighted && slices.Contains(constant, name)
			if got := o.ConstantHessian(); got != want {
				t.Errorf("%s, weighted %t: ConstantHessian is %t, want %t", name, weighted, got, want)
			}
			if !want {
				continue
			}
			grad, without, hess := make([]float32, 100), make([]float32, 100), make([]float32, 100)
			o.Gradients(pool, 0, scores[:100], grad, hess)
			o.Gradients(pool, 0, scores[:100], without, nil)
			if !slices.Equal(grad, without) {
				t.Errorf("%s: gradients differ without hessians", name)
			}
			if slices.ContainsFunc(hess, func(h float32) bool { return h != 1 }) {
				t.Errorf("%s: hessians %v are not all 1", name, hess)
			}
		}
	}
}

func TestGradientsStayFinite(t *testing.T) {
	t.Parallel()
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	scores := []float64{-1e308, -1000, -60, -40, -20, -1e-300, 0, 1e-9, 20, 40, 60, 1000, 1e308}
	n := len(scores)
	for _, name := range []string{
		"regression_l1", "huber", "fair", "quantile", "mape", "binary", "multiclass", "multiclassova",
		"cross_entropy", "cross_entropy_lambda", "lambdarank", "rank_xendcg",
	} {
		for _, weighted := range []bool{false, true} {
			cfg := lightgbm.NewConfig()
			cfg.Objective, cfg.NumClass = name, 2
			md := &dataset.Metadata{QueryStart: []int32{0, int32(n)}}
			for i := range n {
				md.Label = append(md.Label, float32(i%2))
				if weighted {
					md.Weight = append(md.Weight, float32(i)+0.5)
				}
			}
			o, err := New(cfg, md)
			if err != nil {
				t.Fatal(err)
			}
			grad, hess := make([]float32, n*o.Models()), make([]float32, n*o.Models())
			o.Gradients(pool, 0, slices.Concat(scores, scores)[:n*o.Models()], grad, hess)
			for i := range grad {
				if g, h := float64(grad[i]), float64(hess[i]); g-g != 0 || h-h != 0 || h < 0 {
					t.Errorf("%s, weighted %t, score %v: gradient %v, hessian %v", name, weighted, scores[i%n], g, h)
				}
			}
		}
	}
}

func TestOneClassNeedsNoTraining(t *testing.T) {
	t.Parallel()
	pool := parallel.New(1)
	t.Cleanup(pool.Close)
	for name, want := range map[string][]bool{
		"binary": {false}, "multiclass": {false, false, false}, "multiclassova": {false, false, false},
	} {
		cfg := lightgbm.NewConfig()
		cfg.Objective, cfg.NumClass = name, len(want)
		o, err := New(cfg, &dataset.Metadata{Label: []float32{1, 1}})
		if err != nil {
			t.Fatal(err)
		}
		var got []bool
		for k := range want {
			got = append(got, o.ClassNeedsTraining(k))
			if s := o.BoostFromScore(k); s-s != 0 {
				t.Errorf("%s: model %d starts from %v", name, k, s)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: ClassNeedsTraining (-want +got):\n%s", name, diff)
		}
		grad := make([]float32, 2*len(want))
		o.Gradients(pool, 0, make([]float64, 2*len(want)), grad, make([]float32, len(grad)))
	}
}

func TestPercentileIsThatOfSorting(t *testing.T) {
	t.Parallel()
	for round := range uint64(200) {
		src := random.New(17, round)
		n := 1 + src.IntN(300)
		values := make([]float64, n)
		for i := range values {
			values[i] = float64(src.IntN(1 + src.IntN(100)))
		}
		alpha := src.Float64()
		sorted := slices.Clone(values)
		slices.SortFunc(sorted, func(a, b float64) int { return int(b - a) })
		place := float64(n-1) * (1 - alpha)
		i := int(place)
		want := sorted[i]
		if i+1 < n {
			want -= (sorted[i] - sorted[i+1]) * (place - float64(i))
		}
		if got := percentile(values, alpha); !near(got, want, 1e-12) {
			t.Errorf("round %d: percentile %v of %v is %v, want %v", round, alpha, sorted, got, want)
		}
	}
}

func TestSelectNthOfHardOrders(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]func(i int) float64{
		"ascending": func(i int) float64 { return float64(i) }, "descending": func(i int) float64 { return float64(-i) },
		"equal": func(int) float64 { return 1 }, "organ pipe": func(i int) float64 { return float64(min(i, 1000-i)) },
		"saw": func(i int) float64 { return float64(i % 7) }, "infinite": func(i int) float64 { return math.Inf(i%3 - 1) },
	} {
		for _, at := range []int{0, 1, 499, 500, 998, 999} {
			values := make([]float64, 1000)
			for i := range values {
				values[i] = value(i)
			}
			want := slices.Sorted(slices.Values(values))[at]
			selectNth(values, at)
			if values[at] != want || slices.Max(values[:at+1]) > want || slices.Min(values[at:]) < want {
				t.Errorf("%s: number %d is %v, want %v", name, at, values[at], want)
			}
		}
	}
}

func TestCustom(t *testing.T) {
	t.Parallel()
	var o Objective = Custom{
		NumModels: 2, Start: []float64{3},
		Derivatives: func(iteration int, scores []float64, grad, hess []float32) {
			for i, s := range scores {
				grad[i], hess[i] = float32(s)+float32(iteration), 2
			}
		},
	}
	grad, hess, out := make([]float32, 2), make([]float32, 2), make([]float64, 2)
	o.Gradients(nil, 1, []float64{1, 2}, grad, hess)
	o.Transform([]float64{4, 5}, out)
	got := fmt.Sprintf("%s %q %d %v %v %v %v %v", o.Name(), o, o.Models(), o.BoostFromScore(0), o.BoostFromScore(1), grad, hess, out)
	if want := `custom "" 2 3 0 [2 3] [2 2] [4 5]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	o = Custom{Output: func(raw, out []float64) { out[0] = -raw[0] }}
	if o.Transform([]float64{4}, out); out[0] != -4 {
		t.Errorf("prediction is %v, want -4", out[0])
	}
}

func BenchmarkGradients(b *testing.B) {
	const n = 200_000
	pool := parallel.New(1)
	defer pool.Close()
	for _, name := range []string{"regression", "binary", "multiclass", "poisson", "lambdarank", "regression_l1"} {
		cfg := lightgbm.NewConfig()
		cfg.Objective, cfg.NumClass = name, 2
		md, scores := data(n, 2)
		md.Weight = nil
		o, err := New(cfg, md)
		if err != nil {
			b.Fatal(err)
		}
		grad, hess := make([]float32, n*o.Models()), make([]float32, n*o.Models())
		b.Run(name, func(b *testing.B) {
			for range b.N {
				o.Gradients(pool, 0, scores, grad, hess)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/row")
		})
	}
}
