package policy

import (
	"encoding"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"cloister/trust/approval"
	"cloister/trust/document"
)

// texts are the types of a policy that have a text form.
func texts() []reflect.Type {
	var all []reflect.Type
	for typ := range sampleTexts() {
		all = append(all, typ)
	}
	slices.SortFunc(all, func(a, b reflect.Type) int { return strings.Compare(a.Name(), b.Name()) })
	return all
}

func formOf(typ reflect.Type) document.Form {
	return reflect.Zero(typ).Interface().(document.Text).Form()
}

// read reads a text of a type, and returns it as it is written.
func read(typ reflect.Type, text string) (string, error) {
	v := reflect.New(typ)
	if err := v.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text)); err != nil {
		return "", err
	}
	out, err := v.Elem().Interface().(encoding.TextMarshaler).MarshalText()
	return string(out), err
}

// pattern is that of a form. Go counts repeats only up to 1000.
func pattern(f document.Form) *regexp.Regexp {
	return regexp.MustCompile(strings.Replace(f.Pattern, "{1,2048}", "+", 1))
}

// TestFormNamesTellFormsApart: the reference page has each form once, by its name.
func TestFormNamesTellFormsApart(t *testing.T) {
	t.Parallel()
	forms := make(map[string]document.Form)
	for _, typ := range texts() {
		f := formOf(typ)
		if other, ok := forms[f.Name]; ok && !reflect.DeepEqual(other, f) {
			t.Errorf("%v and another type are both called %q", typ, f.Name)
		}
		forms[f.Name] = f
	}
}

// FuzzTexts reads anything as a text of each type: what is accepted looks as the
// reference page and the schema say, and is the same when it is written and read
// again.
func FuzzTexts(f *testing.F) {
	all := texts()
	for i, typ := range all {
		for _, text := range sampleTexts()[typ] {
			f.Add(uint(i), text)
		}
		for _, text := range []string{
			"1.5h", "+1h", "-0s", "1000ms", "1h0s", "0", "00h", "", "none", "0x", "0x05/0xff", "1+", "01", "1-1", "sha256:", "a/b/c", "A", "a..b", "a\n", " a",
		} {
			f.Add(uint(i), text)
		}
	}
	f.Fuzz(func(t *testing.T, i uint, text string) {
		typ := all[i%uint(len(all))]
		written, err := read(typ, text)
		if err != nil {
			return
		}
		form := formOf(typ)
		switch {
		case typ == reflect.TypeFor[approval.PublicKey](): // blank space around it does not count
		case form.Pattern != "" && !pattern(form).MatchString(text):
			t.Errorf("%v accepts %q, which does not match %s", typ, text, form.Pattern)
		case form.Pattern == "" && !slices.Contains(form.Values, text):
			t.Errorf("%v accepts %q, which is none of %v", typ, text, form.Values)
		}
		if again, err := read(typ, written); err != nil || again != written {
			t.Errorf("%v: %q is written as %q, which is read as %q, %v", typ, text, written, again, err)
		}
	})
}
