package gbdt

import (
	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
)

// histogramMemory is what the grower keeps of histograms at most.
const histogramMemory = 1 << 30

// TrainingMemory is about the memory, in bytes, that Train takes besides the data
// sets, whose layout is enough. It rests on what the packages objective and tree
// hold for each row, bin and leaf; TestTrainingMemory measures it.
func TrainingMemory(cfg *lightgbm.Config, train *dataset.Dataset, threads int) int64 {
	rows, models := int64(train.Rows), int64(modelsPerIteration(cfg))
	perRow := models*(8+4+4) + // scores, gradients, hessians
		8 + // both of a row packed, for the histograms
		4 + 4 // the rows of each leaf, and room to divide them
	for i := range train.Columns {
		if c := &train.Columns[i]; c.Block >= 0 && train.Blocks[c.Block].Bits == 8 {
			perRow++ // a copy that is read where leaves are divided
		}
	}
	if cfg.BaggingFreq > 0 || cfg.DataSampleStrategy == "goss" {
		perRow += 8 // the rows drawn and those left
	}
	if cfg.Boosting == "dart" || cfg.Boosting == "rf" {
		perRow += 8 * models
	}
	least := max(1, int64(cfg.MinDataInLeaf))
	leaves := min(int64(cfg.NumLeaves), rows/least+1)
	histogram := 8 * int64(train.TotalBins)
	// A leaf that is too small to be divided needs no histogram.
	kept := min(leaves, rows/(2*least)+1, max(4, histogramMemory/max(1, histogram)))
	scratch := int64(threads) * (histogram + 8*8*256*int64(len(train.Blocks)))
	trees := int64(cfg.NumIterations) * models * leaves * 100
	return rows*perRow + kept*histogram + scratch + trees
}

// ValidationMemory is TrainingMemory for what a validation set adds.
func ValidationMemory(cfg *lightgbm.Config, valid *dataset.Dataset) int64 {
	// Scores, and room for a metric that sorts the rows.
	return int64(valid.Rows) * (8*int64(modelsPerIteration(cfg)) + 16)
}

// modelsPerIteration is the number of trees of an iteration.
func modelsPerIteration(cfg *lightgbm.Config) int {
	switch cfg.Objective {
	case "multiclass", "multiclassova", "custom":
		return max(1, cfg.NumClass)
	}
	return 1
}
