//go:build peers

package peers_test

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/test/peers/peer"
)

// By how much two programs' numbers of one model may differ, relative to the
// larger for scores, relative to the largest of the row for contributions: the
// small ones are what is left of large ones.
const (
	scoreTolerance        = 1e-12
	contributionTolerance = 1e-9
)

// rowsBothWays is the number of rows on which models are compared.
const rowsBothWays = 400

// bothWays gives both models to both programs.
func (e *env) bothWays(f files, ours, theirs string, linear bool) {
	e.Helper()
	rows := e.head(f.test, rowsBothWays)
	kinds := []string{"normal", "raw", "leaf", "contrib"}
	if linear {
		kinds = kinds[:3]
	}
	for name, model := range map[string]string{"cloister's model": ours, "lightgbm's model": theirs} {
		e.samePredictions(name, model, rows, f.header, kinds...)
		if linear {
			e.noContributions(name, model, rows, f.header)
		}
	}
	e.sameTrees(ours)
}

// noContributions checks that both programs refuse to explain a linear tree.
func (e *env) noContributions(name, model, rows string, header bool) {
	e.Helper()
	err := e.worker.Do("predict", peer.Args{"model": model, "data": rows, "result": e.path("none"), "kind": "contrib", "header": header}, nil)
	if err == nil || !strings.Contains(err.Error(), "not implemented for linear trees") {
		e.Errorf("%s: contributions by lightgbm: error %v", name, err)
	}
	c := peer.Config{
		"input_model": model, "data": rows, "output_result": e.path("none"), "header": strconv.FormatBool(header), "predict_contrib": "true",
	}
	if _, err := peer.Predict(e.Context(), e.binary, c); err == nil || !strings.Contains(err.Error(), "linear trees") {
		e.Errorf("%s: contributions by cloister: error %v", name, err)
	}
}

// head copies the first lines of a table.
func (e *env) head(path string, lines int) string {
	e.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		e.Fatal(err)
	}
	end := 0
	for range lines {
		i := bytes.IndexByte(text[end:], '\n')
		if i < 0 {
			break
		}
		end += i + 1
	}
	head := e.path("head" + filepath.Ext(path))
	if err := os.WriteFile(head, text[:end], 0o600); err != nil {
		e.Fatal(err)
	}
	return head
}

func (e *env) samePredictions(name, model, rows string, header bool, kinds ...string) {
	e.Helper()
	for _, kind := range kinds {
		byOurs, byTheirs := e.path("by-ours."+kind), e.path("by-theirs."+kind)
		e.predictOurs(model, rows, byOurs, kind, header)
		e.predictTheirs(model, rows, byTheirs, kind, header)
		e.sameNumbers(name+", "+kind, kind, byOurs, byTheirs)
	}
}

// sameNumbers compares two files of predictions.
func (e *env) sameNumbers(name, kind, byOurs, byTheirs string) {
	e.Helper()
	got, width := e.numbers(byOurs)
	want, wantWidth := e.numbers(byTheirs)
	if len(got) != len(want) || width != wantWidth || len(got) == 0 {
		e.Errorf("%s: cloister gives %d numbers in lines of %d, lightgbm %d in lines of %d", name, len(got), width, len(want), wantWidth)
		return
	}
	for lo := 0; lo < len(got); lo += width {
		largest := 0.0
		for _, v := range want[lo : lo+width] {
			largest = max(largest, math.Abs(v))
		}
		for i := lo; i < lo+width; i++ {
			allowed := 0.0
			switch kind {
			case "normal", "raw":
				allowed = scoreTolerance * max(math.Abs(got[i]), math.Abs(want[i]))
			case "contrib":
				allowed = contributionTolerance * largest
			}
			if !(math.Abs(got[i]-want[i]) <= allowed) { // also when one is NaN
				e.Errorf("%s: row %d, number %d: cloister gives %.17g, lightgbm %.17g", name, lo/width+1, i-lo+1, got[i], want[i])
				return
			}
		}
	}
}

// sameTrees has LightGBM read our model and write it again: the trees' text
// must be the same.
func (e *env) sameTrees(model string) {
	e.Helper()
	again := e.path("again.txt")
	e.do("resave", peer.Args{"model": model, "result": again}, nil)
	if diff := cmp.Diff(e.trees(model), e.trees(again)); diff != "" {
		e.Errorf("lightgbm wrote our trees differently (-ours +lightgbm):\n%.2000s", diff)
	}
}

// trees are the lines of a model's trees.
func (e *env) trees(model string) []string {
	e.Helper()
	text, err := os.ReadFile(model)
	if err != nil {
		e.Fatal(err)
	}
	_, rest, begun := strings.Cut(string(text), "\nTree=0\n")
	trees, _, ended := strings.Cut(rest, "\nend of trees\n")
	if !begun || !ended {
		e.Fatalf("%s holds no trees", model)
	}
	return strings.Split(trees, "\n")
}

// A model that Python trained on a data frame with categorical columns predicts
// the same on the columns' codes.
func TestModelOfPandas(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := &env{T: t, worker: <-workers(t), binary: binary(t), dir: dir, shared: dir}
	rows, model := e.path("rows.csv"), e.path("model.txt")
	e.do("pandas_model", peer.Args{
		"path": rows, "model": model, "raw": e.path("frame.raw"), "contrib": e.path("frame.contrib"),
	}, nil)
	for _, kind := range []string{"raw", "contrib"} {
		e.predictOurs(model, rows, e.path("ours."+kind), kind, true)
		e.sameNumbers("the data frame, "+kind, kind, e.path("ours."+kind), e.path("frame."+kind))
	}
	e.samePredictions("the codes", model, rows, true, "normal", "raw", "leaf", "contrib")
}
