package dataset

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset/read"
	"cloister/engine/random"
)

// checkBundle verifies what the fields of a bundle's column promise.
func checkBundle(t *testing.T, d *Dataset, column int) {
	t.Helper()
	c := &d.Columns[column]
	b := d.Blocks[c.Block].Bundles[c.Lane]
	if d.Blocks[c.Block].Bits != 8 || d.Blocks[c.Block].Columns[c.Lane] != -1 || !slices.Contains(d.Bundles, b) ||
		!slices.Contains(b.Columns, column) || !slices.IsSorted(b.Columns) || len(b.Place) > 256 {
		t.Fatalf("column %d is not in its bundle: %+v %+v", column, c, b)
	}
	for bin := range uint32(c.Mapper.NumBins) {
		if bin == c.Mapper.MostFreqBin {
			continue
		}
		value := uint32(c.bundleValue(bin))
		if back, own := c.BundleBin(value); !own || back != bin || b.Place[value] != c.Offset+bin {
			t.Fatalf("column %d: bin %d has the value %d, which stands for %d", column, bin, value, back)
		}
	}
	for value := range uint32(256) {
		bin, own := c.BundleBin(value)
		if own && (value == 0 || uint32(c.bundleValue(bin)) != value) || !own && bin != c.Mapper.MostFreqBin {
			t.Fatalf("column %d: the value %d stands for bin %d, its own: %v", column, value, bin, own)
		}
	}
}

// spelledOut has variables with the given numbers of categories, each category a
// column; one in conflicts rows has a second category, if that is not 0.
func spelledOut(rows, conflicts int, levels ...int) (Matrix, Options) {
	width := 1
	for _, n := range levels {
		width += n
	}
	m := Matrix{Rows: rows, Features: width, Values: make([]float64, rows*width)}
	m.Label = make([]float32, rows)
	g := splitmix(7)
	for r := range rows {
		row := m.Values[r*width : (r+1)*width]
		row[0] = float64(g.next()%1000) - 500
		first := 1
		for _, n := range levels {
			row[first+int(g.next()%uint64(n))] = float64(1 + g.next()%3)
			if conflicts > 0 && g.next()%uint64(conflicts) == 0 {
				row[first+int(g.next()%uint64(n))] = 2
			}
			first += n
		}
		m.Label[r] = float32(g.next() % 2)
	}
	return m, DefaultOptions()
}

// mix changes the order of the columns.
func mix(m Matrix) {
	order := random.New(5).Sample(m.Features, m.Features)
	random.New(6).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for r := range m.Rows {
		row := m.Values[r*m.Features : (r+1)*m.Features]
		old := slices.Clone(row)
		for to, from := range order {
			row[to] = old[from]
		}
	}
}

func TestBundles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		conflicts, bundles int
		mixed              bool
		levels             []int
		change             func(o *Options)
	}{
		"one":                  {bundles: 1, levels: []int{30}},
		"several":              {bundles: 3, levels: []int{40, 60, 25}},
		"conflicts":            {bundles: 3, levels: []int{40, 60, 25}, conflicts: 100},
		"many conflicts":       {bundles: 0, levels: []int{40}, conflicts: 1},
		"more bins than lanes": {bundles: 2, levels: []int{120}},
		"many":                 {bundles: 80, levels: slices.Repeat([]int{6}, 80)},
		"mixed":                {bundles: 3, levels: []int{40, 60, 25}, mixed: true},
		"two":                  {bundles: 1, levels: []int{2}},
		"switched off":         {bundles: 0, levels: []int{40, 60}, change: func(o *Options) { o.EnableBundle = false }},
		"zero missing":         {bundles: 2, levels: []int{40, 60}, change: func(o *Options) { o.ZeroAsMissing = true }},
		"not sparse":           {bundles: 2, levels: []int{40, 60}, change: func(o *Options) { o.EnableSparse = false }},
		"categories":           {bundles: 2, levels: []int{40, 60}, change: func(o *Options) { o.Categorical = []int{1, 2, 5, 50} }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, o := spelledOut(9000, c.conflicts, c.levels...)
			if c.change != nil {
				c.change(&o)
			}
			if c.mixed {
				mix(m)
			}
			d := mustBuild(t, m, o, nil)
			checkLayout(t, d)
			checkBins(t, d, m)
			if len(d.Bundles) != c.bundles {
				t.Errorf("%d bundles, want %d: %v", len(d.Bundles), c.bundles, d)
			}
			if c.conflicts == 0 && c.bundles > 0 && d.Sparse != nil {
				t.Errorf("there are %d entries beside bundles without conflicts", len(d.Sparse.Entry))
			}
			if c.conflicts > 1 && (d.Sparse == nil || len(d.Sparse.Entry) > 3*m.Rows/c.conflicts*2) {
				t.Errorf("the conflicts are not, or too many are, beside the bundles: %v", d)
			}
			checkSameBundles(t, d, m, o)
		})
	}
}

