package dataset

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset/read"
)

// TestBitsOfRawBinary writes the same bytes everywhere, whatever NaN looks like.
func TestBitsOfRawBinary(t *testing.T) {
	t.Parallel()
	want := map[bool]string{ // by enable_bundle
		false: "e0172caf77b09326cd3bdac6f58921eb747236c98b12e2a44c4876a85e2b21cd",
		true:  "246a53d250db131082236d114f4f517ed7c84a03e8c2fdccf9bc4f8a898c65e5",
	}
	m, o := synthetic(5003)
	o.KeepRaw = true
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

// TestReproducibleRawBinary writes and reads data sets that keep their values.
func TestReproducibleRawBinary(t *testing.T) {
	t.Parallel()
	m, o := synthetic(1201)
	v, _ := synthetic(377)
	o.KeepRaw = true
	noSparse := o
	noSparse.EnableSparse = false
	only := Matrix{Rows: 300, Features: 1, Metadata: Metadata{Label: make([]float32, 300)}}
	for i := range only.Rows {
		only.Values = append(only.Values, float64(i%3))
		only.Label[i] = float32(i % 2)
	}
	for name, c := range map[string]struct {
		m, v Matrix
		o    Options
	}{
		"usual":           {m, v, o},
		"dense":           {m, v, noSparse},
		"categories only": {only, only, func() Options { o := DefaultOptions(); o.KeepRaw, o.Categorical = true, []int{0}; return o }()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := c.o
			d := mustBuild(t, withMetadata(c.m), o, nil)
			valid := mustBuild(t, c.v, o, d)
			plainOptions := o
			plainOptions.KeepRaw = false
			plain := mustBuild(t, withMetadata(c.m), plainOptions, nil)
			plainValid := mustBuild(t, c.v, plainOptions, plain)
			for _, chunk := range []int{1000, 256, 37, 1} {
				data, validData := binaryOf(t, d, chunk), binaryOf(t, valid, chunk)
				for _, threads := range []int{1, 4} {
					o.Threads, plainOptions.Threads = threads, threads
					got := mustLoad(t, bytesInput("train.bin", data), o, nil)
					if diff := cmp.Diff(d, got, withoutKeys); diff != "" {
						t.Fatalf("%d rows to a section (-written +read):\n%.2000s", chunk, diff)
					}
					checkRaw(t, got, c.m)
					if again := binaryOf(t, got, chunk); !bytes.Equal(again, data) {
						t.Error("what was read is written in another way")
					}
					// It is the training data that says whether values are kept.
					gotValid := mustLoad(t, bytesInput("valid.bin", validData), plainOptions, got)
					if diff := cmp.Diff(valid, gotValid, withoutKeys); diff != "" {
						t.Fatalf("validation set (-written +read):\n%.2000s", diff)
					}
					checkRaw(t, gotValid, c.v)
					// Values that nobody asks for are left out.
					if diff := cmp.Diff(plain, mustLoad(t, bytesInput("train.bin", data), plainOptions, nil), withoutKeys); diff != "" {
						t.Fatalf("without values (-want +got):\n%.2000s", diff)
					}
					if diff := cmp.Diff(plainValid, mustLoad(t, bytesInput("valid.bin", validData), o, plain), withoutKeys); diff != "" {
						t.Fatalf("validation set without values (-want +got):\n%.2000s", diff)
					}
				}
			}
		})
	}
}

