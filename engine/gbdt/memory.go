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
	rows := int64(train.Rows)
	// More classes than rows are an error, of which Train says more.
	models := min(int64(modelsPerIteration(cfg)), rows)
	perRow := models*(8+4+4) + // scores, gradients, hessians
		8 + // both of a row packed, for the histograms
		4 + 4 // the rows of each leaf, and room to divide them
	listed := 0.0 // of the entries of sparse rows, a row
	for i := range train.Columns {
		// A copy of each column is read where leaves are divided.
		switch c := &train.Columns[i]; {
		case c.Block < 0:
			listed += 1 - c.Mapper.SparseRate
		case c.First == 0 && train.Blocks[c.Block].Bits == 8:
			perRow++
		}
	}
	perRow += int64(len(train.Bundles))
	if train.Sparse != nil {
		perRow += int64(listed*5) + 1 + int64(threads) // and a mark of each thread
	}
	if train.Raw != nil {
		perRow += 4 // the leaf
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
	trees := int64(min(float64(cfg.NumIterations)*float64(models)*float64(leaves)*100, 1<<60))
	return rows*perRow + kept*histogram + scratch + trees
}

// RefitMemory is about the memory, in bytes, that a refit of the model to that
// many rows takes besides what is known of the rows: their Leaves, what Refit
// holds, and the new model.
func RefitMemory(m *lightgbm.Model, rows int) int64 {
	l := NewLeaves(m)
	perRow := int64(max(1, m.TreesPerIteration))*(8+4+4+4) + // scores, gradients, hessians, leaves
		4*int64(l.raw.Width)
	trees := int64(0)
	for i, t := range m.Trees {
		perRow += int64(l.of[i].width)
		trees += 100 * int64(t.NumLeaves)
		for _, features := range t.LeafFeatures {
			trees += 16 * int64(len(features))
		}
	}
	return perRow*int64(rows) + trees
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
		return min(max(1, cfg.NumClass), 1<<20) // as many are too many for any memory
	}
	return 1
}
