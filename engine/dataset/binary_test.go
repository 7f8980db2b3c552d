package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset/read"
)

// binaryOf writes a data set, so many rows to a section.
func binaryOf(tb testing.TB, d *Dataset, chunk int) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := d.writeBinary(&b, chunk); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

// withMetadata gives a table everything a data set can have.
func withMetadata(m Matrix) Matrix {
	for i := range m.Rows {
		m.Weight = append(m.Weight, float32(i%5)/4)
		m.InitScore = append(m.InitScore, float64(i)/8, -1)
		m.Position = append(m.Position, int32(i%3))
	}
	m.PositionNames = []string{"top", "", "side bar"}
	m.QueryStart = []int32{0, 7, 7, int32(m.Rows)}
	return m
}

// TestBitsOfBinary writes the same bytes everywhere.
func TestBitsOfBinary(t *testing.T) {
	t.Parallel()
	want := map[bool]string{ // by enable_bundle
		false: "a980e6c2395b281fc83fb11790deffd63d732a2746039658444bb0a392249851",
		true:  "f9e1453e4d35ea36d10cfe3a8f9eb5054fcb92d0d165fd3f0f3a913db60d3082",
	}
	m, o := synthetic(10007)
	m = withMetadata(m)
	got := map[bool]string{}
	for _, o.EnableBundle = range []bool{false, true} {
		var b bytes.Buffer
		if err := mustBuild(t, m, o, nil).WriteBinary(&b); err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256(b.Bytes())
		got[o.EnableBundle] = hex.EncodeToString(hash[:])
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("hashes of the file (-want +got):\n%s", d)
	}
}

// TestReproducibleBinary writes and reads data sets of every kind: what is read
// is what was written, for any number of threads.
func TestReproducibleBinary(t *testing.T) {
	t.Parallel()
	m, o := synthetic(1201)
	wide, tiny := o, o
	wide.MaxBin, wide.MinDataInBin, wide.MinDataInLeaf = 1000, 1, 1
	tiny.MaxBin = 2
	noSparse := o
	noSparse.EnableSparse = false
	few := o
	few.BinConstructSampleCnt = 300
	for name, o := range map[string]Options{"usual": o, "wide": wide, "two bins": tiny, "dense": noSparse, "sampled": few} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := mustBuild(t, withMetadata(m), o, nil)
			v, _ := synthetic(377)
			valid := mustBuild(t, v, o, d)
			chunks := []int{256, 37}
			if name == "usual" {
				chunks = []int{chunkLimit, 1000, 256, 37, 1}
			}
			for _, chunk := range chunks {
				data, validData := binaryOf(t, d, chunk), binaryOf(t, valid, chunk)
				for _, threads := range []int{1, 4} {
					o := o
					o.Threads = threads
					got := mustLoad(t, bytesInput("train.bin", data), o, nil)
					if diff := cmp.Diff(d, got, withoutKeys); diff != "" {
						t.Fatalf("%d rows to a section (-written +read):\n%.2000s", chunk, diff)
					}
					if !slices.Equal(d.recipe, got.recipe) {
						t.Errorf("made by %v, want %v", got.recipe, d.recipe)
					}
					checkBins(t, got, m)
					if again := binaryOf(t, got, chunk); !bytes.Equal(again, data) {
						t.Error("what was read is written in another way")
					}
					for _, ref := range []*Dataset{d, got} {
						gotValid := mustLoad(t, bytesInput("valid.bin", validData), o, ref)
						if diff := cmp.Diff(valid, gotValid, withoutKeys); diff != "" {
							t.Fatalf("validation set (-written +read):\n%.2000s", diff)
						}
					}
				}
			}
			// The layout in memory is the reader's affair.
			o.EnableSparse = !o.EnableSparse
			want := mustBuild(t, withMetadata(m), o, nil)
			got := mustLoad(t, bytesInput("train.bin", binaryOf(t, d, 300)), o, nil)
			if diff := cmp.Diff(want, got, withoutKeys); diff != "" {
				t.Errorf("in another layout (-want +got):\n%.2000s", diff)
			}
		})
	}
}

// TestBinaryHasAllMetadata fails when Metadata gets a field that a binary data set
// does not have yet: it would be lost silently.
func TestBinaryHasAllMetadata(t *testing.T) {
	t.Parallel()
	m, o := synthetic(100)
	d := mustBuild(t, withMetadata(m), o, nil)
	meta := reflect.ValueOf(mustLoad(t, bytesInput("data.bin", binaryOf(t, d, 100)), o, nil).Metadata)
	for i := range meta.NumField() {
		if meta.Field(i).IsZero() {
			t.Errorf("%s is not stored, or not set by the test", meta.Type().Field(i).Name)
		}
	}
}

