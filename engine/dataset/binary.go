package dataset

import (
	"hash/crc32"
	"math/bits"

	"cloister/engine/dataset/read"
)

// The binary form of a data set: docs/reference/binary-dataset-format.md
// describes every byte. It knows nothing of Block, Words and SparseRows, so that
// these can change: see binary_layout.go.
const (
	binaryMagic   = read.BinaryMagic
	binaryVersion = 1
	// binaryHead is the length of magic and version.
	binaryHead = len(binaryMagic) + 4
	// sectionHead is the length of a section's tag and length, sectionTail that
	// of its checksum.
	sectionHead, sectionTail = 12, 4
)

// Tags of sections. One whose first letter is small may be skipped by who does
// not know it.
const (
	tagHead    = "HEAD"
	tagRecipe  = "PARM"
	tagNames   = "NAME"
	tagMappers = "MAPS"
	tagLabels  = "LABL"
	tagWeights = "WGHT"
	tagQueries = "QURY"
	tagScores  = "INIT"
	tagPlaces  = "POSN"
	tagRows    = "ROWS"
	tagEnd     = "DONE"

	tagExclusives = "excl"
)

const (
	// chunkLimit is the greatest number of rows in a section of rows: their
	// numbers in it take 16 bits.
	chunkLimit = 1 << 16
	// chunkBytes is about the length of a section of rows that is written.
	chunkBytes = 1 << 20
	// thinShare is the share of the most frequent bin from which a column is
	// stored as a list. It is part of the format.
	thinShare = 0.8
)

// flagRaw, of the file, says that the rows have the values of the numerical
// columns besides their bins.
const flagRaw = 1

// Flags of a mapper.
const (
	flagCategorical = 1 << iota
	flagTrivial
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// isThin says whether a column is stored as a list of rows.
func (m *Mapper) isThin() bool { return m.SparseRate >= thinShare }

// storedBits is the width of the column's bins where they are stored for every
// row: 1, 2, 4, 8 or 16.
func (m *Mapper) storedBits() int {
	width := 1
	for width < bits.Len(uint(m.NumBins-1)) {
		width *= 2
	}
	return width
}

// storedBytes is the length of n such bins.
func (m *Mapper) storedBytes(n int) int { return (n*m.storedBits() + 7) / 8 }

// listedBytes is the width of a bin in a list.
func (m *Mapper) listedBytes() int {
	if m.NumBins <= 1<<8 {
		return 1
	}
	return 2
}

// rawWidth is the number of raw values of a row: those of the numerical ones of
// the columns that can be split on.
func rawWidth(all []*Mapper) int {
	n := 0
	for _, m := range all {
		if !m.Trivial && !m.Categorical {
			n++
		}
	}
	return n
}

// usedMappers are those of the columns that can be split on.
func usedMappers(all []*Mapper) []*Mapper {
	var used []*Mapper
	for _, m := range all {
		if !m.Trivial {
			used = append(used, m)
		}
	}
	return used
}
