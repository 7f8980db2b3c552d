package cli

import (
	"fmt"
	"strconv"
	"strings"

	"cloister/engine/dataset/read"
	"cloister/engine/lightgbm"
)

// columnMap says which feature of a model each feature of a table is.
type columnMap struct {
	features int     // the model's
	to       []int32 // for each feature of the table the model's, or -1; nil: the same
}

// mapColumns matches a table with a model: by name where the table has names
// and the model knows at least one of them, else by place. Where something
// does not fit, strict makes it an error; otherwise what the table lacks is 0
// and what the model does not know is dropped, as in LightGBM. absent lists
// features of the model, by name, that the table lacks and no tree uses.
func mapColumns(t *read.Table, m *lightgbm.Model, strict bool) (_ *columnMap, absent []string, _ error) {
	c := &columnMap{features: m.NumFeatures()}
	if t.HasHeader() {
		absent, matched, err := c.byName(t.Names(), m, strict)
		if matched || err != nil {
			if err == nil {
				err = c.ignoreOthers(t)
			}
			c.simplify()
			return c, absent, err
		}
		if strict && !numbered(m.FeatureNames) {
			return nil, nil, inputError(
				"give the file that goes with the model; predict_disable_shape_check=true takes the columns by their place",
				"no column has the name of a feature of the model, which are %s", someNames(m.FeatureNames))
		}
	}
	if t.Format() == read.LibSVM {
		// What a row does not list is 0; the reader has checked the indices.
		return c, nil, nil
	}
	err := c.byPlace(t, m, strict)
	return c, nil, err
}

// byPlace fills the map where only the number of columns is known.
func (c *columnMap) byPlace(t *read.Table, m *lightgbm.Model, strict bool) error {
	width := t.Features()
	if width == c.features {
		return nil
	}
	label := -1
	if width == c.features+1 && !t.HasLabel() && m.LabelIndex < width {
		// A header kept the reader from telling the label by the number of
		// columns.
		label = m.LabelIndex
	} else if strict {
		all := width
		if t.HasLabel() {
			all++
		}
		return inputError(
			"give the file that goes with the model; predict_disable_shape_check=true drops the columns that are too many and takes those that are missing as 0",
			"the table has %s, but the model wants %d, or %d with the label", counted(all, "column"), c.features, c.features+1)
	}
	c.to = make([]int32, 0, width)
	next := int32(0)
	for i := range width {
		if i == label || int(next) == c.features {
			c.to = append(c.to, -1)
			continue
		}
		c.to = append(c.to, next)
		next++
	}
	return nil
}

// byName fills the map by the names of the table's features and says whether
// any is the model's.
func (c *columnMap) byName(names []string, m *lightgbm.Model, strict bool) (absent []string, matched bool, _ error) {
	feature := make(map[string]int32, len(m.FeatureNames))
	for i, name := range m.FeatureNames {
		feature[name] = int32(i)
	}
	to := make([]int32, len(names))
	found := make([]bool, c.features)
	for i, name := range names {
		f, ok := feature[modelName(name)]
		if !ok {
			to[i] = -1
			continue
		}
		if found[f] {
			return nil, true, inputError("rename one of them", "two columns are called %q", name)
		}
		to[i], found[f], matched = f, true, true
	}
	if !matched {
		return nil, false, nil
	}
	c.to = to
	used := usedFeatures(m)
	var needed []string
	for f, ok := range found {
		switch {
		case ok:
		case used[f]:
			needed = append(needed, m.FeatureNames[f])
		default:
			absent = append(absent, m.FeatureNames[f])
		}
	}
	if len(needed) > 0 && strict {
		return nil, true, inputError(
			"check the header; predict_disable_shape_check=true takes what is missing as 0",
			"%s that the model uses: %s", counted(len(needed), "column is missing", "columns are missing"), someNames(needed))
	}
	return append(needed, absent...), true, nil
}

// ignoreOthers keeps the reader from looking at what the model does not know,
// which may be any text.
func (c *columnMap) ignoreOthers(t *read.Table) error {
	for i, f := range c.to {
		if f < 0 {
			if err := t.Ignore(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// usedFeatures says which features any tree splits on.
func usedFeatures(m *lightgbm.Model) []bool {
	used := make([]bool, m.NumFeatures())
	for _, t := range m.Trees {
		for _, f := range t.SplitFeature {
			used[f] = true
		}
	}
	return used
}

// numbered says whether these are the names of a model that was trained
// without names.
func numbered(names []string) bool {
	for i, name := range names {
		if name != "Column_"+strconv.Itoa(i) {
			return false
		}
	}
	return true
}

// someNames lists the first names.
func someNames(names []string) string {
	const most = 5
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// counted is "1 feature", "2 features".
func counted(n int, forms ...string) string {
	if n == 1 {
		return "1 " + forms[0]
	}
	if len(forms) > 1 {
		return fmt.Sprintf("%d %s", n, forms[1])
	}
	return fmt.Sprintf("%d %ss", n, forms[0])
}

// direct says that a batch's values are the model's rows already.
func (c *columnMap) direct(b *read.Batch) bool {
	return c.to == nil && b.RowStart == nil && b.Features == c.features
}

// sparse says that a batch's entries are those of the model's rows.
func (c *columnMap) sparse(b *read.Batch) bool { return c.to == nil && b.RowStart != nil }

// fill writes rows lo … hi-1 of a batch into rows, which holds zeros.
func (c *columnMap) fill(b *read.Batch, lo, hi int, rows []float64) {
	for i := lo; i < hi; i++ {
		row := rows[(i-lo)*c.features : (i-lo+1)*c.features]
		if b.RowStart == nil {
			for j, v := range b.Values[i*b.Features : (i+1)*b.Features] {
				if f := c.target(j); f >= 0 {
					row[f] = v
				}
			}
			continue
		}
		for e := b.RowStart[i]; e < b.RowStart[i+1]; e++ {
			if f := c.target(int(b.Index[e])); f >= 0 {
				row[f] = b.Value[e]
			}
		}
	}
}

// wipe makes zeros of what fill wrote.
func (c *columnMap) wipe(b *read.Batch, lo, hi int, rows []float64) {
	if b.RowStart == nil {
		clear(rows)
		return
	}
	for i := lo; i < hi; i++ {
		row := rows[(i-lo)*c.features : (i-lo+1)*c.features]
		for e := b.RowStart[i]; e < b.RowStart[i+1]; e++ {
			if f := c.target(int(b.Index[e])); f >= 0 {
				row[f] = 0
			}
		}
	}
}

// target is the model's feature for a table's, or -1.
func (c *columnMap) target(feature int) int {
	switch {
	case c.to == nil:
		if feature < c.features {
			return feature
		}
		return -1
	case feature < len(c.to):
		return int(c.to[feature])
	default:
		return -1
	}
}

// simplify forgets a map that moves nothing.
func (c *columnMap) simplify() {
	if len(c.to) != c.features {
		return
	}
	for i, f := range c.to {
		if int(f) != i {
			return
		}
	}
	c.to = nil
}
