//go:build peers

package peers_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"cloister/engine/lightgbm"
)

// TestCPPSource compiles the C++ source of all model fixtures and compares its
// raw scores, to the bit, and its outputs with the engine's.
func TestCPPSource(t *testing.T) {
	t.Parallel()
	const dir = "../../engine/lightgbm/testdata/models"
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(paths) < 28 {
		t.Fatalf("found %d models in %s (%v)", len(paths), dir, err)
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			model, err := lightgbm.ReadModel(path, bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			model.FeatureNames[0], model.Importances = `evil"};??/*\n`+"\x1b", nil
			compareCPP(t, model, fixtureRows(t, strings.TrimSuffix(path, ".txt")+".json"))
		})
	}
}

// fixtureRows are the rows of a fixture as C++ reads numbers.
func fixtureRows(t *testing.T, path string) [][]string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var f struct{ Rows [][]*float64 }
	if err := json.Unmarshal(text, &f); err != nil {
		t.Fatal(err)
	}
	rows := make([][]string, len(f.Rows))
	for i, row := range f.Rows {
		for _, v := range row {
			word := "nan"
			if v != nil {
				word = strconv.FormatFloat(*v, 'g', -1, 64)
			}
			rows[i] = append(rows[i], word)
		}
	}
	return rows
}

// cppMain reads rows and writes raw scores and outputs, a line for each row.
const cppMain = `
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

int main() {
  using namespace gbdt_model;
  std::vector<double> row(NumFeatures), out(NumClasses);
  std::string word;
  while (std::cin >> word) {
    for (int i = 0; i < NumFeatures; ++i) {
      if (i > 0) std::cin >> word;
      row[i] = std::strtod(word.c_str(), nullptr);
    }
    PredictRaw(row.data(), out.data());
    for (double v : out) std::printf("%.17g ", v);
    Predict(row.data(), out.data());
    for (double v : out) std::printf("%.17g ", v);
    std::printf("\n");
  }
}
`

func compareCPP(t *testing.T, model *lightgbm.Model, rows [][]string) {
	t.Helper()
	var source bytes.Buffer
	if err := model.WriteSource(&source, lightgbm.CPP); err != nil {
		t.Fatal(err)
	}
	source.WriteString(cppMain)
	file := filepath.Join(t.TempDir(), "model.cpp")
	if err := os.WriteFile(file, source.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	program := strings.TrimSuffix(file, ".cpp")
	compile := exec.CommandContext(t.Context(), "g++", "-std=c++17", "-O1", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-o", program, file)
	if out, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("g++: %v\n%s", err, out)
	}
	var input strings.Builder
	for _, row := range rows {
		fmt.Fprintln(&input, strings.Join(row, " "))
	}
	run := exec.CommandContext(t.Context(), program)
	run.Stdin = strings.NewReader(input.String())
	out, err := run.Output()
	if err != nil {
		t.Fatal(err)
	}
	p, err := model.Predictor(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
	if len(lines) != len(rows) {
		t.Fatalf("%d lines for %d rows", len(lines), len(rows))
	}
	for i, line := range lines {
		got := numbers(t, strings.Fields(line))
		if len(got) != 2*p.Models() {
			t.Fatalf("row %d has %d numbers, want %d", i, len(got), 2*p.Models())
		}
		raw, output := make([]float64, p.Models()), make([]float64, p.Models())
		if err := p.Raw(numbers(t, rows[i]), raw); err != nil {
			t.Fatal(err)
		}
		if err := p.Output(numbers(t, rows[i]), output); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(raw, got[:p.Models()]); diff != "" {
			t.Errorf("row %d: raw scores (-engine +C++):\n%s", i, diff)
		}
		if diff := cmp.Diff(output, got[p.Models():], cmpopts.EquateApprox(scoreTolerance, 1e-15)); diff != "" {
			t.Errorf("row %d: outputs (-engine +C++):\n%s", i, diff)
		}
	}
}

func numbers(t *testing.T, words []string) []float64 {
	t.Helper()
	values := make([]float64, len(words))
	for i, word := range words {
		v, err := strconv.ParseFloat(word, 64)
		if err != nil {
			t.Fatal(err)
		}
		values[i] = v
	}
	return values
}
