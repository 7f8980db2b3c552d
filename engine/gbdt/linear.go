package gbdt

import (
	"fmt"

	"cloister/engine/tree"
)

// checkLinear finds what does not fit linear trees.
func (t *trainer) checkLinear() error {
	if !t.cfg.LinearTree {
		return nil
	}
	if t.data.Raw == nil {
		return fmt.Errorf("linear_tree needs the values of the training data: build the data set with KeepRaw")
	}
	for i := range t.valid {
		if v := &t.valid[i]; v.Data.Raw == nil {
			return fmt.Errorf("linear_tree needs the values of %s: build it with the training data as reference", v.Name)
		}
	}
	return nil
}

// fitLinear gives a new tree's leaves linear models. As in LightGBM the very
// first trees have none: their gradients are those of a constant. Those of a
// random forest do.
func (t *trainer) fitLinear(made *tree.Grown, grad *tree.Gradients) {
	if t.iteration == 0 && t.opt.InitModel == nil && t.forest == nil {
		t.linear.Constant(made)
		return
	}
	t.linear.Fit(made, grad)
}
