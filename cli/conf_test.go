package cli_test

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"cloister/cli"
)

// confTable says how the rows of a training look that a configuration file of
// testdata/conf describes.
type confTable struct {
	prefix string // of the files .train and .test
	sparse bool   // LibSVM, else TSV
	// side is the ending of the side file, if any, and one its line for a row
	// with the signal s, or for a query with so many rows.
	side string
	one  func(s float64, rows int) string
	// label of a row with the signal s from -1 to 1, more or less.
	label func(s float64) float64
	// forced is a file that the configuration names.
	forced string
}

var confTables = map[string]confTable{
	"binary":   {prefix: "binary", side: ".weight", one: weightOf, label: sign, forced: "forced_splits.json"},
	"parallel": {prefix: "binary", side: ".weight", one: weightOf, label: sign},
	"regression": {
		prefix: "regression", side: ".init", one: func(s float64, _ int) string { return fmt.Sprintf("%.2f", s/2) },
		label: func(s float64) float64 { return s }, forced: "forced_bins.json",
	},
	"multiclass": {prefix: "multiclass", label: func(s float64) float64 { return grade(s, 5) }},
	"lambdarank": {prefix: "rank", sparse: true, side: ".query", one: sizeOf, label: func(s float64) float64 { return grade(s, 5) }},
	"xendcg":     {prefix: "rank", sparse: true, side: ".query", one: sizeOf, label: func(s float64) float64 { return grade(s, 5) }},
}

func weightOf(s float64, _ int) string { return fmt.Sprintf("%.1f", 1+math.Abs(s)) }
func sizeOf(_ float64, rows int) string {
	return strconv.Itoa(rows)
}

func sign(s float64) float64 {
	if s > 0 {
		return 1
	}
	return 0
}

func grade(s float64, grades int) float64 {
	return max(0, min(float64(grades-1), math.Floor((s+1)/2*float64(grades))))
}

// write makes the tables, their side files and what else the configuration
// names in dir.
func (c *confTable) write(t *testing.T, dir string) {
	t.Helper()
	for i, ending := range []string{".train", ".test"} {
		table, side := c.text(rand.New(rand.NewPCG(uint64(i), 9)), 2000-1000*i)
		writeFile(t, filepath.Join(dir, c.prefix+ending), table)
		if c.side != "" {
			writeFile(t, filepath.Join(dir, c.prefix+ending+c.side), side)
		}
	}
	switch c.forced {
	case "forced_splits.json":
		writeFile(t, filepath.Join(dir, c.forced), `{"feature": 3, "threshold": 0.25, "left": {"feature": 0, "threshold": -0.5}}`)
	case "forced_bins.json":
		writeFile(t, filepath.Join(dir, c.forced), `[{"feature": 0, "bin_upper_bound": [-0.5, 0.0, 0.5]}, {"feature": 2, "bin_upper_bound": []}]`)
	}
}

