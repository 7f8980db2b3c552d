package tree_test

import (
	"math"
	"math/rand/v2"

	"cloister/engine/tree"
)

// awkward are values where decision rules differ.
var awkward = []float64{
	math.NaN(), 0, math.Copysign(0, -1), 1e-35, -1e-35, 1e-36, 9.9e-36, 1.1e-35, 5e-324,
	math.Inf(1), math.Inf(-1), math.MaxFloat64, -math.MaxFloat64, 1, 2, 31, 32, 63.5, 64, -1, -0.5, 3e9, 1e300,
}

func randomValue(r *rand.Rand) float64 {
	switch r.IntN(4) {
	case 0:
		return awkward[r.IntN(len(awkward))]
	case 1:
		return float64(r.IntN(80))
	default:
		return r.NormFloat64()
	}
}

func randomRow(r *rand.Rand, features int) []float64 {
	row := make([]float64, features)
	for i := range row {
		row[i] = randomValue(r)
	}
	return row
}

// randomTree has the given number of leaves; every second of its splits by
// categories if categorical.
func randomTree(r *rand.Rand, leaves, features int, categorical, linear bool) *tree.Tree {
	t := &tree.Tree{NumLeaves: leaves, Shrinkage: 1, IsLinear: linear}
	parent := make([]*int32, leaves) // where each leaf hangs
	t.LeftChild, t.RightChild = make([]int32, leaves-1), make([]int32, leaves-1)
	for node := range leaves - 1 {
		leaf := 0
		if node > 0 {
			leaf = r.IntN(node + 1)
			*parent[leaf] = int32(node)
		}
		t.LeftChild[node], t.RightChild[node] = int32(^leaf), int32(^(node + 1))
		parent[leaf], parent[node+1] = &t.LeftChild[node], &t.RightChild[node]
		t.SplitFeature = append(t.SplitFeature, int32(r.IntN(features)))
		t.SplitGain = append(t.SplitGain, r.Float32())
		t.InternalValue = append(t.InternalValue, r.NormFloat64())
		t.InternalWeight = append(t.InternalWeight, r.Float64())
		if categorical && r.IntN(2) == 0 {
			if len(t.CatBoundaries) == 0 {
				t.CatBoundaries = []int32{0}
			}
			t.Threshold = append(t.Threshold, float64(t.NumCat()))
			for range r.IntN(4) {
				t.CatThreshold = append(t.CatThreshold, r.Uint32())
			}
			t.CatBoundaries = append(t.CatBoundaries, int32(len(t.CatThreshold)))
			t.DecisionType = append(t.DecisionType, 1|uint8(r.IntN(3))<<2)
			continue
		}
		threshold := randomValue(r)
		if math.IsNaN(threshold) {
			threshold = 0
		}
		t.Threshold = append(t.Threshold, threshold)
		t.DecisionType = append(t.DecisionType, uint8(r.IntN(2))<<1|uint8(r.IntN(3))<<2)
	}
	for range leaves {
		t.LeafValue = append(t.LeafValue, r.NormFloat64())
		t.LeafWeight = append(t.LeafWeight, r.Float64())
		t.LeafCount = append(t.LeafCount, 1+r.Int64N(50))
		if linear {
			var f []int32
			var c []float64
			for range r.IntN(3) {
				f, c = append(f, int32(r.IntN(features))), append(c, r.NormFloat64())
			}
			t.LeafConst = append(t.LeafConst, r.NormFloat64())
			t.LeafFeatures, t.LeafCoeff = append(t.LeafFeatures, f), append(t.LeafCoeff, c)
		}
	}
	t.InternalCount = make([]int64, leaves-1)
	count(t, 0)
	return t
}

// count fills in the inner nodes' row counts.
func count(t *tree.Tree, node int32) int64 {
	if t.NumLeaves == 1 {
		return 0
	}
	if node < 0 {
		return t.LeafCount[^node]
	}
	t.InternalCount[node] = count(t, t.LeftChild[node]) + count(t, t.RightChild[node])
	return t.InternalCount[node]
}
