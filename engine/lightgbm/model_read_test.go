package lightgbm_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"cloister/engine/lightgbm"
	"cloister/engine/tree"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func fixtureText(tb testing.TB, name string) string {
	tb.Helper()
	text, err := os.ReadFile("testdata/models/" + name + ".txt")
	if err != nil {
		tb.Fatal(err)
	}
	return string(text)
}

// withoutSizes takes away the line that would notice changes of trees first.
func withoutSizes(text string) string {
	before, rest, _ := strings.Cut(text, "tree_sizes=")
	_, after, _ := strings.Cut(rest, "\n")
	text = before + strings.TrimPrefix(after, "\n")
	return strings.Replace(text, "version=v4", "version=v3", 1)
}

func TestBadModelsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		model    string // the fixture that is changed
		old, new string // what is changed, once
		sizes    bool   // keep tree_sizes
		want     string
	}{
		"empty":                     {"stump", "*", "", true, `m.txt: line 1: a model of LightGBM begins with the line "tree"`},
		"another kind of file":      {"stump", "tree\n", "<html>\n", true, `line 1: a model of LightGBM begins with the line "tree", this text with "<html>"`},
		"no version":                {"stump", "version=v4\n", "", true, "version: is missing"},
		"version of the future":     {"stump", "version=v4", "version=v5", true, `line 2: version: "v5" is not among those that can be read: v2, v3, v4`},
		"no classes":                {"stump", "num_class=1", "num_class=0", true, "line 3: num_class: 0 classes are not possible"},
		"classes beyond the text":   {"stump", "num_class=1", "num_class=2000000000", true, "line 3: num_class: 2000000000 classes are not possible"},
		"classes are words":         {"stump", "num_class=1", "num_class=one", true, `line 3: num_class: "one" is not an integer`},
		"classes missing":           {"stump", "num_class=1\n", "", true, "num_class: is missing"},
		"classes and trees":         {"stump", "num_tree_per_iteration=1", "num_tree_per_iteration=2", true, "line 4: num_tree_per_iteration: 2 does not go with num_class 1"},
		"part of an iteration":      {"multiclass", "\nend of trees", "\nTree=12\nnum_leaves=1\nnum_cat=0\nleaf_value=0\n\nend of trees", false, "13 trees are no whole number of iterations of 3 trees"},
		"features beyond the text":  {"stump", "max_feature_idx=9", "max_feature_idx=2000000000", true, "line 8: feature_names: has 10 entries, want 2000000001"},
		"negative features":         {"stump", "max_feature_idx=9", "max_feature_idx=-1", true, "line 6: max_feature_idx: -1 is not between 0"},
		"a feature without a name":  {"stump", "Column_9", "", true, "line 8: feature_names: has 9 entries, want 10"},
		"a feature without info":    {"stump", "infos=none none", "infos=none", true, "line 9: feature_infos: has 9 entries, want 10"},
		"constraints":               {"regression", "monotone_constraints=0", "monotone_constraints=7", true, "monotone_constraints: entry 0 is 7, want -1, 0 or 1"},
		"constraints missing":       {"regression", "monotone_constraints=0 ", "monotone_constraints=", true, "monotone_constraints: has 9 entries, want 10"},
		"unknown objective":         {"stump", "objective=regression", "objective=guess", true, `line 7: objective: "guess" is no objective of LightGBM`},
		"negative sigmoid":          {"binary", "sigmoid:1", "sigmoid:-1", true, `line 7: objective: sigmoid "-1" is no positive number`},
		"classes of the objective":  {"multiclass", "num_class:3", "num_class:4", true, "line 7: objective: says num_class:4, but num_class is 3"},
		"field twice":               {"stump", "label_index=0\n", "label_index=0\nlabel_index=0\n", true, "line 6: label_index: stands twice before the trees"},
		"unknown field":             {"stump", "label_index=0\n", "label_index=0\nzoo=1\n", true, "line 6: zoo: is no field of a model's head"},
		"no equals sign":            {"stump", "label_index=0\n", "label_index=0\nzoo\n", true, `line 6: "zoo" is no line of a model's head`},
		"tree sizes are words":      {"stump", "tree_sizes=", "tree_sizes=big ", true, `line 10: tree_sizes: entry 0, "big", is not an integer`},
		"a tree's size":             {"dart", "Tree=1\n", "Tree=1\n\n", true, "line 31: tree 1: num_leaves: is missing"},
		"a tree grew":               {"dart", "\nTree=1\n", "\n\nTree=1\n", true, "tree 0: tree_sizes: the tree has"},
		"line ends":                 {"dart", "*crlf", "", true, "tree 0: tree_sizes: the tree has"},
		"sizes of more trees":       {"stump", "tree_sizes=", "tree_sizes=9 9 ", true, "tree_sizes: the tree has"},
		"one size more":             {"dart", "\n\nTree=0", " 77\n\nTree=0", true, "tree_sizes: has 6 entries, but there are 5 trees"},
		"no sizes":                  {"stump", "tree_sizes=", "feature_infos=", true, "feature_infos: stands twice"},
		"trees out of order":        {"dart", "Tree=1\n", "Tree=2\n", false, `"Tree=2" stands where the line "Tree=1"`},
		"no end of trees":           {"dart", "end of trees\n", "", true, "tree 4: tree_sizes: the tree has 652 bytes, but tree_sizes says 651"},
		"unknown tree field":        {"dart", "num_cat=0\n", "num_cat=0\ncolour=red\n", true, "tree 0: colour: is no field of a tree"},
		"tree field twice":          {"dart", "num_cat=0\n", "num_cat=0\nnum_cat=0\n", false, "line 13: tree 0: num_cat: stands twice in the tree"},
		"tree line":                 {"dart", "num_cat=0\n", "num_cat 0\n", false, `line 12: tree 0: "num_cat 0" has no equals sign`},
		"no leaves":                 {"dart", "num_leaves=5", "num_leaves=0", false, "line 11: tree 0: num_leaves: 0 is less than 1"},
		"leaves beyond the text":    {"dart", "num_leaves=5", "num_leaves=2000000000", false, "tree 0: leaf_value: has 5 entries, want 2000000000"},
		"leaves are words":          {"dart", "num_leaves=5", "num_leaves=many", false, `num_leaves: "many" is not an integer`},
		"leaves missing":            {"dart", "num_leaves=5\n", "", false, "line 10: tree 0: num_leaves: is missing"},
		"categories missing":        {"dart", "num_cat=0\n", "", false, "tree 0: num_cat: is missing"},
		"features of splits":        {"dart", "split_feature=", "split_feature=99 ", false, "tree 0: split_feature: has 5 entries, want 4"},
		"a feature out of range":    {"dart", "split_feature=", "split_feature=9", false, "splits feature 9"},
		"gain is a word":            {"dart", "split_gain=", "split_gain=x", false, "is not a number"},
		"hexadecimal gain":          {"dart", "split_gain=", "split_gain=0x", false, "is not a number"},
		"gain beyond 32 bits":       {"dart", "split_gain=", "split_gain=1e99 ", false, "beyond the range of 32-bit numbers"},
		"no threshold":              {"dart", "threshold=", "threshold=nan ", false, "threshold: has 5 entries"},
		"threshold beyond range":    {"dart", "threshold=", "threshold=1e99999 ", false, "beyond the range of 64-bit numbers"},
		"decision type":             {"dart", "decision_type=2", "decision_type=14", false, "tree 0: decision_type: node 0 has 14, which is no decision type"},
		"decision type of 9 bits":   {"dart", "decision_type=2", "decision_type=258", false, "is out of range"},
		"categories without sets":   {"dart", "decision_type=2", "decision_type=1", false, "threshold: node 0 uses the categories of split"},
		"a cycle":                   {"dart", "left_child=", "left_child=0\nleft=", false, "left_child: has 1 entries, want 4"},
		"categorical boundaries":    {"categorical", "cat_boundaries=0 5", "cat_boundaries=5 0", false, "tree 0: cat_boundaries: starts with 5, want 0"},
		"boundaries fall":           {"categorical", "cat_boundaries=0 5 10", "cat_boundaries=0 9 8", false, "tree 0: cat_boundaries: entry 2 is 8, less than the one before"},
		"sets end early":            {"categorical", "cat_threshold=", "cat_threshold=1 ", false, "tree 0: cat_threshold: has 22 entries, want 21"},
		"set beyond 32 bits":        {"categorical", "cat_threshold=", "cat_threshold=99", false, "is out of range"},
		"many categorical splits":   {"categorical", "num_cat=6", "num_cat=2000000000", false, "num_cat: 2000000000 categorical splits in a tree of"},
		"sets without number":       {"categorical", "num_cat=6", "num_cat=0", false, "cat_boundaries: stands in a tree with num_cat=0"},
		"linear is a word":          {"linear", "is_linear=1", "is_linear=yes", false, `is_linear: "yes" is neither 0 nor 1`},
		"linear features":           {"linear", "leaf_features=0 7", "leaf_features=0 99", false, "tree 1: leaf_features: leaf 0 uses feature 99, but there are 12 features"},
		"linear sizes":              {"linear", "num_features=2", "num_features=9", false, "num_features: "},
		"linear sizes are negative": {"linear", "num_features=2", "num_features=-2", false, "num_features: entry 0 is -2"},
		"linear sizes too small":    {"linear", "num_features=2", "num_features=1", false, "num_features: leaves 1 entries of leaf_features over"},
		"linear coefficients":       {"linear", "leaf_coeff=-", "leaf_coeff=1 -", false, "leaf_coeff: has "},
		"infinite coefficient":      {"linear", "leaf_coeff=-0.00068725853407256574", "leaf_coeff=inf", false, "tree 1: leaf_coeff: leaf 0 has +Inf for feature 0, want a finite number"},
		"infinite constant":         {"linear", "leaf_const=0.074223613354875081", "leaf_const=-inf", false, "tree 1: leaf_const: leaf 0 has -Inf, want a finite number"},
		"no constants":              {"linear", "leaf_const=", "shrinkage=", false, "shrinkage: stands twice in the tree"},
		"shrinkage":                 {"dart", "shrinkage=", "shrinkage=x", false, "is not a number"},
		"no importances":            {"dart", "feature_importances:", "importances:", true, `"importances:" is not expected after the trees`},
		"importances cut off":       {"dart", "*cut:end of trees\n", "", true, `the model is cut off: no line "feature_importances"`},
		"importance of nothing":     {"dart", "feature_importances:\n", "feature_importances:\nmoon=1\n", true, `feature_importances: "moon" is no feature`},
		"importance without value":  {"dart", "feature_importances:\n", "feature_importances:\nmoon\n", true, `"moon" has no equals sign`},
		"negative importance":       {"dart", "feature_importances:\n", "feature_importances:\nColumn_1=-1\n", true, `"-1" is no importance`},
		"parameters cut off":        {"dart", "end of parameters\n", "", true, `parameters: the model is cut off: no line "end of parameters"`},
		"parameters twice":          {"dart", "end of parameters\n", "end of parameters\nparameters:\nend of parameters\n", true, "parameters: stands twice after the trees"},
		"text after the trees":      {"dart", "end of parameters\n", "end of parameters\nhello\n", true, `"hello" is not expected after the trees`},
		"last line cut off":         {"dart", "*cut:end of param", "", true, "the last line has no end: the model is cut off"},
		"pandas is no JSON":         {"pandas", "pandas_categorical:[[", "pandas_categorical:[[[", true, "pandas_categorical: is no JSON list of lists"},
		"pandas is empty":           {"stump", "pandas_categorical:null", "pandas_categorical:", true, "pandas_categorical: is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text := fixtureText(t, c.model)
			if !c.sizes {
				text = withoutSizes(text)
			}
			switch cut, isCut := strings.CutPrefix(c.old, "*cut:"); {
			case c.old == "*":
				text = c.new
			case c.old == "*crlf":
				text = strings.ReplaceAll(text, "\n", "\r\n")
			case isCut:
				before, _, ok := strings.Cut(text, cut)
				if !ok {
					t.Fatalf("%q is not in %s", cut, c.model)
				}
				text = before + cut
			case !strings.Contains(text, c.old):
				t.Fatalf("%q is not in %s", c.old, c.model)
			default:
				text = strings.Replace(text, c.old, c.new, 1)
			}
			m, err := lightgbm.ReadModel("m.txt", strings.NewReader(text))
			if err == nil {
				t.Fatal("no error")
			}
			var me *lightgbm.ModelError
			if !errors.As(err, &me) || me.Name != "m.txt" || me.Line < 1 {
				t.Errorf("error %#v, want a *ModelError with name and line", err)
			}
			if m != nil {
				t.Error("a model and an error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is\n%v\nwant\n%s", err, c.want)
			}
		})
	}
}

