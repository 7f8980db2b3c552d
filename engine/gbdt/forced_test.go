package gbdt_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloister/engine/gbdt"
	"cloister/engine/tree"

	"github.com/google/go-cmp/cmp"
)

func TestReadForcedSplits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, err string
		want      *tree.ForcedSplit
	}{
		"tree": {
			text: `{"feature": 2, "threshold": 0.5, "left": {"feature": 0, "threshold": -1e3, "left": {}}, "right": null}`,
			want: &tree.ForcedSplit{Feature: 2, Threshold: 0.5, Left: &tree.ForcedSplit{Threshold: -1000}},
		},
		"empty object":     {text: " {}\n"},
		"null":             {text: "null"},
		"empty file":       {text: "", err: "f.json:1: the file ends before the JSON value does"},
		"cut off":          {text: "{\"feature\": 1,\n", err: "f.json:2: the file ends before the JSON value does"},
		"no threshold":     {text: `{"feature": 1}`, err: "f.json: threshold is missing"},
		"no feature":       {text: `{"feature": 1, "threshold": 2, "left": {"feature": 1, "threshold": 1, "right": {"threshold": 3}}}`, err: "f.json: left: right: feature is missing"},
		"children alone":   {text: `{"left": {"feature": 1, "threshold": 2}}`, err: "f.json: feature is missing"},
		"negative feature": {text: `{"feature": -1, "threshold": 2}`, err: "f.json: feature -1 is negative"},
		"text":             {text: "{\"feature\": 1,\n\"threshold\": \"2\"}", err: "f.json:2: threshold is a JSON string where a value of type float64 is expected"},
		"fraction":         {text: `{"feature": 1.5, "threshold": 2}`, err: "f.json:1: feature is a JSON number 1.5 where a value of type int is expected"},
		"misspelt":         {text: `{"feature": 1, "treshold": 2}`, err: `f.json:1: json: unknown field "treshold"`},
		"list":             {text: `[]`, err: "f.json:1: "},
		"two values":       {text: "{}\n{}", err: "f.json:1: more follows after the JSON value"},
		"syntax":           {text: "{\n'feature': 1}", err: "f.json:2: invalid character"},
		"too great":        {text: `{"feature": 1, "threshold": 1e999}`, err: "f.json:1: threshold is a JSON number 1e999"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := gbdt.ReadForcedSplits("f.json", strings.NewReader(test.text))
			if test.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), test.err) {
					t.Errorf("error %v, want %s", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzReadForcedSplits(f *testing.F) {
	for _, seed := range []string{
		`{"feature": 2, "threshold": 0.5, "left": {"feature": 0, "threshold": -1e3, "left": {}}, "right": null}`,
		`{}`, `null`, `[]`, `{"feature": 1`, `{"feature": -1, "threshold": 1e999}`, `{"left":{"left":{"left":{}}}}`, "{}\n{}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := gbdt.ReadForcedSplits("f", strings.NewReader(text))
		if err != nil && (root != nil || !strings.HasPrefix(err.Error(), "f:")) {
			t.Errorf("error %q with splits %v", err, root)
		}
		for s := root; s != nil; s = s.Left {
			if s.Feature < 0 || s.Threshold != s.Threshold {
				t.Errorf("read feature %d, threshold %g", s.Feature, s.Threshold)
			}
		}
	})
}

func TestForcedSplitsOfATraining(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, test := range map[string]struct{ text, err string }{
		"good":            {`{"feature": 7, "threshold": 0.5, "left": {"feature": 4, "threshold": 0.25}}`, ""},
		"unknown feature": {`{"feature": 7, "threshold": 0.5, "left": {"feature": 8, "threshold": 1}}`, "a split is on feature 8, but the training data has features 0 to 7"},
		"bad file":        {`{`, ".json:1: the file ends before"},
		"no file":         {"", "forcedsplits_filename: open "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(dir, strings.ReplaceAll(name, " ", "-")+".json")
			if test.text != "" {
				if err := os.WriteFile(file, []byte(test.text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg := config(t, "objective=regression", "num_iterations=3", "forcedsplits_filename="+file)
			b, err := gbdt.Train(context.Background(), cfg, load(t, cfg, table(1, 2000), nil), gbdt.Options{})
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) {
					t.Errorf("error %v, want one with %q", err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			for i, tr := range b.Model().Trees {
				if diff := cmp.Diff([]int32{7, 4}, tr.SplitFeature[:2]); diff != "" {
					t.Errorf("tree %d starts with other features:\n%s", i, diff)
				}
			}
		})
	}
}
