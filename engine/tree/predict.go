package tree

import (
	"math"
	"slices"

	"cloister/engine/dataset"
)

// Leaf is the index of the leaf that a row falls into, by LightGBM 4.7's
// rules. Row has a value for every feature, NaN where it is missing. The tree
// must be valid for rows of this width.
func (t *Tree) Leaf(row []float64) int {
	if t.NumLeaves == 1 {
		return 0
	}
	node := int32(0)
	for node >= 0 {
		node = t.child(node, row[t.SplitFeature[node]])
	}
	return int(^node)
}

// Predict is the tree's output for a row: the leaf's value, or that of its
// linear model.
func (t *Tree) Predict(row []float64) float64 {
	leaf := t.Leaf(row)
	if !t.IsLinear {
		return t.LeafValue[leaf]
	}
	return t.linearOutput(leaf, row)
}

// linearOutput is what the model of a linear tree's leaf gives for a row.
func (t *Tree) linearOutput(leaf int, row []float64) float64 {
	sum := t.LeafConst[leaf]
	coeff := t.LeafCoeff[leaf]
	for j, f := range t.LeafFeatures[leaf] {
		v := row[f]
		if math.IsNaN(v) {
			return t.LeafValue[leaf]
		}
		sum += float64(coeff[j] * v)
	}
	return sum
}

// LeafSparse is Leaf for a row given by its features in ascending order and
// their values; the others are 0.
func (t *Tree) LeafSparse(index []int32, value []float64) int {
	if t.NumLeaves == 1 {
		return 0
	}
	node := int32(0)
	for node >= 0 {
		node = t.child(node, sparseValue(index, value, t.SplitFeature[node]))
	}
	return int(^node)
}

// PredictSparse is Predict for a row given as for LeafSparse.
func (t *Tree) PredictSparse(index []int32, value []float64) float64 {
	leaf := t.LeafSparse(index, value)
	if !t.IsLinear {
		return t.LeafValue[leaf]
	}
	return t.linearOutputSparse(leaf, index, value)
}

// linearOutputSparse is linearOutput for a row given as for LeafSparse.
func (t *Tree) linearOutputSparse(leaf int, index []int32, value []float64) float64 {
	sum := t.LeafConst[leaf]
	coeff := t.LeafCoeff[leaf]
	for j, f := range t.LeafFeatures[leaf] {
		v := sparseValue(index, value, f)
		if math.IsNaN(v) {
			return t.LeafValue[leaf]
		}
		sum += float64(coeff[j] * v)
	}
	return sum
}

func sparseValue(index []int32, value []float64, feature int32) float64 {
	if i, ok := slices.BinarySearch(index, feature); ok {
		return value[i]
	}
	return 0
}

// child is the node below an inner node that a value of its feature leads to.
func (t *Tree) child(node int32, v float64) int32 {
	if t.goesLeft(node, v) {
		return t.LeftChild[node]
	}
	return t.RightChild[node]
}

func (t *Tree) goesLeft(node int32, v float64) bool {
	d := t.DecisionType[node]
	if d&CategoricalMask != 0 {
		return t.inCategories(int(t.Threshold[node]), v)
	}
	switch dataset.MissingType(d >> MissingTypeShift) {
	case dataset.MissingNaN:
		if math.IsNaN(v) {
			return d&DefaultLeftMask != 0
		}
	case dataset.MissingZero:
		if math.IsNaN(v) || isZero(v) {
			return d&DefaultLeftMask != 0
		}
	default:
		if math.IsNaN(v) {
			v = 0
		}
	}
	return v <= t.Threshold[node]
}

// inCategories tells whether the integer part of v is in bit set k. NaN,
// negative values and those beyond the set are not.
func (t *Tree) inCategories(k int, v float64) bool {
	c := category(v)
	if c < 0 {
		return false
	}
	bits := t.CatThreshold[t.CatBoundaries[k]:t.CatBoundaries[k+1]]
	word := int(c >> 5)
	return word < len(bits) && bits[word]>>(uint32(c)&31)&1 != 0
}

// category is the integer part of v, or -1 where that is no category: LightGBM
// casts to a C int, which in the ranges left out here is negative or undefined.
func category(v float64) int32 {
	if v > -1 && v < math.MaxInt32+1 {
		return int32(v)
	}
	return -1
}