// TestTruncatedModelsAreRefused cuts a model at every byte up to the list of
// importances, which may have any length.
func TestTruncatedModelsAreRefused(t *testing.T) {
	t.Parallel()
	text := fixtureText(t, "linear_categorical")
	for n := range strings.Index(text, "feature_importances:") {
		if _, err := lightgbm.ReadModel("m.txt", strings.NewReader(text[:n])); err == nil {
			t.Errorf("the first %d bytes are taken for a model", n)
		}
	}
}

func TestReadErrorIsKept(t *testing.T) {
	t.Parallel()
	if _, err := lightgbm.ReadModel("m.txt", iotest.ErrReader(os.ErrPermission)); !errors.Is(err, os.ErrPermission) {
		t.Errorf("error %v, want that of the reader", err)
	}
}

// TestOldVersions reads models as LightGBM wrote them before version 4: without
// is_linear, leaf_weight, internal_weight and, at first, tree_sizes and the end
// of the trees.
func TestOldVersions(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		if strings.HasPrefix(f.name, "linear") {
			continue
		}
		for _, version := range []string{"v2", "v3"} {
			var old strings.Builder
			for line := range strings.Lines(string(f.text)) {
				field, _, _ := strings.Cut(line, "=")
				switch {
				case field == "version":
					old.WriteString("version=" + version + "\n")
				case field == "is_linear", field == "leaf_weight", field == "internal_weight":
				case field == "tree_sizes" && version == "v2", line == "end of trees\n" && version == "v2":
				default:
					old.WriteString(line)
				}
			}
			m, err := lightgbm.ReadModel("old.txt", strings.NewReader(old.String()))
			if err != nil {
				t.Errorf("%s as %s: %v", f.name, version, err)
				continue
			}
			if diff := cmp.Diff(f.model, m, cmpopts.EquateEmpty(), cmpopts.IgnoreFields(tree.Tree{}, "LeafWeight", "InternalWeight")); diff != "" {
				t.Errorf("%s as %s (-v4 +old):\n%s", f.name, version, diff)
			}
		}
	}
}

func TestModelsThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*lightgbm.Model){
		"name with a space":  func(m *lightgbm.Model) { m.FeatureNames[0] = "a b" },
		"empty name":         func(m *lightgbm.Model) { m.FeatureNames[0] = "" },
		"info with a break":  func(m *lightgbm.Model) { m.FeatureInfos[0] = "a\nb" },
		"objective":          func(m *lightgbm.Model) { m.Objective = "regression a=b" },
		"end in parameters":  func(m *lightgbm.Model) { m.Parameters = "[a: b]\nend of parameters\n" },
		"part of a line":     func(m *lightgbm.Model) { m.Parameters = "[a: b]" },
		"empty line":         func(m *lightgbm.Model) { m.Parser = "a\n\nb\n" },
		"pandas lines":       func(m *lightgbm.Model) { m.PandasCategorical = "[\n]" },
		"tree":               func(m *lightgbm.Model) { m.Trees[0].LeafValue = nil },
		"importance":         func(m *lightgbm.Model) { m.Importances = []lightgbm.FeatureImportance{{Name: "zoo", Value: 1}} },
		"classes":            func(m *lightgbm.Model) { m.NumClass = 0 },
		"trees of iteration": func(m *lightgbm.Model) { m.TreesPerIteration = 0 },
	} {
		m, err := lightgbm.ReadModel("m.txt", strings.NewReader(fixtureText(t, "dart")))
		if err != nil {
			t.Fatal(err)
		}
		spoil(m)
		var b bytes.Buffer
		var me *lightgbm.ModelError
		if err := m.Write(&b); !errors.As(err, &me) || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes, want a *ModelError before any", name, err, b.Len())
		}
	}
}

