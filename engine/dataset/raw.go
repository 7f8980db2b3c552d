package dataset

import "cloister/engine/dataset/read"

// RawValues are the values of the numerical columns, in single precision as
// LightGBM keeps them for linear trees. A row's values lie together: a leaf
// deep in a tree visits few rows, far apart, and wants several columns of each.
type RawValues struct {
	// Width is the number of values of a row.
	Width int
	// Place has for every column its place in a row, or -1 for categories.
	Place []int32
	// Values has the rows one after another; NaN is a missing value, and what
	// is beyond the range of single precision is infinite.
	Values []float32
}

// Row are the values of a row.
func (v *RawValues) Row(row int) []float32 {
	return v.Values[row*v.Width : (row+1)*v.Width]
}

// placeRaw chooses which values are kept, from Columns.
func (d *Dataset) placeRaw() {
	raw := &RawValues{Place: make([]int32, len(d.Columns))}
	for i := range d.Columns {
		raw.Place[i] = -1
		if !d.Columns[i].Mapper.Categorical {
			raw.Place[i] = int32(raw.Width)
			raw.Width++
		}
	}
	d.Raw = raw
}

// rawWidth is the number of values that are kept of a row.
func (d *Dataset) rawWidth() int {
	if d.Raw == nil {
		return 0
	}
	return d.Raw.Width
}

// raw stores the values of a batch. What a sparse row does not list stays 0.
func (w *writer) raw(b *read.Batch) {
	d := w.d
	if b.RowStart == nil {
		for r := range b.Rows {
			into := d.Raw.Row(b.First + r)
			row := b.Values[r*b.Features : (r+1)*b.Features]
			for c, place := range d.Raw.Place {
				if place >= 0 {
					into[place] = float32(row[d.Columns[c].Feature])
				}
			}
		}
		return
	}
	for r := range b.Rows {
		into := d.Raw.Row(b.First + r)
		for e := b.RowStart[r]; e < b.RowStart[r+1]; e++ {
			f := int(b.Index[e])
			if f >= len(w.columnOf) || w.columnOf[f] < 0 {
				continue
			}
			if place := d.Raw.Place[w.columnOf[f]]; place >= 0 {
				into[place] = float32(b.Value[e])
			}
		}
	}
}
