package read

import (
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/parquet-go/parquet-go/format"
)

// checkPages walks the headers of a row group's pages and compares what they
// declare with what there is.
func (f *parquetFile) checkPages(g *format.RowGroup) error {
	memory := int64(0)
	for c, col := range f.part.file.columns {
		if col.slot == slotIgnore {
			continue
		}
		if col.leaf >= len(g.Columns) {
			return fmt.Errorf("it has %d columns", len(g.Columns))
		}
		m := &g.Columns[col.leaf].MetaData
		need, err := f.checkChunk(m, g.NumRows)
		if err != nil {
			return fmt.Errorf("column %s: %w", shorten(f.t.layout.name(c)), err)
		}
		if memory += need; memory > pageMemory {
			return fmt.Errorf("its pages need more than %d MiB at a time: write smaller pages", pageMemory>>20)
		}
	}
	return nil
}

// checkChunk returns the memory that a column's largest page and its
// dictionary take.
func (f *parquetFile) checkChunk(m *format.ColumnMetaData, rows int64) (int64, error) {
	if m.NumValues != rows {
		return 0, fmt.Errorf("it declares %d values for %d rows", m.NumValues, rows)
	}
	at := m.DataPageOffset
	if m.DictionaryPageOffset != 0 {
		at = m.DictionaryPageOffset
	}
	if at < 4 || m.TotalCompressedSize < 0 || at > f.size || m.TotalCompressedSize > f.size-at {
		return 0, errors.New("it lies outside the file")
	}
	end := at + m.TotalCompressedSize
	var page, dictionary, values int64
	for values < rows {
		h, err := f.pageAt(at, end)
		if err != nil {
			return 0, err
		}
		at += int64(h.size)
		if max(h.packed, h.unpacked, h.values) > math.MaxInt32 || h.packed < 0 || h.unpacked < 0 || h.packed > end-at || h.levelsDef < 0 || h.levelsRep < 0 ||
			h.levelsDef+h.levelsRep > h.packed {
			return 0, errors.New("a page's size is wrong")
		}
		if err := f.checkPage(m.Codec, &h, at); err != nil {
			return 0, err
		}
		at += h.packed
		need := h.packed + h.unpacked + 12*h.values
		switch h.kind {
		case 0, 3:
			if h.values < 0 || h.values > rows-values {
				return 0, fmt.Errorf("its pages hold more values than its %d rows", rows)
			}
			values += h.values
			page = max(page, need)
		case 2:
			if h.values < 0 || h.values > h.unpacked*8 {
				return 0, errors.New("its dictionary is damaged")
			}
			dictionary = max(dictionary, need)
		}
	}
	return page + dictionary, nil
}

// checkPage looks at the packed data of a page, which starts at a place. The
// levels of a page of version 2 come first and are not packed.
func (f *parquetFile) checkPage(codec format.CompressionCodec, h *pageHeader, at int64) error {
	levels := int64(0)
	if h.kind == 3 {
		levels = h.levelsDef + h.levelsRep
	}
	size := h.packed - levels
	if codec == format.Uncompressed || size == 0 || h.kind == 3 && h.plain {
		return nil
	}
	if codec == format.Snappy {
		size = min(size, snappyHead)
	}
	packed := make([]byte, size)
	if _, err := f.r.ReadAt(packed, at+levels); err != nil {
		return err
	}
	return checkPacked(codec, packed, h.unpacked-levels)
}

// pageAt reads the page header at a place.
func (f *parquetFile) pageAt(at, end int64) (pageHeader, error) {
	for size := int64(256); ; size *= 16 {
		buf := make([]byte, min(size, end-at))
		if _, err := f.r.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
			return pageHeader{}, err
		}
		h, err := parsePageHeader(buf)
		if errors.Is(err, errThriftEnd) && size < 1<<20 && size < end-at {
			continue
		}
		return h, err
	}
}
