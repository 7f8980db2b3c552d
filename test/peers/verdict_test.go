//go:build peers

package peers_test

import (
	"math"
	"testing"

	"cloister/test/peers/score"
)

// The rule by which tasks are judged.
func TestVerdict(t *testing.T) {
	t.Parallel()
	// runs are ten pairs with the given mean difference, relative, and spread.
	runs := func(metric score.Metric, difference, spread float64) outcome {
		o := outcome{metric: metric}
		for i := range leastSeeds {
			o.theirs = append(o.theirs, 1)
			o.ours = append(o.ours, 1+difference+spread*float64(i%2*2-1))
		}
		return o
	}
	one := func(ours float64) outcome {
		return outcome{metric: score.RMSE, ours: []float64{ours}, theirs: []float64{1}}
	}
	for name, c := range map[string]struct {
		outcome outcome
		passed  bool
	}{
		"equal":                       {one(1), true},
		"better":                      {one(0.5), true},
		"0.4 %":                       {one(1.004), true},
		"0.6 %":                       {one(1.006), false},
		"not a number":                {one(math.NaN()), false},
		"0.6 %, sure":                 {runs(score.RMSE, 0.006, 0.01), false},
		"0.6 %, one standard error":   {runs(score.RMSE, 0.006, 0.03), true},
		"2.1 %, one standard error":   {runs(score.RMSE, 0.021, 0.2), false},
		"0.6 % more where more is it": {runs(score.AUC, 0.006, 0.001), true},
		"0.6 % less where more is it": {runs(score.AUC, -0.006, 0.001), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if v := c.outcome.verdict(); (v == "") != c.passed {
				t.Errorf("verdict %q\n%s", v, table([]outcome{c.outcome}))
			}
		})
	}
}
