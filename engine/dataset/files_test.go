package dataset

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset/read"
)

// cutInput cuts a table and its side files, whose lines are given, into files.
func cutInput(table []byte, side map[string]string, rows ...int) Input {
	lines := bytes.SplitAfter(table, []byte("\n"))
	sides := map[string][]string{}
	for kind, text := range side {
		sides[kind] = strings.SplitAfter(text, "\n")
	}
	var all Input
	at := 0
	for i, n := range append(rows, len(lines)-1-sum(rows)) {
		name := string(rune('a' + i))
		in := bytesInput(name, bytes.Join(lines[at:at+n], nil))
		for kind, to := range map[string]**read.Source{"weight": &in.Weight, "init": &in.Init} {
			if list := sides[kind]; list != nil {
				src := read.Bytes(name+"."+kind, []byte(strings.Join(list[at:at+n], "")))
				*to = &src
			}
		}
		if i == 0 {
			all = in
		} else {
			all.More = append(all.More, in)
		}
		at += n
	}
	return all
}

func sum(list []int) int {
	total := 0
	for _, n := range list {
		total += n
	}
	return total
}

// TestReproducibleFiles finds the same bins and metadata in one file and in
// several, whether the sample is the whole table or not.
func TestReproducibleFiles(t *testing.T) {
	t.Parallel()
	m, o := synthetic(5003)
	var weight, init strings.Builder
	for i := range m.Rows {
		weight.WriteString(string(rune('1'+i%7)) + "\n")
		init.WriteString(string(rune('1'+i%3)) + "\t-2.5\n")
	}
	sides := map[string]string{"weight": weight.String(), "init": init.String()}
	for name, libsvm := range map[string]bool{"csv": false, "libsvm": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table := text(m, libsvm)
			for _, sample := range []int{1000, 200000} {
				o := o
				o.BinConstructSampleCnt = sample
				want := mustLoad(t, cutInput(table, sides), o, nil)
				ref := mustLoad(t, cutInput(table, nil, 2500), o, nil)
				for _, threads := range []int{1, 3} {
					o.Threads = threads
					got := mustLoad(t, cutInput(table, sides, 1, 3000, 17), o, nil)
					if d := cmp.Diff(want, got, withoutKeys); d != "" {
						t.Fatalf("%d threads, sample of %d (-one +four):\n%.2000s", threads, sample, d)
					}
					valid := mustLoad(t, cutInput(table, sides, 3000), o, ref)
					if fingerprint(valid) != fingerprint(want) {
						t.Errorf("%d threads, sample of %d: a validation set in two files differs", threads, sample)
					}
				}
			}
		})
	}
}

