// Package parameter declares every parameter that Cloister reads from a
// LightGBM configuration: LightGBM 4.7.0's own and a few of Cloister's. The
// declaration is the only place where a parameter's name, aliases, type,
// default, bounds and status stand; the Config struct, the parser, the checks,
// the help and the reference page follow from it: to change what Cloister does
// with a parameter, change its Status and run go generate ./engine/lightgbm.
package parameter

import "strconv"

// Parameter declares one parameter.
type Parameter struct {
	// Name is the canonical name, as in LightGBM's documentation.
	Name string
	// Aliases are other names of the same parameter, in LightGBM's order.
	Aliases []string
	// Section is the heading it stands under.
	Section Section
	// Type says how the value is written and which Go type holds it.
	Type Type
	// Default is the default as it would be written in a configuration file;
	// empty for an empty string, an empty list or "not set".
	Default string
	// DefaultText replaces Default for readers where the effective default is
	// computed; empty otherwise.
	DefaultText string
	// Bounds must all hold, for each element of a list.
	Bounds []Bound
	// Values lists what an Enum or Enums parameter may be; nil for the others.
	Values []Value
	// Text is one or two sentences for the help and the reference page.
	Text string
	// Status says what Cloister does with the parameter.
	Status Status
	// Reason says why an Accepted parameter cannot change the result or why a
	// Refused one is refused.
	Reason string
	// Instead is what to do instead of a Refused parameter.
	Instead string
	// OnlyWith names the setting without which the parameter has no effect,
	// written NAME=VALUE; empty if it always has one.
	OnlyWith string
	// Neutral is met by values, besides the default, that leave the feature
	// off: a parameter that is NotYet may have them. For a list every element
	// must meet it.
	Neutral *Bound
	// Origin says whose parameter it is.
	Origin Origin
	// Unsaved says that LightGBM does not list the parameter, in the order of
	// the declaration, in the parameters section of a model file.
	Unsaved bool
}

// Value is a permitted value of an Enum or Enums parameter.
type Value struct {
	// Name is the canonical spelling.
	Name string
	// Aliases are other spellings.
	Aliases []string
	// Text explains the value in a few words.
	Text string
	// Status says what Cloister does with the value; the zero value is
	// Supported.
	Status Status
	// Reason and Instead are those of Parameter, for the value.
	Reason, Instead string
}

// Bound is a limit on a number: Op is one of > >= < <= ==.
type Bound struct {
	Op    string
	Limit float64
}

// Holds says whether x meets the bound. NaN meets none.
func (b Bound) Holds(x float64) bool {
	switch b.Op {
	case ">":
		return x > b.Limit
	case ">=":
		return x >= b.Limit
	case "<":
		return x < b.Limit
	case "<=":
		return x <= b.Limit
	case "==":
		return x >= b.Limit && x <= b.Limit
	default:
		return false
	}
}

// String returns the bound as in "<= 131072".
func (b Bound) String() string {
	return b.Op + " " + strconv.FormatFloat(b.Limit, 'f', -1, 64)
}

// Status says what Cloister does with a parameter or a value.
type Status int

const (
	// Supported works as in LightGBM.
	Supported Status = iota
	// Accepted cannot change the result here; the log says so once.
	Accepted
	// NotYet is refused, unless it has its default, until Cloister learns it.
	NotYet
	// Refused will not be supported; Reason and Instead say why and what to do.
	Refused
)

// String returns the status as the reference page writes it.
func (s Status) String() string {
	switch s {
	case Supported:
		return "supported"
	case Accepted:
		return "accepted, no effect"
	case NotYet:
		return "not supported yet"
	case Refused:
		return "refused"
	default:
		return "unknown"
	}
}

// Origin says whose parameter it is.
type Origin int

const (
	// LightGBM marks the parameters of LightGBM 4.7.0.
	LightGBM Origin = iota
	// Cloister marks the parameters that LightGBM does not know.
	Cloister
)

// String returns the name of the origin.
func (o Origin) String() string {
	if o == Cloister {
		return "Cloister"
	}
	return "LightGBM"
}

// Type says how a value is written and which Go type holds it.
type Type int

