package tree

import (
	"encoding/binary"
	"math"
	"math/bits"
	"slices"

	"cloister/engine/dataset"
)

// cell has one column of rows that go down together.
type cell [lanes]uint8

// view is what the trees of a segment look at in one feature: consecutive
// columns. Of numbers, each column has the count of thresholds below, for at most
// inColumn of the thresholds; of categories, each has a node's decision, 0 for
// left.
type view struct {
	feature int32
	other   int32 // another view of the feature and 1 more, or 0
	kind    viewKind
	column  int // the first
	columns int

	// keys are the thresholds, filled up to 2^steps - 1.
	keys        []uint64
	steps       int
	missing     int // the rank of NaN
	zeroMissing bool
	// table has the decisions for each category and, last, for what is none.
	table []uint8
	sets  int // categorical nodes
	size  int // categories
}

// small has the bytes of the least integers in a view's only column; column is 0
// where there are several. It is what most entries of sparse rows need.
type small struct {
	column uint16
	other  bool // the feature has another view
	bytes  [13]uint8
}

type viewKind uint8

const (
	plain     viewKind = iota // NaN is 0
	zeroRight                 // values that are missing, with MissingZero, go right
	zeroLeft
	nanRight // the same with MissingNaN
	nanLeft
	categories
)

// inColumn is the number of thresholds that a byte can be compared with.
const inColumn = 254

// Ranks of missing values.
const (
	rankLeast    = -1
	rankGreatest = math.MaxInt32
)

// Bounds of a segment. Rewritten rows are to stay in the first-level cache, and
// tables of categories in the second.
const (
	muchColumns = 4096           // with so many no more trees are added
	maxColumns  = math.MaxUint16 // what a node can name
	maxTable    = 4 << 20
	maxTables   = 64 << 20 // of an ensemble
)

// key maps numbers, but NaN, to integers in the same order; both zeros to the
// same.
func key(v float64) uint64 {
	b := math.Float64bits(v + 0)
	return b ^ (uint64(int64(b)>>63) | 1<<63)
}

// layout chooses the views of a segment.
type layout struct {
	at      map[viewName]int32
	views   []view
	nodes   []innerNode // of all trees
	columns int         // at most so many are needed
	sets    int         // and so many in tables
	size    int         // the most categories
}

type viewName struct {
	feature int32
	kind    viewKind
}

// innerNode is a node before thresholds have places.
type innerNode struct {
	view  int32
	place int32    // of a set among those of the view
	key   uint64   // of a threshold
	words []uint32 // of a set
}

// add takes in a tree, unless the segment is large enough without it or the tree
// is too large; its tables must not have more than the given number of bytes.
func (l *layout) add(t *Tree, tables int) bool {
	sets, size := 0, l.size
	for node := range t.SplitFeature {
		if t.IsCategorical(node) {
			sets++
			size = max(size, 32*len(t.categories(node)))
		}
	}
	if l.columns > muchColumns || l.columns+len(t.SplitFeature)+8*sets > maxColumns ||
		sets > 0 && (l.sets+8*sets) > min(maxTable, tables)/(size+1) {
		return false
	}
	l.size = size
	for node := range t.SplitFeature {
		l.addNode(t, node)
	}
	return true
}

func (l *layout) addNode(t *Tree, node int) {
	name := viewName{t.SplitFeature[node], t.viewKind(node)}
	i, ok := l.at[name]
	if !ok {
		i = int32(len(l.views))
		l.at[name] = i
		l.views = append(l.views, view{feature: name.feature, kind: name.kind})
	}
	v := &l.views[i]
	n := innerNode{view: i}
	l.columns -= v.columns
	if name.kind == categories {
		n.words = t.categories(node)
		n.place = int32(v.sets)
		l.sets -= v.columns
		v.sets++
		v.size = max(v.size, 32*len(n.words))
		v.columns = (v.sets + 7) &^ 7 // eight are copied at a time
		l.sets += v.columns
	} else {
		n.key = key(t.Threshold[node])
		v.keys = append(v.keys, n.key)
		v.columns = columnsFor(len(v.keys))
	}
	l.columns += v.columns
	l.nodes = append(l.nodes, n)
}

