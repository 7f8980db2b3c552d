package dcg_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/internal/dcg"
)

func TestMaxIsDCGOfTheBestOrder(t *testing.T) {
	t.Parallel()
	g := dcg.New(nil)
	labels := []float32{0, 3, 1, 2, 0, 3}
	best := slices.Clone(labels)
	slices.Sort(best)
	slices.Reverse(best)
	want := 0.
	for k := range len(best) + 3 {
		if got := g.Max(k, labels); math.Abs(got-want) > 1e-12 {
			t.Errorf("Max(%d) = %v, want %v", k, got, want)
		}
		if k < len(best) {
			want += (math.Exp2(float64(best[k])) - 1) / math.Log2(float64(k+2))
		}
	}
}

func TestLabelGain(t *testing.T) {
	t.Parallel()
	if got := dcg.New(nil).Label(30); got != 1<<30-1 {
		t.Errorf("the default gain of 30 is %v, want %d", got, 1<<30-1)
	}
	g := dcg.New([]float64{0, 5, 2})
	if got := g.Label(1); got != 5 {
		t.Errorf("the gain of 1 is %v, want 5", got)
	}
	if err := g.Check([]float32{0, 1, 2}); err != nil {
		t.Error(err)
	}
	for name, bad := range map[string]float32{"gain": 3, "integer": 1.5, "sign": -1, "number": float32(math.NaN())} {
		var label *dcg.LabelError
		if err := g.Check([]float32{0, bad}); !errors.As(err, &label) || label.Row != 1 || !strings.HasPrefix(err.Error(), "row 2: ") {
			t.Errorf("%s: error is %v, want one about row 2", name, err)
		}
	}
}

func TestOrderKeepsEqualScoresInPlace(t *testing.T) {
	t.Parallel()
	order := make([]int32, 6)
	dcg.Order(order, []float64{1, 3, 2, 3, 1, math.Inf(1)})
	if diff := cmp.Diff([]int32{5, 1, 3, 2, 0, 4}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}
