// Package gbdt trains ensembles of trees by gradient boosting, with
// LightGBM's parameters and meanings (Friedman, "Greedy Function
// Approximation: A Gradient Boosting Machine", Annals of Statistics 29, 2001;
// Ke et al., NIPS 2017).
package gbdt

import (
	"log/slog"
	"time"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/objective"
)

// ValidSet is a data set that is evaluated while training, binned by the
// training set's mappers.
type ValidSet struct {
	Name string
	Data *dataset.Dataset
}

// Evaluation is the value of a metric on a data set.
type Evaluation struct {
	Set            string  `json:"set"`
	Metric         string  `json:"metric"`
	Value          float64 `json:"value"`
	HigherIsBetter bool    `json:"higher_is_better"`
}

// Progress is the state after an iteration.
type Progress struct {
	// Iteration counts from 1; Total is the number asked for.
	Iteration, Total int
	// Metrics are the values of this iteration, where they were computed.
	Metrics []Evaluation
	// Elapsed is the time since training began.
	Elapsed time.Duration
}

// Options are what training needs besides parameters and data.
type Options struct {
	// Logger gets what a user may want to know; nil discards it.
	Logger *slog.Logger
	// Valid are evaluated in every iteration that metric_freq names, or in all
	// when early stopping is on.
	Valid []ValidSet
	// InitModel is continued: its trees come first, and the initial scores of
	// all data sets must be its raw predictions.
	InitModel *lightgbm.Model
	// Objective replaces the parameter's, for losses of one's own.
	Objective objective.Objective
	// OnIteration is called after every iteration; an error ends training and
	// is returned.
	OnIteration func(*Progress) error
	// OnSnapshot, if set, is called with the model so far after every
	// snapshot_freq iterations of this training; an error ends training and is
	// returned. The model is valid until the call returns.
	OnSnapshot func(iteration int, m *lightgbm.Model) error
	// Now is the clock; nil means time.Now. It cannot change the model.
	Now func() time.Time
}

// SetError says which data set does not fit the parameters.
type SetError struct {
	// Set is the ValidSet's name, or "training".
	Set string
	Err error
}

func (e *SetError) Error() string { return e.Set + " data: " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *SetError) Unwrap() error { return e.Err }

// Booster is a trained ensemble.
type Booster struct {
	model       *lightgbm.Model
	best        int
	evaluations []Evaluation
}

// Model returns the ensemble in LightGBM's form.
func (b *Booster) Model() *lightgbm.Model { return b.model }

// BestIteration is the number of iterations that the model holds when early
// stopping ended the training, else 0.
func (b *Booster) BestIteration() int { return b.best }

// Evaluations are the metrics of the model's last iteration.
func (b *Booster) Evaluations() []Evaluation { return b.evaluations }
