package dcg_test

import (
	stdcmp "cmp"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/internal/dcg"
	"cloister/engine/random"
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
	var sorter dcg.Sorter
	zero := math.Copysign(0, -1)
	for _, order := range [][]int32{{0, 1, 2, 3, 4, 5, 6, 7, 8}, {8, 7, 6, 5, 4, 3, 2, 1, 0}, {4, 0, 6, 8, 2, 7, 1, 3, 5}} {
		sorter.Sort(order, []float64{1, 3, 2, 3, zero, math.Inf(1), 0, -3, -2})
		if diff := cmp.Diff([]int32{5, 1, 3, 2, 0, 4, 6, 8, 7}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	}
}

// TestSortFromAnyOrder sorts few and many rows from what the order was before,
// near and far, and from the opposite.
func TestSortFromAnyOrder(t *testing.T) {
	t.Parallel()
	var sorter dcg.Sorter
	for _, rows := range []int{0, 1, 2, 3, 40, 1_000, dcg.MaxRows} {
		src := random.New(3, uint64(rows))
		scores, order := make([]float64, rows), make([]int32, rows)
		dcg.Reset(order)
		for _, change := range []float64{100, 0.1, 100, 0} {
			for i := range scores {
				scores[i] += math.Round(change * (src.Float64() - 0.5))
			}
			want := make([]int32, rows)
			dcg.Reset(want)
			slices.SortStableFunc(want, func(a, b int32) int { return -stdcmp.Compare(scores[a], scores[b]) })
			if sorter.Sort(order, scores); !slices.Equal(order, want) {
				t.Fatalf("%d rows after a change of %v are out of order", rows, change)
			}
			slices.Reverse(order)
		}
	}
}

func TestOrdersAreBorrowedOnce(t *testing.T) {
	t.Parallel()
	start := []int32{0, 2, 5}
	orders := dcg.NewOrders(start)
	first, giveBack := orders.Borrow(start)
	first[0], first[1] = 1, 0
	second, giveBackSecond := orders.Borrow(start)
	if diff := cmp.Diff([]int32{0, 1, 0, 1, 2}, second); diff != "" {
		t.Errorf("orders while others are borrowed (-want +got):\n%s", diff)
	}
	giveBackSecond()
	giveBack()
	if again, _ := orders.Borrow(start); again[0] != 1 {
		t.Error("the order was not kept")
	}
}
