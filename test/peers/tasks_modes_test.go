//go:build peers

package peers_test

import (
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
	"cloister/test/peers/synth"
)

// modeTasks compare how rows are sampled and trees are combined.
var modeTasks = []task{
	{
		name: "balanced bagging", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 51, Columns: 16, Kind: synth.Binary}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "binary", "num_iterations": "60",
			"pos_bagging_fraction": "0.9", "neg_bagging_fraction": "0.4", "bagging_freq": "1",
		},
	},
	{
		name: "bagging_by_query", metric: score.NDCG10, tables: ranked(&synth.Ranking{Seed: 52, Columns: 16}, 300),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "lambdarank", "num_iterations": "40",
			"bagging_by_query": "true", "bagging_fraction": "0.6", "bagging_freq": "1",
		},
	},
	{
		name: "goss", metric: score.RMSE, tables: made(&synth.Dense{Seed: 53, Columns: 16, Noise: 1}, 6_000),
		seeds: 12, sampled: true,
		config: peer.Config{"objective": "regression", "num_iterations": "80", "data_sample_strategy": "goss"},
	},
	{
		name: "goss: binary", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 54, Columns: 16, Kind: synth.Binary, Missing: 0.1}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "binary", "num_iterations": "60", "boosting": "goss", "top_rate": "0.3", "other_rate": "0.2",
		},
	},
	{
		name: "goss: classes", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 55, Columns: 12, Kind: synth.Multiclass, Classes: 4}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "multiclass", "num_class": "4", "num_iterations": "40", "data_sample_strategy": "goss",
		},
	},
	{
		name: "forest", metric: score.RMSE, tables: made(&synth.Dense{Seed: 56, Columns: 12, Noise: 1, Missing: 0.1}, 6_000),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "regression", "boosting": "rf", "num_iterations": "50", "num_leaves": "127", "min_data_in_leaf": "5",
			"bagging_fraction": "0.6", "bagging_freq": "1", "feature_fraction": "0.7",
		},
	},
	{
		name: "forest: binary", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 57, Columns: 12, Kind: synth.Binary, Categories: 2, Levels: 30}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "binary", "boosting": "rf", "num_iterations": "50", "num_leaves": "63", "categorical_feature": "0,1",
			"bagging_fraction": "0.5", "bagging_freq": "1",
		},
	},
	{
		name: "forest: classes", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 58, Columns: 12, Kind: synth.Multiclass, Classes: 4}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "multiclass", "num_class": "4", "boosting": "rf", "num_iterations": "30",
			"feature_fraction": "0.5", "bagging_fraction": "0.7", "bagging_freq": "2",
		},
	},
	{
		name: "forest: absolute", metric: score.MAE,
		tables: made(&synth.Dense{Seed: 59, Columns: 12, Tails: true}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "regression_l1", "boosting": "rf", "num_iterations": "40", "num_leaves": "63",
			"bagging_fraction": "0.6", "bagging_freq": "1",
		},
	},
	{
		name: "dart", metric: score.RMSE, tables: made(&synth.Dense{Seed: 60, Columns: 14, Noise: 1}, 6_000),
		seeds: 12, sampled: true,
		config: peer.Config{"objective": "regression", "boosting": "dart", "num_iterations": "80"},
	},
	{
		name: "dart: uniform", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 61, Columns: 12, Kind: synth.Binary, Missing: 0.1}, 6_000),
		seeds:  60, sampled: true,
		config: peer.Config{
			"objective": "binary", "boosting": "dart", "num_iterations": "80",
			"uniform_drop": "true", "drop_rate": "0.2", "skip_drop": "0.3", "max_drop": "5",
		},
	},
	{
		name: "dart: as xgboost", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 62, Columns: 12, Kind: synth.Multiclass, Classes: 4}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "multiclass", "num_class": "4", "boosting": "dart", "num_iterations": "40",
			"xgboost_dart_mode": "true", "drop_rate": "0.15", "bagging_fraction": "0.7", "bagging_freq": "1",
		},
	},
	{
		name: "dart: often", metric: score.RMSE, tables: made(&synth.Dense{Seed: 63, Columns: 10}, 4_000),
		seeds: 20, sampled: true,
		config: peer.Config{
			"objective": "regression", "boosting": "dart", "num_iterations": "25", "learning_rate": "0.3",
			"skip_drop": "0", "drop_rate": "0.5",
		},
	},
}

func init() { tasks = append(tasks, modeTasks...) }
