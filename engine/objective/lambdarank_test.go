package objective

import (
	"math"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
	"cloister/engine/random"
)

// plainLambdas are the derivatives of a query pair by pair, as LightGBM's
// documentation and the paper have them.
func plainLambdas(o *lambdarank, q int, scores []float64) (grad, hess []float64) {
	lo, hi := int(o.start[q]), int(o.start[q+1])
	label, scores := o.label[lo:hi], scores[lo:hi]
	rank := make([]int, len(label))
	spread := 0.
	for i := range rank {
		for j := range rank {
			if scores[j] > scores[i] || scores[j] == scores[i] && j < i {
				rank[i]++
			}
			spread = max(spread, scores[i]-scores[j])
		}
	}
	grad, hess = make([]float64, len(label)), make([]float64, len(label))
	total := 0.
	for i := range label {
		for j := range label {
			if label[i] <= label[j] || min(rank[i], rank[j]) >= o.truncation {
				continue
			}
			change := (o.gains.Label(label[i]) - o.gains.Label(label[j])) * o.inverseMax[q] *
				math.Abs(o.gains.Discount(rank[i])-o.gains.Discount(rank[j]))
			if o.norm && spread > 0 {
				change /= 0.01 + math.Abs(scores[i]-scores[j])
			}
			p := 1 / (1 + math.Exp(o.sigmoid*(scores[i]-scores[j])))
			complement := 1 / (1 + math.Exp(-o.sigmoid*(scores[i]-scores[j])))
			lambda, curvature := o.sigmoid*change*p, o.sigmoid*o.sigmoid*change*p*complement
			grad[i] -= lambda
			grad[j] += lambda
			hess[i] += curvature
			hess[j] += curvature
			total += 2 * lambda
		}
	}
	if o.norm && total > 0 {
		for i := range grad {
			grad[i] *= math.Log2(1+total) / total
			hess[i] *= math.Log2(1+total) / total
		}
	}
	return grad, hess
}

// TestLambdas compares with the plain formulas: also far apart, where the odds
// of all rows are out of range, and for gains that do not grow with the label.
func TestLambdas(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spread, sigmoid float64
		truncation      int
		norm            bool
		gains           []float64
	}{
		"default":         {4, 1, 30, true, nil},
		"not normed":      {4, 2, 30, false, nil},
		"ties":            {0, 1, 30, true, nil},
		"truncated":       {10, 1, 3, true, nil},
		"one":             {10, 1, 1, false, nil},
		"far apart":       {4000, 1, 30, true, nil},
		"steep":           {10, 100, 5, true, nil},
		"flat":            {10, 1e-6, 30, true, nil},
		"gains that fall": {4, 1, 30, true, []float64{0, 5, 3, 3, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := random.New(4)
			md := &dataset.Metadata{QueryStart: []int32{0}}
			var scores []float64
			for range 40 {
				for range src.IntN(60) {
					md.Label = append(md.Label, float32(src.IntN(5)))
					scores = append(scores, math.Round(c.spread*64*(src.Float64()-0.5))/64)
				}
				md.QueryStart = append(md.QueryStart, int32(len(md.Label)))
			}
			cfg := lightgbm.NewConfig()
			cfg.Objective, cfg.Sigmoid, cfg.LambdarankTruncationLevel = "lambdarank", c.sigmoid, c.truncation
			cfg.LambdarankNorm, cfg.LabelGain = c.norm, c.gains
			made, err := New(cfg, md)
			if err != nil {
				t.Fatal(err)
			}
			o, pool := made.(*lambdarank), parallel.New(2)
			defer pool.Close()
			grad, hess := make([]float32, len(scores)), make([]float32, len(scores))
			o.Gradients(pool, 0, scores, grad, hess)
			for q := range len(o.start) - 1 {
				wantGrad, wantHess := plainLambdas(o, q, scores)
				largestGrad, largestHess := 0., 0.
				for i := range wantGrad {
					largestGrad, largestHess = max(largestGrad, math.Abs(wantGrad[i])), max(largestHess, math.Abs(wantHess[i]))
				}
				for i, lo := 0, int(o.start[q]); i < len(wantGrad); i++ {
					g, h := float64(grad[lo+i]), float64(hess[lo+i])
					if !(math.Abs(g-wantGrad[i]) <= float64(1e-7*largestGrad)+math.SmallestNonzeroFloat32) || !(math.Abs(h-wantHess[i]) <= float64(1e-7*largestHess)+math.SmallestNonzeroFloat32) {
						t.Fatalf("query %d, row %d: derivatives %v and %v, want %v and %v", q, i, g, h, wantGrad[i], wantHess[i])
					}
				}
			}
		})
	}
}
