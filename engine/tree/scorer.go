package tree

import "cloister/engine/dataset"

// Scorer looks up rows in a grown tree. It holds no rows and lives as long as
// its grower; a change of the tree's values is seen.
type Scorer struct{ grown Grown }

// Scorer returns the tree's scorer.
func (t *Grown) Scorer() *Scorer {
	return &Scorer{Grown{Tree: t.Tree, grower: t.grower, nodes: t.nodes, places: t.places}}
}

// AddScores adds the tree's values to the scores of all rows of a data set
// that has the mappers of the training set.
func (s *Scorer) AddScores(d *dataset.Dataset, scores []float64) {
	s.grown.AddScores(d, nil, scores)
}
