package lightgbm

import (
	"fmt"
	"sync"
	"sync/atomic"

	"cloister/engine/tree"
)

// Predictor predicts with a range of a model's iterations. It may be used by
// several goroutines; the model's trees must not change meanwhile.
type Predictor struct {
	trees     []*tree.Tree
	models    int
	features  int
	flat      func() *tree.Ensemble // laid out for many rows when it is first asked for
	few       *atomic.Int64         // calls for so few rows that it was not needed
	transform Transform
	stop      *earlyStop // nil if every tree counts
}

// Predictor prepares prediction with num iterations from start, in the terms
// of IterationRange: (0, 0) is all of them. The model must be valid.
func (m *Model) Predictor(start, num int) (*Predictor, error) {
	first, end := m.IterationRange(start, num)
	transform, err := m.Transform(end - first)
	if err != nil {
		return nil, err
	}
	trees := m.Trees[first*m.TreesPerIteration : end*m.TreesPerIteration]
	return &Predictor{
		trees: trees, models: m.TreesPerIteration, features: m.NumFeatures(),
		flat:      sync.OnceValue(func() *tree.Ensemble { return tree.NewEnsemble(trees, m.TreesPerIteration) }),
		few:       new(atomic.Int64),
		transform: transform,
	}, nil
}

// Models is the number of values that Raw and Output give for a row.
func (p *Predictor) Models() int { return p.models }

func (p *Predictor) iterations() int { return len(p.trees) / p.models }

// Features is the number of values that a row must have.
func (p *Predictor) Features() int { return p.features }

// Trees is the number of trees, and of the values that Leaves gives for a row.
func (p *Predictor) Trees() int { return len(p.trees) }

func (p *Predictor) check(row []float64, got, want int) error {
	if len(row) != p.features {
		return fmt.Errorf("%w: the row has %d features, the model %d", tree.ErrShape, len(row), p.features)
	}
	if got != want {
		return fmt.Errorf("%w: there is room for %d values, want %d", tree.ErrShape, got, want)
	}
	return nil
}

// Raw writes the raw scores of one row, one per model, to out: the sums over
// the trees, not averaged for random forests either. Row has Features values,
// NaN where one is missing. The error is tree.ErrShape. It allocates nothing.
func (p *Predictor) Raw(row, out []float64) error {
	if err := p.check(row, len(out), p.models); err != nil {
		return err
	}
	clear(out)
	for i, t := range p.trees {
		out[i%p.models] += t.Predict(row)
		if p.stop != nil && p.stop.isDue(i, p.models) && p.stop.isClear(out) {
			break
		}
	}
	return nil
}

// RawSparse is Raw for a row given by its features in ascending order and
// their values; the others are 0. Features beyond the model's are ignored.
func (p *Predictor) RawSparse(index []int32, value, out []float64) error {
	if len(index) != len(value) || len(out) != p.models {
		return fmt.Errorf("%w: %d features with %d values, room for %d scores of %d",
			tree.ErrShape, len(index), len(value), len(out), p.models)
	}
	clear(out)
	for i, t := range p.trees {
		out[i%p.models] += t.PredictSparse(index, value)
		if p.stop != nil && p.stop.isDue(i, p.models) && p.stop.isClear(out) {
			break
		}
	}
	return nil
}

// RawRows is Raw for many rows, which stand row after row in values; so do the
// scores in out. It is much faster for more than a few rows, with the same
// bits, and allocates nothing per row.
func (p *Predictor) RawRows(values, out []float64) error {
	if n := len(values) / max(p.features, 1); p.single(n) && len(out) == n*p.models && len(values) == n*p.features {
		for i := range n {
			if err := p.Raw(values[i*p.features:(i+1)*p.features], out[i*p.models:(i+1)*p.models]); err != nil {
				return err
			}
		}
		return nil
	}
	clear(out)
	if p.stop != nil {
		return p.stop.addRows(p.flat(), values, p.features, p.models, out)
	}
	return p.flat().AddScores(values, p.features, 0, p.iterations(), out)
}

// aRow is the number of rows up to which laying out the trees does not pay, and
// rarely the number of such calls after which it does.
const (
	aRow   = 8
	rarely = 8
)

