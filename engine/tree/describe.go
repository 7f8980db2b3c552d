package tree

import (
	"math/bits"

	"cloister/engine/dataset"
)

// MissingType says which values of an inner node's feature are missing to it.
func (t *Tree) MissingType(node int) dataset.MissingType {
	return dataset.MissingType(t.DecisionType[node] >> MissingTypeShift)
}

// Categories are the categories that go left at an inner node with a
// categorical split, in ascending order. The tree must be valid.
func (t *Tree) Categories(node int) []int {
	k := int(t.Threshold[node])
	var list []int
	for i, word := range t.CatThreshold[t.CatBoundaries[k]:t.CatBoundaries[k+1]] {
		for ; word != 0; word &= word - 1 {
			list = append(list, 32*i+bits.TrailingZeros32(word))
		}
	}
	return list
}
