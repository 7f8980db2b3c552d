package gbdt_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"cloister/engine/dataset"
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
		"text":             {text: "{\"feature\": 1,\n\"threshold\": \"2\"}", err: "f.json:2: threshold is a string, not a number"},
		"fraction":         {text: `{"feature": 1.5, "threshold": 2}`, err: "f.json:1: feature is 1.5, not a whole number"},
		"misspelt":         {text: `{"feature": 1, "treshold": 2}`, err: `f.json:1: unknown field "treshold"`},
		"list":             {text: `[]`, err: "f.json:1: "},
		"two values":       {text: "{}\n{}", err: "f.json:1: more follows after the JSON value"},
		"syntax":           {text: "{\n'feature': 1}", err: "f.json:2: invalid character"},
		"too great":        {text: `{"feature": 1, "threshold": 1e999}`, err: "f.json:1: threshold is 1e999, which is out of range"},
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

func TestReadForcedBins(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		text, err string
		want      [][]float64
	}{
		"two features": {
			text: `[{"feature": 2, "bin_upper_bound": [0.5, 0.3, 0.5]}, {"feature": 0, "bin_upper_bound": []}]`,
			want: [][]float64{{}, nil, {0.3, 0.5}},
		},
		"none":         {text: "[]"},
		"object":       {text: `{"feature": 1}`, err: "f.json:1: "},
		"no feature":   {text: `[{"feature": 0, "bin_upper_bound": [1]}, {"bin_upper_bound": [1]}]`, err: "f.json: entry 2: feature is missing"},
		"no bounds":    {text: `[{"feature": 0}]`, err: "f.json: entry 1: bin_upper_bound is missing"},
		"negative":     {text: `[{"feature": -4, "bin_upper_bound": [1]}]`, err: "f.json: entry 1: feature -4 is not"},
		"far too many": {text: `[{"feature": 2000000000, "bin_upper_bound": [1]}]`, err: "f.json: entry 1: feature 2000000000 is not"},
		"twice":        {text: `[{"feature": 0, "bin_upper_bound": [1]}, {"feature": 0, "bin_upper_bound": [2]}]`, err: "f.json: entry 2: feature 0 has an entry already"},
		"text":         {text: "[{\"feature\": 0,\n\"bin_upper_bound\": [\"a\"]}]", err: "f.json:2: "},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := gbdt.ReadForcedBins("f.json", strings.NewReader(test.text))
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

func FuzzReadForcedBins(f *testing.F) {
	for _, seed := range []string{
		`[{"feature": 2, "bin_upper_bound": [0.5, 0.3, 0.5]}, {"feature": 0, "bin_upper_bound": []}]`,
		`[]`, `null`, `{}`, `[{"feature": 1e9, "bin_upper_bound": [1e999]}]`, `[{"bin_upper_bound": 1}]`, `[null]`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		bins, err := gbdt.ReadForcedBins("f", strings.NewReader(text))
		if err != nil && (bins != nil || !strings.HasPrefix(err.Error(), "f:")) {
			t.Errorf("error %q with bins %v", err, bins)
		}
		for feature, bounds := range bins {
			if !slices.IsSorted(bounds) {
				t.Errorf("feature %d: bounds %v are not in order", feature, bounds)
			}
		}
	})
}

func TestForcedBinsAreThresholds(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "bins.json")
	if err := os.WriteFile(file, []byte(`[{"feature": 0, "bin_upper_bound": [0.31, 0.62]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config(t, "objective=regression", "num_iterations=5", "max_bin=3", "forcedbins_filename="+file)
	opt := gbdt.DatasetOptions(cfg)
	var err error
	if opt.ForcedBins, err = gbdt.ForcedBins(cfg); err != nil {
		t.Fatal(err)
	}
	d, _, err := dataset.FromMatrix(context.Background(), table(1, 2000), opt, nil)
	if err != nil {
		t.Fatal(err)
	}
	splits := 0
	for _, tr := range train(t, cfg, d, gbdt.Options{}).Model().Trees {
		for node, f := range tr.SplitFeature {
			if f != 0 {
				continue
			}
			splits++
			if v := tr.Threshold[node]; v != 0.31 && v != 0.62 {
				t.Errorf("threshold %g, want 0.31 or 0.62", v)
			}
		}
	}
	if splits == 0 {
		t.Error("no split on the feature with forced bins")
	}
	cfg.ForcedbinsFilename += ".none"
	if _, err := gbdt.ForcedBins(cfg); err == nil || !strings.HasPrefix(err.Error(), "forcedbins_filename: open ") {
		t.Errorf("error %v for a file that is not there", err)
	}
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
