package read_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset/read"
)

var background = context.Background()

func TestCompressed(t *testing.T) {
	t.Parallel()
	text := "1,2\n0,3\n"
	want, err := readAll(text, read.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"gzip":              gzipped(t, text),
		"gzip members":      gzipped(t, "1,", "2\n0", ",3", "\n"),
		"zstd":              zstded(t, text),
		"zstd frames":       zstded(t, "1,2\n0") + zstded(t, ",3\n"),
		"zstd, skip frame":  "\x50\x2a\x4d\x18\x02\x00\x00\x00ab" + zstded(t, text),
		"plain":             text,
		"without last line": strings.TrimSpace(text),
	} {
		got, err := readAll(data, read.Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: rows (-want +got):\n%s", name, diff)
		}
	}
}

func TestOnce(t *testing.T) {
	t.Parallel()
	open := func() *read.Table {
		table, err := read.Open(background, read.Stdin(strings.NewReader("1,2,-0,0.1\n0,300,1e9,nan\n")), read.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return table
	}
	table := open()
	if _, err := collect(table); err != nil {
		t.Fatal(err)
	}
	if _, err := collect(table); !errors.Is(err, read.ErrUsed) {
		t.Errorf("a second pass: error = %v, want ErrUsed", err)
	}
	table = open()
	for range 2 {
		s, err := table.Sample(background, 1, 7)
		if err != nil || s.Rows != 1 || s.Total != 2 {
			t.Fatalf("sample = %+v, %v", s, err)
		}
	}
	got, err := collect(table)
	if err != nil {
		t.Fatal(err)
	}
	if got.Dense[0][0] != 2 || !math.Signbit(got.Dense[0][1]) || got.Dense[0][2] != 0.1 ||
		got.Dense[1][0] != 300 || got.Dense[1][1] != 1e9 || !math.IsNaN(got.Dense[1][2]) {
		t.Errorf("kept rows = %v", got.Dense)
	}
	if _, err := collect(table); !errors.Is(err, read.ErrUsed) {
		t.Errorf("a third pass: error = %v, want ErrUsed", err)
	}
	table = open()
	if err := table.Close(); err != nil {
		t.Error(err)
	}
	if _, err := collect(table); !errors.Is(err, read.ErrUsed) {
		t.Errorf("after Close: error = %v, want ErrUsed", err)
	}
}

func TestChangedFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "t.csv")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1,2\n1,3\n")
	table, err := read.Open(background, read.File(path), read.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := table.Sample(background, 10, 1); err != nil {
		t.Fatal(err)
	}
	write("1,2\n1,3\n1,4\n")
	_, err = collect(table)
	if err == nil || !strings.Contains(err.Error(), "changed while it was read: it had 2 rows and now has 3") {
		t.Errorf("error = %v", err)
	}
}