func columnsFor(thresholds int) int { return (thresholds + inColumn - 1) / inColumn }

// categories is the bit set of a categorical node.
func (t *Tree) categories(node int) []uint32 {
	k := int(t.Threshold[node])
	return t.CatThreshold[t.CatBoundaries[k]:t.CatBoundaries[k+1]]
}

// viewKind is how an inner node looks at its feature.
func (t *Tree) viewKind(node int) viewKind {
	d := t.DecisionType[node]
	if d&CategoricalMask != 0 {
		return categories
	}
	kind := plain
	switch dataset.MissingType(d >> MissingTypeShift) {
	case dataset.MissingZero:
		kind = zeroRight
	case dataset.MissingNaN:
		kind = nanRight
	default:
		return kind
	}
	if d&DefaultLeftMask != 0 {
		kind++ // to the one for left
	}
	return kind
}

// finish lays out the segment's trees, which were added, and returns the number
// of bytes of the tables.
func (l *layout) finish(s *segment) (tables int) {
	width, features := 1, int32(0) // column 0 is all zeros
	for i := range l.views {
		v := &l.views[i]
		features = max(features, v.feature+1)
		if v.kind == categories {
			v.table = slices.Repeat([]uint8{1}, (v.size+1)*v.columns)
			tables += len(v.table)
		} else {
			slices.Sort(v.keys)
			v.keys = slices.Compact(v.keys)
			v.columns = columnsFor(len(v.keys))
		}
		v.column = width
		width += v.columns
	}
	inner := make([]flatNode, len(l.nodes))
	for i, n := range l.nodes {
		inner[i] = l.views[n.view].place(n)
	}
	for _, t := range s.trees {
		n := t.NumLeaves - 1
		s.flat = append(s.flat, flatten(t, inner[:n]))
		inner = inner[n:]
	}
	s.views = l.views
	s.lookup = make([]int32, features)
	for i := range s.views {
		v := &s.views[i]
		v.prepare()
		v.other, s.lookup[v.feature] = s.lookup[v.feature], int32(i)+1
	}
	s.small = make([]small, len(s.views))
	for i := range s.views {
		s.small[i] = s.views[i].small()
	}
	s.blank = make([]cell, width)
	for lane := range lanes {
		for i := range s.views {
			s.views[i].set(0, s.blank, lane)
		}
	}
	return tables
}

// prepare makes ranks fast to find.
func (v *view) prepare() {
	v.steps = bits.Len(uint(len(v.keys)))
	for len(v.keys) < 1<<v.steps-1 {
		v.keys = append(v.keys, math.MaxUint64)
	}
	switch v.kind {
	case plain:
		v.missing = countBelow(v.keys, v.steps, key(0))
	case zeroRight, nanRight:
		v.missing = rankGreatest
	case zeroLeft, nanLeft:
		v.missing = rankLeast
	case categories:
	}
	v.zeroMissing = v.kind == zeroRight || v.kind == zeroLeft
}

func (v *view) small() small {
	if v.kind == categories || v.columns > 1 {
		return small{}
	}
	s := small{column: uint16(v.column), other: v.other > 0}
	for i := range s.bytes {
		s.bytes[i] = clampByte(v.rank(float64(i)))
	}
	return s
}

// place gives a node its column and key, and a set its place in the table.
func (v *view) place(n innerNode) flatNode {
	if v.kind != categories {
		i, _ := slices.BinarySearch(v.keys, n.key)
		return flatNode{column: uint16(v.column + i/inColumn), key: uint8(i % inColumn)}
	}
	for i, word := range n.words {
		for ; word != 0; word &= word - 1 {
			category := 32*i + bits.TrailingZeros32(word)
			v.table[category*v.columns+int(n.place)] = 0
		}
	}
	return flatNode{column: uint16(v.column + int(n.place))}
}

