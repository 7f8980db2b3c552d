package dataset

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
)

// WriteBinary writes the data set so that Load can read it back, without its
// text: bins, mappers, names, Metadata, the parameters that made it, and the raw
// values if it has them.
func (d *Dataset) WriteBinary(w io.Writer) error {
	return d.writeBinary(w, chunkRows(usedMappers(d.Mappers), d.rawWidth()))
}

// writeBinary writes so many rows to a section.
func (d *Dataset) writeBinary(w io.Writer, chunk int) error {
	b := &binaryWriter{w: w, d: d}
	b.put([]byte(binaryMagic))
	b.put(binary.LittleEndian.AppendUint32(nil, binaryVersion))
	b.section(tagHead, func(p []byte) []byte {
		for _, v := range []int{d.Rows, len(d.Mappers), d.LabelIndex} {
			p = binary.LittleEndian.AppendUint64(p, uint64(v))
		}
		flags := uint32(0)
		if d.Raw != nil {
			flags |= flagRaw
		}
		p = binary.LittleEndian.AppendUint32(p, uint32(chunk))
		return binary.LittleEndian.AppendUint32(p, flags)
	})
	b.section(tagRecipe, func(p []byte) []byte {
		p = binary.LittleEndian.AppendUint32(p, uint32(len(d.recipe)))
		for _, s := range d.recipe {
			p = appendText(appendText(p, s.Name), s.Value)
		}
		return p
	})
	b.section(tagNames, func(p []byte) []byte {
		for _, name := range d.FeatureNames {
			p = appendText(p, name)
		}
		return p
	})
	b.section(tagMappers, func(p []byte) []byte {
		for _, m := range d.Mappers {
			p = m.appendBinary(p)
		}
		return p
	})
	if len(d.exclusives) > 0 {
		b.section(tagExclusives, d.appendExclusives)
	}
	b.metadata()
	for first := 0; first < d.Rows; first += chunk {
		b.rows(first, min(first+chunk, d.Rows))
	}
	b.section(tagEnd, func(p []byte) []byte { return p })
	return b.err
}

// chunkRows is the number of rows in a section of rows, each of which has so many
// raw values.
func chunkRows(used []*Mapper, raw int) int {
	width := float64(1 + 32*raw) // bits of a row
	for _, m := range used {
		if m.isThin() {
			width += float64(24 * (1 - m.SparseRate))
		} else {
			width += float64(m.storedBits())
		}
	}
	return int(max(256, min(chunkLimit, 8*chunkBytes/width)))
}

// binaryWriter writes sections; the first error stays.
type binaryWriter struct {
	w    io.Writer
	d    *Dataset
	err  error
	buf  []byte
	bins []uint16
	thin []binList
}

func (b *binaryWriter) put(p []byte) {
	if b.err == nil {
		_, b.err = b.w.Write(p)
	}
}

// section writes the section whose payload fill appends.
func (b *binaryWriter) section(tag string, fill func(p []byte) []byte) {
	p := append(append(b.buf[:0], tag...), make([]byte, 8)...)
	p = fill(p)
	binary.LittleEndian.PutUint64(p[4:], uint64(len(p)-sectionHead))
	p = binary.LittleEndian.AppendUint32(p, crc32.Checksum(p, castagnoli))
	b.put(p)
	b.buf = p
}

func (b *binaryWriter) metadata() {
	d := b.d
	b.section(tagLabels, func(p []byte) []byte { return appendSingles(p, d.Label) })
	if d.Weight != nil {
		b.section(tagWeights, func(p []byte) []byte { return appendSingles(p, d.Weight) })
	}
	if d.QueryStart != nil {
		b.section(tagQueries, func(p []byte) []byte {
			for _, v := range d.QueryStart {
				p = binary.LittleEndian.AppendUint32(p, uint32(v))
			}
			return p
		})
	}
	if d.InitScore != nil {
		b.section(tagScores, func(p []byte) []byte { return appendDoubles(p, d.InitScore) })
	}
	if d.Position != nil {
		b.section(tagPlaces, func(p []byte) []byte {
			for _, v := range d.Position {
				p = binary.LittleEndian.AppendUint32(p, uint32(v))
			}
			p = binary.LittleEndian.AppendUint32(p, uint32(len(d.PositionNames)))
			for _, name := range d.PositionNames {
				p = appendText(p, name)
			}
			return p
		})
	}
}

