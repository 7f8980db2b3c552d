package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cloister/engine/dataset/read"
)

// mixedKinds are features of all sorts for synthetic tables.
var mixedKinds = []string{
	"uniform", "bell", "bell with gaps", "mostly zero", "zero and gaps", "negative", "counts", "signed counts",
	"spike", "spikes", "constant", "neighbours", "tiny", "huge", "wide", "binary", "rare", "plus minus",
	"level", "many levels", "level with gaps", "level with negative", "big levels", "rare", "uniform", "uniform",
}

func isCategory(kind string) bool {
	return strings.Contains(kind, "level")
}

// synthetic is a table with every kind of feature.
func synthetic(rows int) (m Matrix, o Options) {
	m = Matrix{Rows: rows, Features: len(mixedKinds), Values: make([]float64, rows*len(mixedKinds))}
	o = DefaultOptions()
	o.MinSparse = 1
	o.MaxBinByFeature = make([]int, len(mixedKinds))
	for f, kind := range mixedKinds {
		g := splitmix(100 + f)
		for r := range rows {
			m.Values[r*m.Features+f] = kinds[kind](&g)
		}
		o.MaxBinByFeature[f] = 255
		if isCategory(kind) {
			o.Categorical = append(o.Categorical, f)
		}
	}
	o.MaxBinByFeature[len(mixedKinds)-1] = 1000 // a column of wide lanes
	o.MaxBinByFeature[len(mixedKinds)-2] = 300
	m.Label = make([]float32, rows)
	for r := range m.Label {
		m.Label[r] = float32(r % 2)
	}
	return m, o
}

