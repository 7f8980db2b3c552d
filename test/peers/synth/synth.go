// Package synth makes tables to learn from. Every row is a function of the
// table's seed and the row's number alone, with portable arithmetic, so a table
// is the same on every machine and any part of it can be written by itself.
package synth

import (
	"math"

	"cloister/engine/portmath"
	"cloister/engine/random"
)

// Row is one row of a table. Its slices are used again for the next row.
type Row struct {
	Label  float64
	Weight float64
	Values []float64 // one for each feature, NaN where it is missing
	Index  []int     // of a sparse table: the features that Values are of, ascending
}

// Table is a table without end.
type Table interface {
	// Row fills in row i. It may be called from several goroutines with rows of
	// their own.
	Row(i int, r *Row)
	// Sparse says that rows carry an index.
	Sparse() bool
	// Features is the number of columns besides the label.
	Features() int
}

// Kind says what the label of a table is.
type Kind int

// The kinds of labels.
const (
	Regression Kind = iota // real, with noise
	Binary                 // 0 or 1
	Poisson                // a count
	Multiclass             // 0 … Classes-1
)

// Dense is a table of numbers: bell-shaped, even, skewed and counted columns
// whose label depends on a part of them, linearly, by steps and by products.
type Dense struct {
	Seed    uint64
	Columns int
	Kind    Kind
	Classes int     // for Multiclass
	Noise   float64 // of the label; 0 means 1
	Tails   bool    // some labels are far off, where medians beat means
	Missing float64 // part of the values that is missing, more often large ones
	Zeros   float64 // part of the values that is 0 and stands for unknown
	// Categories is the number of leading columns that hold categories, each
	// with Levels levels, of which the low ones are frequent.
	Categories, Levels int
	Weighted           bool // rows of even number weigh 0.25 to 4, and the noise goes with it
}

// Sparse implements Table.
func (d *Dense) Sparse() bool { return false }

// Features implements Table.
func (d *Dense) Features() int { return d.Columns }

// What a hash is for.
const (
	forRow = iota
	forEffect
	forQuery
	forPopularity
	forAttention
)

// effect is a fixed number in [-1, 1) that belongs to some parts of a table.
func effect(seed uint64, parts ...uint64) float64 {
	h := random.Hash(seed, forEffect)
	for _, p := range parts {
		h = random.Extend(h, p)
	}
	return float64(2*random.Float64(h)) - 1
}

// bell is a number of mean 0 and variance 1.
func bell(r *random.Source) float64 {
	return (r.Float64() + r.Float64() + r.Float64() + r.Float64() - 2) * math.Sqrt(3)
}

// Row implements Table.
func (d *Dense) Row(i int, row *Row) {
	r := random.New(d.Seed, forRow, uint64(i))
	row.Weight = 1
	if d.Weighted && i%2 == 0 {
		row.Weight = 0.25 + float64(3.75*r.Float64())
	}
	row.Values = row.Values[:0]
	for j := range d.Columns {
		row.Values = append(row.Values, d.value(j, r))
	}
	d.setLabel(row, r)
	for j := d.Categories; j < d.Columns; j++ {
		d.hide(&row.Values[j], r)
	}
}

func (d *Dense) value(j int, r *random.Source) float64 {
	if j < d.Categories {
		u := r.Float64()
		return math.Floor(float64(u*u) * float64(d.Levels))
	}
	switch j % 5 {
	case 0, 1:
		return bell(r)
	case 2:
		return r.Float64()
	case 3:
		return -portmath.Log(1 - r.Float64())
	default:
		return float64(r.IntN(16))
	}
}

// hide makes values missing, or unknown zeros. Large values are hidden more
// often, so that a hidden value tells something.
func (d *Dense) hide(v *float64, r *random.Source) {
	u := r.Float64()
	if *v > 1 {
		u /= 2
	}
	switch {
	case u < d.Missing:
		*v = math.NaN()
	case u < d.Missing+d.Zeros:
		*v = 0
	}
}

func (d *Dense) setLabel(row *Row, r *random.Source) {
	noise := d.Noise
	if noise == 0 {
		noise = 1
	}
	noise /= math.Sqrt(row.Weight)
	switch d.Kind {
	case Binary:
		row.Label = 0
		if r.Float64() < 1/(1+portmath.Exp(-(d.signal(0, row.Values)+float64(noise*bell(r))))) {
			row.Label = 1
		}
	case Poisson:
		row.Label = float64(count(portmath.Exp(float64(0.5*d.signal(0, row.Values))), r))
	case Multiclass:
		best := math.Inf(-1)
		for k := range d.Classes {
			if s := d.signal(uint64(k), row.Values) + float64(noise*bell(r)); s > best {
				row.Label, best = float64(k), s
			}
		}
	case Regression:
		row.Label = 3 + d.signal(0, row.Values) + float64(noise*bell(r))
		if d.Tails && r.IntN(20) == 0 {
			row.Label += float64(40 * bell(r))
		}
	}
}

