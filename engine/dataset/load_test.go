package dataset

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset/read"
)

// text writes a matrix with its labels first, as CSV or LibSVM.
func text(m Matrix, libsvm bool) []byte {
	var b bytes.Buffer
	for r := range m.Rows {
		fmt.Fprintf(&b, "%g", m.Label[r])
		for f, v := range m.Values[r*m.Features : (r+1)*m.Features] {
			switch {
			case !libsvm && math.IsNaN(v):
				b.WriteString(",")
			case !libsvm:
				b.WriteString("," + strconv.FormatFloat(v, 'g', -1, 64))
			case v != 0 || f == m.Features-1: // the last, so that the width shows
				fmt.Fprintf(&b, " %d:%s", f, strconv.FormatFloat(v, 'g', -1, 64))
			}
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

func mustLoad(t *testing.T, in Input, o Options, ref *Dataset) *Dataset {
	t.Helper()
	d, _, err := Load(context.Background(), in, o, ref)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func bytesInput(name string, data []byte) Input {
	return Input{Table: read.Bytes(name, data)}
}

func side(name, data string) *read.Source {
	s := read.Bytes(name, []byte(data))
	return &s
}

// TestReproducibleLoad finds the same bins in files as in memory, with any
// number of threads, whether the sample is the whole table or not.
func TestReproducibleLoad(t *testing.T) {
	t.Parallel()
	m, o := synthetic(9011)
	inMemory := map[int]string{}
	for _, sample := range []int{2000, 200000} {
		o.BinConstructSampleCnt = sample
		inMemory[sample] = fingerprint(mustBuild(t, m, o, nil))
	}
	want := map[int]string{
		2000:   "96d28ef77b57bd102c469dac921449f2db9428d640569eace11d5e6bed739703",
		200000: "fb6669a2f3d0f4967d8122ad019db6a872be31d663a1dd8d01bc2c8f740a532e",
	}
	if d := cmp.Diff(want, inMemory); d != "" {
		t.Errorf("hashes of the bins (-want +got):\n%s", d)
	}
	csv, libsvm := text(m, false), text(m, true)
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	_, _ = z.Write(csv)
	_ = z.Close()
	for name, data := range map[string][]byte{"csv": csv, "libsvm": libsvm, "gzip": zipped.Bytes()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, threads := range []int{1, 2, 3, 8} {
				for sample, want := range inMemory {
					o := o
					o.Threads, o.BinConstructSampleCnt = threads, sample
					if got := fingerprint(mustLoad(t, bytesInput(name, data), o, nil)); got != want {
						t.Errorf("%d threads, sample of %d: hash %s, want %s", threads, sample, got, want)
					}
				}
			}
		})
	}
}

func TestLoadLikeTrainingData(t *testing.T) {
	t.Parallel()
	m, o := synthetic(8000)
	ref := mustBuild(t, m, o, nil)
	for name, rows := range map[string]int{"small": 1000, "large": 21000} {
		for _, libsvm := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s libsvm %t", name, libsvm), func(t *testing.T) {
				t.Parallel()
				v, _ := synthetic(rows)
				want := mustBuild(t, v, o, ref)
				got := mustLoad(t, bytesInput("valid", text(v, libsvm)), o, ref)
				if d := cmp.Diff(want, got, withoutKeys); d != "" {
					t.Errorf("(-want +got):\n%.2000s", d)
				}
				if &got.Mappers[0] != &ref.Mappers[0] {
					t.Error("the mappers are not the training data's")
				}
				checkLayout(t, got)
				checkBins(t, got, v)
			})
		}
	}
}

