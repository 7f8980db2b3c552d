package tree_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/tree"
)

// anyCase is a random table with a random way to grow trees on it.
type anyCase struct {
	data    *dataset.Dataset
	plain   *dataset.Dataset // the same table without bundles
	columns [][]float64      // the table's values
	options tree.Options
	trees   []anyTree // that one grower grows, one after the other
}

// anyTree is what one tree is grown from.
type anyTree struct {
	gradients tree.Gradients
	rows      []uint32
	columns   []bool
}

// newAnyCase makes the same case from the same seed.
func newAnyCase(t *testing.T, seed uint64) *anyCase {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 11))
	rows := pick(r, 300, 1_000, 2_000, 3_000)
	switch seed % 16 {
	case 3:
		rows = pick(r, 1, 40)
	case 7:
		rows = 35_000 // several chunks, whatever they are
	}
	rows += r.IntN(min(rows, 3_000))
	c := &anyCase{}
	o := dataset.DefaultOptions()
	o.MinDataInBin, o.MinDataInLeaf = pick(r, 1, 3, 20), pick(r, 1, 5, 20)
	o.ZeroAsMissing, o.UseMissing = r.IntN(6) == 0, r.IntN(6) > 0
	o.MinSparse = 1
	o.EnableSparse, o.FeaturePreFilter = r.IntN(4) > 0, r.IntN(4) > 0
	features := 1 + r.IntN(pick(r, 3, 12, 12, 40))
	for f := range features {
		values, bins, categorical := anyColumn(r, rows)
		c.columns = append(c.columns, values)
		o.MaxBinByFeature = append(o.MaxBinByFeature, bins)
		if categorical {
			o.Categorical = append(o.Categorical, f)
		}
	}
	categorical := c.spellOut(rand.New(rand.NewPCG(seed, 13)), rows, &o)
	o.Categorical = append(o.Categorical, categorical...)
	features = len(c.columns)
	c.data = c.build(t, o)
	o.EnableBundle = false
	c.plain = c.build(t, o)
	signal := c.signal(r)
	for key := range 2 {
		c.trees = append(c.trees, anyTree{
			gradients: anyGradients(r, signal, uint64(key)+seed),
			rows:      anyRows(r, rows), columns: anyColumns(r, len(c.data.Columns)),
		})
	}
	c.options = anyOptions(r, features)
	return c
}

