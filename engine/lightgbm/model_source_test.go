package lightgbm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/format"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"cloister/engine/lightgbm"

	"github.com/google/go-cmp/cmp"
)

func TestSourceErrors(t *testing.T) {
	t.Parallel()
	m := chain(t, 2)
	if err := m.WriteSource(fullDisk{}, lightgbm.CPP); !errors.Is(err, os.ErrClosed) {
		t.Errorf("error %v, want that of the writer", err)
	}
	var b bytes.Buffer
	if err := m.WriteSource(&b, "cobol"); err == nil || b.Len() > 0 {
		t.Errorf("error %v after %d bytes of an unknown language", err, b.Len())
	}
	m.NumClass = 0
	var me *lightgbm.ModelError
	if err := m.WriteSource(&b, lightgbm.Go); !errors.As(err, &me) || b.Len() > 0 {
		t.Errorf("error %v after %d bytes, want a *ModelError before any", err, b.Len())
	}
	for name, want := range map[string]lightgbm.Language{"": lightgbm.CPP, "cpp": lightgbm.CPP, "go": lightgbm.Go, "Go": lightgbm.Go} {
		if got, err := lightgbm.ParseLanguage(name); got != want || err != nil {
			t.Errorf("language %q is %q, %v, want %q", name, got, err, want)
		}
	}
	if _, err := lightgbm.ParseLanguage("c"); err == nil {
		t.Error("c is taken for a language")
	}
}

// TestGoSourcePredicts compiles all models as Go and runs them.
func TestGoSourcePredicts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	all := fixtures(t)
	evil := evilNames(t)
	all = append(all, fixture{name: "evil", model: evil, want: predictions{Rows: all[0].want.Rows[:0]}})
	var imports, models strings.Builder
	input := map[string][][]string{}
	for _, f := range all {
		var source bytes.Buffer
		if err := f.model.WriteSource(&source, lightgbm.Go); err != nil {
			t.Fatal(err)
		}
		formatted, err := format.Source(source.Bytes())
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		write("m_"+f.name+"/model.go", string(formatted))
		fmt.Fprintf(&imports, "m_%[1]s \"models/m_%[1]s\"\n", f.name)
		fmt.Fprintf(&models, "%[1]q: {m_%[1]s.NumClasses, m_%[1]s.PredictRaw, m_%[1]s.Predict, m_%[1]s.FeatureNames[:]},\n", f.name)
		input[f.name] = hexRows(f.want.Rows)
	}
	write("go.mod", "module models\n\ngo 1.24\n")
	write("main.go", fmt.Sprintf(goMain, &imports, &models))
	rows, err := json.Marshal(input)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "run", ".")
	cmd.Dir, cmd.Stdin = dir, bytes.NewReader(rows)
	cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "GOPROXY=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go run: %v\n%s", err, &stderr)
	}
	var got map[string]struct {
		Raw, Output matrix
		Names       []string
	}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(evil.FeatureNames, got["evil"].Names); diff != "" {
		t.Errorf("names (-model +source):\n%s", diff)
	}
	for _, f := range all[:len(all)-1] {
		compareSource(t, f, got[f.name].Raw, got[f.name].Output)
	}
}

// compareSource compares with the model's own predictions: raw scores to the
// bit.
func compareSource(t *testing.T, f fixture, raw, output matrix) {
	t.Helper()
	p, err := f.model.Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	var wantRaw, wantOutput matrix
	for _, row := range f.want.Rows {
		r, o := make([]float64, p.Models()), make([]float64, p.Models())
		if err := errors.Join(p.Raw(row, r), p.Output(row, o)); err != nil {
			t.Fatal(err)
		}
		wantRaw, wantOutput = append(wantRaw, r), append(wantOutput, o)
	}
	if diff := cmp.Diff(wantRaw, raw); diff != "" {
		t.Errorf("%s: raw scores (-model +source):\n%s", f.name, diff)
	}
	if diff := cmp.Diff(wantOutput, output, near(1e-12)); diff != "" {
		t.Errorf("%s: outputs (-model +source):\n%s", f.name, diff)
	}
}

// hexRows writes numbers exactly; JSON has no NaN.
func hexRows(rows matrix) [][]string {
	texts := make([][]string, len(rows))
	for i, row := range rows {
		for _, v := range row {
			texts[i] = append(texts[i], fmt.Sprintf("%x", v))
		}
	}
	return texts
}

// evilNames is a model whose names would end strings and comments.
func evilNames(tb testing.TB) *lightgbm.Model {
	tb.Helper()
	m := chain(tb, 3)
	m.FeatureNames = []string{"a\";init()//", "*/", "`", "\\", "??/", "%d", "\x1b\tz", "é\u202e"}
	m.FeatureInfos = make([]string, len(m.FeatureNames))
	for i := range m.FeatureInfos {
		m.FeatureInfos[i] = "none"
	}
	m.MaxFeatureIndex = len(m.FeatureNames) - 1
	m.Trees[0].LeafValue[0] = math.Inf(-1)
	m.Trees[0].Threshold[0] = 1 << 62
	return m
}

const goMain = `package main

import (
	"encoding/json"
	"os"
	"strconv"

%s)

type model struct {
	classes      int
	raw, predict func(row, out []float64) error
	names        []string
}

var models = map[string]model{
%s}

type result struct {
	Raw, Output [][]float64
	Names       []string
}

func main() {
	var input map[string][][]string
	check(json.NewDecoder(os.Stdin).Decode(&input))
	results := map[string]result{}
	for name, rows := range input {
		m := models[name]
		if m.raw(nil, nil) == nil {
			panic("a row without values")
		}
		r := result{Names: m.names}
		for _, texts := range rows {
			var row []float64
			for _, text := range texts {
				v, err := strconv.ParseFloat(text, 64)
				check(err)
				row = append(row, v)
			}
			raw, output := make([]float64, m.classes), make([]float64, m.classes)
			check(m.raw(row, raw))
			check(m.predict(row, output))
			r.Raw, r.Output = append(r.Raw, raw), append(r.Output, output)
		}
		results[name] = r
	}
	check(json.NewEncoder(os.Stdout).Encode(results))
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
`
