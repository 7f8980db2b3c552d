package gbdt

import (
	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
)

// DatasetOptions are the parameters that say how a table becomes bins. The
// configuration must be valid. What forcedbins_filename says is read by
// ForcedBins.
func DatasetOptions(cfg *lightgbm.Config) dataset.Options {
	o := dataset.DefaultOptions()
	o.MaxBin, o.MaxBinByFeature = cfg.MaxBin, cfg.MaxBinByFeature
	o.MinDataInBin = cfg.MinDataInBin
	o.BinConstructSampleCnt = cfg.BinConstructSampleCnt
	o.DataRandomSeed = uint64(cfg.DataRandomSeed)
	o.UseMissing, o.ZeroAsMissing = cfg.UseMissing, cfg.ZeroAsMissing
	o.FeaturePreFilter, o.MinDataInLeaf = cfg.FeaturePreFilter, cfg.MinDataInLeaf
	o.EnableBundle = cfg.EnableBundle
	o.KeepRaw = cfg.LinearTree
	o.Threads = cfg.NumThreads
	if list, err := lightgbm.ParseColumns(cfg.CategoricalFeature); err == nil {
		o.Categorical, o.CategoricalNames = list.Indices, list.Names
	}
	return o
}
