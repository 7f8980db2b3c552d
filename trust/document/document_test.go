package document

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// word is a text of letters.
type word string

func (w word) MarshalText() ([]byte, error) { return []byte(w), nil }

func (w *word) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("is no word")
	}
	*w = word(text)
	return nil
}

func (word) Form() Form { return Form{Name: "word", Pattern: "^.+$", Example: "w"} }

type sample struct {
	Name  word            `json:"name" rule:"required" doc:"Its name."`
	Count uint16          `json:"count,omitzero" default:"3" doc:"How many."`
	Zero  uint8           `json:"zero,omitzero" doc:"None."`
	On    bool            `json:"on,omitzero" doc:"Whether."`
	Words []word          `json:"words,omitzero" default:"b a" doc:"Some."`
	Part  *part           `json:"part,omitzero" doc:"A part."`
	Parts map[word]*part  `json:"parts,omitzero" doc:"Parts."`
	Lists map[word][]word `json:"lists,omitzero" doc:"Lists."`
}

type part struct {
	Size  uint8 `json:"size" rule:"required" doc:"Its size."`
	Other word  `json:"other,omitzero" doc:"Another."`
}

func (p *part) Check(path Path, refuse func(Path, string, ...any)) {
	if p.Size > 100 {
		refuse(path.Field("size"), "is too much")
	}
}

func TestCanonical(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"defaults": {"name: n\n", "name: \"n\"\ncount: 3\nwords[a]\nwords[b]\n"},
		"all": {
			"name: \"a\\u202eb\\\"\\U0001F600\"\ncount: 0\nzero: 7\non: true\nwords: [z, 'x[y]', é]\npart: {size: 0}\nparts: {p: {size: 1, other: o}}\nlists: {l: [b, a], e: []}\n",
			`name: "a\u202eb\"\ud83d\ude00"` + "\nzero: 7\non: true\nwords[\"x[y]\"]\nwords[z]\nwords[\"\\u00e9\"]\npart.size: 0\n" +
				"parts[p].size: 1\nparts[p].other: \"o\"\nlists[e]: present\nlists[l][a]\nlists[l][b]\n",
		},
		"nothing in a list": {"name: n\nwords: []\ncount: 1\n", "name: \"n\"\ncount: 1\n"},
	} {
		var s sample
		if err := Read("f", []byte(c.text), &s); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(c.want, string(Canonical(&s))); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "f: has no document",
		"# nothing\n":                         "f: has no document",
		"name":                                "f:1:1: is a single value, not a mapping (name: value)",
		"- a":                                 "f:1:1: is a list, not a mapping (name: value)",
		"name: {a: b}":                        "f:1:7: name: is a mapping, not a single value",
		"name: n\non: 1":                      `f:2:5: on: is "1", neither true nor false`,
		"name: n\ncount: 70000":               `f:2:8: count: is "70000", not a number from 0 to 65535 in decimal digits`,
		"name: n\ncount: 1_000":               `f:2:8: count: is "1_000"`,
		"name: true":                          "f:1:7: name: is true, not a word",
		"name: n\npart: {size: 101}":          "f:2:14: part.size: is too much",
		"name: n\nparts: {p: {size: 101}}":    "f:2:19: parts[p].size: is too much",
		"name: n\nparts: {p: {}}":             "f:2:12: parts[p].size: is missing: its size",
		"name: n\nparts: {true: {size: 1}}":   `has the key "true", which is no text`,
		"name: n\n? [a]\n: b":                 "has a list as a key",
		"name: n\nwords: [a, a]":              `words: has "a" twice, first in line 2`,
		"name: n\nwords: a":                   "words: is a single value, not a list",
		"name: [":                             "is not YAML",
		"name: n\nother: 1":                   `has the unknown field "other"; known are name, count, zero, on, words, part, parts, lists`,
		"name: n\nnam\u0065: m":               `has "name" twice, first in line 1`,
		"name: n\nlists: {l: {}}":             "lists[l]: is a mapping, not a list",
		"name: " + strings.Repeat("x", 1<<15): "more than the 16384 that a value may have",
		strings.Repeat("[", 100000):           "f:",
	} {
		var s sample
		err := Read("f", []byte(text), &s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: error is %v, want %s", text, err, want)
		}
	}
}

// TestDeep: nesting ends before the stack does.
func TestDeep(t *testing.T) {
	t.Parallel()
	type tree struct {
		Trees map[word]*tree `json:"trees,omitzero"`
	}
	text := strings.Repeat("{trees: {a: ", 100) + "{}" + strings.Repeat("}}", 100)
	if err := Read("f", []byte(text), new(tree)); err == nil || !strings.Contains(err.Error(), "is nested too deeply") {
		t.Errorf("error is %v", err)
	}
}

// TestDiff: what goes, what comes, and where one of them is missing.
func TestDiff(t *testing.T) {
	t.Parallel()
	var a, b sample
	if err := Read("f", []byte("name: n\nwords: [a, b]\npart: {size: 1}\n"), &a); err != nil {
		t.Fatal(err)
	}
	if err := Read("f", []byte("name: m\nwords: [b, c]\nlists: {l: []}\n"), &b); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range Diff(&a, &b) {
		got = append(got, c.Old+" => "+c.New)
	}
	want := []string{`name: "n" => name: "m"`, "words[a] => ", " => words[c]", "part.size: 1 => ", " => lists[l]: present"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestSchema(t *testing.T) {
	t.Parallel()
	text, err := Schema(new(sample), "id", "title")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Required   []string                  `json:"required"`
		Properties map[string]map[string]any `json:"properties"`
		Defs       map[string]map[string]any `json:"$defs"`
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Properties) != 8 || len(s.Required) != 1 || s.Defs["part"] == nil || s.Properties["count"]["maximum"] != 65535.0 {
		t.Errorf("schema is\n%s", text)
	}
}
