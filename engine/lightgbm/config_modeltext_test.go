package lightgbm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// readConf reads a configuration file of testdata.
func readConf(t *testing.T, name string) []Setting {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}()
	settings, err := ParseFile(filepath.Base(name), f)
	if err != nil {
		t.Fatal(err)
	}
	return settings
}

// resolveAll is Resolve for parameters of any status.
func resolveAll(settings []Setting) (*Config, error) {
	r := &resolver{config: NewConfig(), origins: map[string]Origin{}, set: map[string]bool{}}
	chosen := pick(settings).settings
	if s, ok := chosen["seed"]; ok {
		r.apply(Lookup("seed"), s)
		r.config.deriveSeeds()
	}
	for _, p := range Parameters() {
		if s, ok := chosen[p.Name]; ok {
			r.apply(&p, s)
		}
	}
	r.adapt()
	return r.config, errors.Join(r.errs...)
}

func TestModelTextIsLightGBMs(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/modeltext/*.conf")
	if err != nil || len(names) != 7 {
		t.Fatalf("found %d configurations: %v", len(names), err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(strings.TrimSuffix(name, ".conf") + ".txt")
			if err != nil {
				t.Fatal(err)
			}
			c, err := resolveAll(readConf(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), c.ModelText()); diff != "" {
				t.Errorf("differs from LightGBM's text (-LightGBM +ours):\n%s", diff)
			}
			back, notices, err := ParseModelText(c.ModelText())
			if err != nil || len(notices) > 0 {
				t.Fatalf("cannot be read back: %v, %v", notices, err)
			}
			if diff := cmp.Diff(c.ModelText(), back.ModelText()); diff != "" {
				t.Errorf("reading and writing changes the text:\n%s", diff)
			}
		})
	}
}

func TestModelTextColumns(t *testing.T) {
	t.Parallel()
	c := NewConfig()
	c.IgnoreColumn, c.CategoricalFeature = "name:id", "name:a,b"
	c.Data = "a\"b\\c\nd"
	text := c.ModelText()
	for _, line := range []string{"[ignore_column: ]\n", "[categorical_feature: ]\n", "[data: a'b/c d]\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("lacks %q", line)
		}
	}
	c.SetColumns([]int{4}, []int{0, 2})
	text = c.ModelText()
	for _, line := range []string{"[ignore_column: 4]\n", "[categorical_feature: 0,2]\n"} {
		if !strings.Contains(text, line) {
			t.Errorf("lacks %q", line)
		}
	}
}

func TestParseModelText(t *testing.T) {
	t.Parallel()
	text := "[num_leaves: 7]\r\n\n[eval_at: 1,3]\n[max_leaf: 9]\n[max_bin: many]\n[data: a:b]\n[from_the_future: 1]\n"
	c, notices, err := ParseModelText(text)
	if err != nil {
		t.Fatal(err)
	}
	want := NewConfig()
	want.NumLeaves, want.EvalAt, want.Data = 7, []int{1, 3}, "a:b"
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("differs (-want +got):\n%s", diff)
	}
	var texts []string
	for _, n := range notices {
		texts = append(texts, n.String())
	}
	wantTexts := []string{
		"parameters section:4: max_leaf: 9 is left out: no such parameter",
		"parameters section:5: max_bin: many is left out: must be an integer",
		"parameters section:7: from_the_future: 1 is left out: no such parameter",
	}
	if diff := cmp.Diff(wantTexts, texts); diff != "" {
		t.Errorf("notices differ (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"num_leaves: 7", "[num_leaves: 7", "[num_leaves]", "[: 7]", "[]", "["} {
		if _, _, err := ParseModelText("[seed: 1]\n" + bad); !errors.Is(err, ErrParameters) {
			t.Errorf("ParseModelText(%q) = %v, want a syntax error", bad, err)
		}
	}
}

func FuzzParseModelText(f *testing.F) {
	names, err := filepath.Glob("testdata/modeltext/*.txt")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("[boosting: gbdt]\n[max_bin: x]\n[interaction_constraints: [0,]\n")
	f.Fuzz(func(t *testing.T, text string) {
		c, _, err := ParseModelText(text)
		if err != nil {
			if !errors.Is(err, ErrParameters) || c != nil {
				t.Fatalf("got the error %v", err)
			}
			return
		}
		once := c.ModelText()
		back, _, err := ParseModelText(once)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if diff := cmp.Diff(once, back.ModelText()); diff != "" {
			t.Fatalf("reading and writing changes the text:\n%s", diff)
		}
	})
}
