package lightgbm

import (
	"fmt"
	"strconv"
	"strings"

	"cloister/engine/lightgbm/parameter"
)

// modelTextHead lists the parameters that stand first in a model file
// (Config::ToString); the others follow in the order of the declaration.
func modelTextHead() []string {
	return []string{"boosting", "objective", "metric", "tree_learner", "device_type"}
}

// ModelText returns the lines between "parameters:" and "end of parameters" of
// a model file as LightGBM 4.7.0 writes them: [name: value], numbers with 6
// significant digits, elements of lists with 17, booleans as 1 and 0.
//
// LightGBM's Python package reads the section as JSON and refuses names in
// ignore_column and categorical_feature: give indices there (SetColumns) once
// the header is known; names are left out. In texts a double quote becomes a
// single one and a backslash a slash, for the same reason. num_threads is
// always 0: no byte of a model depends on the number of threads.
func (c *Config) ModelText() string {
	shown := *c
	shown.NumThreads = 0
	c = &shown
	var b strings.Builder
	for _, name := range modelTextHead() {
		c.writeModelLine(&b, Lookup(name))
	}
	for i := range declared().all {
		if p := &declared().all[i]; !p.Unsaved {
			c.writeModelLine(&b, p)
		}
	}
	return b.String()
}

func (c *Config) writeModelLine(b *strings.Builder, p *Parameter) {
	value := formatField(c.field(p.Name), formatting{
		float:   func(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) },
		element: func(x float64) string { return strconv.FormatFloat(x, 'g', 17, 64) },
		boolean: func(v bool) string {
			if v {
				return "1"
			}
			return "0"
		},
	})
	switch p.Type {
	case parameter.Columns:
		if strings.HasPrefix(value, columnPrefix) {
			value = ""
		}
	case parameter.String, parameter.Strings, parameter.Column:
		value = strings.Map(jsonSafe, value)
	default: // numbers and names of ours
	}
	fmt.Fprintf(b, "[%s: %s]\n", p.Name, value)
}

// jsonSafe replaces what would end a line of the section or, in LightGBM's
// Python package, a JSON string.
func jsonSafe(r rune) rune {
	switch {
	case r == '"':
		return '\''
	case r == '\\':
		return '/'
	case r < ' ' || r == 0x7f:
		return ' '
	default:
		return r
	}
}

// SetColumns writes indices for the columns that a header may have named, for
// ModelText: those that were ignored and those that are categorical.
func (c *Config) SetColumns(ignored, categorical []int) {
	c.IgnoreColumn = join(ignored, strconv.Itoa)
	c.CategoricalFeature = join(categorical, strconv.Itoa)
}

// ParseModelText reads the lines between "parameters:" and "end of parameters"
// of a model file that LightGBM or Cloister wrote. Parameters that are missing
// have their defaults. A model predicts whatever its parameters section says,
// so a parameter that does not exist here or whose value cannot be read is
// left out with a notice; Origin.Line counts from the first line of text. A
// line that is not [name: value] is a *SyntaxError. Other checks are left to
// Validate.
func ParseModelText(text string) (*Config, []Notice, error) {
	c := NewConfig()
	var notices []Notice
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		origin := Origin{File: "parameters section", Line: number}
		name, value, ok := splitModelLine(line)
		if !ok {
			return nil, nil, &SyntaxError{Origin: origin, Text: line, Problem: "not of the form [name: value]"}
		}
		problem := ""
		if p := Lookup(name); p == nil || p.Name != name {
			problem = "no such parameter"
		} else if err := c.set(p, value); err != nil {
			problem = err.Error()
		}
		if problem != "" {
			notices = append(notices, Notice{
				Kind: Unknown, Parameter: name, Origin: origin,
				Text: fmt.Sprintf("%s: %s: %s is left out: %s", origin, shorten(name), shorten(value), problem),
			})
		}
	}
	return c, notices, nil
}

func splitModelLine(line string) (name, value string, ok bool) {
	inner, ok := strings.CutPrefix(line, "[")
	if !ok {
		return "", "", false
	}
	inner, ok = strings.CutSuffix(inner, "]")
	if !ok {
		return "", "", false
	}
	name, value, ok = strings.Cut(inner, ":")
	return name, strings.TrimPrefix(value, " "), ok && name != ""
}
