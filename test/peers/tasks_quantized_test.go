//go:build peers

package peers_test

import (
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
	"cloister/test/peers/synth"
)

// quantizedTasks compare training on gradients of few levels.
var quantizedTasks = []task{
	{
		name: "quantized", metric: score.RMSE, tables: made(&synth.Dense{Seed: 71, Columns: 14, Missing: 0.1}, 6_000),
		seeds: 12, sampled: true,
		config: peer.Config{"objective": "regression", "num_iterations": "80", "use_quantized_grad": "true"},
	},
	{
		name: "quantized: binary", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 72, Columns: 14, Kind: synth.Binary, Categories: 2, Levels: 40}, 6_000),
		seeds:  30, sampled: true,
		config: peer.Config{
			"objective": "binary", "num_iterations": "60", "use_quantized_grad": "true", "categorical_feature": "0,1",
		},
	},
	{
		name: "quantized: renewed", metric: score.LogLoss,
		tables: made(&synth.Dense{Seed: 73, Columns: 14, Kind: synth.Binary, Noise: 1}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "binary", "num_iterations": "60", "use_quantized_grad": "true", "quant_train_renew_leaf": "true",
		},
	},
	{
		name: "quantized: classes", metric: score.MultiLogLoss,
		tables: made(&synth.Dense{Seed: 74, Columns: 12, Kind: synth.Multiclass, Classes: 4}, 6_000),
		seeds:  12, sampled: true,
		config: peer.Config{
			"objective": "multiclass", "num_class": "4", "num_iterations": "40", "use_quantized_grad": "true",
			"num_grad_quant_bins": "8", "lambda_l1": "0.1",
		},
	},
	{
		name: "quantized: ranking", metric: score.NDCG10, tables: ranked(&synth.Ranking{Seed: 75, Columns: 16}, 300),
		seeds: 12, sampled: true,
		config: peer.Config{
			"objective": "lambdarank", "num_iterations": "40", "use_quantized_grad": "true",
			"num_grad_quant_bins": "16", "quant_train_renew_leaf": "true",
		},
	},
	{
		name: "quantized: nearest", metric: score.RMSE, tables: made(&synth.Dense{Seed: 76, Columns: 10}, 6_000),
		seeds: 10,
		config: peer.Config{
			"objective": "regression", "num_iterations": "60", "use_quantized_grad": "true",
			"num_grad_quant_bins": "32", "stochastic_rounding": "false", "path_smooth": "1",
		},
	},
}

func init() { tasks = append(tasks, quantizedTasks...) }
