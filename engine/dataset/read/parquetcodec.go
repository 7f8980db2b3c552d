package read

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// The Parquet library unpacks a page into as much memory as its bytes ask for,
// whatever the page's header declares, and asks for twice as much for ever when
// LZ4 data is damaged. So a page is looked at before the library gets it.

var (
	errPacked  = errors.New("a page's packed data is damaged")
	errPageLen = errors.New("a page does not unpack to the size that it declares")
)

// snappyHead is the most bytes that Snappy data needs to say how much it is.
const snappyHead = 10

// lz4Ratio is the most that a byte of an LZ4 block stands for.
const lz4Ratio = 255

// checkPacked makes sure that the data of a page unpacks to the size that its
// header declares. Snappy and Zstandard data says how much it is; data in the
// other formats is unpacked to find out, and thrown away. Of Snappy data the
// start is enough.
func checkPacked(codec format.CompressionCodec, packed []byte, unpacked int64) error {
	switch codec {
	case format.Snappy:
		n, err := snappy.DecodedLen(packed)
		if err != nil {
			return errPacked
		}
		return checkSize(int64(n), unpacked)
	case format.Zstd:
		if n, ok := zstdSize(packed); ok {
			return checkSize(n, unpacked)
		}
		r, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(pageMemory))
		if err != nil {
			return errPacked
		}
		defer r.Close()
		return checkUnpacks(r, unpacked)
	case format.Gzip:
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil {
			return errPacked
		}
		return checkUnpacks(r, unpacked)
	case format.Brotli:
		return checkUnpacks(brotli.NewReader(bytes.NewReader(packed)), unpacked)
	case format.Lz4Raw:
		if unpacked > lz4Ratio*int64(len(packed)) {
			return errPageLen
		}
		n, err := lz4.UncompressBlock(packed, make([]byte, unpacked))
		if err != nil {
			return errPacked
		}
		return checkSize(int64(n), unpacked)
	default:
		return fmt.Errorf("it is compressed by %s, which is not supported", codec)
	}
}

func checkSize(n, declared int64) error {
	if n != declared {
		return errPageLen
	}
	return nil
}

func checkUnpacks(r io.Reader, declared int64) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, declared+1))
	if err != nil {
		return errPacked
	}
	return checkSize(n, declared)
}

// zstdSize is what one Zstandard frame unpacks to, if it says so and is all the
// data (RFC 8878, section 3.1.1). The library checks that the frame keeps to it.
func zstdSize(packed []byte) (int64, bool) {
	var h zstd.Header
	if err := h.Decode(packed); err != nil || h.Skippable || !h.HasFCS || h.FrameContentSize > pageMemory {
		return 0, false
	}
	rest := packed[h.HeaderSize:]
	for last := false; !last; {
		if len(rest) < 3 {
			return 0, false
		}
		block := uint(rest[0]) | uint(rest[1])<<8 | uint(rest[2])<<16
		size := block >> 3
		if block>>1&3 == 1 { // one byte, repeated
			size = 1
		}
		if rest = rest[3:]; size > uint(len(rest)) {
			return 0, false
		}
		rest, last = rest[size:], block&1 == 1
	}
	if h.HasCheckSum {
		if len(rest) < 4 {
			return 0, false
		}
		rest = rest[4:]
	}
	return int64(h.FrameContentSize), len(rest) == 0
}
