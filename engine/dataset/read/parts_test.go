package read

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestPartsAreTheSample compares the three ways to draw.
func TestPartsAreTheSample(t *testing.T) {
	t.Parallel()
	const rows = 30000
	r := rand.New(rand.NewPCG(1, 2))
	var csv, svm strings.Builder
	for i := range rows {
		fmt.Fprintf(&csv, "%d,%d,%g,%d\n", i%2, 1+i%3, r.Float64(), i/7)
		fmt.Fprintf(&svm, "%d", i%2)
		for f := range 20 {
			if r.IntN(4) == 0 {
				fmt.Fprintf(&svm, " %d:%g", f, r.Float64())
			}
		}
		svm.WriteByte('\n')
	}
	dense, sparse := Options{Weight: ByIndex(0), Group: ByIndex(2), Threads: 3}, Options{Threads: 3}
	for name, in := range map[string]struct {
		text string
		opt  Options
		size bool
	}{
		"csv": {csv.String(), dense, true},
		"svm": {svm.String(), sparse, true},
		// Without a size many rows are collected and then dropped.
		"csv of unknown size": {csv.String(), dense, false},
		"svm of unknown size": {svm.String(), sparse, false},
	} {
		for _, n := range []int{1, 100, rows - 1, rows, rows + 1} {
			t.Run(fmt.Sprintf("%s %d", name, n), func(t *testing.T) {
				t.Parallel()
				ctx := context.Background()
				src := Bytes(name, []byte(in.text))
				if !in.size {
					src.Size = 0
				}
				table, err := Open(ctx, src, in.opt)
				if err != nil {
					t.Fatal(err)
				}
				want, err := table.Sample(ctx, n, 5)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(want.RowIndex, SampleRows(rows, n, 5)); d != "" {
					t.Fatalf("SampleRows draws other rows:\n%.1000s", d)
				}
				parts, err := table.SampleParts(ctx, n, 5)
				if err != nil {
					t.Fatal(err)
				}
				got := Batch{Features: want.Features}
				for i, b := range parts.Batches {
					if b.Seq != i || b.First != got.Rows || b.Features != want.Features {
						t.Fatalf("part %d: Seq %d, First %d, Features %d", i, b.Seq, b.First, b.Features)
					}
					for k := range b.Rows {
						got.appendRow(&b, k)
					}
				}
				if d := cmp.Diff(want.Batch, got); d != "" {
					t.Errorf("(-Sample +SampleParts):\n%.1000s", d)
				}
				if parts.Rows != min(n, rows) || parts.Total != rows || parts.All != want.All || !slices.IsSorted(want.RowIndex) {
					t.Errorf("%d rows of %d, all %t", parts.Rows, parts.Total, parts.All)
				}
			})
		}
	}
}

// TestAllKeepsTheTable compares a table that is kept whole with the sample that is
// all of it.
func TestAllKeepsTheTable(t *testing.T) {
	t.Parallel()
	const rows = 40000
	var csv, svm strings.Builder
	for i := range rows {
		fmt.Fprintf(&csv, "%d,%d,%d\n", i%2, 1+i%3, i)
		fmt.Fprintf(&svm, "%d %d:%d\n", i%2, i%20, i)
	}
	for name, text := range map[string]string{"csv": csv.String(), "svm": svm.String()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, err := Open(t.Context(), Bytes(name, []byte(text)), Options{Threads: 3})
			if err != nil {
				t.Fatal(err)
			}
			if n := table.Estimate(); n < rows/2 || n > 2*rows {
				t.Errorf("%d rows are estimated of %d", n, rows)
			}
			if parts, err := table.All(t.Context(), rows-1); parts != nil || err != nil {
				t.Fatalf("too many rows were kept: %v, %v", parts, err)
			}
			got, err := table.All(t.Context(), rows)
			if err != nil {
				t.Fatal(err)
			}
			want, err := table.Sample(t.Context(), rows, 1)
			if err != nil {
				t.Fatal(err)
			}
			all := Batch{Features: want.Features}
			for i, b := range got.Batches {
				if b.Seq != i || b.First != all.Rows || b.Features != want.Features {
					t.Fatalf("part %d: Seq %d, First %d, Features %d", i, b.Seq, b.First, b.Features)
				}
				for k := range b.Rows {
					all.appendRow(&b, k)
				}
			}
			if d := cmp.Diff(want.Batch, all); d != "" {
				t.Errorf("(-Sample +All):\n%.1000s", d)
			}
			if got.Rows != rows || got.Total != rows || !got.All {
				t.Errorf("%d rows of %d, all %t", got.Rows, got.Total, got.All)
			}
		})
	}
}
