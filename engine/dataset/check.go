package dataset

import (
	"fmt"
	"math"

	"cloister/engine/dataset/read"
)

func widthError(table string, got, want int) error {
	return &read.Error{
		Table:   table,
		Problem: fmt.Sprintf("has %d features, but the training data has %d", got, want),
		Hint:    "give it the same columns in the same order",
	}
}

// checkCategories refuses values of categorical features that are no
// categories, and counts negative ones, which are taken as missing.
func (w *writer) checkCategories(b *read.Batch) error {
	if len(w.categories) == 0 {
		return nil
	}
	if b.RowStart == nil {
		for r := range b.Rows {
			row := b.Values[r*b.Features : (r+1)*b.Features]
			for k, f := range w.categories {
				if v := row[f]; !(v >= 0 && v == math.Trunc(v) && v < 1<<31) {
					if err := w.oddCategory(k, b.First+r, v); err != nil {
						return err
					}
				}
			}
		}
		return nil
	}
	for r := range b.Rows {
		for e := b.RowStart[r]; e < b.RowStart[r+1]; e++ {
			f, v := int(b.Index[e]), b.Value[e]
			if v >= 0 && v == math.Trunc(v) && v < 1<<31 || f >= len(w.categoryOf) || w.categoryOf[f] < 0 {
				continue
			}
			if err := w.oddCategory(int(w.categoryOf[f]), b.First+r, v); err != nil {
				return err
			}
		}
	}
	return nil
}

// oddCategory judges a value that is no category: missing, negative or wrong.
func (w *writer) oddCategory(k, row int, v float64) error {
	if math.IsNaN(v) {
		return nil
	}
	if v < 0 && v == math.Trunc(v) {
		w.negatives[k].Add(1)
		return nil
	}
	problem := fmt.Sprintf("%g is no whole number, but the feature is categorical", v)
	if math.Abs(v) >= 1<<31 {
		problem = fmt.Sprintf("the category %g is above the greatest, %d", v, math.MaxInt32)
	}
	return &read.RowError{Row: row, Err: read.Error{
		Table: w.name, Name: w.d.FeatureNames[w.categories[k]], Problem: problem,
		Hint: "number the categories from 0, or take the feature out of categorical_feature",
	}}
}

// notices says what was odd, but no fault, in the rows written.
func (w *writer) notices() []Notice {
	var list []Notice
	for k, f := range w.categories {
		if n := w.negatives[k].Load(); n > 0 {
			list = append(list, Notice(fmt.Sprintf("%s: column %s: negative categories, in %d rows, are taken as missing",
				w.name, w.d.FeatureNames[f], n)))
		}
	}
	return list
}

// checkFinite refuses infinite values.
func checkFinite(table string, names []string, b *read.Batch) error {
	values := b.Values
	if b.RowStart != nil {
		values = b.Value[b.RowStart[0]:b.RowStart[b.Rows]]
	}
	for i, v := range values {
		if !math.IsInf(v, 0) {
			continue
		}
		var row, feature int
		if b.RowStart == nil {
			row, feature = i/b.Features, i%b.Features
		} else {
			i += b.RowStart[0]
			for b.RowStart[row+1] <= i {
				row++
			}
			feature = int(b.Index[i])
		}
		return &read.Error{
			Table: table, Row: b.First + row + 1, Name: names[feature],
			Problem: "the value is infinite", Hint: "give a finite number, or NaN where it is missing",
		}
	}
	return nil
}