func mustBuild(t *testing.T, m Matrix, o Options, ref *Dataset) *Dataset {
	t.Helper()
	d, _, err := FromMatrix(context.Background(), m, o, ref)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// fingerprint is a hash of all that training depends on.
func fingerprint(d *Dataset) string {
	h := sha256.New()
	put := func(v any) { _ = binary.Write(h, binary.LittleEndian, v) }
	put(int64(d.Rows))
	put(int64(d.TotalBins))
	put(d.Label)
	put(d.Weight)
	put(d.QueryStart)
	put(d.InitScore)
	for _, m := range d.Mappers {
		put([]bool{m.Categorical, m.Trivial})
		put(int64(m.NumBins))
		put([]uint32{uint32(m.Missing), m.DefaultBin, m.MostFreqBin})
		put(m.Categories)
		for _, v := range append([]float64{m.Min, m.Max, m.SparseRate}, m.UpperBound...) {
			put(uint64(bitsOf(v)))
		}
	}
	for _, c := range d.Columns {
		put([]int64{int64(c.Feature), int64(c.Offset), int64(c.Block), int64(c.Lane)})
		if c.First > 0 {
			put(int64(c.First))
		}
	}
	put(d.Words)
	if s := d.Sparse; s != nil {
		for _, i := range s.RowStart {
			put(int64(i))
		}
		put(s.Entry)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// TestReproducibleBins has a constant result on every architecture and number
// of threads, whatever way the rows come.
func TestReproducibleBins(t *testing.T) {
	t.Parallel()
	const want = "227ddcdff4618c2aab67f757531c09a3221c6bb4ff89220d7ab24b2f574be718"
	m, o := synthetic(10007)
	o.BinConstructSampleCnt = 4000
	for _, threads := range []int{1, 2, 3, 8} {
		o.Threads = threads
		if got := fingerprint(mustBuild(t, m, o, nil)); got != want {
			t.Errorf("%d threads: hash of the bins %s, want %s", threads, got, want)
		}
	}
}

// checkBins compares every stored bin with its mapper.
func checkBins(t *testing.T, d *Dataset, m Matrix) {
	t.Helper()
	for i, c := range d.Columns {
		for r := range d.Rows {
			v := m.Values[r*m.Features+c.Feature]
			if got, want := d.BinAt(i, r), c.Mapper.Bin(v); got != want {
				t.Fatalf("feature %d, row %d: stored bin %d, want %d (value %g)", c.Feature, r, got, want, v)
			}
		}
	}
}

func TestBinsAreStored(t *testing.T) {
	t.Parallel()
	m, o := synthetic(5000)
	for name, change := range map[string]func(o *Options){
		"bundled":        func(*Options) {},
		"sparse":         func(o *Options) { o.EnableBundle = false },
		"dense":          func(o *Options) { o.EnableBundle, o.EnableSparse = false, false },
		"few sparse":     func(o *Options) { o.EnableBundle, o.MinSparse = false, 0 },
		"zero missing":   func(o *Options) { o.ZeroAsMissing = true },
		"no missing":     func(o *Options) { o.UseMissing = false },
		"sampled":        func(o *Options) { o.BinConstructSampleCnt = 1500 },
		"few bins":       func(o *Options) { o.MaxBinByFeature, o.MaxBin = nil, 5 },
		"many threads":   func(o *Options) { o.Threads = 9 },
		"no filter":      func(o *Options) { o.FeaturePreFilter, o.MinDataInBin = false, 1 },
		"all numbers":    func(o *Options) { o.Categorical = nil },
		"wide lanes":     func(o *Options) { o.MaxBinByFeature, o.MaxBin, o.MinDataInBin = nil, 5000, 1 },
		"one wide block": func(o *Options) { o.MaxBinByFeature[0] = 500 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			o.MaxBinByFeature = append([]int{}, o.MaxBinByFeature...)
			change(&o)
			d := mustBuild(t, m, o, nil)
			checkLayout(t, d)
			checkBins(t, d, m)
			if d.Raw != nil {
				t.Error("values are kept unasked")
			}
			if name == "sparse" && (d.Sparse == nil || len(d.Sparse.Columns) < 3) {
				t.Errorf("too few sparse columns: %v", d.Sparse)
			}
			if (name == "dense" || name == "few sparse") && d.Sparse != nil {
				t.Errorf("sparse columns in a table that is to have none")
			}
		})
	}
}

// checkLayout verifies what the fields promise.
func checkLayout(t *testing.T, d *Dataset) {
	t.Helper()
	total, last := 0, -1
	for i, c := range d.Columns {
		if c.Feature <= last || int(c.Offset) != total || c.Mapper != d.Mappers[c.Feature] || c.Mapper.Trivial {
			t.Fatalf("column %d is wrong: %+v", i, c)
		}
		last, total = c.Feature, total+c.Mapper.NumBins
		if c.Block < 0 {
			continue
		}
		b := d.Blocks[c.Block]
		if c.First > 0 {
			checkBundle(t, d, i)
			continue
		}
		if b.Columns[c.Lane] != i || c.Mapper.NumBins > 1<<b.Bits || len(b.Columns)*b.Bits > 64 {
			t.Fatalf("column %d is not in its block: %+v %+v", i, c, b)
		}
	}
	if total != d.TotalBins {
		t.Fatalf("TotalBins = %d, want %d", d.TotalBins, total)
	}
	if len(d.Words) != d.Rows*len(d.Blocks) {
		t.Fatalf("%d words for %d rows of %d blocks", len(d.Words), d.Rows, len(d.Blocks))
	}
	if s := d.Sparse; s != nil {
		if len(s.RowStart) != d.Rows+1 || s.RowStart[0] != 0 || s.RowStart[d.Rows] != len(s.Entry) {
			t.Fatalf("RowStart does not fit: %d rows, %d entries", d.Rows, len(s.Entry))
		}
		for r := range d.Rows {
			for e := s.RowStart[r] + 1; e < s.RowStart[r+1]; e++ {
				if s.Entry[e-1] >= s.Entry[e] {
					t.Fatalf("row %d: entries do not ascend", r)
				}
			}
		}
	}
}

// withoutKeys compares datasets by what the fields say.
var withoutKeys = cmp.Options{cmpopts.IgnoreUnexported(Mapper{}, Dataset{}), cmpopts.EquateNaNs(), cmpopts.EquateEmpty()}

// rowsOf gives a matrix row by row.
func rowsOf(m Matrix, sparse bool) func(yield func(Row, error) bool) {
	return func(yield func(Row, error) bool) {
		for r := range m.Rows {
			row := Row{Values: m.Values[r*m.Features : (r+1)*m.Features], Label: m.Label[r]}
			if sparse {
				dense := row.Values
				row.Values, row.Index = nil, []int32{}
				for f, v := range dense {
					if v != 0 {
						row.Values, row.Index = append(row.Values, v), append(row.Index, int32(f))
					}
				}
			}
			if !yield(row, nil) {
				return
			}
		}
	}
}

func TestAllWaysGiveTheSameDataset(t *testing.T) {
	t.Parallel()
	m, o := synthetic(9001)
	o.BinConstructSampleCnt, o.KeepRaw = 3000, true
	want := mustBuild(t, m, o, nil)
	columns := Columns{Metadata: m.Metadata}
	for f := range m.Features {
		c := make([]float64, m.Rows)
		for r := range c {
			c[r] = m.Values[r*m.Features+f]
		}
		columns.Values = append(columns.Values, c)
	}
	ctx := context.Background()
	for name, build := range map[string]func() (*Dataset, []Notice, error){
		"columns": func() (*Dataset, []Notice, error) { return FromColumns(ctx, columns, o, nil) },
		"rows": func() (*Dataset, []Notice, error) {
			return FromRows(ctx, rowsOf(m, false), Schema{Features: m.Features}, o, nil)
		},
		"sparse rows": func() (*Dataset, []Notice, error) {
			return FromRows(ctx, rowsOf(m, true), Schema{Features: m.Features, Sparse: true}, o, nil)
		},
		"like itself": func() (*Dataset, []Notice, error) { return FromMatrix(ctx, m, o, want) },
		"sparse rows like itself": func() (*Dataset, []Notice, error) {
			return FromRows(ctx, rowsOf(m, true), Schema{Features: m.Features, Sparse: true}, o, want)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, _, err := build()
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got, withoutKeys); d != "" {
				t.Errorf("differs from FromMatrix (-want +got):\n%.2000s", d)
			}
		})
	}
}

