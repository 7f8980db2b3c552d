package tree

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"cloister/engine/parallel"
)

// signs constrains columns of every kind but those whose zeros are missing
// values: they jump by definition.
var signs = []int8{1, 0, -1, 0, 0, 1, -1, 0, 1}

func monotoneOptions(method MonotoneMethod) Options {
	opt := testOptions()
	opt.Monotone, opt.MonotoneMethod = signs, method
	return opt
}

// TestMonotone changes one constrained feature of random rows from its least
// to its greatest value.
func TestMonotone(t *testing.T) {
	t.Parallel()
	smooth := monotoneOptions(MonotoneIntermediate)
	smooth.PathSmooth, smooth.MonotonePenalty, smooth.MaxDeltaStep = 30, 1.5, 30
	basic := monotoneOptions(MonotoneBasic)
	basic.PathSmooth, basic.L1 = 5, 10
	advanced := smooth
	advanced.MonotoneMethod = MonotoneAdvanced
	for name, opt := range map[string]Options{
		"basic": monotoneOptions(MonotoneBasic), "intermediate": monotoneOptions(MonotoneIntermediate),
		"intermediate, smooth": smooth, "basic, smooth": basic, "advanced": monotoneOptions(MonotoneAdvanced), "advanced, smooth": advanced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			splits := 0
			for seed := range uint64(6) {
				splits += checkMonotone(t, seed, opt)
			}
			if splits < 20 {
				t.Errorf("only %d splits on constrained features", splits)
			}
		})
	}
}

// checkMonotone returns the number of splits on constrained features.
func checkMonotone(t *testing.T, seed uint64, opt Options) (splits int) {
	t.Helper()
	tab := randomTable(50+seed, 4000, len(signs))
	opt.NumLeaves = 63
	made, _ := grow(t, tab.dataSet(func(c int) storage { return storage(c % 3) }), 2, opt, Gradients{Grad: tab.grad, Hess: tab.hess, Key: seed}, nil)
	r := rand.New(rand.NewPCG(seed, 3))
	for _, f := range made.SplitFeature {
		if signs[f] != 0 {
			splits++
		}
	}
	row := make([]float64, len(signs))
	for range 100 {
		for c, m := range tab.mappers {
			row[c] = float64(r.IntN(m.NumBins))
			if r.IntN(5) == 0 {
				row[c] = math.NaN()
			}
		}
		for f, sign := range signs {
			if sign == 0 {
				continue
			}
			kept, last := row[f], math.Inf(-int(sign))
			for v := range tab.mappers[f].NumBins {
				row[f] = float64(v)
				value := made.LeafValue[made.Leaf(row)]
				if float64(sign)*value < float64(sign)*last {
					t.Fatalf("seed %d: feature %d at %d gives %.17g, below it %.17g: sign %d", seed, f, v, value, last, sign)
				}
				last = value
			}
			row[f] = kept
		}
	}
	return splits
}

// The methods restrict less and less: trees fit better on the whole.
func TestMonotoneMethodsRestrictLess(t *testing.T) {
	t.Parallel()
	var loss [3]float64
	for seed := range uint64(10) {
		tab := randomTable(70+seed, 3000, len(signs))
		d := tab.dataSet(func(int) storage { return narrow })
		for method := range loss {
			made, leaves := grow(t, d, 1, monotoneOptions(MonotoneMethod(method)), Gradients{Grad: tab.grad, Hess: tab.hess}, nil)
			for r, leaf := range leaves {
				v := made.LeafValue[leaf]
				loss[method] += v*float64(tab.grad[r]) + v*v*float64(tab.hess[r])/2
			}
		}
	}
	if loss[MonotoneIntermediate] >= loss[MonotoneBasic] || loss[MonotoneAdvanced] >= loss[MonotoneIntermediate] {
		t.Errorf("losses %g: each method should have less than the one before", loss)
	}
}

// TestAdvancedGains compares the gains that were found with bounds for every
// threshold with those of the values that the leaves got.
func TestAdvancedGains(t *testing.T) {
	t.Parallel()
	bounded := 0
	for seed := range uint64(30) {
		tab := randomTable(90+seed, 3000, len(signs))
		d := tab.dataSet(func(int) storage { return narrow })
		pool := parallel.New(2)
		g := NewGrower(d, pool, monotoneOptions(MonotoneAdvanced))
		made, err := g.Grow(context.Background(), Gradients{Grad: tab.grad, Hess: tab.hess, Key: seed}, nil, nil)
		pool.Close()
		if err != nil {
			t.Fatal(err)
		}
		var gain func(at int32) (total int64, value, gained float64)
		gain = func(at int32) (total int64, value, gained float64) {
			if at < 0 {
				l := &made.leaves[^at]
				return l.total, l.output, g.gainOf(l.total, l.l2, l.output)
			}
			n := &made.nodes[at]
			left, v, a := gain(n.left)
			right, w, b := gain(n.right)
			total = left + right
			shift := g.opt.leafGain(g.fix.grad(total), g.fix.hess(total)+2*epsilon, g.opt.L2)
			if got := a + b - shift; !n.categorical && math.Abs(got-n.gain) > 1e-9*(math.Abs(shift)+n.gain) {
				t.Errorf("seed %d: node %d has the gain %g, its children's values %g and %g give %g", seed, at, n.gain, v, w, got)
			}
			if v != g.outputOf(left, n.l2) || w != g.outputOf(right, n.l2) {
				bounded++
			}
			return total, n.at.output, g.gainOf(total, n.at.l2, n.at.output)
		}
		gain(0)
	}
	if bounded < 50 {
		t.Errorf("only %d splits have a bounded child", bounded)
	}
}

func (g *Grower) gainOf(packed int64, l2, value float64) float64 {
	return g.opt.gainAt(g.fix.grad(packed), g.fix.hess(packed)+epsilon, l2, value)
}

func TestMonotonePenalty(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		penalty float64
		depth   int
		want    float64
	}{
		{0, 0, 1}, {0, 5, 1}, {1, 0, 0}, {0.5, 1, 0.75}, {2, 1, 0}, {2, 2, 0.5}, {2, 4, 0.875}, {3, 0, 0}, {1.5, 2, 1 - math.Pow(2, -1.5)},
	} {
		if got := monotonePenalty(test.penalty, test.depth); math.Abs(got-test.want) > 1e-14 {
			t.Errorf("penalty %g at depth %d: factor %g, want %g", test.penalty, test.depth, got, test.want)
		}
	}
	tab := randomTable(5, 3000, len(signs))
	opt := monotoneOptions(MonotoneBasic)
	opt.MonotonePenalty, opt.MaxDepth = 3, 6
	made, _ := grow(t, tab.dataSet(func(int) storage { return narrow }), 1, opt, Gradients{Grad: tab.grad, Hess: tab.hess}, nil)
	paths(made, func(_ int, features []int) {
		for depth, f := range features[:min(2, len(features))] {
			if signs[f] != 0 {
				t.Errorf("constrained feature %d is split on at depth %d", f, depth)
			}
		}
	})
}
