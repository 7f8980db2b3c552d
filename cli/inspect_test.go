package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/cli"
)

// inspect runs the command in this process.
func inspect(tb testing.TB, stdin string, args ...string) string {
	tb.Helper()
	var stdout, stderr bytes.Buffer
	code := cli.Main(context.Background(), append([]string{"inspect"}, args...), strings.NewReader(stdin), &stdout, &stderr)
	if code != cli.ExitDone {
		tb.Fatalf("inspect %q: exit code %d\n%s", args, code, stderr.String())
	}
	return stdout.String()
}

const models = "../engine/lightgbm/testdata/models/"

// TestInspectGolden compares with testdata/inspect; to write a page again, run
// the command on the model, which comes by standard input.
func TestInspectGolden(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("testdata/inspect/*.txt")
	if err != nil || len(pages) < 6 {
		t.Fatalf("found %d golden pages (%v)", len(pages), err)
	}
	for _, page := range pages {
		t.Run(filepath.Base(page), func(t *testing.T) {
			t.Parallel()
			want, err := os.ReadFile(page)
			if err != nil {
				t.Fatal(err)
			}
			model, err := os.ReadFile(models + filepath.Base(page))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), inspect(t, string(model), "-", "--trees=2", "--features=3")); diff != "" {
				t.Errorf("page (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInspectShowsAllOrNothing(t *testing.T) {
	t.Parallel()
	few := inspect(t, "", models+"binary.txt", "--trees=0", "--features=0")
	if strings.Contains(few, "\ntree ") || strings.Contains(few, "share") {
		t.Errorf("trees or features in\n%s", few)
	}
	all := inspect(t, "", models+"binary.txt", "--trees=-1", "--features=-1")
	if got := strings.Count(all, "\ntree "); got != 6 {
		t.Errorf("%d trees are drawn, want 6 in\n%s", got, all)
	}
	if strings.Contains(all, " more\n") {
		t.Errorf("features are left out in\n%s", all)
	}
	if beyond := inspect(t, "", models+"binary.txt", "--trees=1000", "--features=1000"); beyond != all {
		t.Error("more trees than there are make another page")
	}
}

// TestInspectIsSafe shows names that could steer a terminal, long names, a
// deep tree and numbers that are none.
func TestInspectIsSafe(t *testing.T) {
	t.Parallel()
	page := inspect(t, deepModel("\x1b]0;evil\x07"+strings.Repeat("long", 30), 200), "-")
	if strings.ContainsAny(page, "\x1b\x07") {
		t.Errorf("control characters in\n%q", page)
	}
	for _, want := range []string{`\u001b]0;evil\u0007longlong`, "… (176 more leaves)", "gain +inf"} {
		if !strings.Contains(strings.ToLower(page), want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
	for line := range strings.Lines(page) {
		if len(line) > 400 {
			t.Errorf("a line of %d bytes", len(line))
		}
	}
}

// deepModel is the text of a model with one tree, a chain.
func deepModel(feature string, leaves int) string {
	list := func(n int, value func(i int) string) string {
		words := make([]string, n)
		for i := range words {
			words[i] = value(i)
		}
		return strings.Join(words, " ")
	}
	number := func(i int) string { return fmt.Sprint(i) }
	zero := func(int) string { return "0" }
	n := leaves - 1
	tree := "Tree=0\nnum_leaves=" + number(leaves) + "\nnum_cat=0\nsplit_feature=" + list(n, zero) +
		"\nsplit_gain=" + list(n, func(int) string { return "inf" }) + "\nthreshold=" + list(n, number) +
		"\ndecision_type=" + list(n, zero) +
		"\nleft_child=" + list(n, func(i int) string { return number(-i - 1) }) +
		"\nright_child=" + list(n, func(i int) string {
		if i == n-1 {
			return number(-leaves)
		}
		return number(i + 1)
	}) + "\nleaf_value=" + list(leaves, number) + "\nleaf_weight=" + list(leaves, zero) + "\nleaf_count=" + list(leaves, zero) +
		"\ninternal_value=" + list(n, zero) + "\ninternal_weight=" + list(n, zero) + "\ninternal_count=" + list(n, zero) +
		"\nis_linear=0\nshrinkage=1\n\n\n"
	return "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\nobjective=regression\n" +
		"feature_names=" + feature + "\nfeature_infos=[0:1]\ntree_sizes=" + number(len(tree)) + "\n\n" + tree +
		"end of trees\n\nfeature_importances:\n\nparameters:\n[boosting: gbdt]\n[objective: regression]\n\nend of parameters\n"
}