// TestReproducibleBundles has a constant result on every architecture and number
// of threads, where the sample that is looked at is the table and where not.
func TestReproducibleBundles(t *testing.T) {
	t.Parallel()
	want := map[int]string{
		2000:   "ae3c949b27f3fbc0b625695260e4344a1b2bf68a23e4a6d1aafc387b9f8b0b13",
		200000: "4a774f07c68d3ac510b41b6370abe470d71dc9bb9e07f716f3f4973062b60402",
	}
	m, o := spelledOut(9011, 50, 40, 100, 5)
	file := text(m, true)
	for _, threads := range []int{1, 2, 3, 8} {
		o.Threads = threads
		got, loaded := map[int]string{}, map[int]string{}
		for sample := range want {
			o.BinConstructSampleCnt = sample
			d := mustBuild(t, m, o, nil)
			if len(d.Bundles) < 3 || d.Sparse == nil {
				t.Errorf("too few bundles or conflicts: %v", d)
			}
			got[sample] = fingerprint(d)
			loaded[sample] = fingerprint(mustLoad(t, bytesInput("train.svm", file), o, nil))
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d threads: hashes of the bins (-want +got):\n%s", threads, d)
		}
		if d := cmp.Diff(want, loaded); d != "" {
			t.Errorf("%d threads, of a file: hashes of the bins (-want +got):\n%s", threads, d)
		}
	}
}

// checkSameBundles builds a data set in the other ways.
func checkSameBundles(t *testing.T, want *Dataset, m Matrix, o Options) {
	t.Helper()
	o.Threads = 5
	rows, _, err := FromRows(context.Background(), rowsOf(m, true), Schema{Features: m.Features, Sparse: true}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, rows, withoutKeys); diff != "" {
		t.Errorf("sparse rows give another data set:\n%s", diff)
	}
	var file bytes.Buffer
	if err := want.WriteBinary(&file); err != nil {
		t.Fatal(err)
	}
	stored, _, err := Load(context.Background(), Input{Table: read.Bytes("data.bin", file.Bytes())}, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, stored, withoutKeys); diff != "" {
		t.Errorf("the stored data set differs:\n%s", diff)
	}
	// Validation data may conflict where training data do not.
	other, _ := spelledOut(300, 2, m.Features-1)
	valid := mustBuild(t, other, o, want)
	checkLayout(t, valid)
	checkBins(t, valid, other)
	var validFile bytes.Buffer
	if err := valid.WriteBinary(&validFile); err != nil {
		t.Fatal(err)
	}
	again, _, err := Load(context.Background(), Input{Table: read.Bytes("valid.bin", validFile.Bytes())}, o, want)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(valid, again, withoutKeys); diff != "" {
		t.Errorf("the stored validation data differ:\n%s", diff)
	}
}

// TestBinaryExclusives reads stored groups of features that nobody wrote.
func TestBinaryExclusives(t *testing.T) {
	t.Parallel()
	m, o := spelledOut(2000, 0, 20, 30)
	file := binaryOf(t, mustBuild(t, m, o, nil), 256)
	o.EnableSparse = false // any two columns are then worth bundling
	for name, c := range map[string]struct {
		payload []uint32
		bundles int // -1 for an error
	}{
		"as they are":       {[]uint32{2, 3, 1, 2, 3, 2, 30, 31}, 2},
		"none":              {[]uint32{0}, 0},
		"one of its own":    {[]uint32{2, 1, 1, 0}, 0},
		"not to be bundled": {[]uint32{1, 2, 0, 1}, 0},
		"together":          {[]uint32{1, 4, 1, 2, 30, 31}, 1}, // of both variables
		"in two groups":     {[]uint32{2, 2, 1, 2, 2, 2, 3}, -1},
		"twice in one":      {[]uint32{1, 2, 2, 2}, -1},
		"not in order":      {[]uint32{1, 2, 3, 2}, -1},
		"no such feature":   {[]uint32{1, 2, 3, 51}, -1},
		"too many groups":   {[]uint32{1 << 31, 2, 1, 2}, -1},
		"too long a group":  {[]uint32{1, 1 << 31, 1, 2}, -1},
		"more behind":       {[]uint32{1, 2, 1, 2, 3}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			list := sections(t, file)
			at := slices.IndexFunc(list, func(s []byte) bool { return string(s[:4]) == tagExclusives })
			s := slices.Clone(list[at][:sectionHead])
			for _, n := range c.payload {
				s = binary.LittleEndian.AppendUint32(s, n)
			}
			list[at] = resum(append(s, 0, 0, 0, 0))
			data := append(slices.Clone(file[:binaryHead]), bytes.Join(list, nil)...)
			d, _, err := Load(context.Background(), bytesInput("data.bin", data), o, nil)
			if (err != nil) != (c.bundles < 0) {
				t.Fatalf("error %v", err)
			}
			if err != nil {
				return
			}
			checkLayout(t, d)
			checkBins(t, d, m)
			if len(d.Bundles) != c.bundles {
				t.Errorf("%d bundles, want %d", len(d.Bundles), c.bundles)
			}
		})
	}
}
