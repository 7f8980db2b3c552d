package tree_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/parallel"
	"cloister/engine/tree"

	"github.com/google/go-cmp/cmp"
)

// anyCases is the number of random cases; CLOISTER_SOAK tries more.
func anyCases() uint64 {
	if os.Getenv("CLOISTER_SOAK") != "" {
		return 20_000
	}
	return 100
}

// TestReproducibleWithAnyOptions grows trees on random tables with random
// options: neither threads nor the memory for histograms nor bundles change them, and they
// are what the rows, the columns and the options allow.
func TestReproducibleWithAnyOptions(t *testing.T) {
	t.Parallel()
	var bundled, conflicting atomic.Int64
	t.Cleanup(func() {
		if n := int64(anyCases() / 20); bundled.Load() < n || conflicting.Load() < n {
			t.Errorf("only %d cases have bundles, and %d of these conflicts", bundled.Load(), conflicting.Load())
		}
	})
	for seed := range anyCases() {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			c := newAnyCase(t, seed)
			if c.data.Bundles != nil {
				bundled.Add(1)
				if s := c.data.Sparse; s != nil && slices.ContainsFunc(s.Columns, func(i int) bool { return c.data.Columns[i].First > 0 }) {
					conflicting.Add(1)
				}
			}
			want := c.grow(t, c.data, 1, c.options)
			for i, got := range c.grow(t, c.plain, 1, c.options) {
				if diff := want[i].diff(got); diff != "" {
					t.Errorf("without bundles tree %d is another: %s", i, diff)
				}
			}
			for i := range want {
				c.check(t, i, want[i])
			}
			for _, threads := range []int{1, 2, 3, 8} {
				memory := map[int]int{1: 1, 2: c.options.HistogramMemory, 3: 0, 8: 50_000}[threads]
				opt := c.options
				opt.HistogramMemory = memory
				for i, got := range c.grow(t, c.data, threads, opt) {
					if diff := want[i].diff(got); diff != "" {
						t.Errorf("%d threads and %d bytes for histograms change tree %d: %s", threads, memory, i, diff)
					}
				}
			}
			if t.Failed() {
				t.Log(c)
			}
		})
	}
}

// anyGrown is a tree with all that its grower tells of it.
type anyGrown struct {
	Tree   *tree.Tree
	Rows   [][]uint32 // of each leaf
	Scores []float64
}

func (g *anyGrown) diff(other anyGrown) string {
	switch {
	case !slices.EqualFunc(g.Rows, other.Rows, slices.Equal[[]uint32]):
		return "its leaves have other rows"
	case !slices.Equal(g.Scores, other.Scores):
		return "it gives other scores"
	}
	return cmp.Diff(g.Tree, other.Tree)
}

// grow grows the case's trees.
func (c *anyCase) grow(t *testing.T, d *dataset.Dataset, threads int, opt tree.Options) []anyGrown {
	t.Helper()
	pool := parallel.New(threads)
	defer pool.Close()
	g := tree.NewGrower(d, pool, opt)
	all := make([]anyGrown, len(c.trees))
	for i, from := range c.trees {
		made, err := g.Grow(context.Background(), from.gradients, from.rows, from.columns)
		if err != nil {
			t.Fatal(err)
		}
		grown := anyGrown{Tree: made.Tree, Scores: make([]float64, d.Rows)}
		for leaf := range made.Tree.NumLeaves {
			grown.Rows = append(grown.Rows, slices.Clone(made.Rows(leaf)))
		}
		made.AddScores(d, nil, grown.Scores)
		all[i] = grown
	}
	return all
}

