//go:build peers

package peers_test

import (
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
	"cloister/test/peers/synth"
)

// splitTasks compare what restricts or changes the choice of splits.
var splitTasks = []task{
	{
		name: "extra_trees", metric: score.RMSE, tables: made(&synth.Dense{Seed: 31, Columns: 14, Missing: 0.1}, 6_000),
		seeds: 10, sampled: true,
		config: peer.Config{"objective": "regression", "num_iterations": "80", "extra_trees": "true"},
	},
	{
		name: "extra_trees: categories", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 32, Columns: 8, Kind: synth.Binary, Categories: 3, Levels: 60}, 6_000),
		seeds:  10, sampled: true,
		config: peer.Config{"objective": "binary", "num_iterations": "60", "extra_trees": "true", "categorical_feature": "0,1,2"},
	},
	{
		name: "feature_fraction_bynode", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 33, Columns: 20, Kind: synth.Binary}, 6_000),
		seeds:  10, sampled: true,
		config: peer.Config{"objective": "binary", "num_iterations": "60", "feature_fraction_bynode": "0.4", "feature_fraction": "0.8"},
	},
	{
		name: "interaction_constraints", metric: score.RMSE, tables: made(&synth.Dense{Seed: 34, Columns: 12}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "60", "interaction_constraints": "[0,1,2,3],[3,4,5,6,7],[8,9,10,11,0]"},
	},
	{
		name: "feature_contri", metric: score.RMSE, tables: made(&synth.Dense{Seed: 35, Columns: 6}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "60", "feature_contri": "1,0.5,0.9,0.2,1,2"},
	},
	{
		name: "path_smooth", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 36, Columns: 12, Kind: synth.Binary, Categories: 2, Levels: 50}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "binary", "num_iterations": "60", "path_smooth": "20", "categorical_feature": "0,1"},
	},
	{
		name: "monotone: basic", metric: score.RMSE, tables: made(&synth.Dense{Seed: 37, Columns: 8}, 6_000),
		seeds:  10,
		config: peer.Config{"objective": "regression", "num_iterations": "60", "monotone_constraints": "1,-1,0,1,0,-1,1,0"},
	},
	{
		name: "monotone: intermediate", metric: score.LogLoss, tables: made(&synth.Dense{Seed: 38, Columns: 8, Kind: synth.Binary}, 6_000),
		seeds: 10,
		config: peer.Config{
			"objective": "binary", "num_iterations": "60", "monotone_constraints": "1,-1,0,1,0,-1,1,0",
			"monotone_constraints_method": "intermediate", "monotone_penalty": "0.5",
		},
	},
	{
		name: "monotone: advanced", metric: score.RMSE, tables: made(&synth.Dense{Seed: 40, Columns: 8}, 6_000),
		seeds: 10,
		config: peer.Config{
			"objective": "regression", "num_iterations": "60", "monotone_constraints": "1,-1,0,1,0,-1,1,0",
			"monotone_constraints_method": "advanced",
		},
	},
	{
		name: "monotone: advanced, binary", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 41, Columns: 8, Kind: synth.Binary, Missing: 0.1, Categories: 2, Levels: 20}, 6_000),
		seeds:  10,
		config: peer.Config{
			"objective": "binary", "num_iterations": "60", "monotone_constraints": "0,0,1,1,0,-1,1,-1", "categorical_feature": "0,1",
			"monotone_constraints_method": "advanced", "monotone_penalty": "0.5", "path_smooth": "2",
		},
	},
	{
		name: "cegb", metric: score.RMSE, tables: made(&synth.Dense{Seed: 39, Columns: 8}, 6_000),
		seeds: 10,
		config: peer.Config{
			"objective": "regression", "num_iterations": "60", "cegb_tradeoff": "0.7", "cegb_penalty_split": "0.001",
			"cegb_penalty_feature_coupled": "20,20,20,20,100,100,300,300", "cegb_penalty_feature_lazy": "0,0,0.01,0.02,0.01,0,0.02,0",
		},
	},
	{
		name: "cegb: coupled", metric: score.LogLoss, tables: made(&synth.Dense{Seed: 42, Columns: 12, Kind: synth.Binary}, 6_000),
		seeds: 10,
		config: peer.Config{
			"objective": "binary", "num_iterations": "30", "num_leaves": "15",
			"cegb_penalty_feature_coupled": "5,10,20,40,80,5,10,20,40,80,5,10",
		},
	},
}

func init() { tasks = append(tasks, splitTasks...) }
