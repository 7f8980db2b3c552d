package synth

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
)

// Write writes rows from … from+n-1 of a table to a file, the label first: text
// with tabs, or LibSVM for a sparse table. Weights go into path.weight if the
// table has any that is not 1.
func Write(path string, t Table, from, n int) error {
	weighted := false
	var weights []byte
	err := create(path, func(w io.Writer) error {
		var row Row
		var line []byte
		for i := from; i < from+n; i++ {
			t.Row(i, &row)
			line = appendRow(line[:0], &row, t.Sparse())
			if _, err := w.Write(line); err != nil {
				return err
			}
			weighted = weighted || row.Weight != 1
			if _, isDense := t.(*Dense); isDense {
				weights = append(number(weights, row.Weight), '\n')
			}
		}
		return nil
	})
	if err != nil || !weighted {
		return err
	}
	return os.WriteFile(path+".weight", weights, 0o600)
}

// WriteQueries writes queries from … from+n-1 and their sizes, into path and
// path.query.
func WriteQueries(path string, q *Ranking, from, n int) error {
	return writeQueries(path, q, from, n, nil)
}

// WriteShown writes queries whose labels are what people chose who saw the rows
// in this order, and the places of the rows in path.position.
func WriteShown(path string, q *Ranking, from, n int) error {
	var places []byte
	err := writeQueries(path, q, from, n, func(query, place int, row *Row) {
		q.Overlooked(query, place, row)
		places = append(strconv.AppendInt(append(places, "place "...), int64(place+1), 10), '\n')
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path+".position", places, 0o600)
}

func writeQueries(path string, q *Ranking, from, n int, each func(query, place int, row *Row)) error {
	var sizes []byte
	err := create(path, func(w io.Writer) error {
		var line []byte
		for i := from; i < from+n; i++ {
			rows := q.Query(i)
			sizes = append(strconv.AppendInt(sizes, int64(len(rows)), 10), '\n')
			for k := range rows {
				if each != nil {
					each(i, k, &rows[k])
				}
				line = appendRow(line[:0], &rows[k], false)
				if _, err := w.Write(line); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path+".query", sizes, 0o600)
}

func appendRow(line []byte, row *Row, sparse bool) []byte {
	line = number(line, row.Label)
	for k, v := range row.Values {
		if sparse {
			line = strconv.AppendInt(append(line, ' '), int64(row.Index[k]), 10)
			line = append(line, ':')
		} else {
			line = append(line, '\t')
		}
		line = number(line, v)
	}
	return append(line, '\n')
}

// number writes six digits, as measured data has; a missing value is nan.
func number(line []byte, v float64) []byte {
	if math.IsNaN(v) {
		return append(line, "nan"...)
	}
	return strconv.AppendFloat(line, v, 'g', 6, 64)
}

// create writes a file that appears only when it is whole.
func create(path string, write func(io.Writer) error) error {
	f, err := os.Create(path + ".part")
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // closed below where it matters
	w := bufio.NewWriterSize(f, 1<<20)
	if err := write(w); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(path+".part", path)
}
