package cli

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fixture is what LightGBM predicted with one of the models of
// engine/lightgbm/testdata/models; its README says how they were made.
type fixture struct {
	Rows    [][]*float64 `json:"rows"`
	Raw     [][]float64  `json:"raw"`
	Output  [][]float64  `json:"output"`
	Leaf    [][]float64  `json:"leaf"`
	Contrib [][]float64  `json:"contrib"`
}

const fixtures = "../engine/lightgbm/testdata/models"

func readFixture(t *testing.T, name string) (f fixture, model string) {
	t.Helper()
	model = filepath.Join(fixtures, name+".txt")
	text, err := os.ReadFile(filepath.Join(fixtures, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	return f, model
}

// csv writes rows as LightGBM's users do: an empty field is a missing value.
func (f *fixture) csv() string {
	var b strings.Builder
	for _, row := range f.Rows {
		for i, v := range row {
			if i > 0 {
				b.WriteByte(',')
			}
			if v != nil {
				b.WriteString(strconv.FormatFloat(*v, 'g', -1, 64))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// run runs a command line in this process.
func run(t *testing.T, stdin string, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	if code := Main(t.Context(), args, strings.NewReader(stdin), &out, &errs); code != ExitDone {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	return out.String()
}

func wantNumbers(t *testing.T, text string, want [][]float64, tolerance float64) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d", len(lines), len(want))
	}
	for i, line := range lines {
		fields := strings.Split(line, "\t")
		if len(fields) != len(want[i]) {
			t.Fatalf("line %d has %d values, want %d", i+1, len(fields), len(want[i]))
		}
		for j, field := range fields {
			got, err := strconv.ParseFloat(field, 64)
			if err != nil {
				t.Fatal(err)
			}
			if w := want[i][j]; math.Abs(got-w) > tolerance*max(1e-3, math.Abs(w)) {
				t.Errorf("line %d, value %d is %v, want %v", i+1, j+1, got, w)
			}
		}
	}
}

func TestPredictionsAreLightGBMs(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"binary", "categorical", "multiclass", "poisson", "regression", "zero_missing", "rf", "unused_features", "cross_entropy_lambda",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, model := readFixture(t, name)
			for _, kind := range []struct {
				argument  string
				want      [][]float64
				tolerance float64
			}{
				{"predict_raw_score=false", f.Output, 1e-12},
				{"predict_raw_score=true", f.Raw, 1e-12},
				{"predict_leaf_index=true", f.Leaf, 0},
				{"predict_contrib=true", f.Contrib, 1e-9},
			} {
				if kind.want == nil {
					t.Fatalf("the fixture says nothing about %s", kind.argument)
				}
				got := run(t, f.csv(), "predict", "data=-", "input_model="+model, "output_result=-", kind.argument)
				wantNumbers(t, got, kind.want, kind.tolerance)
			}
		})
	}
}

func TestPredictionsDoNotDependOnThreads(t *testing.T) {
	t.Parallel()
	f, model := readFixture(t, "binary")
	text := strings.Repeat(f.csv(), 4000)
	var results []string
	for _, threads := range []string{"1", "2", "5"} {
		results = append(results, run(t, text, "predict", "data=-", "input_model="+model, "output_result=-", "num_threads="+threads))
	}
	if want := 4000 * len(f.Rows); strings.Count(results[0], "\n") != want {
		t.Fatalf("%d lines, want %d", strings.Count(results[0], "\n"), want)
	}
	if results[1] != results[0] || results[2] != results[0] {
		t.Error("the results differ")
	}
}

// table is a text with a header, columns in the given order.
func (f *fixture) headed(names []string, columns []int) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(names[c])
	}
	b.WriteByte('\n')
	for _, row := range f.Rows {
		for i, c := range columns {
			if i > 0 {
				b.WriteByte(',')
			}
			switch {
			case c >= len(row):
				b.WriteString("some text")
			case row[c] != nil:
				b.WriteString(strconv.FormatFloat(*row[c], 'g', -1, 64))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestColumnsAreMatchedByName(t *testing.T) {
	t.Parallel()
	f, model := readFixture(t, "binary")
	text, err := os.ReadFile(model)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "feature_names=")
	line, _, _ := strings.Cut(rest, "\n")
	names := append(strings.Fields(line), "id", "note")
	n := len(names) - 2
	backwards := []int{n} // and a column of text that is no feature
	for i := range n {
		backwards = append(backwards, n-1-i)
	}
	backwards = append(backwards, n+1)
	straight := slices.Sorted(slices.Values(backwards))[:n]
	for name, columns := range map[string][]int{"as trained": straight, "backwards with others": backwards} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := run(t, f.headed(names, columns), "predict", "data=-", "input_model="+model, "header=true", "output_result=-")
			wantNumbers(t, got, f.Output, 1e-12)
		})
	}
	t.Run("names with blanks", func(t *testing.T) {
		t.Parallel()
		spaced := slices.Clone(names)
		for i, n := range spaced {
			spaced[i] = strings.ReplaceAll(n, "_", " ")
		}
		got := run(t, f.headed(spaced, backwards), "predict", "data=-", "input_model="+model, "header=true", "output_result=-")
		wantNumbers(t, got, f.Output, 1e-12)
	})
	t.Run("missing ones are refused", func(t *testing.T) {
		t.Parallel()
		var out, errs bytes.Buffer
		code := Main(t.Context(), []string{"predict", "data=-", "input_model=" + model, "header=true", "output_result=-"},
			strings.NewReader(f.headed(names, []int{n, 0})), &out, &errs)
		if code != ExitInput || !strings.Contains(errs.String(), "missing that the model uses") {
			t.Errorf("exit code %d: %s", code, errs.String())
		}
	})
}