// check finds what is wrong with tree i in itself.
func (c *anyCase) check(t *testing.T, i int, grown anyGrown) {
	t.Helper()
	made, from, opt := grown.Tree, c.trees[i], &c.options
	if err := made.Validate(len(c.columns)); err != nil {
		t.Fatalf("tree %d is not valid: %v", i, err)
	}
	if made.NumLeaves > opt.NumLeaves || opt.MaxDepth > 0 && made.MaxDepth() > opt.MaxDepth {
		t.Errorf("tree %d has %d leaves and depth %d", i, made.NumLeaves, made.MaxDepth())
	}
	for at := range c.data.Columns {
		f := int32(c.data.Columns[at].Feature)
		if from.columns != nil && !from.columns[at] && opt.Forced == nil && slices.Contains(made.SplitFeature, f) {
			t.Errorf("tree %d is split on feature %d, which it may not use", i, f)
		}
	}
	for leaf, v := range made.LeafValue {
		if opt.MaxDeltaStep > 0 && math.Abs(v) > opt.MaxDeltaStep*(1+1e-12) {
			t.Errorf("tree %d: leaf %d has the value %g", i, leaf, v)
		}
		// Rows are counted by their hessians: exactly if these are constant.
		if n := made.LeafCount[leaf]; from.gradients.ConstantHessian && opt.Forced == nil && made.NumLeaves > 1 && n < int64(opt.MinDataInLeaf) {
			t.Errorf("tree %d: leaf %d has %d rows", i, leaf, n)
		}
	}
	c.checkRows(t, i, grown)
}

// checkRows compares the leaves' rows with the counts, and with the leaves and
// values that the tree gives these rows' values.
func (c *anyCase) checkRows(t *testing.T, i int, grown anyGrown) {
	t.Helper()
	made, all := grown.Tree, 0
	row := make([]float64, len(c.columns))
	for leaf, rows := range grown.Rows {
		all += len(rows)
		if n := made.LeafCount[leaf]; n != int64(len(rows)) || n == 0 && made.NumLeaves > 1 {
			t.Errorf("tree %d: leaf %d has %d rows, its count is %d", i, leaf, len(rows), n)
		}
		if !slices.IsSorted(rows) {
			t.Errorf("tree %d: the rows of leaf %d do not ascend", i, leaf)
		}
		for _, r := range rows {
			for f := range row {
				row[f] = c.columns[f][r]
			}
			if at := made.Leaf(row); at != leaf {
				t.Fatalf("tree %d: row %d is in leaf %d, its values lead to leaf %d", i, r, leaf, at)
			}
		}
	}
	want := c.data.Rows
	if rows := c.trees[i].rows; rows != nil {
		want = len(rows)
	}
	if all != want {
		t.Errorf("tree %d: the leaves have %d rows, want %d", i, all, want)
	}
	if made.NumLeaves > 1 {
		if made.InternalCount[0] != int64(want) {
			t.Errorf("tree %d: the root counts %d rows, want %d", i, made.InternalCount[0], want)
		}
		for r, score := range grown.Scores {
			for f := range row {
				row[f] = c.columns[f][r]
			}
			if v := made.Predict(row); v != score {
				t.Fatalf("tree %d adds %g to row %d, but predicts %g", i, score, r, v)
			}
		}
	}
}

// TestAnyCasesCoverAllOptions fails when an option is new and the cases do not
// know of it.
func TestAnyCasesCoverAllOptions(t *testing.T) {
	t.Parallel()
	set := make(map[string]bool)
	var note func(prefix string, v reflect.Value)
	note = func(prefix string, v reflect.Value) {
		for i := range v.NumField() {
			name, field := prefix+v.Type().Field(i).Name, v.Field(i)
			set[name] = set[name] || !field.IsZero()
			if field.Kind() == reflect.Pointer && field.Type() != reflect.TypeFor[*tree.ForcedSplit]() && !field.IsNil() {
				note(name+".", field.Elem())
			}
		}
	}
	for seed := range anyCases() {
		note("", reflect.ValueOf(anyOptions(rand.New(rand.NewPCG(seed, 12)), 5)))
	}
	for name, is := range set {
		if !is {
			t.Errorf("no case sets %s", name)
		}
	}
}