func TestGroupsAndWeights(t *testing.T) {
	t.Parallel()
	b := NewBuilder(Schema{Features: 1, Weighted: true, Grouped: true, Names: []string{"a b"}})
	for i := range 7 {
		if err := b.Append(Row{Values: []float64{float64(i)}, Weight: 1, Query: int64(i / 3)}); err != nil {
			t.Fatal(err)
		}
	}
	o := DefaultOptions()
	o.MinDataInBin, o.MinDataInLeaf = 1, 1
	d, notices, err := b.Build(context.Background(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int32{0, 3, 6, 7}, d.QueryStart); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a_b"}, d.FeatureNames); diff != "" || len(notices) != 1 {
		t.Error(diff, notices)
	}
	if diff := cmp.Diff([]string{"[0:6]"}, d.FeatureInfos()); diff != "" {
		t.Error(diff)
	}
}

func TestBadTables(t *testing.T) {
	t.Parallel()
	one := func(v ...float64) Matrix {
		return Matrix{Values: v, Rows: len(v), Features: 1, Metadata: Metadata{Label: make([]float32, len(v))}}
	}
	none := func(*Options) {}
	nan32 := float32(math.NaN())
	for name, c := range map[string]struct {
		m    Matrix
		o    func(*Options)
		want string
	}{
		"no rows":              {Matrix{Features: 1}, none, "has no rows"},
		"wrong size":           {Matrix{Values: []float64{1, 2, 3}, Rows: 2, Features: 2}, none, "has 3 values for 2 rows of 2 features"},
		"negative size":        {Matrix{Values: []float64{1}, Rows: -1, Features: -1}, none, "has 1 values for -1 rows"},
		"infinite":             {one(1, math.Inf(-1)), none, "row 2: column Column_0: the value is infinite"},
		"no labels":            {Matrix{Values: []float64{1}, Rows: 1, Features: 1}, none, "has 0 labels for 1 rows"},
		"missing label":        {Matrix{Values: []float64{1}, Rows: 1, Features: 1, Metadata: Metadata{Label: []float32{nan32}}}, none, "row 1: the label is NaN"},
		"fraction as category": {one(1, 2.5), func(o *Options) { o.Categorical = []int{0} }, "row 2: column Column_0: 2.5 is no whole number"},
		"negative fraction":    {one(1, -2.5), func(o *Options) { o.Categorical = []int{0} }, "-2.5 is no whole number"},
		"huge category":        {one(1, 1<<31), func(o *Options) { o.Categorical = []int{0} }, "above the greatest, 2147483647"},
		"no such category":     {one(1), func(o *Options) { o.Categorical = []int{1} }, "categorical_feature: there is no feature 1"},
		"no such name":         {one(1), func(o *Options) { o.CategoricalNames = []string{"x"} }, `no feature is called "x"`},
		"zero options":         {one(1), func(o *Options) { *o = Options{} }, "max_bin: 0 is not in 2 … 65536"},
		"large max_bin":        {one(1), func(o *Options) { o.MaxBin = 65537 }, "max_bin: 65537 is not"},
		"min_data_in_bin":      {one(1), func(o *Options) { o.MinDataInBin = 0 }, "min_data_in_bin: 0"},
		"sample":               {one(1), func(o *Options) { o.BinConstructSampleCnt = 0 }, "bin_construct_sample_cnt: 0"},
		"leaf":                 {one(1), func(o *Options) { o.MinDataInLeaf = -1 }, "min_data_in_leaf: -1"},
		"max_bin_by_feature":   {one(1), func(o *Options) { o.MaxBinByFeature = []int{3, 3} }, "max_bin_by_feature: has 2 values"},
		"small bin by feature": {one(1), func(o *Options) { o.MaxBinByFeature = []int{1} }, "max_bin_by_feature: 1, of feature 0"},
		"forced infinity":      {one(1), func(o *Options) { o.ForcedBins = [][]float64{{math.Inf(1)}} }, "not a finite number"},
		"forced beyond":        {one(1), func(o *Options) { o.ForcedBins = [][]float64{{}, {}} }, "names feature 1"},
		"too many rows":        {one(1, 2), func(o *Options) { o.MaxRows = 1 }, "has 2 rows, more than 1"},
		"too many features":    {Matrix{Values: []float64{1, 2}, Rows: 1, Features: 2}, func(o *Options) { o.MaxFeatures = 1 }, "has 2 features, more than 1"},
		"row limit":            {one(1), func(o *Options) { o.MaxRows = 0 }, "MaxRows: 0"},
		"names":                {Matrix{Values: []float64{1}, Rows: 1, Features: 1, Names: []string{"a", "b"}}, none, "has 2 feature names for 1 features"},
		"same names":           {Matrix{Values: []float64{1, 2}, Rows: 1, Features: 2, Names: []string{"a", "a"}}, none, "features 0 and 1 have the same name"},
		"json in name":         {Matrix{Values: []float64{1}, Rows: 1, Features: 1, Names: []string{"a:b"}}, none, "one of the characters"},
		"negative weight":      {withMeta(one(1, 2), Metadata{Weight: []float32{1, -1}}), none, "row 2: the weight is -1"},
		"no weight":            {withMeta(one(1, 2), Metadata{Weight: []float32{0, 0}}), none, "all weights are 0"},
		"weights missing":      {withMeta(one(1, 2), Metadata{Weight: []float32{1}}), none, "has 1 weights for 2 rows"},
		"queries too short":    {withMeta(one(1, 2), Metadata{QueryStart: []int32{0, 1}}), none, "the queries have 1 rows in all, but the table has 2"},
		"queries not from 0":   {withMeta(one(1, 2), Metadata{QueryStart: []int32{1, 2}}), none, "do not start at row 0"},
		"queries fall":         {withMeta(one(1, 2), Metadata{QueryStart: []int32{0, 3, 2}}), none, "query 2 ends before it starts"},
		"scores":               {withMeta(one(1, 2), Metadata{InitScore: []float64{1, 2, 3}}), none, "has 3 initial scores for 2 rows"},
		"infinite score":       {withMeta(one(1, 2), Metadata{InitScore: []float64{1, math.Inf(1)}}), none, "row 2: the initial score is +Inf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := DefaultOptions()
			c.o(&o)
			d, _, err := FromMatrix(context.Background(), c.m, o, nil)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error %v, want …%s…", err, c.want)
			}
			if d != nil {
				t.Error("a dataset beside an error")
			}
			var data *read.Error
			var option *OptionError
			if !errors.As(err, &data) && !errors.As(err, &option) {
				t.Errorf("error of type %T", err)
			}
		})
	}
}

