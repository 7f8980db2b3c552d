//go:build peers

package peers_test

import (
	"cloister/test/peers/peer"
	"cloister/test/peers/score"
	"cloister/test/peers/synth"
)

// dataTasks compare what changes how a table becomes bins.
var dataTasks = []task{
	{
		name: "max_bin_by_feature", metric: score.RMSE,
		tables: made(&synth.Dense{Seed: 71, Columns: 12, Noise: 1, Missing: 0.05}, 8_000),
		seeds:  10,
		config: peer.Config{
			"objective": "regression", "num_iterations": "60",
			"max_bin_by_feature": "2,3,4,8,15,31,63,127,255,400,1000,6",
		},
	},
}

func init() { tasks = append(tasks, dataTasks...) }
