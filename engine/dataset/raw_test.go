package dataset

import (
	"context"
	"math"
	"strings"
	"testing"

	"cloister/engine/dataset/read"
)

// checkRaw compares every value that is kept with its matrix.
func checkRaw(t *testing.T, d *Dataset, m Matrix) {
	t.Helper()
	if d.Raw == nil || len(d.Raw.Place) != len(d.Columns) || len(d.Raw.Values) != d.Rows*d.Raw.Width {
		t.Fatalf("raw values do not fit: %+v", d.Raw)
	}
	numerical := 0
	for i, c := range d.Columns {
		if c.Mapper.Categorical {
			if d.Raw.Place[i] != -1 {
				t.Errorf("the categories of feature %d have a place", c.Feature)
			}
			continue
		}
		if int(d.Raw.Place[i]) != numerical {
			t.Fatalf("feature %d is at %d, want %d", c.Feature, d.Raw.Place[i], numerical)
		}
		numerical++
		for r := range d.Rows {
			got, want := d.Raw.Row(r)[d.Raw.Place[i]], float32(m.Values[r*m.Features+c.Feature])
			if got != want && !(got != got && want != want) {
				t.Fatalf("feature %d, row %d: %g is kept, want %g", c.Feature, r, got, want)
			}
		}
	}
	if numerical != d.Raw.Width {
		t.Errorf("a row has %d values, want %d", d.Raw.Width, numerical)
	}
}

func TestRawValues(t *testing.T) {
	t.Parallel()
	m, o := synthetic(6000)
	o.KeepRaw = true
	plain := mustBuild(t, m, func() Options { p := o; p.KeepRaw = false; return p }(), nil)
	for name, change := range map[string]func(o *Options){
		"one thread": func(o *Options) { o.Threads = 1 },
		"threads":    func(o *Options) { o.Threads = 7 },
		"dense":      func(o *Options) { o.EnableSparse = false },
		"no missing": func(o *Options) { o.UseMissing = false },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := o
			change(&o)
			d := mustBuild(t, m, o, nil)
			checkRaw(t, d, m)
			if got, want := d.Bytes(), 4*d.Rows*d.Raw.Width; name == "one thread" && got != plain.Bytes()+want {
				t.Errorf("%d bytes, want %d more than %d", got, want, plain.Bytes())
			}
			valid := m
			valid.Rows, valid.Values, valid.Label = 100, m.Values[50*m.Features:150*m.Features], m.Label[50:150]
			checkRaw(t, mustBuild(t, valid, DefaultOptions(), d), valid)
			sparse, _, err := FromRows(context.Background(), rowsOf(m, true), Schema{Features: m.Features, Sparse: true}, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkRaw(t, sparse, m)
		})
	}
}

// Tables are read with their values, in one pass and in two.
func TestRawValuesOfText(t *testing.T) {
	t.Parallel()
	const dense = "1,0.5,2\n0,,3\n1,-1e300,0\n0,7,1e-40\n1,1,1\n0,2,2\n"
	const sparse = "1 0:0.5 1:2\n0 0:nan 1:3\n1 0:-1e300\n0 0:7 1:1e-40\n1 0:1 1:1\n0 0:2 1:2\n"
	inf := float32(math.Inf(-1))
	want := []float32{0.5, 2, float32(math.NaN()), 3, inf, 0, 7, 1e-40, 1, 1, 2, 2}
	for name, text := range map[string]string{"csv": dense, "libsvm": sparse} {
		for _, sampled := range []int{2, 100} {
			o := DefaultOptions()
			o.KeepRaw, o.FeaturePreFilter, o.MinDataInBin, o.BinConstructSampleCnt = true, false, 1, sampled
			in := Input{Table: read.Bytes(name, []byte(text)), Read: read.Options{}}
			d, _, err := Load(context.Background(), in, o, nil)
			if err != nil {
				t.Fatal(err)
			}
			if len(d.Columns) != 2 {
				t.Fatalf("%s: %v", name, strings.Join(d.FeatureInfos(), " "))
			}
			for i, v := range d.Raw.Values {
				if v != want[i] && !(v != v && want[i] != want[i]) {
					t.Errorf("%s, %d rows sampled: value %d is %g, want %g", name, sampled, i, v, want[i])
				}
			}
		}
	}
}
