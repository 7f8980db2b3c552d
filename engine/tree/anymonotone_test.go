package tree_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/tree"
)

// TestAnyMonotone grows trees on random tables with random options: whatever
// they are, values follow the constrained features.
func TestAnyMonotone(t *testing.T) {
	t.Parallel()
	for name, method := range map[string]tree.MonotoneMethod{
		"basic": tree.MonotoneBasic, "intermediate": tree.MonotoneIntermediate, "advanced": tree.MonotoneAdvanced,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			splits := 0
			for seed := range anyCases() {
				t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
					c := newAnyCase(t, 1_000_000+seed)
					c.options.MonotoneMethod = method
					r := rand.New(rand.NewPCG(seed, 13))
					c.options.Monotone = nil
					for range c.columns {
						c.options.Monotone = append(c.options.Monotone, int8(r.IntN(3)-1))
					}
					for i, grown := range c.grow(t, c.data, 2, c.options) {
						c.check(t, i, grown)
						splits += c.checkMonotone(t, r, grown.Tree)
					}
					if t.Failed() {
						t.Log(c)
					}
				})
			}
			if splits < 100 {
				t.Errorf("only %d splits on constrained features", splits)
			}
		})
	}
}

// checkMonotone moves constrained features of random rows from their least to
// their greatest value, and returns the number of splits on such features.
func (c *anyCase) checkMonotone(t *testing.T, r *rand.Rand, made *tree.Tree) (splits int) {
	t.Helper()
	row := make([]float64, len(c.columns))
	for f, sign := range c.options.Monotone {
		if sign == 0 || c.data.Mappers[f].Categorical || !slices.Contains(made.SplitFeature, int32(f)) {
			continue
		}
		splits++
		values := c.moves(f)
		for range 60 {
			from := r.IntN(c.data.Rows)
			for other := range row {
				if row[other] = c.columns[other][from]; r.IntN(4) == 0 {
					row[other] = c.columns[other][r.IntN(c.data.Rows)]
				}
			}
			last := math.Inf(-int(sign))
			for _, v := range values {
				row[f] = v
				value := made.Predict(row)
				if float64(sign)*value < float64(sign)*last {
					t.Fatalf("feature %d at %g gives %.17g, below it %.17g: sign %d", f, v, value, last, sign)
				}
				last = value
			}
		}
	}
	return splits
}

// moves are a feature's values, ascending and at most some hundred. Those that
// stand for a missing one are none.
func (c *anyCase) moves(f int) []float64 {
	var values []float64
	for _, v := range c.columns[f] {
		if !math.IsNaN(v) && (c.data.Mappers[f].Missing != dataset.MissingZero || math.Abs(v) > dataset.ZeroThreshold) {
			values = append(values, v)
		}
	}
	slices.Sort(values)
	values = slices.Compact(values)
	step := len(values)/200 + 1
	some := values[:0]
	for i := 0; i < len(values); i += step {
		some = append(some, values[i])
	}
	return some
}
