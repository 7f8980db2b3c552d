package lightgbm

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/lightgbm/parameter"
)

// fixtureRows reads a table from testdata without its heading.
func fixtureRows(t *testing.T, name string, columns int) [][]string {
	t.Helper()
	text, err := os.ReadFile("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		cells := strings.Split(line, "\t")
		if len(cells) != columns {
			t.Fatalf("%s:%d has %d columns, want %d", name, i+1, len(cells), columns)
		}
		rows = append(rows, cells)
	}
	return rows[1:]
}

// fact is what LightGBM's source says of a parameter.
type fact struct {
	Name, GoType, Default string
	Saved                 bool
	Checks                string
	Aliases               string
}

// goTypes translates the types of LightGBM's members.
func goTypes() map[string]string {
	return map[string]string{
		"std::string": "string", "TaskType": "string", "int": "int", "double": "float64", "bool": "bool",
		"std::vector<std::string>": "[]string", "std::vector<int>": "[]int", "std::vector<int32_t>": "[]int",
		"std::vector<int8_t>": "[]int8", "std::vector<double>": "[]float64",
	}
}

func TestTableIsLightGBMs(t *testing.T) {
	t.Parallel()
	// Tighter than LightGBM's checks on purpose.
	ours := []string{"saved_feature_importance_type", "monotone_constraints", "max_bin_by_feature", "eval_at"}
	var want, got []fact
	for _, row := range fixtureRows(t, "lightgbm-4.7.0-parameters.tsv", 6) {
		f := fact{row[0], goTypes()[row[1]], row[2], row[3] == "1", row[4], row[5]}
		if f.GoType == "" {
			t.Errorf("%s has the type %s, which the test does not know", f.Name, row[1])
		}
		if f.Name == "interaction_constraints" {
			f.GoType = "[][]int" // LightGBM keeps the text beside the lists
		}
		f.Default = sameNumber(f.GoType, f.Default)
		want = append(want, f)
	}
	for _, p := range Parameters() {
		if p.Origin == parameter.Cloister {
			continue
		}
		f := fact{
			p.Name, p.Type.GoType(), sameNumber(p.Type.GoType(), p.Default), !p.Unsaved,
			p.ShownBounds(), strings.Join(p.Aliases, ","),
		}
		if slices.Contains(ours, p.Name) {
			f.Checks = ""
		}
		if p.Name == "seed" {
			f.Default = "0"
		}
		got = append(got, f)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the table differs from LightGBM's (-LightGBM +table):\n%s", diff)
	}
}

// sameNumber writes 1e-3 and 0.001 alike.
func sameNumber(goType, text string) string {
	if x, err := strconv.ParseFloat(text, 64); err == nil && goType == "float64" {
		return strconv.FormatFloat(x, 'g', -1, 64)
	}
	return text
}

func TestValuesAreLightGBMs(t *testing.T) {
	t.Parallel()
	type spelling struct{ parameter, name, canonical string }
	sorted := func(list []spelling) []spelling {
		slices.SortFunc(list, func(a, b spelling) int {
			return strings.Compare(a.parameter+" "+a.name, b.parameter+" "+b.name)
		})
		return list
	}
	var want, got []spelling
	for _, row := range fixtureRows(t, "lightgbm-4.7.0-values.tsv", 3) {
		want = append(want, spelling{row[0], row[1], row[2]})
	}
	for _, name := range []string{"objective", "metric"} {
		for _, v := range Lookup(name).Values {
			for _, s := range append([]string{v.Name}, v.Aliases...) {
				got = append(got, spelling{name, s, v.Name})
			}
		}
	}
	if diff := cmp.Diff(sorted(want), sorted(got), cmp.AllowUnexported(spelling{})); diff != "" {
		t.Errorf("the values differ from LightGBM's (-LightGBM +table):\n%s", diff)
	}
}

// TestTableIsWhole checks what the parser, the help and the page rely on.
func TestTableIsWhole(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, p := range Parameters() {
		for _, name := range append([]string{p.Name}, p.Aliases...) {
			if other, taken := seen[name]; taken {
				t.Errorf("%s is a name of both %s and %s", name, other, p.Name)
			}
			seen[name] = p.Name
			if Lookup(name) == nil || Lookup(name).Name != p.Name {
				t.Errorf("Lookup(%q) does not find %s", name, p.Name)
			}
		}
		enum := p.Type == parameter.Enum || p.Type == parameter.Enums
		if enum != (len(p.Values) > 0) {
			t.Errorf("%s: only an enum has values, and every enum has", p.Name)
		}
		checkReasons(t, p.Name, p.Status, p.Reason, p.Instead)
		for _, v := range p.Values {
			checkReasons(t, p.Name+"="+v.Name, v.Status, v.Reason, v.Instead)
		}
		if !strings.HasSuffix(p.Text, ".") {
			t.Errorf("%s: the text is no sentence", p.Name)
		}
		if name, value, exact := strings.Cut(p.OnlyWith, "="); p.OnlyWith != "" {
			other := Lookup(name)
			if other == nil || exact && NewConfig().Set(name, value) != nil {
				t.Errorf("%s is used only with %s, which does not exist", p.Name, p.OnlyWith)
			}
		}
		if NewConfig().field(p.Name) == nil {
			t.Errorf("no field holds %s", p.Name)
		}
		c := NewConfig()
		if err := c.Set(p.Name, ""); err != nil {
			t.Errorf("the default of %s is not permitted: %v", p.Name, err)
		}
		if diff := cmp.Diff(NewConfig(), c); diff != "" {
			t.Errorf("setting %s to its default changes it:\n%s", p.Name, diff)
		}
	}
}

func checkReasons(t *testing.T, what string, s parameter.Status, reason, instead string) {
	t.Helper()
	needsReason := s == parameter.Accepted || s == parameter.Refused
	if needsReason != (reason != "") {
		t.Errorf("%s is %s: reason %q", what, s, reason)
	}
	if (s == parameter.Refused) != (instead != "") {
		t.Errorf("%s is %s: alternative %q", what, s, instead)
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"num_leafs":                 "num_leaf",
		"num_leavse":                "num_leaves",
		"Learning-Rate":             "learning_rate",
		"lerning_rate":              "learning_rate",
		"catagorical_feature":       "categorical_feature",
		"xyzzy_plugh":               "",
		"q":                         "",
		"":                          "",
		strings.Repeat("num", 1000): "",
	} {
		if got := nearest(given, declared().names); got != want {
			t.Errorf("nearest(%.40q) = %q, want %q", given, got, want)
		}
	}
}

func TestHelp(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Help(&b); err != nil {
		t.Fatal(err)
	}
	for _, p := range Parameters() {
		if !strings.Contains(b.String(), "\n  "+p.Name+" (") {
			t.Errorf("the help lacks %s", p.Name)
		}
	}
	for _, section := range parameter.Sections() {
		if !strings.Contains(b.String(), "\n"+section.String()+":\n") {
			t.Errorf("the help lacks the section %s", section)
		}
	}
	want := `
  num_leaves (int; default 31; > 1, <= 131072)
      Most leaves that a tree may have.
      aliases: num_leaf, max_leaves, max_leaf, max_leaf_nodes
`
	if !strings.Contains(b.String(), want) {
		t.Errorf("the help lacks:%s", want)
	}
}