// TestBinaryWithoutRaw asks for values that a file does not have.
func TestBinaryWithoutRaw(t *testing.T) {
	t.Parallel()
	m, o := synthetic(600)
	v, _ := synthetic(200)
	raw := o
	raw.KeepRaw = true
	train := mustBuild(t, m, raw, nil)
	plain := mustBuild(t, m, o, nil)
	for name, c := range map[string]struct {
		d   *Dataset
		ref *Dataset
	}{
		"train.bin": {plain, nil},
		"valid.bin": {mustBuild(t, v, o, plain), train},
	} {
		_, _, err := Load(context.Background(), bytesInput(name, binaryOf(t, c.d, 100)), raw, c.ref)
		want := "linear_tree: is true, but " + name + " was made without the values that linear trees need; save the data set again with linear_tree=true"
		var option *OptionError
		if err == nil || err.Error() != want || !errors.As(err, &option) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

func TestRawBinaryFaults(t *testing.T) {
	t.Parallel()
	m, o := synthetic(500)
	plain := binaryOf(t, mustBuild(t, m, o, nil), 200)
	o.KeepRaw = true
	good := binaryOf(t, mustBuild(t, withMetadata(m), o, nil), 200)
	const damaged = "data.bin: is a damaged binary data set: "
	// with changes a section and makes its checksum right.
	with := func(file []byte, tag string, change func(s []byte) []byte) []byte {
		list := sections(t, file)
		i := slices.IndexFunc(list, func(s []byte) bool { return string(s[:4]) == tag })
		list[i] = resum(change(bytes.Clone(list[i])))
		return append(bytes.Clone(file[:binaryHead]), bytes.Join(list, nil)...)
	}
	put := func(offset int, bytes ...byte) func(s []byte) []byte {
		return func(s []byte) []byte {
			copy(s[sectionHead+offset:], bytes)
			return s
		}
	}
	names := 4 * m.Rows
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"unknown flags":         {with(good, tagHead, put(28, 3)), damaged + "section HEAD has a wrong length or content"},
		"flags far up":          {with(good, tagHead, put(28, 1, 0, 0, 1)), damaged + "section HEAD"},
		"values not announced":  {with(good, tagHead, put(28, 0)), "linear_tree: is true, but data.bin was made without the values"},
		"values that are not":   {with(plain, tagHead, put(28, 1)), damaged},
		"a value less":          {with(good, tagRows, func(s []byte) []byte { return s[:len(s)-4] }), damaged + "the rows from 1 on are not what they should be"},
		"a value more":          {with(good, tagRows, func(s []byte) []byte { return append(s, 1, 2, 3, 4) }), damaged + "the rows from 1 on are not what they should be"},
		"half a value":          {with(good, tagRows, func(s []byte) []byte { return s[:len(s)-2] }), damaged + "the rows from 1 on are not what they should be"},
		"rows without values":   {with(good, tagHead, put(0, 0xf0, 0xff, 0xff, 0x7f)), damaged + "section LABL has a wrong length or content"},
		"few positions":         {with(good, tagPlaces, func(s []byte) []byte { return s[:sectionHead+names-4+sectionTail] }), damaged + "section POSN has a wrong length or content"},
		"no names' number":      {with(good, tagPlaces, func(s []byte) []byte { return s[:sectionHead+names+sectionTail] }), damaged + "section POSN"},
		"names beyond":          {with(good, tagPlaces, put(names, 0xff, 0xff, 0xff, 0xff)), damaged + "section POSN"},
		"a name too few":        {with(good, tagPlaces, put(names, 2)), damaged + "section POSN"},
		"a name that is long":   {with(good, tagPlaces, put(names+4, 0xff, 0xff, 0xff, 0xff)), damaged + "section POSN"},
		"a position of no name": {with(good, tagPlaces, put(4, 3, 0, 0, 0)), "data.bin: row 2: the position is 3; number them from 0 to at most 2"},
		"a negative position":   {with(good, tagPlaces, put(4, 0xff, 0xff, 0xff, 0xff)), "data.bin: row 2: the position is -1; number"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, threads := range []int{1, 3} {
				o := o
				o.Threads = threads
				_, _, err := Load(context.Background(), bytesInput("data.bin", c.data), o, nil)
				var table *read.Error
				var option *OptionError
				if err == nil || !strings.HasPrefix(err.Error(), c.want) || !errors.As(err, &table) && !errors.As(err, &option) {
					t.Errorf("got  %v (%T)\nwant %s", err, err, c.want)
				}
			}
		})
	}
	// Values that are there but not announced do not pass for bins.
	no := o
	no.KeepRaw = false
	_, _, err := Load(context.Background(), bytesInput("data.bin", with(good, tagHead, put(28, 0))), no, nil)
	if want := damaged + "the rows from 1 on are not what they should be"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestBinaryPositions keeps positions with and without names, and none of
// validation sets.
func TestBinaryPositions(t *testing.T) {
	t.Parallel()
	m, o := synthetic(300)
	for i := range m.Rows {
		m.Position = append(m.Position, int32(i%7))
	}
	for name, names := range map[string][]string{"without names": nil, "with names": {"0", "1", "2", "3", "4", "5", "six", "nobody's"}} {
		m.PositionNames = names
		d := mustBuild(t, m, o, nil)
		data := binaryOf(t, d, 100)
		got := mustLoad(t, bytesInput("train.bin", data), o, nil)
		if diff := cmp.Diff(d.Metadata, got.Metadata); diff != "" {
			t.Errorf("%s (-written +read):\n%s", name, diff)
		}
		in := bytesInput("train.bin", data)
		in.Position = side("train.bin.position", "1\n")
		valid, notices, err := Load(context.Background(), in, o, d)
		if err != nil || valid.Position != nil || valid.PositionNames != nil || len(notices) > 0 {
			t.Errorf("%s: a validation set has positions %v of %q, notices %v, error %v", name, valid.Position, valid.PositionNames, notices, err)
		}
	}
}

// TestAdmitRaw asks for the memory of values too, of a table and a binary data set.
func TestAdmitRaw(t *testing.T) {
	t.Parallel()
	m, o := synthetic(1000)
	var asked []Need
	o.Admit = func(n Need) error {
		if n.Data != nil {
			asked = append(asked, n)
		}
		return nil
	}
	mustBuild(t, m, o, nil)
	o.KeepRaw = true
	d := mustBuild(t, m, o, nil)
	mustLoad(t, bytesInput("data.bin", binaryOf(t, d, 300)), o, nil)
	want := asked[0].Bytes + int64(4*d.Rows*d.Raw.Width)
	if len(asked) != 3 || asked[1].Bytes != want || asked[2].Bytes != want {
		t.Errorf("asked for %v, want twice %d bytes at the end", asked, want)
	}
}