// TestBinaryKnowsDataset fails when Dataset gets a field: decide whether it has to
// be stored, is made anew when a data set is read, or makes reading one an error.
func TestBinaryKnowsDataset(t *testing.T) {
	t.Parallel()
	want := []string{
		"Metadata", "Rows", "LabelIndex", "FeatureNames", "Mappers", // stored
		"Columns", "Blocks", "Words", "Bundles", "Sparse", "TotalBins", // made anew
		"Raw", // stored if it is there
	}
	var got []string
	for f := range reflect.TypeFor[Dataset]().Fields() {
		if f.IsExported() {
			got = append(got, f.Name)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("fields (-want +got):\n%s", d)
	}
}

// TestTextAndBinaryTogether validates a binary data set by a table, and the other
// way round.
func TestTextAndBinaryTogether(t *testing.T) {
	t.Parallel()
	m, o := synthetic(5000)
	v, _ := synthetic(900)
	train := mustLoad(t, bytesInput("train.csv", text(m, false)), o, nil)
	valid := mustLoad(t, bytesInput("valid.csv", text(v, false)), o, train)
	trainBin := mustLoad(t, bytesInput("train.bin", binaryOf(t, train, 1000)), o, nil)
	for name, got := range map[string]*Dataset{
		"table for binary":  mustLoad(t, bytesInput("valid.csv", text(v, false)), o, trainBin),
		"binary for binary": mustLoad(t, bytesInput("valid.bin", binaryOf(t, valid, 1000)), o, trainBin),
		"binary for table":  mustLoad(t, bytesInput("valid.bin", binaryOf(t, valid, 1000)), o, train),
	} {
		if diff := cmp.Diff(valid, got, withoutKeys); diff != "" {
			t.Errorf("%s (-want +got):\n%.2000s", name, diff)
		}
	}
}

// TestBinaryConflicts names the parameter that asks for other bins.
func TestBinaryConflicts(t *testing.T) {
	t.Parallel()
	m, o := synthetic(2000)
	m.Names = nil
	o.MaxBinByFeature = nil
	stored := o
	stored.BinConstructSampleCnt = 1500
	d := mustBuild(t, m, stored, nil)
	data := binaryOf(t, d, 1000)
	for name, c := range map[string]struct {
		change func(o *Options, in *read.Options)
		want   string
	}{
		"max_bin":            {func(o *Options, _ *read.Options) { o.MaxBin = 7 }, "max_bin: is 7, but data.bin was made with 255; leave it out, or save the data set again"},
		"max_bin_by_feature": {func(o *Options, _ *read.Options) { o.MaxBinByFeature = slices.Repeat([]int{9}, m.Features) }, "max_bin_by_feature: is 9,9,"},
		"min_data_in_bin":    {func(o *Options, _ *read.Options) { o.MinDataInBin++ }, "min_data_in_bin: is "},
		"sample":             {func(o *Options, _ *read.Options) { o.BinConstructSampleCnt = 9 }, "bin_construct_sample_cnt: is 9, but data.bin was made with 1500;"},
		"seed":               {func(o *Options, _ *read.Options) { o.DataRandomSeed = 9 }, "data_random_seed: is 9, but data.bin was made with 1;"},
		"use_missing":        {func(o *Options, _ *read.Options) { o.UseMissing = !o.UseMissing }, "use_missing: is false, but data.bin was made with true;"},
		"zero_as_missing":    {func(o *Options, _ *read.Options) { o.ZeroAsMissing = true }, "zero_as_missing: is true"},
		"categories":         {func(o *Options, _ *read.Options) { o.Categorical = nil }, "categorical_feature: is not set, but data.bin was made with "},
		"no such category":   {func(o *Options, _ *read.Options) { o.CategoricalNames = []string{"x"} }, `categorical_feature: no feature is called "x"`},
		"pre-filter":         {func(o *Options, _ *read.Options) { o.FeaturePreFilter = !o.FeaturePreFilter }, "feature_pre_filter: is "},
		"min_data_in_leaf":   {func(o *Options, _ *read.Options) { o.MinDataInLeaf += 3 }, "min_data_in_leaf: is "},
		"forced bins":        {func(o *Options, _ *read.Options) { o.ForcedBins = [][]float64{{1}} }, "forcedbins_filename: the bounds differ from those that data.bin was made with"},
		"header":             {func(_ *Options, in *read.Options) { in.Header = true }, "header: is true, but data.bin was made with false"},
		"label":              {func(_ *Options, in *read.Options) { in.Label = read.ByName("y") }, "label_column: is name:y, but data.bin was made with not set"},
		"ignored": {func(_ *Options, in *read.Options) {
			in.Ignore = []read.ColumnRef{read.ByName("y"), read.ByName("z"), read.ByIndex(3)}
		}, "ignore_column: is name:y,z,3, but"},
		"nothing": {func(*Options, *read.Options) {}, ""},
		"threads": {func(o *Options, _ *read.Options) { o.Threads = 3 }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, in := stored, bytesInput("data.bin", data)
			c.change(&o, &in.Read)
			_, _, err := Load(context.Background(), in, o, nil)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
			var option *OptionError
			if c.want != "" && !errors.As(err, &option) {
				t.Errorf("error of type %T", err)
			}
		})
	}
	// A seed that drew nothing is free, as is min_data_in_leaf that left nothing out.
	free := o
	free.FeaturePreFilter = false
	other := binaryOf(t, mustBuild(t, m, free, nil), 1000)
	free.DataRandomSeed, free.MinDataInLeaf = 77, 99
	mustLoad(t, bytesInput("data.bin", other), free, nil)
}