// single says whether to predict a few rows one by one.
func (p *Predictor) single(rows int) bool { return rows <= aRow && p.few.Add(1) <= rarely }

// RawSparseRows is RawRows for sparse rows: row i has the entries rowStart[i] …
// rowStart[i+1]-1 of index, whose features ascend, and value; the others are 0.
// Features beyond the model's are ignored.
func (p *Predictor) RawSparseRows(rowStart []int, index []int32, value, out []float64) error {
	clear(out)
	if p.stop == nil {
		return p.flat().AddSparseScores(rowStart, index, value, 0, p.iterations(), out)
	}
	if err := p.flat().AddSparseScores(rowStart, index, value, 0, 0, out); err != nil {
		return err // the shape is wrong
	}
	for i, lo := range rowStart[:len(rowStart)-1] {
		hi := rowStart[i+1]
		if err := p.RawSparse(index[lo:hi], value[lo:hi], out[i*p.models:(i+1)*p.models]); err != nil {
			return err
		}
	}
	return nil
}

// Output is Raw followed by the objective's Transform.
func (p *Predictor) Output(row, out []float64) error {
	if err := p.Raw(row, out); err != nil {
		return err
	}
	p.transform.Apply(out)
	return nil
}

// OutputRows is RawRows followed by the objective's Transform.
func (p *Predictor) OutputRows(values, out []float64) error {
	if err := p.RawRows(values, out); err != nil {
		return err
	}
	p.transform.applyRows(out, p.models)
	return nil
}

// OutputSparseRows is RawSparseRows followed by the objective's Transform.
func (p *Predictor) OutputSparseRows(rowStart []int, index []int32, value, out []float64) error {
	if err := p.RawSparseRows(rowStart, index, value, out); err != nil {
		return err
	}
	p.transform.applyRows(out, p.models)
	return nil
}

// Leaves writes the index of the leaf that the row falls into, for each tree,
// to out.
func (p *Predictor) Leaves(row []float64, out []int32) error {
	if err := p.check(row, len(out), len(p.trees)); err != nil {
		return err
	}
	for i, t := range p.trees {
		out[i] = int32(t.Leaf(row))
	}
	return nil
}

// LeavesRows is Leaves for many rows, row after row in values and out, and much
// faster for more than a few.
func (p *Predictor) LeavesRows(values []float64, out []int32) error {
	return p.flat().Leaves(values, p.features, 0, p.iterations(), out)
}

// Explainer computes contributions of features. Each goroutine needs its own.
type Explainer struct {
	p *Predictor
	e *tree.Explainer
}

// Explainer prepares Contributions; it fails for linear trees (tree.ErrLinear)
// and for trees without row counts.
func (p *Predictor) Explainer() (*Explainer, error) {
	e, err := tree.NewExplainer(p.trees, p.models, p.features)
	if err != nil {
		return nil, fmt.Errorf("contributions: %w", err)
	}
	return &Explainer{p: p, e: e}, nil
}

// Width is the number of values that Contributions gives for a row.
func (x *Explainer) Width() int { return x.p.models * (x.p.features + 1) }

// Contributions writes what each feature adds to each raw score of a row to
// phi, as LightGBM's pred_contrib lays it out: for each model, Features values
// and the expected score; their sum is the raw score. The error is
// tree.ErrShape.
func (x *Explainer) Contributions(row, phi []float64) error {
	if err := x.p.check(row, len(phi), x.Width()); err != nil {
		return err
	}
	clear(phi)
	x.e.Add(row, 0, len(x.p.trees)/x.p.models, phi)
	return nil
}

// ContributionsRows is Contributions for many rows, row after row in values and
// phi.
func (x *Explainer) ContributionsRows(values, phi []float64) error {
	features, width := x.p.features, x.Width()
	if len(phi)%width != 0 || len(values) != len(phi)/width*features {
		return fmt.Errorf("%w: %d values in rows of %d do not go with %d contributions of %d a row",
			tree.ErrShape, len(values), features, len(phi), width)
	}
	for ; len(phi) > 0; phi = phi[width:] {
		if err := x.Contributions(values[:features], phi[:width]); err != nil {
			return err
		}
		values = values[features:]
	}
	return nil
}
