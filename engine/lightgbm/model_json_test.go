package lightgbm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"cloister/engine/lightgbm"
	"cloister/engine/tree"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func dump(tb testing.TB, m *lightgbm.Model) map[string]any {
	tb.Helper()
	var b bytes.Buffer
	if err := m.WriteJSON(&b); err != nil {
		tb.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		tb.Fatalf("%v in\n%s", err, b.Bytes())
	}
	return got
}

func TestDumpIsLightGBMs(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile("testdata/models/dump/" + f.name + ".json")
			if err != nil {
				t.Fatal(err)
			}
			var want map[string]any
			if err := json.Unmarshal(text, &want); err != nil {
				t.Fatal(err)
			}
			got := dump(t, f.model)
			if got["parameters"].(map[string]any)["num_leaves"] == nil {
				t.Error("the dump does not have the parameter num_leaves")
			}
			delete(got, "parameters")
			// LightGBM rounds the last bit of some short numbers otherwise as it reads.
			if diff := cmp.Diff(want, got, cmpopts.EquateApprox(1e-15, 0)); diff != "" {
				t.Errorf("dump (-LightGBM +ours):\n%s", diff)
			}
		})
	}
}

// TestDumpOfAwkwardNumbersAndNames has what LightGBM's own dump is no JSON for.
func TestDumpOfAwkwardNumbersAndNames(t *testing.T) {
	t.Parallel()
	m, err := lightgbm.ReadModel("m.txt", strings.NewReader(fixtureText(t, "dart")))
	if err != nil {
		t.Fatal(err)
	}
	m.Parameters = ""
	m.Importances = nil // they have the names
	m.FeatureNames[0] = `a"b\<` + "\t"
	m.FeatureInfos[0] = "[-inf:inf]"
	m.Trees[0].SplitGain[0] = float32(math.Inf(1))
	m.Trees[0].LeafWeight[0] = math.NaN()
	got := dump(t, m)
	if got["parameters"] != nil {
		t.Errorf("parameters are %v, want null", got["parameters"])
	}
	if name := got["feature_names"].([]any)[0]; name != m.FeatureNames[0] {
		t.Errorf("name %q, want %q", name, m.FeatureNames[0])
	}
	info := got["feature_infos"].(map[string]any)[m.FeatureNames[0]].(map[string]any)
	if info["min_value"] != -1e300 || info["max_value"] != 1e300 {
		t.Errorf("infinite range is %v", info)
	}
	root := got["tree_info"].([]any)[0].(map[string]any)["tree_structure"].(map[string]any)
	if root["split_gain"] != float64(float32(1e38)) {
		t.Errorf("infinite gain is %v", root["split_gain"])
	}
}

func TestDumpOfADeepTree(t *testing.T) {
	t.Parallel()
	const leaves = 5000 // encoding/json reads 10,000 levels
	m := chain(t, leaves)
	got := dump(t, m)
	node, depth := got["tree_info"].([]any)[0].(map[string]any)["tree_structure"].(map[string]any), 0
	for node["right_child"] != nil {
		node, depth = node["right_child"].(map[string]any), depth+1
	}
	if depth != leaves-1 {
		t.Errorf("depth %d, want %d", depth, leaves-1)
	}
}

// chain is a model with one tree of which every left child is a leaf.
func chain(tb testing.TB, leaves int) *lightgbm.Model {
	tb.Helper()
	n := leaves - 1
	t := &tree.Tree{
		NumLeaves: leaves, SplitFeature: make([]int32, n), SplitGain: make([]float32, n), Threshold: make([]float64, n),
		DecisionType: make([]uint8, n), LeftChild: make([]int32, n), RightChild: make([]int32, n),
		InternalValue: make([]float64, n), InternalWeight: make([]float64, n), InternalCount: make([]int64, n),
		LeafValue: make([]float64, leaves), LeafWeight: make([]float64, leaves), LeafCount: make([]int64, leaves), Shrinkage: 1,
	}
	for i := range n {
		t.Threshold[i], t.LeafValue[i] = float64(i), float64(i)
		t.LeftChild[i], t.RightChild[i] = ^int32(i), int32(i+1)
	}
	t.RightChild[n-1] = ^int32(n)
	t.LeafValue[n] = float64(n)
	m := &lightgbm.Model{
		NumClass: 1, TreesPerIteration: 1, Objective: "regression",
		FeatureNames: []string{"x"}, FeatureInfos: []string{"[0:1]"}, Trees: []*tree.Tree{t},
	}
	if err := m.Validate(); err != nil {
		tb.Fatal(err)
	}
	return m
}

func TestModelsThatCannotBeDumped(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*lightgbm.Model){
		"invalid":             func(m *lightgbm.Model) { m.NumClass = 0 },
		"info":                func(m *lightgbm.Model) { m.FeatureInfos[0] = "some" },
		"half a range":        func(m *lightgbm.Model) { m.FeatureInfos[0] = "[1:2" },
		"range of one":        func(m *lightgbm.Model) { m.FeatureInfos[0] = "[1]" },
		"range of words":      func(m *lightgbm.Model) { m.FeatureInfos[0] = "[a:b]" },
		"half range of words": func(m *lightgbm.Model) { m.FeatureInfos[0] = "[1:b]" },
		"great category":      func(m *lightgbm.Model) { m.FeatureInfos[0] = "1:99999999999" },
		"parameters":          func(m *lightgbm.Model) { m.Parameters = "a = b\n" },
	} {
		m, err := lightgbm.ReadModel("m.txt", strings.NewReader(fixtureText(t, "dart")))
		if err != nil {
			t.Fatal(err)
		}
		spoil(m)
		var b bytes.Buffer
		var me *lightgbm.ModelError
		if err := m.WriteJSON(&b); !errors.As(err, &me) || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes, want a *ModelError before any", name, err, b.Len())
		}
	}
}

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestDumpTellsOfAWriter(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*lightgbm.Model{"small": chain(t, 2), "large": chain(t, 20000)} {
		if err := m.WriteJSON(fullDisk{}); !errors.Is(err, os.ErrClosed) {
			t.Errorf("%s: error %v, want that of the writer", name, err)
		}
	}
}

func TestParameterTexts(t *testing.T) {
	t.Parallel()
	m := &lightgbm.Model{Parameters: "[a: b]\n[c: ]\n[d: x: y]\n"}
	got, err := m.ParameterTexts()
	want := []lightgbm.ParameterText{{Name: "a", Value: "b"}, {Name: "c"}, {Name: "d", Value: "x: y"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
