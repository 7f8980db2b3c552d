package document

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
)

// Reference is the fields of a document's type in Markdown: one table for the
// document and one for each part of it, in the order in which they are met, then
// the forms of its texts.
func Reference(doc any) []byte {
	r := &reference{seen: make(map[reflect.Type]bool)}
	r.structure("", reflect.TypeOf(doc).Elem())
	r.forms()
	return r.b.Bytes()
}

type reference struct {
	b     bytes.Buffer
	seen  map[reflect.Type]bool
	texts []reflect.Type
}

func (r *reference) structure(path string, t reflect.Type) {
	if r.seen[t] {
		return
	}
	r.seen[t] = true
	title := "The file"
	if path != "" {
		title = "`" + path + "`"
	}
	fmt.Fprintf(&r.b, "## %s\n\n", title)
	if len(fieldsOf(t)) == 0 {
		r.b.WriteString("Nothing is in it: it is written `{}`.\n\n")
		return
	}
	r.b.WriteString("| field | value | meaning |\n| --- | --- | --- |\n")
	type part struct {
		path string
		t    reflect.Type
	}
	var parts []part
	for _, f := range fieldsOf(t) {
		at := strings.TrimPrefix(path+"."+f.name, ".")
		text, inner := r.value(f.Type, f.name)
		switch {
		case f.required():
			text += ", required"
		case f.preset() != "":
			text += ", default `" + f.preset() + "`"
		}
		fmt.Fprintf(&r.b, "| `%s` | %s | %s |\n", f.name, text, f.doc)
		if inner != nil {
			if f.Type.Kind() == reflect.Map {
				at += "[NAME]"
			}
			parts = append(parts, part{at, inner})
		}
	}
	r.b.WriteByte('\n')
	for _, p := range parts {
		r.structure(p.path, p.t)
	}
}

// value says what a field holds, and which struct is in it.
func (r *reference) value(t reflect.Type, name string) (string, reflect.Type) {
	switch {
	case isText(t):
		if !r.seen[t] {
			r.seen[t] = true
			r.texts = append(r.texts, t)
		}
		return formOf(t).Name, nil
	case isLeaf(t):
		return formOf(t).Name, nil
	case isSet(t):
		text, _ := r.value(t.Elem(), name)
		return "list of: " + text, nil
	case t.Kind() == reflect.Map:
		key, _ := r.value(t.Key(), name)
		text, inner := r.value(t.Elem(), name)
		if inner != nil {
			text = "see below"
		}
		return "by " + key + ": " + text, inner
	case t.Kind() == reflect.Pointer:
		t = t.Elem()
	}
	return "see below", t
}

// forms is a table of the texts.
func (r *reference) forms() {
	r.b.WriteString("## Values\n\n| value | form | example |\n| --- | --- | --- |\n")
	seen := make(map[string]bool)
	for _, t := range r.texts {
		f := formOf(t)
		if seen[f.Name] {
			continue
		}
		seen[f.Name] = true
		form := "`" + strings.ReplaceAll(f.Pattern, "|", `\|`) + "`"
		if f.Pattern == "" {
			form = "`" + strings.Join(f.Values, "`, `") + "`"
		}
		example := ""
		if f.Example != "" {
			example = "`" + f.Example + "`"
		}
		fmt.Fprintf(&r.b, "| %s | %s | %s |\n", f.Name, form, example)
	}
}
