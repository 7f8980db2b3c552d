package lightgbm

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"cloister/engine/lightgbm/parameter"
)

// columnPrefix starts a value that names columns by the header.
const columnPrefix = "name:"

// ColumnList is a value of label_column, weight_column, group_column,
// ignore_column or categorical_feature: names or indices, never both.
type ColumnList struct {
	// Names are the columns' names in the header; nil if indices were given.
	Names []string
	// Indices are the columns' 0-based numbers. Except for label_column they
	// do not count the label's column.
	Indices []int
}

// ParseColumns reads a list of columns, as in "0,2" or "name:age,sex". An
// empty value is an empty list.
func ParseColumns(value string) (ColumnList, error) {
	if value == "" {
		return ColumnList{}, nil
	}
	if names, ok := strings.CutPrefix(value, columnPrefix); ok {
		list, err := splitList(names)
		if err == nil && list == nil {
			err = errors.New("must have a column's name after the colon")
		}
		if err != nil {
			return ColumnList{}, err
		}
		return ColumnList{Names: list}, nil
	}
	indices, err := parseList(value, func(s string) (int, error) {
		i, err := parseInt(s)
		if err != nil || i < 0 {
			return 0, errors.New("must be column indices from 0 on, or name: with names from the header")
		}
		return i, nil
	})
	return ColumnList{Indices: indices}, err
}

// set parses value into the field of p. The error says what the value must
// be, without naming the parameter.
func (c *Config) set(p *Parameter, value string) error {
	switch field := c.field(p.Name).(type) {
	case *int:
		return assign(field, value, func(s string) (int, error) { return parseBoundedInt(p, s) })
	case *float64:
		return assign(field, value, func(s string) (float64, error) { return parseBoundedFloat(p, s) })
	case *bool:
		return assign(field, value, parseBool)
	case *string:
		return assign(field, value, func(s string) (string, error) { return parseText(p, s) })
	case *[]int:
		return assignList(field, value, func(s string) (int, error) { return parseBoundedInt(p, s) })
	case *[]int8:
		return assignList(field, value, func(s string) (int8, error) {
			i, err := parseBoundedInt(p, s)
			if err == nil && (i < math.MinInt8 || i > math.MaxInt8) {
				err = errors.New("must be integers of 8 bits")
			}
			return int8(i), err
		})
	case *[]float64:
		return assignList(field, value, func(s string) (float64, error) { return parseBoundedFloat(p, s) })
	case *[]string:
		return assign(field, value, func(s string) ([]string, error) { return parseTexts(p, s) })
	case *[][]int:
		return assign(field, value, parseIntLists)
	default:
		return fmt.Errorf("no field holds %s", p.Name)
	}
}

func assign[T any](field *T, value string, parse func(string) (T, error)) error {
	v, err := parse(value)
	if err != nil {
		return err
	}
	*field = v
	return nil
}

func assignList[T any](field *[]T, value string, parse func(string) (T, error)) error {
	return assign(field, value, func(s string) ([]T, error) { return parseList(s, parse) })
}

// splitList cuts a list at its commas; an empty value is an empty list.
func splitList(value string) ([]string, error) {
	if strings.TrimSpace(value) == "" {
		return nil, nil
	}
	parts := strings.Split(value, ",")
	for i, part := range parts {
		parts[i] = strings.TrimSpace(part)
		if parts[i] == "" {
			return nil, fmt.Errorf("element %d of the list is empty: remove the comma", i+1)
		}
	}
	return parts, nil
}

func parseList[T any](value string, parse func(string) (T, error)) ([]T, error) {
	parts, err := splitList(value)
	if err != nil || parts == nil {
		return nil, err
	}
	list := make([]T, len(parts))
	for i, part := range parts {
		if list[i], err = parse(part); err != nil {
			return nil, fmt.Errorf("element %d (%s): %w", i+1, shorten(part), err)
		}
	}
	return list, nil
}

// parseInt reads a 32-bit integer, which is what LightGBM holds.
func parseInt(s string) (int, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 32)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return 0, errors.New("must be an integer of 32 bits")
	case err != nil:
		return 0, errors.New("must be an integer")
	}
	return int(n), nil
}

// parseFloat reads a finite number. Go's hexadecimal form and digits with
// underscores are no numbers here.
func parseFloat(s string) (float64, error) {
	s = strings.TrimSpace(s)
	x, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(x, 0) || math.IsNaN(x) || strings.ContainsAny(s, "xX_") {
		return 0, errors.New("must be a finite number")
	}
	return x, nil
}

// parseBool reads what LightGBM reads and, besides, the 1 and 0 that it writes
// into models.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "true", "+", "1":
		return true, nil
	case "false", "-", "0":
		return false, nil
	default:
		return false, errors.New("must be true or false")
	}
}

func parseBoundedInt(p *Parameter, s string) (int, error) {
	n, err := parseInt(s)
	if err != nil {
		return 0, err
	}
	return n, checkBounds(p, float64(n))
}

func parseBoundedFloat(p *Parameter, s string) (float64, error) {
	x, err := parseFloat(s)
	if err != nil {
		return 0, err
	}
	return x, checkBounds(p, x)
}

func checkBounds(p *Parameter, x float64) error {
	for _, b := range p.Bounds {
		if !b.Holds(x) {
			return fmt.Errorf("must be %s", p.ShownBounds())
		}
	}
	return nil
}

func parseText(p *Parameter, s string) (string, error) {
	if hasControl(s) {
		return "", errors.New("has a control character: remove it")
	}
	switch p.Type {
	case parameter.Enum:
		v, err := findValue(p, s)
		if err != nil {
			return "", err
		}
		return v.Name, nil
	case parameter.Column:
		columns, err := ParseColumns(s)
		if err == nil && len(columns.Indices)+len(columns.Names) > 1 {
			err = errors.New("must be one column")
		}
		return s, err
	case parameter.Columns:
		_, err := ParseColumns(s)
		return s, err
	default:
		return s, nil
	}
}

func parseTexts(p *Parameter, s string) ([]string, error) {
	if hasControl(s) {
		return nil, errors.New("has a control character: remove it")
	}
	if p.Type != parameter.Enums {
		return splitList(s)
	}
	seen := map[string]bool{}
	var names []string
	_, err := parseList(s, func(s string) (string, error) {
		v, err := findValue(p, s)
		if err == nil && !seen[v.Name] {
			seen[v.Name] = true
			names = append(names, v.Name)
		}
		return s, err
	})
	return names, err
}

// parseIntLists reads lists of features, as in [0,1],[2,3].
func parseIntLists(s string) ([][]int, error) {
	malformed := errors.New("must be lists of feature indices, as in [0,1],[2,3]")
	var lists [][]int
	for rest := strings.TrimSpace(s); rest != ""; {
		inner, ok := strings.CutPrefix(rest, "[")
		if !ok {
			return nil, malformed
		}
		body, after, ok := strings.Cut(inner, "]")
		if !ok {
			return nil, malformed
		}
		list, err := parseList(body, parseInt)
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			if i < 0 {
				return nil, malformed
			}
		}
		lists = append(lists, list)
		after = strings.TrimSpace(after)
		if after == "" {
			break
		}
		rest, ok = strings.CutPrefix(after, ",")
		rest = strings.TrimSpace(rest)
		if !ok || rest == "" {
			return nil, malformed
		}
	}
	return lists, nil
}
