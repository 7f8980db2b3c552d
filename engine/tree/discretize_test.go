package tree

import (
	"math"
	"slices"
	"testing"

	"cloister/engine/parallel"
)

func levels(t *testing.T, threads int, g *Gradients, o *QuantizeOptions) (fixed, []int64) {
	t.Helper()
	pool := parallel.New(threads)
	defer pool.Close()
	packed := make([]int64, len(g.Grad))
	f, err := discretize(pool, g, o, packed)
	if err != nil {
		t.Fatal(err)
	}
	return f, packed
}

func TestReproducibleLevels(t *testing.T) {
	t.Parallel()
	tab := randomTable(8, 60_000, 2)
	g := &Gradients{Grad: tab.grad, Hess: tab.hess, Key: 3}
	o := &QuantizeOptions{Bins: 4, Stochastic: true, Seed: 1}
	_, want := levels(t, 1, g, o)
	for _, threads := range []int{2, 3, 8} {
		if _, got := levels(t, threads, g, o); !slices.Equal(got, want) {
			t.Errorf("%d threads give other levels", threads)
		}
	}
	other := *g
	other.Key++
	if _, got := levels(t, 1, &other, o); slices.Equal(got, want) {
		t.Error("another tree has the same levels")
	}
	if _, got := levels(t, 1, g, &QuantizeOptions{Bins: 4, Stochastic: true, Seed: 2}); slices.Equal(got, want) {
		t.Error("another seed gives the same levels")
	}
}

// Levels are in range, next to the exact values, and right in the mean.
func TestLevels(t *testing.T) {
	t.Parallel()
	tab := randomTable(8, 60_000, 2)
	for i := range 20_000 { // as many times the same value
		tab.grad[i], tab.hess[i] = -1.7, 0.3
	}
	for _, o := range []QuantizeOptions{{Bins: 2, Stochastic: true}, {Bins: 5, Stochastic: true}, {Bins: 4}, {Bins: 127, Stochastic: true}, {Bins: 127}} {
		for _, constant := range []bool{false, true} {
			g := &Gradients{Grad: tab.grad, Hess: tab.hess, ConstantHessian: constant}
			if constant {
				g.Hess = slices.Repeat([]float32{0.25}, len(g.Grad))
			}
			f, packed := levels(t, 2, g, &o)
			reach := 0.5
			if o.Stochastic {
				reach = 1
			}
			var grad, hess float64
			for i, p := range packed {
				a, b := f.grad(p), f.hess(p)
				if math.Abs(a-float64(g.Grad[i])) > f.gradScale*reach*(1+1e-9) || math.Abs(b-float64(g.Hess[i])) > f.hessScale*reach*(1+1e-9) {
					t.Fatalf("%+v: row %d has %g, %g instead of %g, %g", o, i, a, b, g.Grad[i], g.Hess[i])
				}
				if n := p >> f.hessBits; max(n, -n) > int64(o.Bins/2) || p&f.hessMask > int64(o.Bins) {
					t.Fatalf("%+v: row %d has the levels %d and %d", o, i, n, p&f.hessMask)
				}
				if i < 20_000 {
					grad += a
					hess += b
				}
			}
			if constant && hess != 5000 {
				t.Errorf("%+v: constant hessians sum to %g, want 5000", o, hess)
			}
			if !o.Stochastic {
				continue
			}
			spread := 5 * math.Sqrt(20_000) / 2
			if math.Abs(grad+34_000) > spread*f.gradScale || !constant && math.Abs(hess-6_000) > spread*f.hessScale {
				t.Errorf("%+v: 20000 rows sum to %g and %g, want -34000 and 6000", o, grad, hess)
			}
		}
	}
}

func TestLevelsOfNothing(t *testing.T) {
	t.Parallel()
	zero := make([]float32, 100)
	tiny := slices.Repeat([]float32{math.SmallestNonzeroFloat32}, 100)
	for name, g := range map[string]*Gradients{"zero": {Grad: zero, Hess: zero}, "tiny": {Grad: tiny, Hess: tiny}} {
		f, packed := levels(t, 1, g, &QuantizeOptions{Bins: 4, Stochastic: true})
		for i, p := range packed {
			if v := f.grad(p); math.Abs(v-float64(g.Grad[i])) > 1e-44 || math.IsNaN(f.hess(p)) {
				t.Fatalf("%s: row %d has %g and %g", name, i, v, f.hess(p))
			}
		}
	}
	if err := fitLevels([][2]int64{{1, math.MaxUint32}, {0, 1}}); err == nil {
		t.Error("no error for hessians beyond 32 bits")
	}
	if err := fitLevels([][2]int64{{math.MaxInt32, 5}, {0, 1}}); err != nil {
		t.Error(err)
	}
}

// TestRenewedValues compares leaf values from rounded gradients with those from
// exact ones.
func TestRenewedValues(t *testing.T) {
	t.Parallel()
	tab := randomTable(3, 5000, 3) // no categories
	d := tab.dataSet(func(int) storage { return narrow })
	grad := Gradients{Grad: tab.grad, Hess: tab.hess}
	opt := testOptions()
	opt.Quantize = &QuantizeOptions{Bins: 6, Stochastic: true}
	f, packed := levels(t, 1, &grad, opt.Quantize)
	for _, renew := range []bool{false, true} {
		opt.Quantize.Renew = renew
		made, leaves := grow(t, d, 2, opt, grad, nil)
		if made.NumLeaves < 10 {
			t.Fatalf("only %d leaves", made.NumLeaves)
		}
		g, h := make([]float64, made.NumLeaves), make([]float64, made.NumLeaves)
		for r, leaf := range leaves {
			if renew {
				g[leaf] += float64(tab.grad[r])
				h[leaf] += float64(tab.hess[r])
			} else {
				g[leaf] += f.grad(packed[r])
				h[leaf] += f.hess(packed[r])
			}
		}
		for leaf, v := range made.LeafValue {
			if want := -g[leaf] / (h[leaf] + opt.L2); math.Abs(v-want) > 1e-9*math.Abs(want) {
				t.Errorf("renew %v: leaf %d has the value %.15g, want %.15g", renew, leaf, v, want)
			}
		}
	}
}