func TestBinarySettings(t *testing.T) {
	t.Parallel()
	m, o := synthetic(100)
	o.Categorical, o.CategoricalNames, o.FeaturePreFilter = []int{1}, nil, false
	in := bytesInput("data.csv", text(m, false))
	in.Read.Weight = read.ByIndex(6)
	for i := range m.Values {
		m.Values[i] = math.Abs(math.Trunc(m.Values[i]))
		if math.IsNaN(m.Values[i]) || m.Values[i] > 100 {
			m.Values[i] = 0
		}
	}
	in.Table = read.Bytes("data.csv", text(m, false))
	d := mustLoad(t, in, o, nil)
	d.recipe = append(d.recipe, Setting{"output_model", "/etc/passwd"})
	got, err := BinarySettings(context.Background(), read.Bytes("data.bin", binaryOf(t, d, 100)))
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"header", "false"},
		{"label_column", ""},
		{"weight_column", "6"},
		{"group_column", ""},
		{"ignore_column", ""},
		{"max_bin", fmt.Sprint(o.MaxBin)},
		{"max_bin_by_feature", joinInts(o.MaxBinByFeature)},
		{"min_data_in_bin", fmt.Sprint(o.MinDataInBin)},
		{"bin_construct_sample_cnt", fmt.Sprint(o.BinConstructSampleCnt)},
		{"use_missing", "true"},
		{"zero_as_missing", "false"},
		{"categorical_feature", "1"},
		{"feature_pre_filter", "false"},
		{"forcedbins_filename", ""},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

// sections cuts a binary data set into its sections.
func sections(tb testing.TB, data []byte) [][]byte {
	tb.Helper()
	var list [][]byte
	for rest := data[binaryHead:]; len(rest) > 0; {
		n := sectionHead + int(binary.LittleEndian.Uint64(rest[4:])) + sectionTail
		list = append(list, rest[:n])
		rest = rest[n:]
	}
	return list
}

// resum makes the checksum right again after a change of the payload.
func resum(s []byte) []byte {
	s = bytes.Clone(s)
	n := len(s) - sectionTail
	binary.LittleEndian.PutUint64(s[4:], uint64(n-sectionHead))
	binary.LittleEndian.PutUint32(s[n:], crc32.Checksum(s[:n], castagnoli))
	return s
}

