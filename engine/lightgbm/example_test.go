package lightgbm_test

import (
	"fmt"
	"strings"

	"cloister/engine/lightgbm"
)

func ExampleResolve() {
	file, err := lightgbm.ParseFile("train.conf", strings.NewReader(`
# a quick model
objective = binary
num_trees = 20      # an alias of num_iterations
num_leaves = 63
two_round = true
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	cmdline, err := lightgbm.ParseArgs([]string{"num_leaves=15"})
	if err != nil {
		fmt.Println(err)
		return
	}
	config, notices, err := lightgbm.Resolve(cmdline, file)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(config.Objective, config.NumIterations, config.NumLeaves, config.Metric)
	for _, n := range notices {
		fmt.Println(n)
	}
	// Output:
	// binary 20 15 [binary_logloss]
	// num_leaves=63 (train.conf:5) is ignored: num_leaves=15 (command line) goes over it
	// two_round=true (train.conf:6) has no effect: Cloister never holds the text, and reads tables with more rows than bin_construct_sample_cnt twice
}

func ExampleConfig_Validate() {
	config := lightgbm.NewConfig()
	config.LearningRate = -1
	_, err := config.Validate()
	fmt.Println(err)
	// Output: learning_rate=-1: must be > 0
}