func (c *confTable) text(r *rand.Rand, rows int) (table, side string) {
	var lines, beside strings.Builder
	left := 0 // rows of the query
	for i := range rows {
		if c.side == ".query" && left == 0 {
			left = min(rows-i, 5+r.IntN(20))
			beside.WriteString(c.one(0, left) + "\n")
		}
		left--
		var x [8]float64
		for j := range x {
			if x[j] = 2*r.Float64() - 1; c.sparse && r.IntN(3) == 0 {
				x[j] = 0
			}
		}
		s := 0.6*x[0] + 0.5*x[1]*x[2] + 0.3*x[3] + 0.1*r.NormFloat64()
		fmt.Fprintf(&lines, "%g", c.label(s))
		for j, v := range x {
			switch {
			case !c.sparse:
				fmt.Fprintf(&lines, "\t%.4f", v)
			case v != 0:
				fmt.Fprintf(&lines, " %d:%.4f", j+1, v)
			}
		}
		lines.WriteString("\n")
		if c.side != "" && c.side != ".query" {
			beside.WriteString(c.one(s, 0) + "\n")
		}
	}
	return lines.String(), beside.String()
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// run runs the program in dir and returns what it says to people.
func run(t *testing.T, dir string, code int, args ...string) string {
	t.Helper()
	cmd := command(t, dir, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	wantExit(t, cmd, code)
	if cmd.ProcessState.ExitCode() != code {
		t.Fatalf("%v:\n%s", args, stderr.String())
	}
	return stderr.String()
}

// TestConfigurationFilesRun runs configuration files in the forms that
// LightGBM's documentation and examples have, as they are.
func TestConfigurationFilesRun(t *testing.T) {
	t.Parallel()
	const last = `(?m)^\[%d\]\ttraining .*\tvalid_1 %s: ([0-9.e-]+)`
	for name, test := range map[string]struct {
		metric    string
		iteration int
		// The metric on the validation data is from … to.
		from, to float64
		more     []string // a second run with these settings
	}{
		"binary":     {"binary_logloss", 100, 0.05, 0.35, []string{"forced_splits=forced_splits.json"}},
		"regression": {"l2", 100, 0.002, 0.03, []string{"task=training", "num_threads=2"}},
		"multiclass": {"multi_logloss", 1, 0.5, 1.6, []string{"early_stopping=0"}},
		"lambdarank": {"ndcg@5", 100, 0.75, 1, []string{"label_gain=0,1,3,7,15"}},
		"xendcg":     {"ndcg@5", 100, 0.75, 1, []string{"objective=xendcg"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir, table := t.TempDir(), confTables[name]
			table.write(t, dir)
			copyConf(t, name, dir)
			for _, more := range [][]string{nil, test.more} {
				log := run(t, dir, cli.ExitDone, append([]string{"train", "config=train.conf"}, more...)...)
				found := regexp.MustCompile(fmt.Sprintf(last, test.iteration, regexp.QuoteMeta(test.metric))).FindStringSubmatch(log)
				if found == nil {
					t.Fatalf("the log has no metrics of iteration %d:\n%s", test.iteration, log)
				}
				if v, err := strconv.ParseFloat(found[1], 64); err != nil || v < test.from || v > test.to {
					t.Errorf("%s of the validation data is %s, want %v to %v", test.metric, found[1], test.from, test.to)
				}
				run(t, dir, cli.ExitDone, "predict", "config=predict.conf")
				result, err := os.ReadFile(filepath.Join(dir, "LightGBM_predict_result.txt"))
				if err != nil {
					t.Fatal(err)
				}
				if lines := bytes.Count(result, []byte("\n")); lines != 1000 {
					t.Errorf("%d predictions of 1000 rows", lines)
				}
				// As LightGBM's program takes it: the file decides on the task.
				run(t, dir, cli.ExitDone, "train", "config=predict.conf", "output_result=again.txt")
				again, err := os.ReadFile(filepath.Join(dir, "again.txt"))
				if err != nil || !bytes.Equal(again, result) {
					t.Errorf("the predictions differ when the file decides on the task (%v)", err)
				}
			}
		})
	}
}

func copyConf(t *testing.T, name, dir string) {
	t.Helper()
	for _, file := range []string{"train.conf", "predict.conf"} {
		text, err := os.ReadFile(filepath.Join("testdata", "conf", name, file))
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, file), string(text))
	}
}

// TestDistributedConfigurationNamesTrainers refuses what needs several machines
// and says what is for that; on one machine the file runs as it is.
func TestDistributedConfigurationNamesTrainers(t *testing.T) {
	t.Parallel()
	dir, table := t.TempDir(), confTables["parallel"]
	table.write(t, dir)
	copyConf(t, "parallel", dir)
	log := run(t, dir, cli.ExitInput, "train", "config=train.conf")
	for _, want := range []string{"num_machines=2 (train.conf:", "cloister trainers"} {
		if !strings.Contains(log, want) {
			t.Errorf("the error does not say %q:\n%s", want, log)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "LightGBM_model.txt")); err == nil {
		t.Error("a model was written")
	}
	run(t, dir, cli.ExitDone, "train", "config=train.conf", "num_machines=1", "tree_learner=data")
	run(t, dir, cli.ExitDone, "predict", "config=predict.conf")
}