// TestSampleIsUniform draws 20 of 100 rows with many seeds and counts each.
func TestSampleIsUniform(t *testing.T) {
	t.Parallel()
	var text []byte
	for i := range 100 {
		text = fmt.Appendf(text, "0,%d\n", i)
	}
	table, err := read.Open(background, read.Bytes("table", text), read.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	const seeds = 1000
	var counts [100]int
	for seed := range uint64(seeds) {
		s, err := table.Sample(background, 20, seed)
		if err != nil {
			t.Fatal(err)
		}
		if s.Rows != 20 || s.All || s.Total != 100 {
			t.Fatalf("%d rows of %d", s.Rows, s.Total)
		}
		for i, row := range s.RowIndex {
			if s.Values[i] != float64(row) || i > 0 && row <= s.RowIndex[i-1] {
				t.Fatalf("rows %v have values %v", s.RowIndex, s.Values)
			}
			counts[row]++
		}
	}
	chi2 := 0.0
	for _, c := range counts {
		d := float64(c) - seeds*0.2
		chi2 += d * d / (seeds * 0.2 * 0.8)
	}
	// 99 degrees of freedom: 160 is beyond the 0.9999 quantile.
	if chi2 > 160 {
		t.Errorf("chi-square = %.1f for 99 degrees of freedom: %v", chi2, counts)
	}
}

// TestSampleWithABadEstimate has short lines behind long ones and the other
// way round, so that the number of rows cannot be guessed from the start.
func TestSampleWithABadEstimate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("1,0."+strings.Repeat("3", 200)+"\n", 2000)
	short := strings.Repeat("1,2\n", 100_000)
	for name, text := range map[string]string{"long first": long + short, "short first": short + strings.Repeat(long, 10)} {
		var want *read.Sample
		for _, data := range []string{text, gzipped(t, text)} {
			table, err := read.Open(background, read.Bytes("table", []byte(data)), read.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := table.Sample(background, 1000, 5)
			if err != nil {
				t.Fatal(err)
			}
			if want == nil {
				want = s
			}
			if diff := cmp.Diff(want, s); s.Rows != 1000 || diff != "" {
				t.Errorf("%s: %d rows (-plain +gzip):\n%s", name, s.Rows, diff)
			}
		}
	}
}

// TestSampleReportsTheFirstFault: several rows are bad; the sample may see any.
func TestSampleReportsTheFirstFault(t *testing.T) {
	t.Parallel()
	var text []byte
	for i := range 200_000 {
		if i >= 1000 && i%100 == 0 {
			text = append(text, "1,x\n"...)
		}
		text = append(text, "1,2\n"...)
	}
	for seed := range uint64(5) {
		table, err := read.Open(background, read.Bytes("table", text), read.Options{Threads: 3})
		if err != nil {
			t.Fatal(err)
		}
		_, err = table.Sample(background, 1000, seed)
		if err == nil || !strings.HasPrefix(err.Error(), `table:1001: field 2: "x"`) {
			t.Errorf("error = %v", err)
		}
	}
}

func TestLibSVMFeaturesAfterSample(t *testing.T) {
	t.Parallel()
	text := "1 0:1\n" + strings.Repeat("0 0:1 3:2\n", 5000) + "1 2:1 77:1\n" + strings.Repeat("0 0:1 3:2\n", 5000)
	table, err := read.Open(background, read.Bytes("table", []byte(text)), read.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := table.Sample(background, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if table.Features() != 78 || s.Features != 78 || s.Rows != 10 || len(s.RowStart) != 11 || len(table.Names()) != 78 {
		t.Errorf("features = %d, sample %+v", table.Features(), s)
	}
}

func TestFindAndIgnore(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/types.parquet")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		src    read.Source
		column string
		want   int
	}{
		"CSV":     {read.Stdin(strings.NewReader("y,a,text\n1,2,x\n")), "text", 1},
		"Parquet": {read.Bytes("table", data), "text", 9},
	} {
		table, err := read.Open(background, c.src, read.Options{Header: true})
		if err != nil {
			t.Fatal(err)
		}
		i, err := table.Find("categorical_feature", read.ByName(c.column))
		if err != nil || i != c.want {
			t.Errorf("%s: Find = %d, %v, want %d", name, i, err, c.want)
		}
		if _, err := table.Find("categorical_feature", read.ByName("textt")); err == nil || !strings.Contains(err.Error(), "did you mean text?") {
			t.Errorf("%s: error = %v", name, err)
		}
		if err := table.Ignore(99); err == nil {
			t.Errorf("%s: a feature that does not exist was ignored", name)
		}
		if err := table.Ignore(i); err != nil {
			t.Error(err)
		}
		got, err := collect(table)
		if err != nil {
			t.Fatal(name, err)
		}
		if v := got.Dense[0][i]; v != 0 || !table.Ignored(i) {
			t.Errorf("%s: an ignored feature is %v", name, v)
		}
	}
}

func TestInOrder(t *testing.T) {
	t.Parallel()
	text := bigCSV(50_000, 10)
	for _, threads := range []int{1, 2, 8} {
		table, err := read.Open(background, read.Bytes("table", text), read.Options{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		next, batches := 0, 0
		err = read.InOrder(background, table, func(b *read.Batch) ([2]int, error) {
			return [2]int{b.First, b.Rows}, nil
		}, func(r [2]int) error {
			if r[0] != next {
				t.Errorf("a batch starts at row %d, want %d", r[0], next)
			}
			next += r[1]
			batches++
			return nil
		})
		if err != nil || next != 50_000 || batches < 3 {
			t.Errorf("%d rows in %d batches, error %v", next, batches, err)
		}
		boom := errors.New("boom")
		delivered := 0
		err = read.InOrder(background, table, func(b *read.Batch) (int, error) {
			if b.Seq == 2 {
				return 0, boom
			}
			return b.Rows, nil
		}, func(int) error { delivered++; return nil })
		if !errors.Is(err, boom) || delivered != 2 {
			t.Errorf("%d threads: error %v after %d batches, want boom after 2", threads, err, delivered)
		}
	}
}

func TestInOrderStopsAtABadRow(t *testing.T) {
	t.Parallel()
	text := append(bigCSV(20_000, 10), "1,2\n"...)
	text = append(text, bigCSV(20_000, 10)...)
	table, err := read.Open(background, read.Bytes("table", text), read.Options{Threads: 4})
	if err != nil {
		t.Fatal(err)
	}
	err = read.InOrder(background, table, func(b *read.Batch) (int, error) { return b.Rows, nil }, func(int) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "the line has 2 fields") {
		t.Errorf("error = %v", err)
	}
}

// slow gives a line at a time and then waits for ever.
type slow struct{ text io.Reader }

func (s slow) Read(p []byte) (int, error) {
	n, err := s.text.Read(p[:min(len(p), 1000)])
	if err != nil {
		select {}
	}
	return n, nil
}

func TestCancellation(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]read.Source{
		"endless":           read.Stdin(&endless{}),
		"waiting for input": read.Stdin(slow{bytes.NewReader(bigCSV(40_000, 10))}),
	} {
		table, err := read.Open(background, src, read.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(background)
		var cancelled atomic.Int64
		time.AfterFunc(100*time.Millisecond, func() {
			cancelled.Store(time.Now().UnixNano())
			cancel()
		})
		err = table.Rows(ctx, func(*read.Batch) error { return nil })
		late := time.Duration(time.Now().UnixNano() - cancelled.Load())
		if !errors.Is(err, context.Canceled) || late > 2*time.Second {
			t.Errorf("%s: error %v, %v after the cancellation", name, err, late)
		}
	}
	ctx, cancel := context.WithCancel(background)
	cancel()
	if _, err := read.Open(ctx, read.Bytes("table", []byte("1,2\n")), read.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("Open: error = %v", err)
	}
}

type endless struct{}

func (*endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = "1,2\n"[i%4]
	}
	return len(p) / 4 * 4, nil
}

func TestProgress(t *testing.T) {
	t.Parallel()
	text := bigCSV(30_000, 10)
	var last, calls int64
	table, err := read.Open(background, read.Bytes("table", text), read.Options{Progress: func(done, total int64) {
		if done < last || total != int64(len(text)) {
			t.Errorf("progress went from %d to %d of %d", last, done, total)
		}
		last = done
		calls++
	}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := collect(table); err != nil {
		t.Fatal(err)
	}
	if last != int64(len(text)) || calls < 2 {
		t.Errorf("progress ended at %d of %d after %d calls", last, len(text), calls)
	}
}

func TestSideFiles(t *testing.T) {
	t.Parallel()
	weights, err := read.Weights(background, read.Bytes("w", []byte("\xef\xbb\xbf1\r\n\r\n0.5\r\n 2 ")))
	if diff := cmp.Diff([]float32{1, 0.5, 2}, weights); err != nil || diff != "" {
		t.Errorf("weights: %v (-want +got):\n%s", err, diff)
	}
	scores, err := read.Floats(background, read.Bytes("s", []byte(gzipped(t, "1\t-2\n3e1\t4\n"))))
	if diff := cmp.Diff(&read.Scores{Rows: 2, Columns: 2, Values: []float64{1, -2, 30, 4}}, scores); err != nil || diff != "" {
		t.Errorf("scores: %v (-want +got):\n%s", err, diff)
	}
	counts, err := read.Counts(background, read.Bytes("q", []byte("3\n0\n12\n")))
	if diff := cmp.Diff([]int{3, 0, 12}, counts); err != nil || diff != "" {
		t.Errorf("counts: %v (-want +got):\n%s", err, diff)
	}
	var many []byte
	for i := range 50_000 {
		many = fmt.Appendf(many, "%d\n", i)
	}
	counts, err = read.Counts(background, read.Bytes("q", many))
	if err != nil || len(counts) != 50_000 || counts[49_999] != 49_999 {
		t.Errorf("many counts: %d, %v", len(counts), err)
	}
}

func TestSideFileErrors(t *testing.T) {
	t.Parallel()
	weights := func(src read.Source) error { _, err := read.Weights(background, src); return err }
	floats := func(src read.Source) error { _, err := read.Floats(background, src); return err }
	counts := func(src read.Source) error { _, err := read.Counts(background, src); return err }
	for name, c := range map[string]struct {
		read func(read.Source) error
		text string
		want string
	}{
		"empty":            {weights, "", "side: has no lines; check that it is the right file"},
		"word":             {weights, "1\nw\n", `side:2: "w" is not a number; write finite decimal numbers`},
		"negative weight":  {weights, "1\n\n-1\n", "side:3: the weight is negative; weights must be finite and not negative"},
		"missing weight":   {weights, "1\nnan\n", "side:2: a number is missing; write finite decimal numbers"},
		"huge weight":      {weights, "1\n1e39\n", "side:2: the weight is infinite or too large for a 32-bit number; weights must be finite and not negative"},
		"infinite score":   {floats, "1\ninf\n", `side:2: "inf" is infinite; write finite decimal numbers`},
		"overflow":         {floats, "1\n1e999\n", `side:2: "1e999" is too large for a 64-bit number; write finite decimal numbers`},
		"uneven scores":    {floats, "1\t2\n1\n", "side:2: the line has 1 scores, but the first has 2; give one score for each class, separated by tabs"},
		"missing score":    {floats, "1\t\n", "side:1: a number is missing; write finite decimal numbers"},
		"fractional count": {counts, "1\n2.5\n", `side:2: "2.5" is not a number of rows; write the number of rows of one query on each line`},
		"negative count":   {counts, "-1\n", `side:1: "-1" is not a number of rows; write the number of rows of one query on each line`},
		"too many rows":    {counts, "2000000000\n2000000000\n", "side:2: the queries have more than 2147483647 rows; write the number of rows of one query on each line"},
		"truncated":        {counts, gzipped(t, "1\n2\n")[:20], "side: is truncated; copy or compress the file again"},
		"long line":        {counts, strings.Repeat("1", 20<<20), "side:1: the line is longer than 16777216 bytes; check that the file is a table, one row a line"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.read(read.Bytes("side", []byte(c.text)))
			if err == nil || err.Error() != c.want {
				t.Errorf("error\n got: %v\nwant: %s", err, c.want)
			}
		})
	}
}
