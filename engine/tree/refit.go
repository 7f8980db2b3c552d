package tree

// Refit says how leaves get new values from other rows.
type Refit struct {
	// Options' L1, L2, MaxDeltaStep and PathSmooth count.
	Options Options
	// Decay is the weight of the old value; the new one, times the tree's
	// Shrinkage, has the rest.
	Decay float64
	// Lambda is linear_lambda, the ridge term of linear trees' coefficients.
	Lambda float64
}

// Tree returns a copy of a valid tree with new leaf values: those of Newton's
// step for the derivatives of the rows of each leaf. leaf has the leaf of each
// row, below t.NumLeaves. The structure, the counts and the values of inner nodes
// stay. Sums are in the order of the rows, as in LightGBM. The error is
// ErrNotFinite.
func (f *Refit) Tree(t *Tree, leaf []int32, grad, hess []float32) (*Tree, error) {
	return f.blended(t, f.values(t, leaf, grad, hess))
}

// values are the leaves' Newton steps.
func (f *Refit) values(t *Tree, leaf []int32, grad, hess []float32) []float64 {
	sums := f.sums(t, leaf, grad, hess)
	output := func(i int) float64 { return f.Options.leafValue(sums[i].grad, sums[i].hess+epsilon, f.Options.L2) }
	if f.Options.PathSmooth > epsilon && t.NumLeaves > 1 {
		output = f.smoothed(t, sums)
	}
	values := make([]float64, t.NumLeaves)
	for i := range values {
		values[i] = output(i)
	}
	return values
}

// blended is a copy of the tree with a mixture of old and new leaf values.
func (f *Refit) blended(t *Tree, values []float64) (*Tree, error) {
	refitted := *t
	refitted.LeafValue = make([]float64, t.NumLeaves)
	for i, old := range t.LeafValue {
		v := f.blend(t, old, values[i])
		if !finite(v) {
			return nil, ErrNotFinite
		}
		refitted.LeafValue[i] = v
	}
	return &refitted, nil
}

func (f *Refit) blend(t *Tree, before, now float64) float64 {
	return roundToZero(float64(f.Decay*before) + float64((1-f.Decay)*float64(now*t.Shrinkage)))
}

// nodeSums are sums over the rows of a node.
type nodeSums struct {
	grad, hess float64
	rows       int
}

func (f *Refit) sums(t *Tree, leaf []int32, grad, hess []float32) []nodeSums {
	sums := make([]nodeSums, t.NumLeaves)
	for i, l := range leaf {
		s := &sums[l]
		s.grad += float64(grad[i])
		s.hess += float64(hess[i])
		s.rows++
	}
	return sums
}

// smoothed gives the leaves' values where those of nodes are pulled to their
// parents', from the root down, as in growth. (LightGBM takes the parent's
// number for its value here.)
func (f *Refit) smoothed(t *Tree, leaves []nodeSums) func(leaf int) float64 {
	order := []int32{0} // inner nodes, parents first
	for i := 0; i < len(order); i++ {
		for _, child := range [2]int32{t.LeftChild[order[i]], t.RightChild[order[i]]} {
			if child >= 0 {
				order = append(order, child)
			}
		}
	}
	inner := make([]nodeSums, t.NumLeaves-1)
	of := func(node int32) nodeSums {
		if node < 0 {
			return leaves[^node]
		}
		return inner[node]
	}
	for i := len(order) - 1; i >= 0; i-- {
		node := order[i]
		left, right := of(t.LeftChild[node]), of(t.RightChild[node])
		inner[node] = nodeSums{left.grad + right.grad, left.hess + right.hess, left.rows + right.rows}
	}
	values, leafValues := make([]float64, len(inner)), make([]float64, len(leaves))
	value := func(s nodeSums) float64 { return f.Options.leafValue(s.grad, s.hess+epsilon, f.Options.L2) }
	values[0] = value(inner[0])
	for _, node := range order {
		for _, child := range [2]int32{t.LeftChild[node], t.RightChild[node]} {
			s := of(child)
			v := f.Options.smooth(value(s), s.rows, values[node])
			if child < 0 {
				leafValues[^child] = v
			} else {
				values[child] = v
			}
		}
	}
	return func(leaf int) float64 { return leafValues[leaf] }
}
