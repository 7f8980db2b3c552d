package lightgbm

import (
	"fmt"
	"strconv"
	"strings"
)

// Value returns the value of the parameter with that name or alias as it would
// be written in a configuration file, and whether there is such a parameter.
func (c *Config) Value(name string) (string, bool) {
	p := Lookup(name)
	if p == nil {
		return "", false
	}
	return c.text(p.Name), true
}

// text returns the value of a parameter so that set reads the same value.
func (c *Config) text(name string) string {
	return formatField(c.field(name), formatting{
		float:   func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) },
		element: func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) },
		boolean: strconv.FormatBool,
	})
}

// formatting says how numbers that stand alone, elements of lists and booleans
// are written.
type formatting struct {
	float, element func(float64) string
	boolean        func(bool) string
}

func formatField(field any, f formatting) string {
	switch v := field.(type) {
	case *int:
		return strconv.Itoa(*v)
	case *float64:
		return f.float(*v)
	case *bool:
		return f.boolean(*v)
	case *string:
		return *v
	case *[]string:
		return strings.Join(*v, ",")
	case *[]int:
		return join(*v, strconv.Itoa)
	case *[]int8:
		return join(*v, func(n int8) string { return strconv.Itoa(int(n)) })
	case *[]float64:
		return join(*v, f.element)
	case *[][]int:
		return join(*v, func(list []int) string { return "[" + join(list, strconv.Itoa) + "]" })
	default:
		return fmt.Sprint(field)
	}
}

func join[T any](list []T, format func(T) string) string {
	parts := make([]string, len(list))
	for i, x := range list {
		parts[i] = format(x)
	}
	return strings.Join(parts, ",")
}
