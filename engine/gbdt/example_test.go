package gbdt_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"cloister/engine/dataset"
	"cloister/engine/dataset/read"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

// Train on slices, save the model, load it and predict.
func ExampleTrain() {
	ctx := context.Background()
	cfg := lightgbm.NewConfig()
	cfg.Objective = "binary"
	cfg.NumIterations = 20
	cfg.NumLeaves = 4
	if _, err := cfg.Validate(); err != nil {
		fmt.Println(err)
		return
	}

	// 1000 rows of two features; the label says which is larger.
	m := dataset.Matrix{Rows: 1000, Features: 2, Names: []string{"left", "right"}}
	for i := range m.Rows {
		left, right := float64(i%37), float64(i%41)
		m.Values = append(m.Values, left, right)
		label := float32(0)
		if left > right {
			label = 1
		}
		m.Label = append(m.Label, label)
	}
	train, _, err := dataset.FromMatrix(ctx, m, gbdt.DatasetOptions(cfg), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	booster, err := gbdt.Train(ctx, cfg, train, gbdt.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	var file bytes.Buffer // any io.Writer and io.Reader
	if err := booster.Model().Write(&file); err != nil {
		fmt.Println(err)
		return
	}
	model, err := lightgbm.ReadModel("model.txt", &file)
	if err != nil {
		fmt.Println(err)
		return
	}
	predictor, err := model.Predictor(0, 0) // all iterations
	if err != nil {
		fmt.Println(err)
		return
	}
	out := make([]float64, predictor.Models())
	for _, row := range [][]float64{{30, 10}, {10, 30}} {
		if err := predictor.Output(row, out); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%v: larger with probability above one half: %t\n", row, out[0] > 0.5)
	}
	// Output:
	// [30 10]: larger with probability above one half: true
	// [10 30]: larger with probability above one half: false
}

// squares is a table of which the label is the square of the first column.
func squares(first, rows int) read.Source {
	var text strings.Builder
	text.WriteString("y,x,noise\n")
	for i := first; i < first+rows; i++ {
		x := float64(i%100) / 10
		fmt.Fprintf(&text, "%g,%g,%d\n", float64(x*x), x, i*7919%13)
	}
	return read.Bytes("squares.csv", []byte(text.String()))
}

// Tables behind readers, the parameters of a configuration file, a validation
// set, early stopping and a callback in every iteration.
func ExampleTrain_validation() {
	ctx := context.Background()
	file, err := lightgbm.ParseFile("train.conf", strings.NewReader(`
		objective = regression
		metric = l1
		num_trees = 500
		learning_rate = 0.5
		early_stopping_round = 5
	`))
	if err != nil {
		fmt.Println(err)
		return
	}
	cfg, _, err := lightgbm.Resolve(nil, file)
	if err != nil {
		fmt.Println(err)
		return
	}
	load := func(src read.Source, train *dataset.Dataset) (*dataset.Dataset, error) {
		in := dataset.Input{Table: src, Read: read.Options{Header: true, Label: read.ByName("y")}}
		d, _, err := dataset.Load(ctx, in, gbdt.DatasetOptions(cfg), train)
		return d, err
	}
	train, err := load(squares(0, 2000), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	valid, err := load(squares(5000, 300), train) // binned as the training data
	if err != nil {
		fmt.Println(err)
		return
	}
	iterations := 0
	booster, err := gbdt.Train(ctx, cfg, train, gbdt.Options{
		Valid: []gbdt.ValidSet{{Name: "valid", Data: valid}},
		OnIteration: func(p *gbdt.Progress) error {
			iterations = p.Iteration
			return nil
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := booster.Model()
	fmt.Println("stopped early:", iterations < cfg.NumIterations)
	fmt.Println("keeps the best iterations:", model.NumIterations() == booster.BestIteration())
	for _, e := range booster.Evaluations() {
		fmt.Printf("%s %s below 0.01: %t\n", e.Set, e.Metric, e.Value < 0.01)
	}
	// Output:
	// stopped early: true
	// keeps the best iterations: true
	// valid l1 below 0.01: true
}

// Training ends when its context does, or when the callback returns an error.
func ExampleTrain_cancel() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	cfg := lightgbm.NewConfig()
	cfg.NumIterations = 1_000_000
	if _, err := cfg.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	m := dataset.Matrix{Rows: 100, Features: 1}
	for i := range m.Rows {
		m.Values = append(m.Values, float64(i))
		m.Label = append(m.Label, float32(i%10))
	}
	train, _, err := dataset.FromMatrix(ctx, m, gbdt.DatasetOptions(cfg), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = gbdt.Train(ctx, cfg, train, gbdt.Options{
		OnIteration: func(p *gbdt.Progress) error {
			if p.Iteration == 10 {
				cancel()
			}
			return nil
		},
	})
	fmt.Println(errors.Is(err, context.Canceled))
	// Output: true
}

// Continue training from a model: its raw scores are where the rows start.
func ExampleTrain_continue() {
	ctx := context.Background()
	cfg := lightgbm.NewConfig()
	cfg.NumIterations = 10
	if _, err := cfg.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	m := dataset.Matrix{Rows: 500, Features: 1}
	for i := range m.Rows {
		m.Values = append(m.Values, float64(i%50))
		m.Label = append(m.Label, float32(i%50*(i%50)))
	}
	train, _, err := dataset.FromMatrix(ctx, m, gbdt.DatasetOptions(cfg), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	first, err := gbdt.Train(ctx, cfg, train, gbdt.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	predictor, err := first.Model().Predictor(0, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	train.InitScore = make([]float64, m.Rows*predictor.Models())
	if err := predictor.RawRows(m.Values, train.InitScore); err != nil {
		fmt.Println(err)
		return
	}
	second, err := gbdt.Train(ctx, cfg, train, gbdt.Options{InitModel: first.Model()})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(first.Model().NumIterations(), second.Model().NumIterations())
	// Output: 10 20
}

// Refit the leaves of a model to rows that came later.
func ExampleRefit() {
	ctx := context.Background()
	cfg := lightgbm.NewConfig()
	cfg.NumIterations = 10
	cfg.RefitDecayRate = 0.5 // the weight of what was
	if _, err := cfg.Validate(); err != nil {
		fmt.Println(err)
		return
	}
	m := dataset.Matrix{Rows: 500, Features: 1}
	for i := range m.Rows {
		m.Values = append(m.Values, float64(i%50))
		m.Label = append(m.Label, float32(i%50/25))
	}
	train, _, err := dataset.FromMatrix(ctx, m, gbdt.DatasetOptions(cfg), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	booster, err := gbdt.Train(ctx, cfg, train, gbdt.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	model := booster.Model()
	predictor, err := model.Predictor(0, 0)
	if err != nil {
		fmt.Println(err)
		return
	}

	later := dataset.Metadata{}
	leaves, row := gbdt.NewLeaves(model), make([]int32, predictor.Trees())
	for i := range 1000 {
		if err := predictor.Leaves([]float64{float64(i % 50)}, row); err != nil {
			fmt.Println(err)
			return
		}
		if err := leaves.Append(row); err != nil {
			fmt.Println(err)
			return
		}
		later.Label = append(later.Label, float32(10+i%50/25))
	}
	refitted, err := gbdt.Refit(ctx, cfg, model, &later, leaves, gbdt.RefitOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, m := range []*lightgbm.Model{model, refitted} {
		p, err := m.Predictor(0, 0)
		if err != nil {
			fmt.Println(err)
			return
		}
		low, high := make([]float64, 1), make([]float64, 1)
		if err := errors.Join(p.Output([]float64{1}, low), p.Output([]float64{40}, high)); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%.1f %.1f\n", low[0], high[0])
	}
	// Output:
	// 0.2 0.8
	// 6.9 7.8
}