func withMeta(m Matrix, meta Metadata) Matrix {
	meta.Label = m.Label
	m.Metadata = meta
	return m
}

func TestReferenceOfAnotherWidth(t *testing.T) {
	t.Parallel()
	m, o := synthetic(100)
	d := mustBuild(t, m, o, nil)
	_, _, err := FromMatrix(context.Background(), Matrix{Values: []float64{1, 2}, Rows: 1, Features: 2, Metadata: Metadata{Label: []float32{0}}}, o, d)
	if err == nil || !strings.Contains(err.Error(), "has 2 features, but the training data has 26") {
		t.Errorf("error %v", err)
	}
}

func TestNegativeCategoriesAreMissing(t *testing.T) {
	t.Parallel()
	m := Matrix{Rows: 300, Features: 1, Values: make([]float64, 300)}
	m.Label = make([]float32, 300)
	for i := range m.Values {
		m.Values[i] = float64(i%5 - 1)
	}
	o := DefaultOptions()
	o.Categorical = []int{0}
	d, notices, err := FromMatrix(context.Background(), m, o, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []Notice{"table: column Column_0: negative categories, in 60 rows, are taken as missing"}
	if diff := cmp.Diff(want, notices); diff != "" {
		t.Error(diff)
	}
	if d.BinAt(0, 0) != 0 || d.Mappers[0].Missing != MissingNaN {
		t.Errorf("bin %d, missing %v", d.BinAt(0, 0), d.Mappers[0].Missing)
	}
}

func TestCancelledContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	m, o := synthetic(5000)
	if _, _, err := FromMatrix(ctx, m, o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}