func TestSideFilesOfFiles(t *testing.T) {
	t.Parallel()
	table := func(name string) Input { return bytesInput(name, []byte("1,2\n0,3\n1,4\n")) }
	with := func(in Input, kind, text string) Input {
		s := side(in.Table.Name+"."+kind, text)
		switch kind {
		case "weight":
			in.Weight = s
		case "query":
			in.Query = s
		case "init":
			in.Init = s
		case "position":
			in.Position = s
		}
		return in
	}
	o := DefaultOptions()
	o.MinDataInBin, o.MinDataInLeaf = 1, 1
	for name, c := range map[string]struct {
		files []Input
		want  string
		query []int32
		init  []float64
		place []int32
		names []string
	}{
		"queries": {
			files: []Input{with(table("a"), "query", "1\n2\n"), with(table("b"), "query", "3\n"), with(table("c"), "query", "2\n0\n1\n")},
			query: []int32{0, 1, 3, 6, 8, 8, 9},
		},
		"scores of two classes": {
			files: []Input{with(table("a"), "init", "1\t2\n3\t4\n5\t6\n"), with(table("b"), "init", "7\t8\n9\t10\n11\t12\n")},
			init:  []float64{1, 3, 5, 7, 9, 11, 2, 4, 6, 8, 10, 12},
		},
		"positions of one name in several files": {
			files: []Input{
				with(table("a"), "position", "top\nside bar\ntop\n"), with(table("b"), "position", "foot\ntop\nfoot\n"), with(table("c"), "position", "side bar\nfoot\n3\n"),
			},
			place: []int32{0, 1, 0, 2, 0, 2, 1, 2, 3},
			names: []string{"top", "side bar", "foot", "3"},
		},
		"a file lacks positions": {
			files: []Input{with(table("a"), "position", "1\n2\n3\n"), table("b")},
			want:  "b: has no side file of positions, but a has a.position; give every file one, or none",
		},
		"short positions made up for": {
			files: []Input{with(table("a"), "position", "1\n2\n"), with(table("b"), "position", "1\n2\n3\n4\n")},
			want:  "a.position: has 2 positions, but a has 3 rows; give each row one",
		},
		"a file lacks weights": {
			files: []Input{with(table("a"), "weight", "1\n2\n3\n"), with(table("b"), "weight", "1\n2\n3\n"), table("c")},
			want:  "c: has no side file of weights, but a has a.weight; give every file one, or none",
		},
		"the first lacks queries": {
			files: []Input{table("a"), with(table("b"), "query", "3\n")},
			want:  "a: has no side file of queries, but b has b.query; give every file one, or none",
		},
		"short weights": {
			files: []Input{with(table("a"), "weight", "1\n2\n3\n"), with(table("b"), "weight", "1\n2\n")},
			want:  "b.weight: has 2 weights, but b has 3 rows; give each row one",
		},
		"short weights made up for": {
			files: []Input{with(table("a"), "weight", "1\n2\n3\n4\n"), with(table("b"), "weight", "1\n2\n")},
			want:  "a.weight: has 4 weights, but a has 3 rows; give each row one",
		},
		"queries beyond a file": {
			files: []Input{with(table("a"), "query", "4\n"), with(table("b"), "query", "2\n")},
			want:  "a.query: the queries have more rows, but the table has 3; give the number of rows of each query, one a line",
		},
		"a bad weight": {
			files: []Input{with(table("a"), "weight", "1\n2\n3\n"), with(table("b"), "weight", "1\nx\n3\n")},
			want:  `b.weight:2: "x" is not a number; write finite decimal numbers`,
		},
		"scores of other classes": {
			files: []Input{with(table("a"), "init", "1\t2\n3\t4\n5\t6\n"), with(table("b"), "init", "7\n9\n11\n")},
			want:  "b.init: has 1 initial scores on a line, but a.init has 2; give every row one for each class",
		},
		"a category that is none": {
			files: []Input{table("a"), bytesInput("b", []byte("1,2\n\n0,2.5\n"))},
			want:  "b:3: column Column_0: 2.5 is no whole number, but the feature is categorical; number the categories from 0, or take the feature out of categorical_feature",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.Categorical = []int{0}
			in := c.files[0]
			in.More = c.files[1:]
			for _, sample := range []int{1, 100} { // two passes and one
				o.BinConstructSampleCnt = sample
				d, _, err := Load(context.Background(), in, o, nil)
				if err != nil || c.want != "" {
					if err == nil || err.Error() != c.want {
						t.Errorf("got  %v\nwant %s", err, c.want)
					}
					continue
				}
				if diff := cmp.Diff(c.query, d.QueryStart); diff != "" {
					t.Errorf("queries (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(c.init, d.InitScore); diff != "" {
					t.Errorf("scores (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(Metadata{Position: c.place, PositionNames: c.names}, Metadata{Position: d.Position, PositionNames: d.PositionNames}); diff != "" {
					t.Errorf("positions (-want +got):\n%s", diff)
				}
			}
		})
	}
}

func TestFilesInput(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var paths []string
	for _, name := range []string{"a.csv", "b.csv"} {
		path := filepath.Join(dir, name)
		paths = append(paths, path)
		for file, text := range map[string]string{path: "1,2\n0,3\n", path + ".weight": "1\n2\n"} {
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	in, err := FilesInput(paths, read.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := DefaultOptions()
	d := mustLoad(t, in, o, nil)
	if diff := cmp.Diff([]float32{1, 2, 1, 2}, d.Weight); diff != "" || d.Rows != 4 {
		t.Errorf("%d rows, weights (-want +got):\n%s", d.Rows, diff)
	}
}
