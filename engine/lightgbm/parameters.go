// Package lightgbm speaks LightGBM's configuration: parameters from the
// command line and from files, checked and resolved into a typed Config, and
// the parameters section of a model file.
//
// The declaration of all parameters is in package parameter; config_fields.go
// and the reference page are generated from it.
package lightgbm

import (
	"errors"
	"slices"
	"strings"
	"sync"

	"cloister/engine/lightgbm/parameter"
)

//go:generate go run ./gen -config config_fields.go -page ../../docs/reference/parameters.md

// Parameter declares one parameter.
type Parameter = parameter.Parameter

// Parameters returns the declaration of every parameter: LightGBM's in the
// order of its documentation, then Cloister's own. The caller must not change
// what the elements point to.
func Parameters() []Parameter { return slices.Clone(declared().all) }

// Lookup returns the parameter with that canonical name or alias, or nil. The
// caller must not change it.
func Lookup(name string) *Parameter {
	i, ok := declared().byName[name]
	if !ok {
		return nil
	}
	return &declared().all[i]
}

// declaration is the table with an index of names and aliases.
type declaration struct {
	all    []Parameter
	byName map[string]int
	// names lists every name and alias, canonical names first.
	names []string
	// defaults is what NewConfig returns.
	defaults *Config
}

var declared = sync.OnceValue(func() *declaration {
	d := &declaration{all: parameter.All(), byName: map[string]int{}, defaults: NewConfig()}
	for i, p := range d.all {
		d.byName[p.Name] = i
		d.names = append(d.names, p.Name)
	}
	for i, p := range d.all {
		for _, alias := range p.Aliases {
			d.byName[alias] = i
		}
		d.names = append(d.names, p.Aliases...)
	}
	return d
})

// findValue returns the permitted value of p with that name or alias, in
// capitals or not.
func findValue(p *Parameter, s string) (parameter.Value, error) {
	s = strings.ToLower(strings.TrimSpace(s))
	var names []string
	for _, v := range p.Values {
		if v.Name == s || slices.Contains(v.Aliases, s) {
			return v, nil
		}
		names = append(names, v.Name)
	}
	canonical := strings.Join(names, ", ")
	for _, v := range p.Values {
		names = append(names, v.Aliases...)
	}
	if near := nearest(s, names); near != "" {
		return parameter.Value{}, errors.New("no such " + p.Name + "; did you mean " + near + "?")
	}
	return parameter.Value{}, errors.New("must be one of " + canonical)
}

// nearest returns the name that takes the fewest single-letter edits (insert,
// delete, replace, swap neighbours) from s, or "" if none is similar. Of equal
// ones it takes the first.
func nearest(s string, names []string) string {
	const longest = 64
	if len(s) > longest {
		return ""
	}
	s = strings.ReplaceAll(strings.ToLower(s), "-", "_")
	best, fewest := "", max(1, len(s)/3)+1
	for _, name := range names {
		if max(len(s)-len(name), len(name)-len(s)) >= fewest {
			continue // at least so many edits
		}
		if d := editDistance(s, name); d < fewest {
			best, fewest = name, d
		}
	}
	return best
}

// editDistance is the optimal string alignment distance over bytes.
func editDistance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