func (c *anyCase) build(t *testing.T, o dataset.Options) *dataset.Dataset {
	t.Helper()
	d, _, err := dataset.FromColumns(context.Background(), dataset.Columns{
		Values: c.columns, Metadata: dataset.Metadata{Label: make([]float32, len(c.columns[0]))},
	}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// spellOut adds, in one of two cases, columns of which in most rows at most one
// is set. It returns those that hold categories.
func (c *anyCase) spellOut(r *rand.Rand, rows int, o *dataset.Options) (categorical []int) {
	if r.IntN(2) == 0 {
		return nil
	}
	for range 1 + r.IntN(3) {
		first, n := len(c.columns), 2+r.IntN(pick(r, 3, 12, 60))
		values, kinds := make([][]float64, n), pick(r, 1, 1, 2, 6)
		for k := range n {
			values[k] = make([]float64, rows)
			o.MaxBinByFeature = append(o.MaxBinByFeature, pick(r, 2, 3, 255))
			if r.IntN(8) == 0 {
				categorical = append(categorical, first+k)
			}
		}
		conflicts, unset, missing := pick(r, 0, 0, 0.002, 0.05, 0.3), pick(r, 0, 0.1, 0.5), sometimes(r, 0.01)
		for i := range rows {
			for more := r.Float64() >= unset; more; more = r.Float64() < conflicts {
				v := &values[int(float64(n)*r.Float64()*r.Float64())][i]
				if *v = float64(1 + r.IntN(kinds)); r.Float64() < missing {
					*v = math.NaN()
				}
			}
		}
		c.columns = append(c.columns, values...)
	}
	return categorical
}

func pick[T any](r *rand.Rand, list ...T) T { return list[r.IntN(len(list))] }

// anyColumn draws a column's values, the bins it may have, and its kind.
func anyColumn(r *rand.Rand, rows int) (values []float64, bins int, categorical bool) {
	values = make([]float64, rows)
	var draw func() float64
	bins = pick(r, 2, 3, 15, 16, 17, 63, 255, 256)
	switch levels := pick(r, 2, 3, 5, 20, 100); r.IntN(6) {
	case 0:
		categorical = true
		bins = pick(r, 3, 40, 255)
		draw = func() float64 { return float64(r.IntN(levels)) }
	case 1:
		draw = func() float64 { return float64(r.IntN(levels) - 2) }
	case 2: // mostly one value
		usual := pick(r, 0.0, 3)
		draw = func() float64 {
			if r.IntN(12) > 0 {
				return usual
			}
			return float64(r.IntN(2*levels) - levels)
		}
	case 3:
		bins = 2000
		draw = r.NormFloat64
	default:
		draw = r.NormFloat64
	}
	missing := pick(r, 0, 0, 0.05, 0.5, 0.97)
	for i := range values {
		if values[i] = draw(); r.Float64() < missing {
			values[i] = math.NaN()
		}
	}
	return values, bins, categorical
}

// signal is a function of the table, with noise and a mean of zero.
func (c *anyCase) signal(r *rand.Rand) []float64 {
	y := make([]float64, c.data.Rows)
	some := c.columns[:min(len(c.columns), 5)]
	if n := len(c.columns); n > 7 {
		some = append(some[:4:4], c.columns[n-3:]...)
	}
	for _, values := range some {
		weight, turn := r.NormFloat64(), float64(r.IntN(4))
		for i, v := range values {
			if math.IsNaN(v) {
				v = 4
			}
			y[i] += weight * math.Abs(v-turn)
		}
	}
	sum := 0.0
	noise := pick(r, 0, 0.1, 3)
	for i := range y {
		y[i] += noise * r.NormFloat64()
		sum += y[i]
	}
	for i := range y {
		y[i] -= sum / float64(len(y))
	}
	return y
}

func anyGradients(r *rand.Rand, signal []float64, key uint64) tree.Gradients {
	n := len(signal)
	g := tree.Gradients{Grad: make([]float32, n), Hess: make([]float32, n), Key: key}
	scale := pick(r, 1, 1, 1, 1, 1, 1, 1, 1e-20, 1e20)
	kind := r.IntN(4)
	g.ConstantHessian = kind == 0
	for i, y := range signal {
		switch kind {
		case 0: // a squared loss
			g.Grad[i], g.Hess[i] = float32(-scale*y), float32(scale)
		case 1: // a loss of two classes
			p := 1 / (1 + math.Exp(-y))
			g.Grad[i], g.Hess[i] = float32(p-math.Round(r.Float64())), float32(p*(1-p))
		case 2: // rows with weights, some of them zero
			w := scale * float64(r.IntN(4))
			g.Grad[i], g.Hess[i] = float32(-w*y), float32(w)
		default: // few different gradients: many equal gains
			g.Grad[i], g.Hess[i] = float32(scale)*float32(math.Copysign(1, y)), float32(scale)
		}
	}
	return g
}

func anyRows(r *rand.Rand, n int) []uint32 {
	if r.IntN(2) == 0 {
		return nil
	}
	share := pick(r, 0.1, 0.5, 0.9)
	rows := []uint32{}
	for i := range uint32(n) {
		if r.Float64() < share {
			rows = append(rows, i)
		}
	}
	return rows
}

func anyColumns(r *rand.Rand, n int) []bool {
	if r.IntN(3) > 0 {
		return nil
	}
	columns := make([]bool, n)
	for i := range columns {
		columns[i] = r.IntN(2) == 0
	}
	return columns
}

// sometimes is one of the values in one of four calls, else zero.
func sometimes[T any](r *rand.Rand, list ...T) T {
	if r.IntN(4) > 0 {
		var zero T
		return zero
	}
	return pick(r, list...)
}

func anyOptions(r *rand.Rand, features int) tree.Options {
	o := tree.Options{
		NumLeaves: pick(r, 2, 7, 31, 31, 63, 63, 127), MaxDepth: sometimes(r, -1, 1, 4, 9),
		MinDataInLeaf: pick(r, 0, 1, 5, 20), MinSumHessianInLeaf: pick(r, 0, 1e-3, 1),
		L1: sometimes(r, 0.1, 5), L2: sometimes(r, 0.1, 10), MinGainToSplit: sometimes(r, 0.01, 5),
		MaxDeltaStep: sometimes(r, 0.05, 2),
		CatSmooth:    pick(r, 0.0, 2, 10), CatL2: pick(r, 0.0, 1, 10), MaxCatThreshold: pick(r, 1, 4, 32),
		MaxCatToOnehot: pick(r, 1, 4, 10), MinDataPerGroup: pick(r, 1, 10, 100),
		PathSmooth: sometimes(r, 0.5, 20), ExtraSeed: r.Uint64(), FeatureFractionSeed: r.Uint64(),
		ExtraTrees: sometimes(r, true), FeatureFractionByNode: sometimes(r, 0.3, 0.8),
	}
	o.HistogramMemory = sometimes(r, 1, 20_000)
	if r.IntN(4) == 0 {
		for range 1 + r.IntN(4) {
			o.InteractionConstraints = append(o.InteractionConstraints, r.Perm(features)[:1+r.IntN(features)])
		}
	}
	if r.IntN(4) == 0 {
		o.FeatureContri = anyNumbers(r, features, 0, 0.5, 1, 2)
	}
	if r.IntN(4) == 0 {
		o.Costs = &tree.CostOptions{
			Tradeoff: pick(r, 0.5, 2), Split: sometimes(r, 1e-5, 1e-3),
			Coupled: sometimes(r, anyNumbers(r, features, 0, 0.1, 1, 1e6)), Lazy: sometimes(r, anyNumbers(r, features, 0, 1e-4, 1e-2)),
		}
	}
	if r.IntN(4) == 0 {
		o.Quantize = &tree.QuantizeOptions{Bins: pick(r, 2, 4, 5, 32, 127), Stochastic: r.IntN(3) > 0, Seed: r.Uint64(), Renew: r.IntN(2) == 0}
	}
	if r.IntN(5) == 0 {
		o.Forced = anyForced(r, features, 3)
	}
	if r.IntN(2) == 0 {
		o.MonotoneMethod, o.MonotonePenalty = pick(r, monotoneMethods...), sometimes(r, 0.5, 1.5, 3)
		for range features {
			o.Monotone = append(o.Monotone, int8(r.IntN(3)-1))
		}
	}
	return o
}

var monotoneMethods = []tree.MonotoneMethod{tree.MonotoneBasic, tree.MonotoneIntermediate, tree.MonotoneAdvanced}

func anyNumbers(r *rand.Rand, n int, list ...float64) []float64 {
	values := make([]float64, n)
	for i := range values {
		values[i] = pick(r, list...)
	}
	return values
}

func anyForced(r *rand.Rand, features, depth int) *tree.ForcedSplit {
	if depth == 0 || r.IntN(4) == 0 {
		return nil
	}
	return &tree.ForcedSplit{
		Feature: r.IntN(features), Threshold: pick(r, -0.5, 0, 1, 2.5),
		Left: anyForced(r, features, depth-1), Right: anyForced(r, features, depth-1),
	}
}

// String describes a case that failed.
func (c *anyCase) String() string {
	return fmt.Sprintf("%v, options %+v", c.data, c.options)
}