func TestBinaryFaults(t *testing.T) {
	t.Parallel()
	m, o := synthetic(500)
	good := binaryOf(t, mustBuild(t, withMetadata(m), o, nil), 200)
	const damaged = "data.bin: is a damaged binary data set: "
	join := func(list [][]byte) []byte { return append(bytes.Clone(good[:binaryHead]), bytes.Join(list, nil)...) }
	at := func(tag string) int {
		return slices.IndexFunc(sections(t, good), func(s []byte) bool { return string(s[:4]) == tag })
	}
	// with changes one section and makes its checksum right.
	with := func(tag string, change func(s []byte) []byte) []byte {
		list := sections(t, good)
		i := at(tag)
		list[i] = resum(change(bytes.Clone(list[i])))
		return join(list)
	}
	put := func(offset int, bytes ...byte) func(s []byte) []byte {
		return func(s []byte) []byte {
			copy(s[sectionHead+offset:], bytes)
			return s
		}
	}
	newTag := func(tag, to string) []byte {
		return with(tag, func(s []byte) []byte { return append([]byte(to), s[4:]...) })
	}
	without := func(tag string) []byte { return join(slices.Delete(sections(t, good), at(tag), at(tag)+1)) }
	twice := func(tag string) []byte {
		list := sections(t, good)
		return join(slices.Insert(list, at(tag), list[at(tag)]))
	}
	ff := bytes.Repeat([]byte{0xff}, 8)
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"another version":      {append(append([]byte(binaryMagic), 2, 0, 0, 0), good[binaryHead:]...), "data.bin: is a binary data set of version 2, and this program reads version 1; save it again from its table"},
		"cut off":              {good[:len(good)-17], damaged + "a section is longer than the file, or the file is truncated"},
		"cut off early":        {good[:binaryHead+3], damaged + "it is truncated"},
		"without an end":       {without(tagEnd), damaged + "it is truncated"},
		"more at the end":      {append(bytes.Clone(good), 0), damaged + "1 bytes follow its end; save it again from its table"},
		"a long section":       {append(bytes.Clone(good[:binaryHead]), append([]byte("HEAD"), ff...)...), damaged + "a section is longer than the file"},
		"no rows":              {with(tagHead, put(0, make([]byte, 8)...)), "data.bin: has no rows"},
		"too many rows":        {with(tagHead, put(0, 0xff, 0xff, 0xff, 0x7f, 0xff)), "data.bin: has "},
		"more rows than that":  {with(tagHead, put(0, ff...)), damaged + "section HEAD has a wrong length or content"},
		"rows without bytes":   {with(tagHead, put(0, 0xf0, 0xff, 0xff, 0x7f)), damaged + "section LABL has a wrong length or content"},
		"many features":        {with(tagHead, put(8, 0xff, 0xff, 0xff, 0x7f)), damaged + "it has more features than bytes"},
		"a feature more":       {with(tagHead, put(8, byte(m.Features+1))), damaged + "section NAME has a wrong length or content"},
		"a feature less":       {with(tagHead, put(8, byte(m.Features-1))), damaged + "section NAME has a wrong length or content"},
		"sections of no rows":  {with(tagHead, put(24, 0, 0, 0, 0)), damaged + "section HEAD"},
		"sections of too many": {with(tagHead, put(24, 1, 0, 1, 0)), damaged + "section HEAD"},
		"other sections":       {with(tagHead, put(24, 201, 0, 0, 0)), damaged + "the rows from 1 on are not what they should be"},
		"short head":           {with(tagHead, func(s []byte) []byte { return s[:len(s)-1] }), damaged + "section HEAD"},
		"settings beyond":      {with(tagRecipe, put(0, ff[:4]...)), damaged + "section PARM"},
		"names that clash":     {with(tagNames, func(s []byte) []byte { copy(s[sectionHead+4:], s[sectionHead+4+len(s[sectionHead:])/2:]); return s }), damaged},
		"a bad mapper":         {with(tagMappers, put(0, 0xff)), damaged + "section MAPS"},
		"no bins":              {with(tagMappers, put(2, 0, 0, 0, 0)), damaged + "section MAPS"},
		"too many bins":        {with(tagMappers, put(2, 0xff, 0xff, 0xff, 0xff)), damaged + "section MAPS"},
		"no labels":            {without(tagLabels), damaged + `there is a section "ROWS" where LABL belongs`},
		"labels twice":         {twice(tagLabels), damaged + "section LABL"},
		"few labels":           {with(tagLabels, func(s []byte) []byte { return s[:len(s)-4] }), damaged + "section LABL"},
		"a NaN label":          {with(tagLabels, put(4, 0, 0, 0xc0, 0x7f)), "data.bin: row 2: the label is NaN; give a finite number"},
		"a negative weight":    {with(tagWeights, put(4, 0, 0, 0x80, 0xbf)), "data.bin: row 2: the weight is -1; give"},
		"queries backwards":    {with(tagQueries, put(4, 9, 0, 0, 0, 3)), "data.bin: query 2 ends before it starts"},
		"odd scores":           {with(tagScores, func(s []byte) []byte { return s[:len(s)-8] }), "data.bin: has 999 initial scores for 500 rows"},
		"an unknown section":   {newTag(tagWeights, "NEWS"), `data.bin: is a binary data set with a section "NEWS", which this program does not know; use the version`},
		"no rows' section":     {join(append(slices.Clone(sections(t, good)[:at(tagRows)]), sections(t, good)[len(sections(t, good))-1])), damaged},
		"a rows' section less": {without(tagRows), damaged},
		"a rows' section more": {twice(tagRows), damaged},
		"few rows":             {with(tagRows, func(s []byte) []byte { return s[:len(s)-9] }), damaged + "the rows from 1 on are not what they should be"},
		"bins out of range": {with(tagRows, func(s []byte) []byte {
			copy(s[sectionHead+4:], bytes.Repeat([]byte{0xff}, len(s)-sectionHead-8))
			return s
		}), damaged + "the rows from 1 on"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, threads := range []int{1, 3} {
				o := o
				o.Threads = threads
				_, _, err := Load(context.Background(), bytesInput("data.bin", c.data), o, nil)
				var table *read.Error
				if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.As(err, &table) {
					t.Errorf("got  %v (%T)\nwant %s", err, err, c.want)
				}
			}
		})
	}
	// What is only a note may be skipped.
	list := sections(t, good)
	list = slices.Insert(list, 2, resum([]byte("note\x03\x00\x00\x00\x00\x00\x00\x00abc    ")))
	mustLoad(t, bytesInput("data.bin", join(list)), o, nil)
}

