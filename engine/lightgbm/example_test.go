package lightgbm_test

import (
	"fmt"
	"math"
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

// loan is a model, as if it had been trained, of one tree: do not lend to those
// under 21 whose income (in thousands) is at most 30, or unknown.
const loan = `tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=age income
feature_infos=[18:90] [0:500]
tree_sizes=290

Tree=0
num_leaves=3
num_cat=0
split_feature=0 1
split_gain=10 5
threshold=20.5 30
decision_type=2 10
left_child=1 -1
right_child=-2 -3
leaf_value=-1.5 2 0.5
leaf_weight=10 60 30
leaf_count=10 60 30
internal_value=1.2 0
internal_weight=100 40
internal_count=100 40
is_linear=0
shrinkage=1


end of trees

feature_importances:
age=1
income=1

parameters:
end of parameters
`

// Predict one row at a time, with memory that is used again: nothing is allocated.
func ExamplePredictor_Output() {
	model, err := lightgbm.ReadModel("loan", strings.NewReader(loan))
	if err != nil {
		fmt.Println(err)
		return
	}
	predictor, err := model.Predictor(0, 0) // first iteration and number; 0: all
	if err != nil {
		fmt.Println(err)
		return
	}
	out, leaves := make([]float64, predictor.Models()), make([]int32, predictor.Trees())
	for _, row := range [][]float64{{19, 12}, {19, math.NaN()}, {45, 12}} {
		if err := predictor.Output(row, out); err != nil {
			fmt.Println(err)
			return
		}
		if err := predictor.Leaves(row, leaves); err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%.4f from leaf %d\n", out[0], leaves[0])
	}
	// Output:
	// 0.1824 from leaf 0
	// 0.1824 from leaf 0
	// 0.8808 from leaf 1
}

// Predict many rows at once, which is several times as fast; here raw scores of
// dense rows and of the same rows as sparse ones.
func ExamplePredictor_RawRows() {
	model, err := lightgbm.ReadModel("loan", strings.NewReader(loan))
	if err != nil {
		fmt.Println(err)
		return
	}
	predictor, err := model.Predictor(0, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	rows := []float64{ // row after row
		19, 12,
		45, 0,
		20, 80,
	}
	out := make([]float64, 3*predictor.Models())
	if err := predictor.RawRows(rows, out); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out)

	start := []int{0, 2, 3, 5} // row i has the entries start[i] … start[i+1]-1
	feature, value := []int32{0, 1, 0, 0, 1}, []float64{19, 12, 45, 20, 80}
	if err := predictor.RawSparseRows(start, feature, value, out); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(out)
	// Output:
	// [-1.5 2 0.5]
	// [-1.5 2 0.5]
}

// Explain predictions: what each feature adds, and the mean, sum up to the raw
// score.
func ExampleExplainer_Contributions() {
	model, err := lightgbm.ReadModel("loan", strings.NewReader(loan))
	if err != nil {
		fmt.Println(err)
		return
	}
	predictor, err := model.Predictor(0, 0)
	if err != nil {
		fmt.Println(err)
		return
	}
	explainer, err := predictor.Explainer() // one for each goroutine
	if err != nil {
		fmt.Println(err)
		return
	}
	phi := make([]float64, explainer.Width())
	if err := explainer.Contributions([]float64{19, 12}, phi); err != nil {
		fmt.Println(err)
		return
	}
	for i, name := range append(model.FeatureNames, "mean") {
		fmt.Printf("%s %+.3f\n", name, phi[i])
	}
	fmt.Printf("sum %+.3f\n", phi[0]+phi[1]+phi[2])
	// Output:
	// age -1.650
	// income -1.050
	// mean +1.200
	// sum -1.500
}
