package dataset

import "slices"

// findCategories gives each category a bin, the most frequent first, until 99 %
// of the values are covered, and returns the counts of the bins. The rest, NaN
// and negative values share bin 0.
func (m *Mapper) findCategories(h histogram, total, nan int, o MapperOptions) []int {
	type category struct {
		value int32
		count int
	}
	var all []category
	for i, v := range h.value {
		c := categoryOf(v)
		switch {
		case c < 0:
			nan += h.count[i]
		case len(all) > 0 && all[len(all)-1].value == c:
			all[len(all)-1].count += h.count[i]
		default:
			all = append(all, category{c, h.count[i]})
		}
	}
	m.NumBins = 1
	m.Categories = []int32{-1}
	if total-nan <= 0 {
		return []int{total}
	}
	slices.SortStableFunc(all, func(a, b category) int { return b.count - a.count })

	// The share is computed in single precision, as there.
	enough := int(float64(float32(total-nan)*float32(0.99)) + 0.5)
	m.distinct = len(all)
	distinct := len(all)
	if nan > 0 {
		distinct++
	}
	maxBin := min(distinct, o.MaxBin)
	inBin := []int{0}
	used := 0
	for i, c := range all {
		if used >= enough && m.NumBins >= maxBin || c.count < o.MinDataInBin && i > 1 {
			break
		}
		m.Categories = append(m.Categories, c.value)
		inBin = append(inBin, c.count)
		used += c.count
		m.NumBins++
	}
	m.Missing = MissingNaN
	if len(all) == m.NumBins-1 && nan == 0 {
		m.Missing = MissingNone
	}
	inBin[0] = total - used
	return inBin
}

// categoryOf is the integer part of a value, or -1 for NaN and where it is
// negative or above the greatest int32.
func categoryOf(v float64) int32 {
	if v > -1 && v < 1<<31 {
		return int32(v)
	}
	return -1
}
