package gbdt

import (
	"fmt"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
)

// checkSplits finds parameters on the choice of splits that do not fit the
// training data.
func checkSplits(cfg *lightgbm.Config, train *dataset.Dataset, loss objective.Objective) error {
	features := len(train.FeatureNames)
	for _, p := range []struct {
		name   string
		values []float64
	}{
		{"feature_contri", cfg.FeatureContri},
		{"cegb_penalty_feature_coupled", cfg.CEGBPenaltyFeatureCoupled},
		{"cegb_penalty_feature_lazy", cfg.CEGBPenaltyFeatureLazy},
	} {
		if n := len(p.values); n != 0 && n != features {
			return fmt.Errorf("%s has %d values, but the training data has %d features: give one for each", p.name, n, features)
		}
	}
	for i, group := range cfg.InteractionConstraints {
		for _, f := range group {
			if f < 0 || f >= features {
				return fmt.Errorf("interaction_constraints: group %d names feature %d, but the training data has features 0 to %d", i+1, f, features-1)
			}
		}
	}
	return checkMonotone(cfg, train, loss)
}

func checkMonotone(cfg *lightgbm.Config, train *dataset.Dataset, loss objective.Objective) error {
	features := len(train.FeatureNames)
	n := len(cfg.MonotoneConstraints)
	if n == 0 {
		return nil
	}
	if n != features {
		return fmt.Errorf("monotone_constraints has %d values, but the training data has %d features: give one for each", n, features)
	}
	if _, ok := loss.(objective.Renewer); ok {
		return fmt.Errorf("monotone_constraints cannot be kept with objective=%s, which sets leaf values to percentiles: use another objective", cfg.Objective)
	}
	for i := range train.Columns {
		c := &train.Columns[i]
		if c.Mapper.Categorical && cfg.MonotoneConstraints[c.Feature] != 0 {
			return fmt.Errorf("monotone_constraints: feature %d (%s) is categorical, so that nothing can rise or fall with it: set it to 0",
				c.Feature, train.FeatureNames[c.Feature])
		}
	}
	return nil
}
