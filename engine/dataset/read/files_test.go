package read_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/parquet-go/parquet-go"

	"cloister/engine/dataset/read"
)

// shards are sources called a, b, c …
func shards(texts ...string) []read.Source {
	var list []read.Source
	for i, text := range texts {
		list = append(list, read.Bytes(string(rune('a'+i)), []byte(text)))
	}
	return list
}

// cutLines cuts a text into parts of some lines each; every part but the first
// gets the header too.
func cutLines(text, header string, lines ...int) []string {
	var parts []string
	rest := strings.SplitAfter(strings.TrimPrefix(text, header), "\n")
	for _, n := range lines {
		parts = append(parts, header+strings.Join(rest[:n], ""))
		rest = rest[n:]
	}
	return append(parts, header+strings.Join(rest, ""))
}

// TestReproducibleFiles reads tables cut into files as one table: the same rows,
// the same sample, for any number of threads.
func TestReproducibleFiles(t *testing.T) {
	t.Parallel()
	big := string(bigCSV(20_000, 6))
	header := "y,a,b,c,d,e,f\n"
	var svm strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&svm, "%d", i%2)
		for f := i % 5; f < 40; f += 7 {
			fmt.Fprintf(&svm, " %d:%d", f, i)
		}
		svm.WriteString("\n\n")
	}
	zeros := "1 3:1\n0 1:2\n" + strings.Repeat("0\n", 10) + "1 9:4\n"
	type record struct {
		Y float64 `parquet:"y"`
		A float32 `parquet:"a"`
	}
	records := make([]record, 20_000)
	for i := range records {
		records[i] = record{float64(i % 3), float32(i) / 7}
	}
	pq := func(lo, hi int) string {
		return string(writeParquet(t, records[lo:hi], parquet.MaxRowsPerRowGroup(3000)))
	}
	for name, c := range map[string]struct {
		whole string
		parts []string
		opt   read.Options
	}{
		"CSV":               {big, cutLines(big, "", 1, 7, 13_000), read.Options{}},
		"CSV with headers":  {header + big, cutLines(header+big, header, 9_000, 3), read.Options{Header: true, Ignore: []read.ColumnRef{read.ByName("d")}}},
		"many small files":  {big, cutLines(big, "", append(make([]int, 0, 300), repeat(100, 150)...)...), read.Options{}},
		"compressed or not": {big, compressOdd(t, cutLines(big, "", 7000, 7000)), read.Options{}},
		"no newline at the end": {
			"1\t2\n3\t4\n5\t6\n", []string{"1\t2", "3\t4\n", "\n\n5\t6\n\n"}, read.Options{},
		},
		"LibSVM":                 {svm.String(), cutLines(svm.String(), "", 4, 31_000), read.Options{Group: read.ByIndex(2)}},
		"LibSVM, rows of zeros":  {zeros, cutLines(zeros, "", 2, 10), read.Options{}},
		"LibSVM without a label": {"0:1 2:3\n1:1\n2:2\n", []string{"0:1 2:3\n", "1:1\n2:2\n"}, read.Options{LabelOptional: true, Features: 3}},
		"Parquet":                {pq(0, 20_000), []string{pq(0, 5), pq(5, 14_000), pq(14_000, 20_000)}, read.Options{}},
		"Parquet, compressed":    {pq(0, 20_000), compressOdd(t, []string{pq(0, 9000), pq(9000, 20_000)}), read.Options{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			want, wantSample := readFiles(t, []read.Source{read.Bytes("whole", []byte(c.whole))}, c.opt, 1)
			for _, threads := range []int{1, 2, 3, 8} {
				got, sample := readFiles(t, shards(c.parts...), c.opt, threads)
				if want.digest() != got.digest() { // which is quicker
					t.Fatalf("%d threads (-whole +files):\n%.2000s", threads, cmp.Diff(want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()))
				}
				if d := cmp.Diff(wantSample, sample, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); d != "" {
					t.Fatalf("%d threads: sample (-whole +files):\n%.2000s", threads, d)
				}
			}
		})
	}
}

