//go:build peers

package peers_test

import (
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
	"cloister/test/peers/synth"
)

// linearTasks compare trees with linear models in their leaves. LightGBM fits
// these to wrong values where a text file has zeros (it takes those of the row
// before), as some columns here have: from memory it is as good as Cloister.
var linearTasks = []task{
	{
		name: "linear", metric: score.RMSE, tables: made(&synth.Dense{Seed: 71, Columns: 12}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "linear_tree": "true", "num_iterations": "60"},
	},
	{
		name: "linear: diabetes", metric: score.RMSE, tables: split("diabetes"), seeds: 20,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "linear_lambda": "0.01", "num_iterations": "30", "num_leaves": "5",
			"learning_rate": "0.05",
		},
	},
	{
		name: "linear: flights", metric: score.RMSE, tables: flights("delay"),
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "linear_lambda": "10", "num_iterations": "60", "num_leaves": "63",
			"categorical_feature": flightColumns,
		},
	},
	{
		name: "linear: binary", metric: score.LogLoss, tables: made(&synth.Dense{Seed: 72, Columns: 12, Kind: synth.Binary}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "linear_tree": "true", "linear_lambda": "1", "num_iterations": "50", "num_leaves": "15"},
	},
	{
		name: "linear: breast cancer", metric: score.LogLoss, tables: split("breast_cancer"), seeds: 20,
		config: peer.Config{"objective": "binary", "linear_tree": "true", "num_iterations": "30", "num_leaves": "7"},
	},
	{
		name: "linear: missing", metric: score.RMSE, tables: made(&synth.Dense{Seed: 73, Columns: 12, Missing: 0.15}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "linear_tree": "true", "linear_lambda": "0.1", "num_iterations": "60", "num_leaves": "15"},
	},
	{
		name: "linear: small leaves", metric: score.RMSE, tables: made(&synth.Dense{Seed: 84, Columns: 12, Noise: 1, Missing: 0.05}, 5_000),
		seeds: 10,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "linear_lambda": "1", "num_iterations": "50", "num_leaves": "63",
			"min_data_in_leaf": "5",
		},
	},
	{
		name: "linear: weights", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 74, Columns: 10, Weighted: true, Noise: 2}, 6_000),
		seeds:  10,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "num_iterations": "40", "num_leaves": "15", "lambda_l2": "5",
			"min_data_in_leaf": "40",
		},
	},
	{
		name: "linear: categories", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 75, Columns: 9, Categories: 3, Levels: 60}, 6_000),
		seeds:  10,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "num_iterations": "50", "num_leaves": "15", "categorical_feature": "0,1,2",
		},
	},
	{
		name: "linear: classes", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 76, Columns: 10, Kind: synth.Multiclass, Classes: 4}, 5_000),
		seeds:  10,
		config: peer.Config{
			"objective": "multiclass", "num_class": "4", "linear_tree": "true", "linear_lambda": "5", "num_iterations": "25", "num_leaves": "10",
			"min_data_in_leaf": "50",
		},
	},
	{
		name: "linear: ranking", metric: score.NDCG10, tables: ranked(&synth.Ranking{Seed: 85, Columns: 16}, 300),
		seeds: 10,
		config: peer.Config{
			"objective": "lambdarank", "linear_tree": "true", "linear_lambda": "1", "num_iterations": "30", "num_leaves": "15",
		},
	},
	{
		name: "linear: quantile", metric: score.Quantile(0.7), tables: made(&synth.Dense{Seed: 77, Columns: 10, Noise: 2}, 5_000),
		seeds: 10,
		config: peer.Config{
			"objective": "quantile", "alpha": "0.7", "linear_tree": "true", "linear_lambda": "0.5", "num_iterations": "60", "num_leaves": "15",
		},
	},
	{
		name: "linear: bagging", metric: score.RMSE, tables: made(&synth.Dense{Seed: 78, Columns: 12, Noise: 1, Missing: 0.05}, 5_000),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "linear_lambda": "0.1", "num_iterations": "40", "num_leaves": "15",
			"bagging_fraction": "0.7", "bagging_freq": "1", "feature_fraction": "0.8",
		},
	},
	{
		name: "linear: goss", metric: score.RMSE, tables: made(&synth.Dense{Seed: 79, Columns: 12, Noise: 1}, 5_000),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "num_iterations": "50", "num_leaves": "15", "data_sample_strategy": "goss",
		},
	},
	{
		name: "linear: dart", metric: score.RMSE, tables: made(&synth.Dense{Seed: 80, Columns: 12, Noise: 1}, 5_000),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "num_iterations": "50", "num_leaves": "15", "boosting": "dart",
		},
	},
	{
		name: "linear: forest", metric: score.RMSE, tables: made(&synth.Dense{Seed: 81, Columns: 12, Noise: 1}, 5_000),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "num_iterations": "30", "num_leaves": "31", "boosting": "rf",
			"bagging_fraction": "0.6", "bagging_freq": "1",
		},
	},
	{
		name: "linear: continued", metric: score.RMSE, tables: made(&synth.Dense{Seed: 82, Columns: 12}, 6_000),
		config: peer.Config{"objective": "regression", "linear_tree": "true", "num_iterations": "30", "num_leaves": "15"},
		base:   peer.Config{"num_iterations": "20", "num_leaves": "7", "linear_tree": "true"},
	},
	{
		name: "linear: early stopping", metric: score.RMSE,
		tables: withValid(made(&synth.Dense{Seed: 83, Columns: 10, Noise: 2, Missing: 0.05}, 6_000)),
		seeds:  10,
		config: peer.Config{
			"objective": "regression", "linear_tree": "true", "linear_lambda": "1", "num_iterations": "300", "num_leaves": "7",
			"early_stopping_round": "10", "metric": "l2",
		},
	},
}

func init() { tasks = append(tasks, linearTasks...) }
