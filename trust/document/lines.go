package document

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Step is one field on the way from a document to a line of it, and for a map
// or a set the key in it.
type Step struct {
	Field reflect.StructField
	Key   string
	Keyed bool
	// Old and New say on which sides the value that the step leads to is there.
	Old, New bool
}

// Change is one line in which two documents differ, or, where they are compared
// with nothing, a line of one.
type Change struct {
	Path  Path
	Steps []Step
	// Old and New are the lines, "" where one has none.
	Old, New string
	// OldText and NewText are the values as they were before they were quoted.
	OldText, NewText string
}

// present stands for a struct, a map or an entry that is there with nothing in
// it.
const present = "present"

// Canonical is the canonical form of a document: a line for each value that
// differs from what is not written, in the order of the declaration, entries of
// maps and elements of sets in that of their bytes.
//
//	path: value            a text in quotes, a number, or true
//	path[element]          an element of a set
//	path: present          a part that has nothing in it
//
// All of it is printable ASCII and newlines: see Quote. Two documents have the
// same form only if they are the same.
func Canonical(doc any) []byte {
	var b bytes.Buffer
	v := reflect.ValueOf(doc)
	for _, c := range compare(reflect.Zero(v.Type()), v, true) {
		b.WriteString(c.New)
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Diff lists the lines in which two documents of one type differ, in the order
// of the canonical form.
func Diff(old, changed any) []Change {
	return compare(reflect.ValueOf(old), reflect.ValueOf(changed), false)
}

func compare(old, changed reflect.Value, all bool) []Change {
	w := &walker{all: all}
	if old.Type() != changed.Type() || old.Kind() != reflect.Pointer {
		panic(fmt.Sprintf("documents of the types %v and %v cannot be compared", old.Type(), changed.Type()))
	}
	deref := func(v reflect.Value) reflect.Value {
		if v.IsNil() {
			return reflect.Value{}
		}
		return v.Elem()
	}
	w.structure("", old.Type().Elem(), deref(old), deref(changed))
	return w.changes
}

type walker struct {
	all      bool // lines that are the same, too
	steps    []Step
	changes  []Change
	old, new int // lines so far
}

// line notes the line that each side has at path, "" for none.
func (w *walker) line(path Path, old, changed, oldText, newText string) {
	if old != "" {
		w.old++
	}
	if changed != "" {
		w.new++
	}
	if old == changed && !w.all {
		return
	}
	w.changes = append(w.changes, Change{
		Path: path, Steps: slices.Clone(w.steps), Old: old, New: changed, OldText: oldText, NewText: newText,
	})
}

// part runs walk for a value that is there or not on each side, and notes one
// that is there with nothing in it.
func (w *walker) part(path Path, old, changed bool, walk func()) {
	if !old && !changed {
		return
	}
	o, n := w.old, w.new
	walk()
	var oldLine, newLine string
	if old && w.old == o {
		oldLine = string(path) + ": " + present
	}
	if changed && w.new == n {
		newLine = string(path) + ": " + present
	}
	if oldLine != "" || newLine != "" {
		w.line(path, oldLine, newLine, "", "")
	}
}

func (w *walker) step(s Step, walk func()) {
	w.steps = append(w.steps, s)
	walk()
	w.steps = w.steps[:len(w.steps)-1]
}

func (w *walker) structure(path Path, t reflect.Type, old, changed reflect.Value) {
	sub := func(v reflect.Value, f *field) reflect.Value {
		if !v.IsValid() {
			return v
		}
		return v.FieldByIndex(f.Index)
	}
	for _, f := range fieldsOf(t) {
		w.field(path.Field(f.name), &f, sub(old, &f), sub(changed, &f))
	}
}

func (w *walker) field(path Path, f *field, old, changed reflect.Value) {
	there := func(v reflect.Value) bool {
		switch {
		case !v.IsValid():
			return false
		case isLeaf(f.Type):
			return f.required() || !v.IsZero()
		case f.isPointer(), f.Type.Kind() == reflect.Map:
			return !v.IsNil()
		}
		return true
	}
	s := Step{Field: f.StructField, Old: there(old), New: there(changed)}
	w.step(s, func() {
		switch {
		case isLeaf(f.Type):
			w.leaf(path, old, changed, s)
		case f.isPointer():
			w.part(path, s.Old, s.New, func() { w.pointed(path, f.Type.Elem(), old, changed) })
		case f.Type.Kind() == reflect.Map:
			w.entries(path, f, old, changed)
		case isSet(f.Type):
			w.set(path, f, old, changed)
		default:
			w.structure(path, f.Type, old, changed)
		}
	})
}

func (w *walker) pointed(path Path, t reflect.Type, old, changed reflect.Value) {
	deref := func(v reflect.Value) reflect.Value {
		if !v.IsValid() || v.IsNil() {
			return reflect.Value{}
		}
		return v.Elem()
	}
	w.structure(path, t, deref(old), deref(changed))
}

func (w *walker) leaf(path Path, old, changed reflect.Value, s Step) {
	text := func(v reflect.Value, there bool) (line, plainText string) {
		if !there {
			return "", ""
		}
		plainText = leafText(v)
		line = plainText
		if isText(v.Type()) {
			line = Quote(plainText)
		}
		return string(path) + ": " + line, plainText
	}
	oldLine, oldText := text(old, s.Old)
	newLine, newText := text(changed, s.New)
	if oldLine != "" || newLine != "" {
		w.line(path, oldLine, newLine, oldText, newText)
	}
}

// entries walks a map. A map with nothing in it is as one that is absent: no
// rule of any document tells them apart.
func (w *walker) entries(path Path, f *field, old, changed reflect.Value) {
	at := make(map[string][2]reflect.Value)
	for side, v := range []reflect.Value{old, changed} {
		for _, k := range sortedKeys(v) {
			pair := at[leafText(k)]
			pair[side] = v.MapIndex(k)
			at[leafText(k)] = pair
		}
	}
	for _, key := range sorted(at) {
		pair := at[key]
		s := Step{Field: f.StructField, Key: key, Keyed: true, Old: pair[0].IsValid(), New: pair[1].IsValid()}
		w.replaceStep(s, func() {
			entry := path.Key(key)
			w.part(entry, s.Old, s.New, func() {
				if isSet(f.Type.Elem()) {
					w.set(entry, f, pair[0], pair[1])
				} else {
					w.pointed(entry, f.Type.Elem().Elem(), pair[0], pair[1])
				}
			})
		})
	}
}

func (w *walker) set(path Path, f *field, old, changed reflect.Value) {
	in := make(map[string][2]bool)
	for side, v := range []reflect.Value{old, changed} {
		if !v.IsValid() {
			continue
		}
		for i := range v.Len() {
			pair := in[leafText(v.Index(i))]
			pair[side] = true
			in[leafText(v.Index(i))] = pair
		}
	}
	outer := w.steps[len(w.steps)-1]
	for _, text := range sorted(in) {
		s := Step{Field: f.StructField, Key: text, Keyed: true, Old: in[text][0], New: in[text][1]}
		walk := func() {
			var lines [2]string
			for side, there := range in[text] {
				if there {
					lines[side] = string(path.Key(text))
				}
			}
			w.line(path.Key(text), lines[0], lines[1], text, text)
		}
		if outer.Keyed { // the set is the entry of a map
			w.step(s, walk)
		} else {
			w.replaceStep(s, walk)
		}
	}
}

// replaceStep runs walk with the last step replaced.
func (w *walker) replaceStep(s Step, walk func()) {
	last := len(w.steps) - 1
	kept := w.steps[last]
	w.steps[last] = s
	walk()
	w.steps[last] = kept
}

func sorted[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}