// checkAccepted shows that whatever is accepted predicts without panic and can
// be written and read again.
func checkAccepted(t *testing.T, m *lightgbm.Model) {
	t.Helper()
	text := encode(t, m)
	again, err := lightgbm.ReadModel("again.txt", bytes.NewReader(text))
	if err != nil {
		t.Fatalf("what was written is refused: %v\n%s", err, text)
	}
	// LightGBM writes what only describes a tree with six digits.
	described := cmpopts.IgnoreFields(tree.Tree{}, "SplitGain", "InternalValue", "InternalWeight", "Shrinkage")
	if diff := cmp.Diff(m, again, cmpopts.EquateNaNs(), cmpopts.EquateEmpty(), described); diff != "" {
		t.Fatalf("written and read again (-first +again):\n%s", diff)
	}
	if twice := encode(t, again); !bytes.Equal(twice, text) {
		t.Fatalf("written, read and written again:\n%s", cmp.Diff(string(text), string(twice)))
	}
	p, err := m.Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	const rows = 9
	values := make([]float64, rows*p.Features())
	for i := range values {
		values[i] = awkward[r.IntN(len(awkward))]
	}
	out, one := make([]float64, rows*p.Models()), make([]float64, p.Models())
	if err := p.RawRows(values, out); err != nil {
		t.Fatal(err)
	}
	x, explainErr := p.Explainer()
	for i := range rows {
		row := values[i*p.Features() : (i+1)*p.Features()]
		if err := p.Raw(row, one); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(out[i*p.Models():(i+1)*p.Models()], one, cmpopts.EquateNaNs()); diff != "" {
			t.Fatalf("row %d (-rows +row):\n%s", i, diff)
		}
		if err := p.Output(row, one); err != nil {
			t.Fatal(err)
		}
		if err := p.Leaves(row, make([]int32, p.Trees())); err != nil {
			t.Fatal(err)
		}
		if explainErr == nil {
			if err := x.Contributions(row, make([]float64, x.Width())); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestFixturesAreAccepted(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			checkAccepted(t, f.model)
		})
	}
}

