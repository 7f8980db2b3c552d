package dataset

import (
	"fmt"
	"math"
	"strings"
	"unicode"

	"cloister/engine/dataset/read"
)

// checkMetadata finds what does not fit the rows. names says where weights and
// queries came from, for errors.
func (d *Dataset) checkMetadata(table string) error {
	fault := func(row int, format string, args ...any) error {
		return &read.Error{Table: table, Row: row, Problem: fmt.Sprintf(format, args...)}
	}
	if len(d.Label) != d.Rows {
		return fault(0, "has %d labels for %d rows; give each row one", len(d.Label), d.Rows)
	}
	for i, v := range d.Label {
		if !finite(v) {
			return fault(i+1, "the label is %g; give a finite number", v)
		}
	}
	if d.Weight != nil {
		if len(d.Weight) != d.Rows {
			return fault(0, "has %d weights for %d rows; give each row one", len(d.Weight), d.Rows)
		}
		if err := checkWeights(d.Weight, fault); err != nil {
			return err
		}
	}
	if d.QueryStart != nil {
		if err := d.checkQueries(fault); err != nil {
			return err
		}
	}
	if n := len(d.InitScore); n%d.Rows != 0 || d.InitScore != nil && n == 0 {
		return fault(0, "has %d initial scores for %d rows; give each row one (or one for each class)", n, d.Rows)
	}
	for i, v := range d.InitScore {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fault(i%d.Rows+1, "the initial score is %g; give a finite number", v)
		}
	}
	return d.checkPositions(fault)
}

func (d *Dataset) checkPositions(fault faultFunc) error {
	if d.Position == nil {
		return nil
	}
	if len(d.Position) != d.Rows {
		return fault(0, "has %d positions for %d rows; give each row one", len(d.Position), d.Rows)
	}
	limit := len(d.PositionNames)
	if d.PositionNames == nil {
		limit = d.Rows
	}
	for i, p := range d.Position {
		if p < 0 || int(p) >= limit {
			return fault(i+1, "the position is %d; number them from 0 to at most %d", p, limit-1)
		}
	}
	return nil
}

type faultFunc func(row int, format string, args ...any) error

func finite(v float32) bool { return v-v == 0 }

func checkWeights(weights []float32, fault faultFunc) error {
	any := false
	for i, v := range weights {
		if !(v >= 0) || !finite(v) {
			return fault(i+1, "the weight is %g; give a finite number that is not negative", v)
		}
		any = any || v > 0
	}
	if !any {
		return fault(0, "all weights are 0; give some row a positive weight")
	}
	return nil
}

func (d *Dataset) checkQueries(fault faultFunc) error {
	q := d.QueryStart
	if len(q) < 2 || q[0] != 0 {
		return fault(0, "the queries do not start at row 0; give the first row of each query and, last, the number of rows")
	}
	for i := range len(q) - 1 {
		if q[i+1] < q[i] {
			return fault(0, "query %d ends before it starts", i+1)
		}
	}
	if last := int(q[len(q)-1]); last != d.Rows {
		return fault(0, "the queries have %d rows in all, but the table has %d", last, d.Rows)
	}
	return nil
}

// queryStart gives the borders between runs of equal ids.
func queryStart(ids []int64) []int32 {
	var starts []int32
	for i, id := range ids {
		if i == 0 || id != ids[i-1] {
			starts = append(starts, int32(i))
		}
	}
	return append(starts, int32(len(ids)))
}

// queriesOfSizes turns the numbers of rows of the queries into borders.
func queriesOfSizes(sizes []int, rows int, file string) ([]int32, error) {
	starts := make([]int32, 1, len(sizes)+1)
	sum := 0
	for _, n := range sizes {
		if sum += n; sum > rows {
			break
		}
		starts = append(starts, int32(sum))
	}
	if sum != rows {
		what := fmt.Sprintf("the queries have %d rows in all", sum)
		if sum > rows {
			what = "the queries have more rows"
		}
		return nil, &read.Error{
			Table: file, Problem: fmt.Sprintf("%s, but the table has %d", what, rows),
			Hint: "give the number of rows of each query, one a line",
		}
	}
	return starts, nil
}

// cleanNames makes names fit for a model file, as LightGBM does: white space
// becomes "_"; characters with a meaning in JSON and names that occur twice are
// errors. Empty names are replaced. Without names the features are numbered.
func cleanNames(table string, names []string, features int) ([]string, []Notice, error) {
	clean := make([]string, features)
	if names == nil {
		for f := range clean {
			clean[f] = fmt.Sprintf("Column_%d", f)
		}
		return clean, nil, nil
	}
	if len(names) != features {
		return nil, nil, &read.Error{Table: table, Problem: fmt.Sprintf("has %d feature names for %d features", len(names), features), Hint: "give each feature one"}
	}
	var notices []Notice
	seen := make(map[string]int, features)
	spaces := false
	for f, name := range names {
		if name == "" {
			name = fmt.Sprintf("Column_%d", f)
			notices = append(notices, Notice(fmt.Sprintf("%s: feature %d has no name; it is called %s", table, f, name)))
		}
		if strings.ContainsAny(name, `",:[]{}`) {
			return nil, nil, &read.Error{Table: table, Name: name, Problem: `the feature's name has one of the characters " , : [ ] { }`, Hint: "rename it: models cannot hold such names"}
		}
		clean[f] = strings.Map(func(r rune) rune {
			if unicode.IsSpace(r) || unicode.IsControl(r) {
				return '_'
			}
			return r
		}, name)
		spaces = spaces || clean[f] != name
		if first, twice := seen[clean[f]]; twice {
			return nil, nil, &read.Error{Table: table, Name: clean[f], Problem: fmt.Sprintf("features %d and %d have the same name", first, f), Hint: "rename one of them"}
		}
		seen[clean[f]] = f
	}
	if spaces {
		notices = append(notices, Notice(table+`: white space in feature names is replaced by "_"`))
	}
	return clean, notices, nil
}