func TestColumnsByPlace(t *testing.T) {
	t.Parallel()
	f, model := readFixture(t, "binary")
	n := len(f.Rows[0])
	var labelled, wide, headed strings.Builder
	headed.WriteString("y" + strings.Repeat(",unknown", n) + "\n")
	for line := range strings.Lines(f.csv()) {
		labelled.WriteString("1," + line)
		headed.WriteString("1," + line)
		wide.WriteString(strings.TrimSuffix("1,"+line, "\n") + ",7,8,9\n")
	}
	for name, test := range map[string]struct {
		text string
		args []string
	}{
		"label first":  {labelled.String(), nil},
		"extra at end": {wide.String(), []string{"predict_disable_shape_check=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"predict", "data=-", "input_model=" + model, "output_result=-"}, test.args...)
			wantNumbers(t, run(t, test.text, args...), f.Output, 1e-12)
		})
	}
	t.Run("header of other names", func(t *testing.T) {
		t.Parallel()
		var out, errs bytes.Buffer
		args := []string{"predict", "data=-", "input_model=" + model, "output_result=-", "header=true"}
		if code := Main(t.Context(), args, strings.NewReader(headed.String()), &out, &errs); code != ExitInput {
			t.Errorf("exit code %d, want %d: %s", code, ExitInput, errs.String())
		}
		args = append(args, "predict_disable_shape_check=true")
		wantNumbers(t, run(t, headed.String(), args...), f.Output, 1e-12)
	})
	t.Run("LibSVM", func(t *testing.T) {
		t.Parallel()
		var b strings.Builder
		for _, row := range f.Rows {
			b.WriteString("0")
			for i, v := range row {
				switch {
				case v == nil:
					b.WriteString(" " + strconv.Itoa(i) + ":nan")
				case *v != 0:
					b.WriteString(" " + strconv.Itoa(i) + ":" + strconv.FormatFloat(*v, 'g', -1, 64))
				}
			}
			b.WriteByte('\n')
		}
		wantNumbers(t, run(t, b.String(), "predict", "data=-", "input_model="+model, "output_result=-"), f.Output, 1e-12)
	})
}

func TestPredictionStopsEarly(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(fixtures, "earlystop", "scores.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Model       string
		Freq, Start int
		Margin      float64
		Raw         [][]float64
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		f, model := readFixture(t, c.Model)
		got := run(t, f.csv(), "predict", "data=-", "input_model="+model, "output_result=-", "predict_raw_score=true",
			"start_iteration_predict="+strconv.Itoa(c.Start), "pred_early_stop=true",
			"pred_early_stop_freq="+strconv.Itoa(c.Freq), "pred_early_stop_margin="+strconv.FormatFloat(c.Margin, 'g', -1, 64))
		wantNumbers(t, got, c.Raw, 1e-12)
	}
}