func repeat(n, times int) []int {
	var list []int
	for range times {
		list = append(list, n)
	}
	return list
}

// compressOdd compresses every second part.
func compressOdd(tb testing.TB, parts []string) []string {
	tb.Helper()
	for i := 1; i < len(parts); i += 2 {
		parts[i] = gzipped(tb, parts[i])
	}
	return parts
}

func readFiles(t *testing.T, sources []read.Source, opt read.Options, threads int) (rows, *read.Sample) {
	t.Helper()
	opt.Threads = threads
	table, err := read.OpenAll(context.Background(), sources, opt)
	if err != nil {
		t.Fatal(err)
	}
	s, err := table.Sample(context.Background(), 500, 3)
	if err != nil {
		t.Fatal(err)
	}
	r, err := collect(table)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, n := range table.PartRows() {
		total += n
	}
	if n := len(r.Dense) + len(r.Sparse); total != n || len(table.PartRows()) != len(sources) {
		t.Errorf("%d rows in files of %v", n, table.PartRows())
	}
	return r, s
}

// TestFilesErrors names the file that is wrong and its own line or row.
func TestFilesErrors(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1,2"+strings.Repeat(" ", 60)+"\n", 40_000) // some blocks
	header := read.Options{Header: true}
	type record struct {
		Y float64  `parquet:"y"`
		A *float64 `parquet:"a"`
	}
	type renamed struct {
		Y float64 `parquet:"y"`
		B float64 `parquet:"b"`
	}
	type wordy struct {
		Y float64 `parquet:"y"`
		A string  `parquet:"a"`
	}
	one := 1.0
	pq := string(writeParquet(t, []record{{1, &one}, {0, &one}}))
	noLabel := string(writeParquet(t, []record{{1, &one}, {nan, &one}}))
	for name, c := range map[string]struct {
		parts []string
		opt   read.Options
		want  string
	}{
		"a word in the second file":      {[]string{long, "1,2\n\n1,x\n"}, read.Options{}, `b:3: field 2: "x" is not a number; write a finite`},
		"a word with a header":           {[]string{"y,a\n1,2\n", "y,a\n\n1,x\n"}, header, `b:3: field 2 (a): "x" is not a number; write a finite`},
		"an unexpected header":           {[]string{"1,2\n", "y,a\n1,2\n"}, read.Options{}, `b:1: field 1: "y" is not a number; if the first line holds the columns' names, set header=true`},
		"the first file first":           {[]string{long + "1,x\n", "1,y\n"}, read.Options{}, `a:40001: field 2: "x" is not a number`},
		"another width":                  {[]string{"1,2\n", "1,2,3\n"}, read.Options{}, `b:1: the line has 3 fields, but the table has 2 columns`},
		"another name":                   {[]string{"y,a,b\n1,2,3\n", "y,a,c\n1,2,3\n"}, header, `b:1: column 3 is called "c", but "b" in a; give every file the same columns in the same order`},
		"names in another order":         {[]string{"y,a,b\n1,2,3\n", "y,b,a\n1,2,3\n"}, header, `b:1: column 2 is called "b", but "a" in a; give every file`},
		"a column more":                  {[]string{"y,a\n1,2\n", "y,a,b\n1,2,3\n"}, header, `b:1: has 3 columns, but a has 2; give every file`},
		"TSV after CSV":                  {[]string{"1,2\n", "1\t2\n"}, read.Options{}, `b: is TSV, but a is CSV; give files of one form`},
		"LibSVM after CSV":               {[]string{"1,2\n", "1 1:2\n"}, read.Options{}, `b: is LibSVM, but a is CSV; give files of one form`},
		"Parquet after CSV":              {[]string{"1,2\n", pq}, read.Options{}, `b: is Parquet, but a is CSV; give files of one form`},
		"CSV after Parquet":              {[]string{pq, "1,2\n"}, read.Options{}, `b: is text, but a is Parquet; give files of one form`},
		"one column after CSV":           {[]string{"1,2\n", "1\n2\n"}, read.Options{}, `b:1: has one column only`},
		"an empty file":                  {[]string{"1,2\n", ""}, read.Options{}, `b: has no rows; check that it is the right file`},
		"a header only":                  {[]string{"y,a\n1,2\n", "y,a\n"}, header, `b: has a header but no rows`},
		"a truncated file":               {[]string{"1,2\n", gzipped(t, long)[:1000]}, read.Options{}, `b: is truncated; copy or compress`},
		"a label missing":                {[]string{"1,2\n", "1,2\n,3\n"}, read.Options{CheckLabel: true}, `b:2: field 1: the label is missing`},
		"LibSVM order":                   {[]string{"1 1:2\n", "1 1:2\n1 2:1 1:1\n"}, read.Options{}, `b:2: the index 1 follows 2`},
		"LibSVM labels":                  {[]string{"1 1:2\n", "1:2\n"}, read.Options{LabelOptional: true, Features: 9}, `b: has no labels, but a has; give all files labels, or none`},
		"LibSVM labels the other way":    {[]string{"1:2\n", "1 1:2\n"}, read.Options{LabelOptional: true, Features: 9}, `b: has labels, but a has none; give`},
		"Parquet of other names":         {[]string{pq, string(writeParquet(t, []renamed{{1, 2}}))}, read.Options{}, `b: column 2 is called "b", but "a" in a`},
		"Parquet of text":                {[]string{pq, string(writeParquet(t, []wordy{{1, "x"}}))}, read.Options{}, `b: column a: holds text, not numbers`},
		"Parquet label":                  {[]string{pq, noLabel}, read.Options{CheckLabel: true}, `b: row 2: column y: the label is missing`},
		"Parquet cut off":                {[]string{pq, pq[:len(pq)-3]}, read.Options{}, `b: is truncated Parquet`},
		"Parquet of too much to hold":    {[]string{gzipped(t, pq), gzipped(t, pq)}, read.Options{MaxSpool: int64(len(pq) + 9)}, `b: is a Parquet file of more than 9 bytes that cannot`},
		"the label's name is in no file": {[]string{"y,a\n1,2\n", "y,a\n1,2\n"}, read.Options{Header: true, Label: read.ByName("z")}, `a: label_column is name:z, but no column has that name`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, threads := range []int{1, 4} {
				for _, sample := range []bool{false, true} {
					c.opt.Threads = threads
					table, err := read.OpenAll(context.Background(), shards(c.parts...), c.opt)
					if err == nil && sample {
						_, err = table.Sample(context.Background(), 100, 1)
					}
					if err == nil {
						_, err = collect(table)
					}
					if err == nil || !strings.HasPrefix(err.Error(), c.want) {
						t.Errorf("%d threads, sample %t: got  %v\nwant %s", threads, sample, err, c.want)
					}
					var e *read.Error
					if !errors.As(err, &e) {
						t.Errorf("error of type %T", err)
					}
				}
			}
		})
	}
}

