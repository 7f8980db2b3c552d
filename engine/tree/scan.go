package tree

// scan passes over bins among whose thresholds none can be better than the best
// so far, eight at a time. It decides by the same conditions as the loops that
// look at each bin (splitscan.go), and by the same sieve, which lets more pass
// than it must: what it passes over cannot change the result, so that the
// result is the same where it does not run.
//
// The assembly knows the order of the fields.
type scan struct {
	sum        int64 // packed, of the bins so far
	count      int64 // rows, likewise
	total      int64
	mask       int64
	bits       int64
	countLeast int64
	countMost  int64
	hessLeast  int64
	hessMost   int64
	perHess    float64
	extra      float64
	least      float64
	half       float64
	last       int64             // index of the last bin in a group
	order      *[groupBins]int64 // of the bins in a group
}

// A group is the bins of one vector.
const (
	groupBins  = 8
	groupBytes = 8 * groupBins
)

var (
	upwards   = [groupBins]int64{0, 1, 2, 3, 4, 5, 6, 7}
	downwards = [groupBins]int64{7, 6, 5, 4, 3, 2, 1, 0}
)

// scanOf fills in what the columns of a leaf share.
func (s *searcher) scanOf(t *leafTerms) scan {
	return scan{
		total: t.total, mask: s.fix.hessMask, bits: int64(s.fix.hessBits),
		countLeast: int64(t.least), countMost: int64(t.count - t.least),
		hessLeast: t.hessLeast, hessMost: t.hessMost,
		perHess: t.perHess, extra: t.may.extra, half: 0.5, last: groupBins - 1,
	}
}

// down passes over bins of h from at down to end and returns the bin from which
// to go on, one by one, for a group at least.
func (s *scan) down(h []int64, at, end int, p *pass) int {
	groups := (at - end + 1) / groupBins
	if groups <= 0 {
		return at
	}
	s.sum, s.count, s.least, s.order = p.sum, int64(p.count), p.may.least, &downwards
	passed := scanGroups(s, &h[at-groupBins+1], groups, -groupBytes)
	p.sum, p.count = s.sum, int(s.count)
	return at - groupBins*passed
}

// up is down for bins from at up to end.
func (s *scan) up(h []int64, at, end int, p *pass) int {
	groups := (end - at + 1) / groupBins
	if groups <= 0 {
		return at
	}
	s.sum, s.count, s.least, s.order = p.sum, int64(p.count), p.may.least, &upwards
	passed := scanGroups(s, &h[at], groups, groupBytes)
	p.sum, p.count = s.sum, int(s.count)
	return at + groupBins*passed
}