// firstIteration is a short text, which a fuzzer changes where it matters: one
// iteration of a model without what follows the trees.
func firstIteration(tb testing.TB, f fixture) []byte {
	tb.Helper()
	m := *f.model
	m.Truncate(1)
	m.Importances, m.Parameters = []lightgbm.FeatureImportance{}, ""
	return encode(tb, &m)
}

func FuzzReadModel(f *testing.F) {
	for _, x := range fixtures(f) {
		text := firstIteration(f, x)
		f.Add(text)
		f.Add([]byte(withoutSizes(string(text))))
		if strings.HasPrefix(x.name, "linear") {
			// The leaves of the first trees have no models.
			x.model.Trees = x.model.Trees[x.model.TreesPerIteration:]
			f.Add([]byte(withoutSizes(string(firstIteration(f, x)))))
		}
	}
	f.Add([]byte("tree\nversion=v3\nnum_class=1\nlabel_index=0\nmax_feature_idx=1\nfeature_names=a b\n" +
		"feature_infos=none none\n\nTree=0\nnum_leaves=3\nnum_cat=0\nsplit_feature=0 1\nthreshold=3 1\ndecision_type=2 8\n" +
		"left_child=1 -1\nright_child=-2 -3\nleaf_value=-1 1 0\nleaf_count=1 2 3\ninternal_count=6 4\n\nend of trees\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := lightgbm.ReadModel("m.txt", bytes.NewReader(text))
		if err != nil {
			var me *lightgbm.ModelError
			if !errors.As(err, &me) || me.Line < 1 || me.Problem == "" {
				t.Fatalf("error %v without line or problem", err)
			}
			return
		}
		checkAccepted(t, m)
	})
}

func BenchmarkReadModel(b *testing.B) {
	for _, f := range fixtures(b) {
		if f.name != "binary" {
			continue
		}
		b.SetBytes(int64(len(f.text)))
		for b.Loop() {
			if _, err := lightgbm.ReadModel(f.name, bytes.NewReader(f.text)); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func ExampleReadModel() {
	text := strings.Join([]string{
		"tree", "version=v4", "num_class=1", "label_index=0", "max_feature_idx=1", "objective=binary sigmoid:1",
		"feature_names=age income", "feature_infos=[18:99] [0:1000]", "tree_sizes=106", "",
		"Tree=0", "num_leaves=2", "num_cat=0", "split_feature=0", "threshold=30",
		"left_child=-1", "right_child=-2", "leaf_value=-1 1", "", "",
		"end of trees", "", "feature_importances:", "",
	}, "\n")
	m, err := lightgbm.ReadModel("model.txt", strings.NewReader(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := m.Predictor(0, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	out := make([]float64, 1)
	if err := p.Output([]float64{40, 100}, out); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%.3f\n", out[0])
	// Output: 0.731
}
