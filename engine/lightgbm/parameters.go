// Package lightgbm speaks LightGBM's configuration: parameters from the
// command line and from files, checked and resolved into a typed Config, and
// the parameters section of a model file.
//
// The declaration of all parameters is in package parameter; config_fields.go
// and the reference page are generated from it.
package lightgbm

import "cloister/engine/lightgbm/parameter"

//go:generate go run ./gen -config config_fields.go -page ../../docs/reference/parameters.md

// Parameter declares one parameter.
type Parameter = parameter.Parameter

// Parameters returns the declaration of every parameter: LightGBM's in the
// order of its documentation, then Cloister's own. It must not be changed.
func Parameters() []Parameter { return parameter.All() }
