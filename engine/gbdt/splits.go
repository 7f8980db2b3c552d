package gbdt

import (
	"fmt"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
)

// checkSplits finds parameters on the choice of splits that do not fit the
// training data.
func checkSplits(cfg *lightgbm.Config, train *dataset.Dataset) error {
	features := len(train.FeatureNames)
	if n := len(cfg.FeatureContri); n != 0 && n != features {
		return fmt.Errorf("feature_contri has %d values, but the training data has %d features: give one for each", n, features)
	}
	for i, group := range cfg.InteractionConstraints {
		for _, f := range group {
			if f < 0 || f >= features {
				return fmt.Errorf("interaction_constraints: group %d names feature %d, but the training data has features 0 to %d", i+1, f, features-1)
			}
		}
	}
	return nil
}