// signal is what the label depends on. At most twelve columns take part.
func (d *Dense) signal(class uint64, v []float64) float64 {
	s := 0.0
	for j := range d.Categories {
		s += float64(1.5 * effect(d.Seed, class, uint64(j), uint64(v[j])))
	}
	n := min(d.Columns-d.Categories, 12)
	v = v[d.Categories:]
	for j := range n {
		e := effect(d.Seed, class, uint64(j))
		switch x := v[j]; j % 3 {
		case 0:
			s += float64(0.6 * float64(e*x))
		case 1:
			if x > 0.3 {
				s += float64(1.2 * e)
			}
		default:
			s += float64(0.5 * float64(e*float64(x*v[(j+5)%n])))
		}
	}
	return s
}

// count draws from a Poisson distribution (D. E. Knuth, "The Art of Computer
// Programming", volume 2, section 3.4.1).
func count(mean float64, r *random.Source) int {
	limit := portmath.Exp(-min(mean, 50))
	n, p := 0, r.Float64()
	for p > limit {
		n++
		p *= r.Float64()
	}
	return n
}

// Bag is a sparse binary table like a bag of words: each row has a few of many
// features, some of them frequent, with small counts as values.
type Bag struct {
	Seed    uint64
	Columns int
	PerRow  int // features of a row, on average
}

// Sparse implements Table.
func (b *Bag) Sparse() bool { return true }

// Features implements Table.
func (b *Bag) Features() int { return b.Columns }

// Row implements Table.
func (b *Bag) Row(i int, row *Row) {
	r := random.New(b.Seed, forRow, uint64(i))
	n := b.PerRow/2 + r.IntN(b.PerRow+1)
	row.Weight, row.Values, row.Index = 1, row.Values[:0], row.Index[:0]
	s := 0.0
	for range n {
		u := r.Float64()
		f := int(float64(float64(u*u)*u) * float64(b.Columns))
		at := len(row.Index)
		for at > 0 && row.Index[at-1] > f {
			at--
		}
		if at > 0 && row.Index[at-1] == f {
			row.Values[at-1]++
			continue
		}
		row.Index, row.Values = append(row.Index, 0), append(row.Values, 0)
		copy(row.Index[at+1:], row.Index[at:])
		copy(row.Values[at+1:], row.Values[at:])
		row.Index[at], row.Values[at] = f, 1
	}
	for k, f := range row.Index {
		s += float64(2 * float64(effect(b.Seed, uint64(f))*math.Sqrt(row.Values[k])))
	}
	row.Label = 0
	if s+bell(r) > 0 {
		row.Label = 1
	}
}

// Ranking is a table of queries: rows of a query share some columns, and labels
// 0 … 4 grade them within it.
type Ranking struct {
	Seed    uint64
	Columns int
}

// QueryRows is the number of rows of a query.
func (q *Ranking) QueryRows(query int) int {
	return 8 + int(random.Hash(q.Seed, forQuery, uint64(query))%33)
}

// Overlooked makes a row of a query irrelevant to those who did not look as
// far as the place at which it stood.
func (q *Ranking) Overlooked(query, place int, row *Row) {
	look := random.Float64(random.Hash(q.Seed, forAttention, uint64(query), uint64(place)))
	if look > 1/(1+float64(0.25*float64(place))) {
		row.Label = 0
	}
}

// Query fills in the rows of a query.
func (q *Ranking) Query(query int) []Row {
	r := random.New(q.Seed, forRow, uint64(query))
	rows := make([]Row, q.QueryRows(query))
	shared := make([]float64, q.Columns/4)
	for j := range shared {
		shared[j] = bell(r)
	}
	d := Dense{Seed: q.Seed, Columns: q.Columns}
	for i := range rows {
		rows[i].Weight = 1
		rows[i].Values = append(rows[i].Values, shared...)
		for j := len(shared); j < q.Columns; j++ {
			rows[i].Values = append(rows[i].Values, d.value(j, r))
		}
		s := d.signal(0, rows[i].Values) + float64(0.7*bell(r))
		grade := math.Floor(s + 0.5)
		rows[i].Label = max(0, min(4, grade))
	}
	return rows
}