// TestBinaryDamage changes every byte, one at a time: the checksums find it.
func TestBinaryDamage(t *testing.T) {
	t.Parallel()
	m, o := synthetic(60)
	o.MinDataInLeaf = 1
	data := binaryOf(t, mustBuild(t, withMetadata(m), o, nil), 50)
	for i := len(binaryMagic); i < len(data); i++ {
		data[i] ^= 0x10
		if _, _, err := Load(context.Background(), bytesInput("data.bin", data), o, nil); err == nil {
			t.Fatalf("byte %d of %d is wrong, and nobody noticed", i, len(data))
		}
		data[i] ^= 0x10
	}
}

func TestBinaryOfOtherBins(t *testing.T) {
	t.Parallel()
	m, o := synthetic(1000)
	v, _ := synthetic(300)
	train, other := mustBuild(t, m, o, nil), mustBuild(t, v, o, nil)
	renamed := m
	for f := range m.Features {
		renamed.Names = append(renamed.Names, fmt.Sprintf("n%d", f))
	}
	narrow := Matrix{Values: make([]float64, 100), Rows: 100, Features: 1, Metadata: Metadata{Label: make([]float32, 100)}}
	no := DefaultOptions()
	const odd = "valid.bin: is a binary data set that does not go with the training data: "
	for name, c := range map[string]struct {
		d    *Dataset
		want string
	}{
		"other bins":  {other, odd + "its bins are others; save both in one run, with valid"},
		"other names": {mustBuild(t, renamed, o, nil), odd + "its features have other names"},
		"other width": {mustBuild(t, narrow, no, nil), fmt.Sprintf("valid.bin: has 1 features, but the training data has %d", m.Features)},
	} {
		_, _, err := Load(context.Background(), bytesInput("valid.bin", binaryOf(t, c.d, 100)), o, train)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", name, err, c.want)
		}
	}
}

func TestBinaryAmongOthers(t *testing.T) {
	t.Parallel()
	m, o := synthetic(300)
	data := binaryOf(t, mustBuild(t, m, o, nil), 100)
	in := bytesInput("a.csv", text(m, false))
	in.More = []Input{bytesInput("b.bin", data)}
	_, _, err := Load(context.Background(), in, o, nil)
	if want := "b.bin: is a binary data set, which cannot be one of several files; give it alone, or give the tables"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	in = bytesInput("b.bin", data)
	in.Weight = side("b.bin.weight", "1\n")
	_, notices, err := Load(context.Background(), in, o, nil)
	want := []Notice{"b.bin: is a binary data set, which has weights, queries, scores and positions of its own; b.bin.weight is not used"}
	if d := cmp.Diff(want, notices); d != "" || err != nil {
		t.Errorf("error %v, notices (-want +got):\n%s", err, d)
	}
}

func TestBinaryCancelled(t *testing.T) {
	t.Parallel()
	m, o := synthetic(300)
	data := binaryOf(t, mustBuild(t, m, o, nil), 10)
	ctx, cancel := context.WithCancel(context.Background())
	in := bytesInput("data.bin", data)
	in.Read.Progress = func(int64, int64) { cancel() }
	if _, _, err := Load(ctx, in, o, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want a cancellation", err)
	}
}
