package gbdt_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// FuzzRefit refits whatever model a text gives, to a few rows: it ends, and the
// model that it gives can be written and read again.
func FuzzRefit(f *testing.F) {
	paths, err := filepath.Glob("../lightgbm/testdata/models/*.txt")
	if err != nil || len(paths) == 0 {
		f.Fatalf("no models to start from: %v", err)
	}
	for i, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text, uint8(i), []byte("\x00\x01\x7f\xff rows of numbers"))
	}
	objectives := []string{"regression", "binary", "multiclass", "poisson", "lambdarank", "regression_l1"}
	f.Fuzz(func(t *testing.T, text []byte, options uint8, numbers []byte) {
		m, err := lightgbm.ReadModel("model", bytes.NewReader(text))
		if err != nil || m.NumFeatures() > 1000 || len(m.Trees) > 1000 || m.NumClass > 100 {
			return
		}
		cfg := lightgbm.NewConfig()
		cfg.Objective, cfg.NumClass, cfg.NumThreads = objectives[int(options)%len(objectives)], m.NumClass, 1+int(options>>7)
		cfg.RefitDecayRate = float64(options%4) / 4
		if options&8 != 0 {
			cfg.PathSmooth, cfg.LambdaL1, cfg.MaxDeltaStep = 2, 0.5, 3
		}
		p, err := m.Predictor(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		const rows = 8
		md := &dataset.Metadata{QueryStart: []int32{0, rows / 2, rows}}
		leaves, row, leaf := gbdt.NewLeaves(m), make([]float64, p.Features()), make([]int32, p.Trees())
		for i := range rows {
			for j := range row {
				row[j] = 0
				if len(numbers) > 0 {
					row[j] = float64(int8(numbers[(i*len(row)+j)%len(numbers)])) / 4
				}
			}
			if err := p.Leaves(row, leaf); err != nil {
				t.Fatal(err)
			}
			if len(leaf) > 0 {
				if err := leaves.Append(leaf); err != nil {
					t.Fatal(err)
				}
			}
			values := []float64{}
			for _, f := range leaves.Features() {
				values = append(values, row[f])
			}
			if err := leaves.AppendValues(values); err != nil {
				t.Fatal(err)
			}
			md.Label = append(md.Label, float32(i%2))
			md.Position = append(md.Position, int32(i%3))
		}
		refitted, err := gbdt.Refit(context.Background(), cfg, m, md, leaves, gbdt.RefitOptions{})
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := refitted.Write(&again); err != nil {
			t.Fatal(err)
		}
		if _, err := lightgbm.ReadModel("refitted", &again); err != nil {
			t.Fatal(err)
		}
	})
}
