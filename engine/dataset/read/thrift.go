package read

import (
	"encoding/binary"
	"errors"
)

// The metadata of a Parquet file is in Thrift's compact protocol, whose lists
// and texts say how long they are. The Parquet library believes them; this
// walker looks first, so that a few bytes cannot ask for gigabytes of memory or
// recurse without end.

var (
	errThrift    = errors.New("the metadata is damaged")
	errThriftEnd = errors.New("the metadata ends too early")
)

// Types of the compact protocol.
const (
	thriftTrue   = 1
	thriftFalse  = 2
	thriftByte   = 3
	thriftI16    = 4
	thriftI32    = 5
	thriftI64    = 6
	thriftDouble = 7
	thriftBinary = 8
	thriftList   = 9
	thriftSet    = 10
	thriftStruct = 12
	thriftUUID   = 13
)

const (
	thriftDepth = 24
	// thriftLeast is the least number of bytes of a structure in a list; what
	// Parquet has in lists is longer.
	thriftLeast = 3
)

type thrift struct {
	b     []byte
	p     int
	depth int
	err   error
}

func (r *thrift) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.p = len(r.b)
}

func (r *thrift) byte() byte {
	if r.p >= len(r.b) {
		r.fail(errThriftEnd)
		return 0
	}
	c := r.b[r.p]
	r.p++
	return c
}

func (r *thrift) uvarint() uint64 {
	if r.err != nil {
		return 0
	}
	v, n := binary.Uvarint(r.b[r.p:])
	switch {
	case n == 0:
		r.fail(errThriftEnd)
	case n < 0:
		r.fail(errThrift)
	default:
		r.p += n
	}
	return v
}

// int reads a signed number.
func (r *thrift) int() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (r *thrift) skipBytes(n uint64) {
	if n > uint64(len(r.b)-r.p) {
		r.fail(errThriftEnd)
		return
	}
	r.p += int(n)
}

// fields calls field for each field of a structure; it returns false to have
// the field skipped.
func (r *thrift) fields(field func(id int64, kind byte) bool) {
	if r.depth++; r.depth > thriftDepth {
		r.fail(errThrift)
	}
	defer func() { r.depth-- }()
	id := int64(0)
	for r.err == nil {
		c := r.byte()
		kind := c & 15
		if r.err != nil || c == 0 {
			return
		}
		if delta := int64(c >> 4); delta > 0 {
			id += delta
		} else {
			id = r.int()
		}
		if !field(id, kind) {
			r.skip(kind)
		}
	}
}

// list calls item for each item of a list.
func (r *thrift) list(item func(kind byte) bool) {
	c := r.byte()
	n, kind := uint64(c>>4), c&15
	if n == 15 {
		n = r.uvarint()
	}
	least := uint64(1)
	if kind == thriftStruct {
		least = thriftLeast
	}
	if r.err == nil && n > uint64(len(r.b)-r.p)/least {
		r.fail(errThriftEnd)
	}
	for ; n > 0 && r.err == nil; n-- {
		start := r.p
		if !item(kind) {
			if kind == thriftTrue || kind == thriftFalse {
				r.byte()
			} else {
				r.skip(kind)
			}
		}
		if r.err == nil && r.p-start < int(least) {
			r.fail(errThrift)
		}
	}
}

func (r *thrift) skip(kind byte) {
	switch kind {
	case thriftTrue, thriftFalse:
	case thriftByte:
		r.byte()
	case thriftI16, thriftI32, thriftI64:
		r.uvarint()
	case thriftDouble:
		r.skipBytes(8)
	case thriftUUID:
		r.skipBytes(16)
	case thriftBinary:
		r.skipBytes(r.uvarint())
	case thriftList, thriftSet:
		r.nested(func() { r.list(func(byte) bool { return false }) })
	case thriftStruct:
		r.fields(func(int64, byte) bool { return false })
	default: // Parquet has no maps
		r.fail(errThrift)
	}
}

func (r *thrift) nested(read func()) {
	if r.depth++; r.depth > thriftDepth {
		r.fail(errThrift)
		return
	}
	read()
	r.depth--
}

// schemaDepth bounds the nesting of a Parquet file's columns.
const schemaDepth = 64

// checkFooter walks a file's metadata.
func checkFooter(footer []byte) error {
	r := &thrift{b: footer}
	var children []int64
	r.fields(func(id int64, kind byte) bool {
		if id != 2 || kind != thriftList {
			return false
		}
		r.list(func(kind byte) bool {
			if kind != thriftStruct {
				return false
			}
			n := int64(0)
			r.fields(func(id int64, kind byte) bool {
				if id != 5 || kind != thriftI32 {
					return false
				}
				n = r.int()
				return true
			})
			children = append(children, n)
			return true
		})
		return true
	})
	if r.err != nil {
		return r.err
	}
	// The schema lists the tree's nodes depth first.
	var open []int64
	for _, n := range children {
		if len(open) > 0 {
			open[len(open)-1]--
		}
		if n < 0 || n > int64(len(children)) || len(open) > schemaDepth {
			return errThrift
		}
		if n > 0 {
			open = append(open, n)
		}
		for len(open) > 0 && open[len(open)-1] == 0 {
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 || len(children) == 0 {
		return errThrift
	}
	return nil
}

// pageHeader is what matters of a Parquet page's header.
type pageHeader struct {
	kind                 int64 // 0 and 3 hold values, 2 is a dictionary
	unpacked, packed     int64 // bytes
	values               int64
	size                 int // of the header
	levelsRep, levelsDef int64
	plain                bool // a page of version 2 is not packed
}

// parsePageHeader reads the header at the start of b.
func parsePageHeader(b []byte) (pageHeader, error) {
	r := &thrift{b: b}
	h := pageHeader{kind: -1, unpacked: -1, packed: -1, values: -1}
	r.fields(func(id int64, kind byte) bool {
		switch {
		case kind == thriftI32 && id == 1:
			h.kind = r.int()
		case kind == thriftI32 && id == 2:
			h.unpacked = r.int()
		case kind == thriftI32 && id == 3:
			h.packed = r.int()
		case kind == thriftStruct && (id == 5 || id == 7 || id == 8):
			r.fields(func(inner int64, kind byte) bool {
				switch {
				case inner == 1 && kind == thriftI32:
					h.values = r.int()
				case id == 8 && inner == 5 && kind == thriftI32:
					h.levelsDef = r.int()
				case id == 8 && inner == 6 && kind == thriftI32:
					h.levelsRep = r.int()
				case id == 8 && inner == 7 && (kind == thriftTrue || kind == thriftFalse):
					h.plain = kind == thriftFalse
				default:
					return false
				}
				return true
			})
		default:
			return false
		}
		return true
	})
	h.size = r.p
	return h, r.err
}