// TestRowFaultInFiles places a fault that a caller finds.
func TestRowFaultInFiles(t *testing.T) {
	t.Parallel()
	type record struct {
		Y float64 `parquet:"y"`
		A float64 `parquet:"a"`
	}
	pq := string(writeParquet(t, []record{{1, 2}, {3, 4}, {5, 6}}))
	for name, c := range map[string]struct {
		parts []string
		want  string
	}{
		"text":    {[]string{"1,2\n3,4\n", "1,2\n", "\n1,2\n\n1,2\n"}, "c:4: odd"},
		"Parquet": {[]string{pq, pq}, "b: row 2: odd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			table, err := read.OpenAll(context.Background(), shards(c.parts...), read.Options{})
			if err != nil {
				t.Fatal(err)
			}
			err = table.Rows(context.Background(), func(b *read.Batch) error {
				if b.First <= 4 && 4 < b.First+b.Rows {
					return &read.RowError{Row: 4, Err: read.Error{Table: "all", Problem: "odd"}}
				}
				return nil
			})
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestFilesThatChange(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var sources []read.Source
	for _, name := range []string{"a.csv", "b.csv"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("1,2\n3,4\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		sources = append(sources, read.File(path))
	}
	for name, c := range map[string]struct{ text, want string }{
		"longer":  {"1,2\n3,4\n5,6\n", "b.csv: changed while it was read: it had 2 rows and now has 3"},
		"shorter": {"1,2\n", "b.csv: changed while it was read: it had 2 rows and now has 1"},
		"empty":   {"\n", "b.csv: has no rows"},
		"gone":    {"", "b.csv: cannot open: no such file or directory"},
	} {
		if err := os.WriteFile(sources[1].Name, []byte("1,2\n3,4\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		table, err := read.OpenAll(context.Background(), sources, read.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := table.Sample(context.Background(), 1, 1); err != nil {
			t.Fatal(err)
		}
		if c.text == "" {
			err = os.Remove(sources[1].Name)
		} else {
			err = os.WriteFile(sources[1].Name, []byte(c.text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err = collect(table); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestPipeAmongFiles(t *testing.T) {
	t.Parallel()
	sources := append(shards("1,2\n"), read.Stdin(strings.NewReader("1,2\n")))
	_, err := read.OpenAll(context.Background(), sources, read.Options{})
	want := "standard input: can be read only once, so it cannot be one of several files; give regular files, or this one alone"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestFilesProgress(t *testing.T) {
	t.Parallel()
	parts := cutLines(string(bigCSV(20_000, 6)), "", 9000, 9000)
	last, total := int64(0), int64(0)
	for _, p := range parts {
		total += int64(len(p))
	}
	opt := read.Options{Progress: func(done, of int64) {
		if done < last || of != total {
			t.Errorf("%d of %d after %d, want of %d", done, of, last, total)
		}
		last = done
	}}
	table, err := read.OpenAll(context.Background(), shards(parts...), opt)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := collect(table); err != nil {
		t.Fatal(err)
	}
	if last != total {
		t.Errorf("progress ended at %d of %d", last, total)
	}
}

// FuzzFiles reads two texts as one table: where each is a table by itself and
// both have the same form, the rows are those of the first and of the second.
func FuzzFiles(f *testing.F) {
	for _, s := range [][2]string{
		{"1,2\n0,3\n", "4,5\n"},
		{"1\t2", "\n3\t4\n"},
		{"1 0:1 3:2\n0\n", "1\n1 4:4\n"},
		{"y,a\n1,2\n", "y,a\n3,4"},
		{"1,2\n", "1,2,3\n"},
		{"1,2\n", "\x1f\x8b\x08\x00"},
		{"1,2\n", ""},
		{"PAR1", "PAR1"},
		{"\xef\xbb\xbf1,2\n", "\xef\xbb\xbf1,2\n"},
	} {
		f.Add([]byte(s[0]), []byte(s[1]), false)
		f.Add([]byte(s[0]), []byte(s[1]), true)
	}
	f.Fuzz(func(t *testing.T, a, b []byte, header bool) {
		opt := read.Options{Header: header, Threads: 2, MaxLine: 1 << 16, MaxFeatures: 1 << 12, MaxSpool: 1 << 20}
		var all rows
		table, err := read.OpenAll(background, shards(string(a), string(b)), opt)
		if err == nil {
			all, err = collect(table)
		}
		var e *read.Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Fatalf("error of another type: %v", err)
			}
			return
		}
		opt.Format = table.Format()
		var want rows
		for _, data := range [][]byte{a, b} {
			one, err := read.Open(background, read.Bytes("one", bytes.Clone(data)), opt)
			if err != nil {
				t.Fatalf("a file that can be read among others: %v", err)
			}
			r, err := collect(one)
			if err != nil {
				t.Fatalf("a file that can be read among others: %v", err)
			}
			want.Dense, want.Sparse = append(want.Dense, r.Dense...), append(want.Sparse, r.Sparse...)
			want.Label = append(want.Label, r.Label...)
		}
		want.Names = all.Names
		if d := cmp.Diff(want, all, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("rows (-one by one +together):\n%s", d)
		}
	})
}
