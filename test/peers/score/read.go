package score

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
)

// ReadHeld reads the labels of a table in text, whose first field they are,
// and its .weight and .query files if there are any.
func ReadHeld(path string, header bool) (Held, error) {
	var h Held
	err := eachLine(path, func(n int, line string) error {
		if header && n == 1 {
			return nil
		}
		first := line
		if i := strings.IndexAny(line, "\t, "); i >= 0 {
			first = line[:i]
		}
		y, err := strconv.ParseFloat(first, 64)
		h.Label = append(h.Label, y)
		return err
	})
	if err != nil {
		return h, err
	}
	weights, _, err := ReadNumbers(path + ".weight")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	h.Weight = weights
	queries, _, err := ReadNumbers(path + ".query")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return h, err
	}
	for _, q := range queries {
		h.Queries = append(h.Queries, int(q))
	}
	return h, nil
}

// ReadNumbers reads lines of numbers that tabs separate, as both programs write
// predictions. All lines have width numbers.
func ReadNumbers(path string) (values []float64, width int, _ error) {
	err := eachLine(path, func(n int, line string) error {
		before := len(values)
		for field := range strings.SplitSeq(line, "\t") {
			v, err := strconv.ParseFloat(field, 64)
			if err != nil {
				return err
			}
			values = append(values, v)
		}
		if got := len(values) - before; n == 1 {
			width = got
		} else if got != width {
			return fmt.Errorf("%d numbers, the first line has %d", got, width)
		}
		return nil
	})
	return values, width, err
}

// eachLine calls fn with each line that is not empty and its number.
func eachLine(path string, fn func(n int, line string) error) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 1<<16), 1<<24)
	for n := 1; lines.Scan(); n++ {
		if lines.Text() == "" {
			continue
		}
		if err := fn(n, lines.Text()); err != nil {
			return fmt.Errorf("%s: line %d: %w", path, n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