func TestSideFilesAndColumns(t *testing.T) {
	t.Parallel()
	const table = "y,w,q,x\n0,1,7,1\n1,2,7,2\n0,0.5,9,3\n1,1,7,4\n"
	o := DefaultOptions()
	o.MinDataInBin, o.MinDataInLeaf = 1, 1
	header := read.Options{Header: true}
	columns := read.Options{Header: true, Weight: read.ByName("w"), Group: read.ByName("q")}
	for name, c := range map[string]struct {
		in      Input
		want    Metadata
		notices int
	}{
		"none": {Input{Read: header}, Metadata{}, 0},
		"positions": {
			Input{Read: header, Position: side("p", "top \nside bar\n\ntop\n 4\n")},
			Metadata{Position: []int32{0, 1, 0, 2}, PositionNames: []string{"top", "side bar", "4"}},
			0,
		},
		"columns": {
			Input{Read: columns},
			Metadata{Weight: []float32{1, 2, 0.5, 1}, QueryStart: []int32{0, 2, 3, 4}},
			0,
		},
		"files": {
			Input{Read: header, Weight: side("w", "4\n3\n2\n1\n"), Query: side("q", "1\n3\n"), Init: side("i", "1\t5\n2\t6\n3\t7\n4\t8\n")},
			Metadata{Weight: []float32{4, 3, 2, 1}, QueryStart: []int32{0, 1, 4}, InitScore: []float64{1, 2, 3, 4, 5, 6, 7, 8}},
			0,
		},
		"both": {
			Input{Read: columns, Weight: side("w", "4\n"), Query: side("q", "1\n"), Init: side("i", "1\n2\n3\n4\n")},
			Metadata{Weight: []float32{1, 2, 0.5, 1}, QueryStart: []int32{0, 2, 3, 4}, InitScore: []float64{1, 2, 3, 4}},
			2,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.in.Table = read.Bytes("table", []byte(table))
			d, notices, err := Load(context.Background(), c.in, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			c.want.Label = []float32{0, 1, 0, 1}
			if diff := cmp.Diff(c.want, d.Metadata); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if len(notices) != c.notices {
				t.Errorf("notices: %q", notices)
			}
			if diff := cmp.Diff([]string{"w", "q", "x"}, d.FeatureNames); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFileInput(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.csv")
	for suffix, data := range map[string]string{"": "1,2\n0,3\n", ".weight": "1\n2\n", ".init": "0.5\n0.25\n"} {
		if err := os.WriteFile(path+suffix, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	in, err := FileInput(path, read.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if in.Weight == nil || in.Init == nil || in.Query != nil || in.Weight.Name != path+".weight" {
		t.Fatalf("side files: %+v", in)
	}
	d := mustLoad(t, in, DefaultOptions(), nil)
	want := Metadata{Label: []float32{1, 0}, Weight: []float32{1, 2}, InitScore: []float64{0.5, 0.25}}
	if diff := cmp.Diff(want, d.Metadata); diff != "" {
		t.Error(diff)
	}
}

func TestLoadFaults(t *testing.T) {
	t.Parallel()
	m, o := synthetic(2000)
	train := mustBuild(t, m, o, nil)
	category := func(o *Options) { o.Categorical = []int{1} }
	rows := strings.Repeat("1,2,3\n", 60000)
	for name, c := range map[string]struct {
		in   Input
		o    func(*Options)
		ref  *Dataset
		want string
	}{
		"category":                {bytesInput("a.csv", []byte("0,1,2\n\n1,2,3.5\n")), category, nil, "a.csv:3: column Column_1: 3.5 is no whole number"},
		"category, libsvm":        {bytesInput("a.svm", []byte("0 0:1 1:2\n1 0:2 1:2.5\n")), category, nil, "a.svm:2: column Column_1: 2.5 is no whole number"},
		"category after a sample": {bytesInput("a.csv", []byte(rows+"1,2,3.5\n"+rows)), func(o *Options) { category(o); o.BinConstructSampleCnt = 10 }, nil, "a.csv:60001: column Column_1: 3.5"},
		"category with a header":  {Input{Table: read.Bytes("a.csv", []byte("y,a,b\n0,1,2\n1,2,-3.5\n")), Read: read.Options{Header: true}}, category, nil, "a.csv:3: column b: -3.5"},
		"category from a pipe":    {Input{Table: read.Stdin(strings.NewReader("0,1,2\n1,2,3.5\n"))}, category, nil, "standard input: row 2: column Column_1: 3.5"},
		"width":                   {bytesInput("a.csv", []byte("0,1,2\n")), nil, train, "a.csv: has 2 features, but the training data has 26"},
		"wide libsvm":             {bytesInput("a.svm", []byte("0 1:1 26:1\n")), nil, train, "a.svm:1"},
		"narrow libsvm is right":  {bytesInput("a.svm", []byte("0 1:1\n")), nil, train, ""},
		"label":                   {bytesInput("a.csv", []byte("0,1,2\nnan,1,2\n")), nil, nil, "a.csv:2"},
		"no label":                {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Read: read.Options{NoLabel: true}}, nil, nil, "a.csv: has no labels"},
		"weights":                 {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Weight: side("a.csv.weight", "1\n")}, nil, nil, "a.csv.weight: has 1 weights, but a.csv has 2 rows"},
		"no weight":               {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Weight: side("a.csv.weight", "0\n0\n")}, nil, nil, "all weights are 0"},
		"negative weight":         {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Weight: side("a.csv.weight", "0\n-1\n")}, nil, nil, "a.csv.weight:2"},
		"queries":                 {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Query: side("a.csv.query", "1\n")}, nil, nil, "a.csv.query: the queries have 1 rows in all, but the table has 2"},
		"long queries":            {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Query: side("a.csv.query", "1\n2\n")}, nil, nil, "a.csv.query: the queries have more rows, but the table has 2"},
		"positions":               {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Position: side("a.csv.position", "1\n2\n3\n")}, nil, nil, "a.csv.position: has 3 positions, but a.csv has 2 rows"},
		"no positions":            {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Position: side("a.csv.position", "\n \n")}, nil, nil, "a.csv.position: has no lines"},
		"long position":           {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Position: side("a.csv.position", "1\n"+strings.Repeat("x", 257))}, nil, nil, "a.csv.position:2: "},
		"scores":                  {Input{Table: read.Bytes("a.csv", []byte("0,1\n1,1\n")), Init: side("a.csv.init", "1\n2\n3\n")}, nil, nil, "a.csv.init: has 3 lines of initial scores, but a.csv has 2 rows"},
		"too many rows":           {bytesInput("a.csv", []byte("0,1\n1,1\n")), func(o *Options) { o.MaxRows = 1 }, nil, "a.csv: has 2 rows, more than 1"},
		"categorical_feature":     {bytesInput("a.csv", []byte("0,1\n1,1\n")), category, nil, "categorical_feature: there is no feature 1"},
		"empty":                   {bytesInput("a.csv", nil), nil, nil, "a.csv: has no rows"},
		"missing file":            {Input{Table: read.File("no/such.csv")}, nil, nil, "no/such.csv: cannot open"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := DefaultOptions()
			if c.o != nil {
				c.o(&o)
			}
			d, _, err := Load(context.Background(), c.in, o, c.ref)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want …%s…", err, c.want)
			}
			if d != nil {
				t.Error("a dataset beside an error")
			}
		})
	}
}

func TestLoadStandardInput(t *testing.T) {
	t.Parallel()
	m, o := synthetic(3000)
	o.BinConstructSampleCnt = 500
	want := mustBuild(t, m, o, nil)
	got := mustLoad(t, Input{Table: read.Stdin(bytes.NewReader(text(m, false)))}, o, nil)
	if d := cmp.Diff(want, got, withoutKeys); d != "" {
		t.Errorf("(-want +got):\n%.2000s", d)
	}
}

func TestLoadCancelled(t *testing.T) {
	t.Parallel()
	m, o := synthetic(1000)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, _, err := Load(ctx, bytesInput("a", text(m, false)), o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
