package score

import (
	"errors"
	"math"
	"testing"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		metric    Metric
		held      Held
		predicted []float64
		want      float64
	}{
		"rmse":            {RMSE, Held{Label: []float64{1, 2}}, []float64{4, 6}, math.Sqrt(12.5)},
		"rmse, weights":   {RMSE, Held{Label: []float64{1, 2}, Weight: []float64{3, 1}}, []float64{4, 6}, math.Sqrt(43.0 / 4)},
		"mae":             {MAE, Held{Label: []float64{1, 2}}, []float64{4, 1}, 2},
		"mape":            {MAPE, Held{Label: []float64{0.5, -4}}, []float64{1, -5}, 0.375},
		"quantile":        {Quantile(0.75), Held{Label: []float64{1, 2}}, []float64{3, 1}, 0.625},
		"logloss":         {LogLoss, Held{Label: []float64{1, 0}}, []float64{0.5, 0.75}, (math.Log(2) + math.Log(4)) / 2},
		"logloss, sure":   {LogLoss, Held{Label: []float64{1}}, []float64{0}, -math.Log(1e-15)},
		"error":           {Error, Held{Label: []float64{1, 0, 0, 1}}, []float64{0.9, 0.2, 0.7, 0.6}, 0.25},
		"auc":             {AUC, Held{Label: []float64{0, 0, 1, 1}}, []float64{0.1, 0.4, 0.35, 0.8}, 0.75},
		"auc, ties":       {AUC, Held{Label: []float64{0, 1, 0, 1}}, []float64{1, 1, 1, 1}, 0.5},
		"auc, weights":    {AUC, Held{Label: []float64{0, 0, 1}, Weight: []float64{1, 3, 1}}, []float64{1, 3, 2}, 0.25},
		"poisson, exact":  {PoissonDeviance, Held{Label: []float64{0, 3}}, []float64{0, 3}, 0},
		"poisson":         {PoissonDeviance, Held{Label: []float64{2}}, []float64{1}, 2 * (2*math.Log(2) - 1)},
		"multi_logloss":   {MultiLogLoss, Held{Label: []float64{2, 0}}, []float64{0.25, 0.25, 0.5, 1, 0, 0}, math.Log(2) / 2},
		"ndcg":            {NDCG10, Held{Label: []float64{0, 1, 2}, Queries: []int{3}}, []float64{3, 2, 1}, (1/math.Log2(3) + 3.0/2) / (3 + 1/math.Log2(3))},
		"ndcg, irrelvant": {NDCG10, Held{Label: []float64{0, 0, 1}, Queries: []int{2, 1}}, []float64{3, 2, 1}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := c.metric.Compute(c.held, c.predicted)
			if err != nil {
				t.Fatal(err)
			}
			if math.Abs(got-c.want) > 1e-14 {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestMetricsRefuseOtherShapes(t *testing.T) {
	t.Parallel()
	for _, m := range []Metric{RMSE, MAE, LogLoss, Error, AUC, PoissonDeviance, MultiLogLoss, NDCG10} {
		for _, h := range []Held{{}, {Label: []float64{0, 1, 1}, Queries: []int{2, 1}}} {
			if _, err := m.Compute(h, []float64{0.5, 0.5}); !errors.Is(err, ErrShape) {
				t.Errorf("%s of %d labels: %v", m.Name, len(h.Label), err)
			}
		}
	}
	if _, err := NDCG10.Compute(Held{Label: []float64{0, 1}, Queries: []int{1}}, []float64{1, 2}); !errors.Is(err, ErrShape) {
		t.Errorf("queries that do not cover the rows: %v", err)
	}
}

func TestWorse(t *testing.T) {
	t.Parallel()
	if got := RMSE.Worse(1.1, 1); math.Abs(got-0.1) > 1e-12 {
		t.Errorf("a higher rmse: %v", got)
	}
	if got := AUC.Worse(0.9, 1); math.Abs(got-0.1) > 1e-12 {
		t.Errorf("a lower auc: %v", got)
	}
	if got := LogLoss.Worse(0, 0); got != 0 {
		t.Errorf("equal: %v", got)
	}
}