// set writes a value into a lane of a view's columns.
func (v *view) set(x float64, cells []cell, lane int) {
	cells = cells[v.column:][:v.columns]
	if v.kind == categories {
		for i, right := range v.decisions(x) {
			cells[i][lane] = right
		}
		return
	}
	rank := v.rank(x)
	if len(cells) == 1 { // nearly always
		cells[0][lane] = clampByte(rank)
		return
	}
	for i := range cells {
		cells[i][lane] = clampByte(rank - i*inColumn)
	}
}

// rank is the number of thresholds below a number, or rankLeast or rankGreatest where
// it is missing.
func (v *view) rank(x float64) int {
	if math.IsNaN(x) || v.zeroMissing && isZero(x) {
		return v.missing
	}
	return countBelow(v.keys, v.steps, key(x))
}

// countBelow counts the keys below k among 2^steps - 1, without a branch.
func countBelow(keys []uint64, steps int, k uint64) int {
	r := uint64(0)
	for h := uint64(1) << steps >> 1; h > 0; h >>= 1 {
		_, less := bits.Sub64(keys[r+h-1], k, 0)
		r += h & -less
	}
	return int(r)
}

// decisions are those of all nodes for the integer part of a value.
func (v *view) decisions(x float64) []uint8 {
	c := int(category(x))
	if uint(c) >= uint(v.size) {
		c = v.size
	}
	return v.table[c*v.columns:][:v.columns]
}

// fill writes the values of some rows, at most lanes, each features after the
// one before, into a view's columns.
func (v *view) fill(values []float64, features, rows int, cells []cell) {
	at := int(v.feature)
	if v.kind == categories {
		v.fillCategories(values[at:], features, rows, cells[v.column:][:v.columns])
		return
	}
	if v.columns > 1 {
		for lane := range rows {
			v.set(values[at], cells, lane)
			at += features
		}
		return
	}
	var ranks [lanes]uint64
	missing := 0 // a bit for each lane
	for lane := range min(rows, lanes) {
		x := values[at]
		at += features
		if math.IsNaN(x) || v.zeroMissing && isZero(x) {
			missing |= 1 << lane
		}
		ranks[lane] = key(x)
	}
	toRanks(v.keys, v.steps, &ranks)
	c := &cells[v.column]
	for lane, r := range ranks {
		c[lane] = uint8(r)
	}
	if missing != 0 {
		r := clampByte(v.missing)
		for lane := range c {
			if missing>>lane&1 != 0 {
				c[lane] = r
			}
		}
	}
}

func clampByte(n int) uint8 { return uint8(max(0, min(n, math.MaxUint8))) }

// fillCategories copies decisions, those of eight nodes at a time.
func (v *view) fillCategories(values []float64, features, rows int, cells []cell) {
	var from [lanes][]uint8
	for lane := range from {
		from[lane] = v.decisions(values[min(lane, rows-1)*features])
	}
	for i := 0; i+8 <= len(cells); i += 8 {
		var m [8]uint64
		for lane := range m {
			m[lane] = binary.LittleEndian.Uint64(from[lane][i:])
		}
		transposeBytes(&m)
		for k := range m {
			binary.LittleEndian.PutUint64(cells[i+k][:], m[k])
		}
	}
}

// transposeBytes makes byte k of word i byte i of word k.
func transposeBytes(m *[8]uint64) {
	for i := range 4 {
		t := (m[i]>>32 ^ m[i+4]) & 0x00000000FFFFFFFF
		m[i], m[i+4] = m[i]^t<<32, m[i+4]^t
	}
	for _, i := range [4]int{0, 1, 4, 5} {
		t := (m[i]>>16 ^ m[i+2]) & 0x0000FFFF0000FFFF
		m[i], m[i+2] = m[i]^t<<16, m[i+2]^t
	}
	for i := 0; i < 8; i += 2 {
		t := (m[i]>>8 ^ m[i+1]) & 0x00FF00FF00FF00FF
		m[i], m[i+1] = m[i]^t<<8, m[i+1]^t
	}
}
