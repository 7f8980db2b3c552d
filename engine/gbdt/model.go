package gbdt

import (
	"cloister/engine/lightgbm"
	"cloister/engine/tree"
)

// treeOptions translates parameters to the grower's options.
func treeOptions(cfg *lightgbm.Config) tree.Options {
	o := tree.Options{
		NumLeaves: cfg.NumLeaves, MaxDepth: cfg.MaxDepth,
		MinDataInLeaf: cfg.MinDataInLeaf, MinSumHessianInLeaf: cfg.MinSumHessianInLeaf,
		L1: cfg.LambdaL1, L2: cfg.LambdaL2,
		MinGainToSplit: cfg.MinGainToSplit, MaxDeltaStep: cfg.MaxDeltaStep,
		CatSmooth: cfg.CatSmooth, CatL2: cfg.CatL2,
		MaxCatThreshold: cfg.MaxCatThreshold, MaxCatToOnehot: cfg.MaxCatToOnehot,
		MinDataPerGroup: cfg.MinDataPerGroup,
		PathSmooth:      cfg.PathSmooth,
		ExtraTrees:      cfg.ExtraTrees, ExtraSeed: uint64(cfg.ExtraSeed),
		FeatureFractionByNode: cfg.FeatureFractionBynode, FeatureFractionSeed: uint64(cfg.FeatureFractionSeed),
		InteractionConstraints: cfg.InteractionConstraints,
		FeatureContri:          cfg.FeatureContri,
		Monotone:               cfg.MonotoneConstraints, MonotonePenalty: cfg.MonotonePenalty,
	}
	switch cfg.MonotoneConstraintsMethod {
	case "intermediate":
		o.MonotoneMethod = tree.MonotoneIntermediate
	case "advanced":
		o.MonotoneMethod = tree.MonotoneAdvanced
	}
	if cfg.UseQuantizedGrad {
		o.Quantize = &tree.QuantizeOptions{
			Bins: cfg.NumGradQuantBins, Stochastic: cfg.StochasticRounding, Seed: uint64(cfg.Seed),
			Renew: cfg.QuantTrainRenewLeaf,
		}
	}
	if c := costOptions(cfg); c.Tradeoff < 1 || c.Split > 0 || c.Coupled != nil || c.Lazy != nil {
		o.Costs = c
	}
	if cfg.HistogramPoolSize > 0 {
		o.HistogramMemory = int(cfg.HistogramPoolSize * (1 << 20))
	}
	return o
}

func costOptions(cfg *lightgbm.Config) *tree.CostOptions {
	return &tree.CostOptions{
		Tradeoff: cfg.CEGBTradeoff, Split: cfg.CEGBPenaltySplit,
		Coupled: cfg.CEGBPenaltyFeatureCoupled, Lazy: cfg.CEGBPenaltyFeatureLazy,
	}
}

// model assembles the trained ensemble.
func (t *trainer) model() *lightgbm.Model {
	m := &lightgbm.Model{
		NumClass:          t.cfg.NumClass,
		TreesPerIteration: t.models,
		LabelIndex:        t.data.LabelIndex,
		MaxFeatureIndex:   len(t.data.FeatureNames) - 1,
		Objective:         t.loss.String(),
		AverageOutput:     t.forest != nil,
		FeatureNames:      t.data.FeatureNames,
		FeatureInfos:      t.data.FeatureInfos(),

		MonotoneConstraints: t.cfg.MonotoneConstraints,
		Trees:               t.trees,
		Parameters:          t.cfg.ModelText(),
		ImportanceKind:      lightgbm.ImportanceKind(t.cfg.SavedFeatureImportanceType),
	}
	if first := t.opt.InitModel; first != nil {
		m.Trees = append(append([]*tree.Tree{}, first.Trees...), t.trees...)
	}
	return m
}
