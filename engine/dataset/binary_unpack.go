package dataset

import (
	"encoding/binary"
	"errors"
	"math"
)

// unpacker turns sections of rows into bins.
type unpacker struct {
	load    *binaryLoad
	w       *writer
	bins    []uint16
	thin    []binList
	next    []int
	entries []uint32
	dense   []denseColumn
}

// denseColumn is a column that is stored for every row.
type denseColumn struct {
	column int
	packed []byte
}

var errBadRows = errors.New("bad rows")

// unpack stores the rows of a section.
func (u *unpacker) unpack(c rowChunk) error {
	f := u.load.f
	if !c.section.sound() {
		return f.damaged("the checksum of the rows from %d on is wrong", c.first+1)
	}
	if err := u.columns(c); err != nil {
		return f.damaged("the rows from %d on are not what they should be", c.first+1)
	}
	return nil
}

func (u *unpacker) columns(c rowChunk) error {
	d := u.load.d
	p := &payload{rest: c.section.payload()}
	if int(p.uint32()) != c.n {
		return errBadRows
	}
	if u.bins == nil {
		u.bins, u.next = make([]uint16, u.load.chunk), make([]int, u.load.chunk)
		if d.Sparse != nil {
			u.thin = make([]binList, len(d.Sparse.Columns))
		}
	}
	u.dense = u.dense[:0]
	spare := &binList{}
	thin := 0
	for i := range d.Columns {
		m := d.Columns[i].Mapper
		inMemory := d.Columns[i].isListed()
		list := spare
		if inMemory {
			list = &u.thin[thin]
			thin++
		}
		switch {
		case m.isThin():
			if !list.read(p, m, c.n) {
				return errBadRows
			}
			if !inMemory {
				list.spread(u.bins[:c.n], m)
				d.setBins(i, c.first, u.bins[:c.n])
			}
		case inMemory:
			packed := p.take(m.storedBytes(c.n))
			if p.bad || !unpackBins(u.bins[:c.n], packed, m) {
				return errBadRows
			}
			*list = *listOf(u.bins[:c.n], m)
		default:
			u.dense = append(u.dense, denseColumn{i, p.take(m.storedBytes(c.n))})
		}
	}
	raw := p.take(4 * c.n * u.load.rawWidth)
	if p.bad || len(p.rest) > 0 {
		return errBadRows
	}
	if d.Raw != nil {
		to := d.Raw.Values[c.first*d.Raw.Width : (c.first+c.n)*d.Raw.Width]
		for i := range to {
			to[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
	}
	if !u.tiles(c) {
		return errBadRows
	}
	if d.Sparse != nil {
		u.entries = u.w.setLists(c.first, c.n, u.thin, u.entries[:0], u.next)
		u.w.append(c.seq, u.entries)
	}
	return nil
}

// unpackTile is the number of rows whose words are filled column by column: few
// enough that they stay in the first-level cache. A multiple of 8.
const unpackTile = 256

// tiles stores the dense columns.
func (u *unpacker) tiles(c rowChunk) bool {
	d := u.load.d
	for lo := 0; lo < c.n; lo += unpackTile {
		bins := u.bins[:min(unpackTile, c.n-lo)]
		for _, col := range u.dense {
			m := d.Columns[col.column].Mapper
			if !unpackBins(bins, col.packed[lo*m.storedBits()/8:], m) {
				return false
			}
			d.setBins(col.column, c.first+lo, bins)
		}
	}
	return true
}

// unpackBins is the opposite of appendBins; it says whether all bins are the
// mapper's.
func unpackBins(bins []uint16, p []byte, m *Mapper) bool {
	most := uint16(0)
	switch width := m.storedBits(); width {
	case 16:
		for i := range bins {
			bins[i] = binary.LittleEndian.Uint16(p[2*i:])
			most = max(most, bins[i])
		}
	case 8:
		for i, b := range p[:len(bins)] {
			bins[i] = uint16(b)
			most = max(most, uint16(b))
		}
	default:
		mask := byte(1)<<width - 1
		for i := range bins {
			bins[i] = uint16(p[i*width/8] >> (i * width % 8) & mask)
			most = max(most, bins[i])
		}
	}
	return int(most) < m.NumBins
}

// read takes a list of a section of n rows from p.
func (l *binList) read(p *payload, m *Mapper, n int) bool {
	l.reset()
	count := int(p.uint32())
	if count > n {
		return false
	}
	rows, bins := p.take(2*count), p.take(m.listedBytes()*count)
	if p.bad {
		return false
	}
	last := -1
	for i := range count {
		r := int(binary.LittleEndian.Uint16(rows[2*i:]))
		bin := uint32(bins[i*m.listedBytes()])
		if m.listedBytes() == 2 {
			bin = uint32(binary.LittleEndian.Uint16(bins[2*i:]))
		}
		if r <= last || r >= n || int(bin) >= m.NumBins || bin == m.MostFreqBin {
			return false
		}
		last = r
		l.add(r, bin)
	}
	return true
}