// rows writes a section of rows, column after column.
func (b *binaryWriter) rows(first, end int) {
	d := b.d
	if b.bins == nil {
		b.bins = make([]uint16, chunkLimit)
	}
	if b.thin == nil {
		b.thin = make([]binList, len(d.Columns))
	}
	if d.Sparse != nil || d.Bundles != nil {
		d.listsOf(first, end, b.thin)
	}
	b.section(tagRows, func(p []byte) []byte {
		p = binary.LittleEndian.AppendUint32(p, uint32(end-first))
		for i := range d.Columns {
			m := d.Columns[i].Mapper
			var list *binList
			bins := b.bins[:end-first]
			if d.Columns[i].isListed() {
				list = &b.thin[i]
			} else {
				d.binsOf(i, first, bins)
			}
			if m.isThin() {
				if list == nil {
					list = listOf(bins, m)
				}
				p = list.appendBinary(p, m)
				continue
			}
			if list != nil {
				list.spread(bins, m)
			}
			p = appendBins(p, bins, m.storedBits())
		}
		if d.Raw != nil {
			p = appendRaw(p, d.Raw.Values[first*d.Raw.Width:end*d.Raw.Width])
		}
		return p
	})
}

// appendRaw writes raw values. NaN has many forms: one of them is written.
func appendRaw(p []byte, list []float32) []byte {
	for _, v := range list {
		bits := math.Float32bits(v)
		if v != v {
			bits = 0x7fc00000
		}
		p = binary.LittleEndian.AppendUint32(p, bits)
	}
	return p
}

// listOf is a column as a list.
func listOf(bins []uint16, m *Mapper) *binList {
	list := &binList{}
	for r, bin := range bins {
		if uint32(bin) != m.MostFreqBin {
			list.add(r, uint32(bin))
		}
	}
	return list
}

// spread is the opposite of listOf.
func (l *binList) spread(bins []uint16, m *Mapper) {
	for r := range bins {
		bins[r] = uint16(m.MostFreqBin)
	}
	for e, r := range l.row {
		bins[r] = l.bin[e]
	}
}

func (l *binList) appendBinary(p []byte, m *Mapper) []byte {
	p = binary.LittleEndian.AppendUint32(p, uint32(len(l.row)))
	for _, r := range l.row {
		p = binary.LittleEndian.AppendUint16(p, r)
	}
	for _, bin := range l.bin {
		if p = append(p, byte(bin)); m.listedBytes() == 2 {
			p = append(p, byte(bin>>8))
		}
	}
	return p
}

// appendBins packs bins, the first into the lowest bits of a byte.
func appendBins(p []byte, bins []uint16, width int) []byte {
	switch width {
	case 16:
		for _, b := range bins {
			p = binary.LittleEndian.AppendUint16(p, b)
		}
	case 8:
		for _, b := range bins {
			p = append(p, byte(b))
		}
	default:
		for len(bins) > 0 {
			packed := byte(0)
			n := min(8/width, len(bins))
			for i, b := range bins[:n] {
				packed |= byte(b) << (i * width)
			}
			p = append(p, packed)
			bins = bins[n:]
		}
	}
	return p
}

// appendBinary writes a mapper.
func (m *Mapper) appendBinary(p []byte) []byte {
	flags := byte(0)
	if m.Categorical {
		flags |= flagCategorical
	}
	if m.Trivial {
		flags |= flagTrivial
	}
	p = append(p, flags, byte(m.Missing))
	for _, v := range []uint32{uint32(m.NumBins), m.DefaultBin, m.MostFreqBin} {
		p = binary.LittleEndian.AppendUint32(p, v)
	}
	p = appendDoubles(p, []float64{m.Min, m.Max, m.SparseRate})
	if m.Categorical {
		for _, c := range m.Categories {
			p = binary.LittleEndian.AppendUint32(p, uint32(c))
		}
		return p
	}
	// NaN has many forms: the bin of missing values has no bound.
	return appendDoubles(p, m.UpperBound[:m.intervals()])
}

func appendText(p []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint32(p, uint32(len(s))), s...)
}

func appendSingles(p []byte, list []float32) []byte {
	for _, v := range list {
		p = binary.LittleEndian.AppendUint32(p, math.Float32bits(v))
	}
	return p
}

func appendDoubles(p []byte, list []float64) []byte {
	for _, v := range list {
		p = binary.LittleEndian.AppendUint64(p, math.Float64bits(v))
	}
	return p
}