const (
	// Int is a 32-bit integer, held in an int.
	Int Type = iota
	// Float is a finite 64-bit number, held in a float64.
	Float
	// Bool is true, false, +, -, 1 or 0, held in a bool.
	Bool
	// String is any text, held in a string.
	String
	// Column names one column by index or as name:NAME, held in a string.
	Column
	// Columns names columns by indices or as name:A,B, held in a string.
	Columns
	// Enum is one of Values, held in a string.
	Enum
	// Enums is a list of some of Values, held in a []string.
	Enums
	// Strings is a list of texts, held in a []string.
	Strings
	// Ints is a list of 32-bit integers, held in a []int.
	Ints
	// Int8s is a list of 8-bit integers, held in a []int8.
	Int8s
	// Floats is a list of finite numbers, held in a []float64.
	Floats
	// IntLists is a list of lists of integers, written [0,1],[2,3], held in a
	// [][]int.
	IntLists
)

// GoType returns the type of the field that holds the value.
func (t Type) GoType() string {
	switch t {
	case Int:
		return "int"
	case Float:
		return "float64"
	case Bool:
		return "bool"
	case Enums, Strings:
		return "[]string"
	case Ints:
		return "[]int"
	case Int8s:
		return "[]int8"
	case Floats:
		return "[]float64"
	case IntLists:
		return "[][]int"
	default:
		return "string"
	}
}

// String returns the type as the help and the reference page write it.
func (t Type) String() string {
	switch t {
	case Int:
		return "int"
	case Float:
		return "double"
	case Bool:
		return "bool"
	case String:
		return "string"
	case Column:
		return "int or string"
	case Columns:
		return "multi-int or string"
	case Enum:
		return "enum"
	case Enums:
		return "multi-enum"
	case Strings:
		return "multi-string"
	case Ints, Int8s:
		return "multi-int"
	case Floats:
		return "multi-double"
	case IntLists:
		return "lists of int"
	default:
		return "unknown"
	}
}

// Section is a heading of the help and of the reference page, as in
// LightGBM's documentation.
type Section int

const (
	// Core is about the task, the data and the boosting as a whole.
	Core Section = iota
	// Learning controls how trees grow.
	Learning
	// Dataset is about reading and binning data.
	Dataset
	// Predict is about the predict task.
	Predict
	// Convert is about the convert_model task.
	Convert
	// Objective holds the options of objectives.
	Objective
	// Metric chooses metrics and their options.
	Metric
	// Network is LightGBM's own distributed learning.
	Network
	// GPU is LightGBM's GPU learning.
	GPU
	// Own holds Cloister's own parameters.
	Own
)

// Sections lists all sections in the order in which they are shown.
func Sections() []Section {
	return []Section{Core, Learning, Dataset, Predict, Convert, Objective, Metric, Network, GPU, Own}
}

// String returns the heading.
func (s Section) String() string {
	switch s {
	case Core:
		return "Core parameters"
	case Learning:
		return "Learning control parameters"
	case Dataset:
		return "Dataset parameters"
	case Predict:
		return "Predict parameters"
	case Convert:
		return "Convert parameters"
	case Objective:
		return "Objective parameters"
	case Metric:
		return "Metric parameters"
	case Network:
		return "Network parameters"
	case GPU:
		return "GPU parameters"
	case Own:
		return "Cloister's own parameters"
	default:
		return "unknown"
	}
}

// All returns every parameter: LightGBM's in the order of its declaration,
// then Cloister's own. The caller owns the outer slice; what it points to is
// shared and must not be changed.
func All() []Parameter {
	var all []Parameter
	for _, part := range []struct {
		section    Section
		parameters []Parameter
	}{
		{Core, core()},
		{Learning, learning()},
		{Learning, sampling()},
		{Learning, constraints()},
		{Learning, files()},
		{Dataset, dataset()},
		{Predict, predict()},
		{Convert, convert()},
		{Objective, objective()},
		{Metric, metric()},
		{Network, network()},
		{GPU, gpu()},
		{Own, own()},
	} {
		for _, p := range part.parameters {
			p.Section = part.section
			all = append(all, p)
		}
	}
	return all
}

func atLeast(x float64) Bound { return Bound{">=", x} }
func above(x float64) Bound   { return Bound{">", x} }
func atMost(x float64) Bound  { return Bound{"<=", x} }
func below(x float64) Bound   { return Bound{"<", x} }

// zeroToOne is the closed unit interval, fraction the half-open one.
func zeroToOne() []Bound { return []Bound{atLeast(0), atMost(1)} }
func fraction() []Bound  { return []Bound{above(0), atMost(1)} }

func neutral(op string, x float64) *Bound { return &Bound{op, x} }
