package tree

import "math"

// standing is what the value of a node depends on besides the sums over its
// rows.
type standing struct {
	l2     float64 // ridge term; more below many-vs-many splits of categories
	rows   int     // as estimated when the parent was split, as in LightGBM
	output float64 // value by the fixed-point sums; set only if Options.keepsOutput
	limit  bounds  // within which values must lie
}

// shaped reports whether values depend on more than a node's sums.
func (o *Options) shaped() bool { return o.PathSmooth > epsilon || o.Monotone != nil }

// keepsOutput reports whether the values by fixed-point sums are needed.
func (o *Options) keepsOutput() bool { return o.shaped() || o.Quantize != nil }

// leafValue is the value of a leaf with the given sums, by Newton's step.
func (o *Options) leafValue(grad, hess, l2 float64) float64 {
	v := -thresholdL1(grad, o.L1) / (hess + l2)
	if o.MaxDeltaStep > 0 && math.Abs(v) > o.MaxDeltaStep {
		return math.Copysign(o.MaxDeltaStep, v)
	}
	return v
}

func thresholdL1(grad, l1 float64) float64 {
	if l1 == 0 {
		return grad
	}
	return math.Copysign(max(0, math.Abs(grad)-l1), grad)
}

// smooth pulls the value of a node with so many rows to its parent's, by
// path_smooth.
func (o *Options) smooth(v float64, rows int, parent float64) float64 {
	if o.PathSmooth <= epsilon {
		return v
	}
	weight := float64(rows) / o.PathSmooth
	return v*weight/(weight+1) + parent/(weight+1)
}

// leafGain is twice the improvement of the objective by a leaf's value.
func (o *Options) leafGain(grad, hess, l2 float64) float64 {
	if o.MaxDeltaStep <= 0 {
		g := thresholdL1(grad, o.L1)
		return float64(g*g) / (hess + l2)
	}
	return o.gainAt(grad, hess, l2, o.leafValue(grad, hess, l2))
}

// gainAt is twice the improvement of the objective by any value.
func (o *Options) gainAt(grad, hess, l2, v float64) float64 {
	g := thresholdL1(grad, o.L1)
	return -(float64(2*g*v) + float64((hess+l2)*v*v))
}

func (g *Grower) rootStanding(total int64) standing {
	s := standing{l2: g.opt.L2, limit: unbounded}
	if g.opt.keepsOutput() {
		s.output = g.outputOf(total, s.l2)
	}
	return s
}

// childStandings are those of the children of a leaf that is split.
func (g *Grower) childStandings(parent *leaf, s *split) (left, right standing) {
	left = standing{l2: s.l2, rows: s.leftRows, limit: parent.limit}
	right = standing{l2: s.l2, rows: parent.count() - s.leftRows, limit: parent.limit}
	if !g.opt.keepsOutput() {
		return left, right
	}
	left.output = parent.limit.clamp(g.opt.smooth(g.outputOf(s.left, s.l2), left.rows, parent.output))
	right.output = parent.limit.clamp(g.opt.smooth(g.outputOf(parent.total-s.left, s.l2), right.rows, parent.output))
	switch monotone := g.opt.monotone(&g.data.Columns[s.column]); {
	case monotone > 0:
		g.opt.order(&left, &right)
	case monotone < 0:
		g.opt.order(&right, &left)
	}
	return left, right
}

// outputOf is the value of a node by its packed sums alone.
func (g *Grower) outputOf(packed int64, l2 float64) float64 {
	if g.fix.discrete && packed&g.fix.hessMask == 0 {
		return 0 // all hessians were rounded to zero
	}
	return g.opt.leafValue(g.fix.grad(packed), g.fix.hess(packed)+epsilon, l2)
}
