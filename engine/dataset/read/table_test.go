package read_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cloister/engine/dataset/read"
)

// rows is a whole table, row after row.
type rows struct {
	Names  []string
	Dense  [][]float64
	Sparse []map[int32]float64
	Label  []float32
	Weight []float32
	Group  []int64
}

// collect reads a whole table and puts its batches in order.
func collect(t *read.Table) (rows, error) {
	var mu sync.Mutex
	parts := map[int]rows{}
	firsts := map[int]int{}
	err := t.Rows(context.Background(), func(b *read.Batch) error {
		var r rows
		for i := range b.Rows {
			if b.RowStart == nil {
				r.Dense = append(r.Dense, append([]float64{}, b.Values[i*b.Features:(i+1)*b.Features]...))
				continue
			}
			m := map[int32]float64{}
			for k := b.RowStart[i]; k < b.RowStart[i+1]; k++ {
				m[b.Index[k]] = b.Value[k]
			}
			r.Sparse = append(r.Sparse, m)
		}
		r.Label = append(r.Label, b.Label...)
		r.Weight = append(r.Weight, b.Weight...)
		r.Group = append(r.Group, b.Group...)
		mu.Lock()
		defer mu.Unlock()
		parts[b.Seq], firsts[b.Seq] = r, b.First
		return nil
	})
	if err != nil {
		return rows{}, err
	}
	var all rows
	for seq := range len(parts) {
		p, ok := parts[seq]
		if !ok {
			return all, fmt.Errorf("there is no batch %d of %d", seq, len(parts))
		}
		if n := len(all.Dense) + len(all.Sparse); firsts[seq] != n {
			return all, fmt.Errorf("batch %d starts at row %d, want %d", seq, firsts[seq], n)
		}
		all.Dense = append(all.Dense, p.Dense...)
		all.Sparse = append(all.Sparse, p.Sparse...)
		all.Label = append(all.Label, p.Label...)
		all.Weight = append(all.Weight, p.Weight...)
		all.Group = append(all.Group, p.Group...)
	}
	all.Names = t.Names()
	return all, nil
}

func readAll(text string, opt read.Options) (rows, error) {
	t, err := read.Open(context.Background(), read.Bytes("table", []byte(text)), opt)
	if err != nil {
		return rows{}, err
	}
	return collect(t)
}

var nan = math.NaN()

func TestRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		opt  read.Options
		want rows
	}{
		"CSV": {
			text: "1,2,3\n0,-4.5,1e3\n",
			want: rows{Names: []string{"Column_0", "Column_1"}, Label: []float32{1, 0}, Dense: [][]float64{{2, 3}, {-4.5, 1000}}},
		},
		"TSV": {
			text: "1\t2\t3\n0\t\t5\n",
			want: rows{Names: []string{"Column_0", "Column_1"}, Label: []float32{1, 0}, Dense: [][]float64{{2, 3}, {nan, 5}}},
		},
		"empty fields at the ends of TSV lines": {
			text: "\t2\t\n1\t\t3\n\t\t\n",
			opt:  read.Options{NoLabel: true},
			want: rows{Names: []string{"Column_0", "Column_1", "Column_2"}, Dense: [][]float64{{nan, 2, nan}, {1, nan, 3}, {nan, nan, nan}}},
		},
		"missing values": {
			text: "1,na,NaN\n0,null,\n0,-nan,NA\n",
			want: rows{Names: []string{"Column_0", "Column_1"}, Label: []float32{1, 0, 0}, Dense: [][]float64{{nan, nan}, {nan, nan}, {nan, nan}}},
		},
		"header with quotes, byte-order mark, CRLF, blank lines, no last newline": {
			text: "\xef\xbb\xbf\"y\",\"a,b\",\"say \"\"hi\"\"\",c\r\n\r\n1,2,3,4\r\n   \r\n\r\n0,5,\"6\", 7 ",
			opt:  read.Options{Header: true},
			want: rows{Names: []string{"a,b", `say "hi"`, "c"}, Label: []float32{1, 0}, Dense: [][]float64{{2, 3, 4}, {5, 6, 7}}},
		},
		"columns by name": {
			text: "w,x,y,q,t\n0.5,1,0,7,abc\n2,3,1,8,\"d,e\"\n",
			opt: read.Options{
				Header: true, Label: read.ByName("y"), Weight: read.ByName("w"), Group: read.ByName("q"),
				Ignore: []read.ColumnRef{read.ByName("t")},
			},
			want: rows{
				Names: []string{"w", "x", "q", "t"}, Label: []float32{0, 1}, Weight: []float32{0.5, 2}, Group: []int64{7, 8},
				Dense: [][]float64{{0, 1, 0, 0}, {0, 3, 0, 0}},
			},
		},
		"columns by number do not count the label": {
			text: "5,1,0,7\n6,3,1,8\n",
			opt:  read.Options{Label: read.ByIndex(1), Weight: read.ByIndex(1), Group: read.ByIndex(2)},
			want: rows{
				Names: []string{"Column_0", "Column_1", "Column_2"}, Label: []float32{1, 3}, Weight: []float32{0, 1}, Group: []int64{7, 8},
				Dense: [][]float64{{5, 0, 0}, {6, 0, 0}},
			},
		},
		"no label because the width is the model's": {
			text: "1,2\n3,4\n",
			opt:  read.Options{LabelOptional: true, Features: 2},
			want: rows{Names: []string{"Column_0", "Column_1"}, Dense: [][]float64{{1, 2}, {3, 4}}},
		},
		"one column without label": {
			text: "1\n\n3\n",
			opt:  read.Options{NoLabel: true},
			want: rows{Names: []string{"Column_0"}, Dense: [][]float64{{1}, {3}}},
		},
		"LibSVM": {
			text: "1 0:1.5 3:2\n\n0\n-1 2:na \t4:-1\r\n",
			want: rows{
				Names: []string{"Column_0", "Column_1", "Column_2", "Column_3", "Column_4"}, Label: []float32{1, 0, -1},
				Sparse: []map[int32]float64{{0: 1.5, 3: 2}, {}, {2: nan, 4: -1}},
			},
		},
		"LibSVM without labels": {
			text: "0:1\n1:2 3:4\n",
			opt:  read.Options{LabelOptional: true, Features: 3, DropExtra: true},
			want: rows{Names: []string{"Column_0", "Column_1", "Column_2"}, Sparse: []map[int32]float64{{0: 1}, {1: 2}}},
		},
		"LibSVM with weights, groups and an ignored feature": {
			text: "1 0:1 1:0.5 2:7 3:9\n0 2:8\n",
			opt:  read.Options{Weight: read.ByIndex(1), Group: read.ByIndex(2), Ignore: []read.ColumnRef{read.ByIndex(3)}},
			want: rows{
				Names: []string{"Column_0", "Column_1", "Column_2", "Column_3"}, Label: []float32{1, 0},
				Weight: []float32{0.5, 0}, Group: []int64{7, 8}, Sparse: []map[int32]float64{{0: 1}, {}},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := readAll(c.text, c.opt)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
}

// digest stands for the dense values and labels, bit for bit (NaNs alike).
func (r rows) digest() uint64 {
	h := fnv.New64a()
	var b []byte
	add := func(v float64) {
		if math.IsNaN(v) {
			v = nan
		}
		b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
	}
	for i, row := range r.Dense {
		b = b[:0]
		add(float64(r.Label[i]))
		for _, v := range row {
			add(v)
		}
		_, _ = h.Write(b)
	}
	return h.Sum64()
}

// bigCSV has some megabytes, so that several blocks are in flight.
func bigCSV(n, features int) []byte {
	r := rand.New(rand.NewPCG(3, 4))
	var b []byte
	for i := range n {
		b = strconv.AppendInt(b, int64(i%2), 10)
		for range features {
			b = append(b, ',')
			if r.IntN(20) > 0 {
				b = strconv.AppendFloat(b, r.NormFloat64(), 'g', 3+r.IntN(15), 64)
			}
		}
		b = append(b, '\n')
		if r.IntN(100) == 0 {
			b = append(b, '\n')
		}
	}
	return b
}

func TestThreadsDoNotMatter(t *testing.T) {
	t.Parallel()
	text := bigCSV(20_000, 10)
	var want rows
	var wantSample *read.Sample
	for _, threads := range []int{1, 2, 3, 8} {
		for _, once := range []bool{false, true} {
			src := read.Bytes("table", text)
			if once {
				src = read.Stdin(bytes.NewReader(text))
			}
			table, err := read.Open(context.Background(), src, read.Options{Threads: threads})
			if err != nil {
				t.Fatal(err)
			}
			s, err := table.Sample(context.Background(), 500, 42)
			if err != nil {
				t.Fatal(err)
			}
			got, err := collect(table)
			if err != nil {
				t.Fatal(err)
			}
			if want.Label == nil {
				want, wantSample = got, s
				if len(got.Dense) != 20_000 || s.Rows != 500 || s.Total != 20_000 || s.All {
					t.Fatalf("%d rows, sample %d of %d", len(got.Dense), s.Rows, s.Total)
				}
				for i, row := range s.RowIndex {
					if diff := cmp.Diff(got.Dense[row], s.Values[i*10:(i+1)*10], cmpopts.EquateNaNs()); diff != "" {
						t.Fatalf("sampled row %d (-rows +sample):\n%s", row, diff)
					}
				}
			}
			if want.digest() != got.digest() {
				t.Errorf("%d threads, once %v: rows (-want +got):\n%s", threads, once, cmp.Diff(want, got, cmpopts.EquateNaNs()))
			}
			if diff := cmp.Diff(wantSample, s, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("%d threads, once %v: sample (-want +got):\n%s", threads, once, diff)
			}
		}
	}
}

func TestFileAndErrors(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "train.csv")
	if err := os.WriteFile(path, []byte("y,a\n1,2\n0,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	table, err := read.Open(context.Background(), read.File(path), read.Options{Header: true})
	if err != nil {
		t.Fatal(err)
	}
	_, err = collect(table)
	if err == nil || !strings.Contains(err.Error(), `train.csv:3: field 2 (a): "x" is not a number`) {
		t.Errorf("error = %v", err)
	}
}
