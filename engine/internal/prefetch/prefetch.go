// Package prefetch asks the processor to fetch memory that will be read soon.
// Rows of a leaf deep in a tree lie far apart, and the processor looks only so
// far ahead by itself: without a hint every row is a wait for main memory. A
// hint changes no result and never faults.
package prefetch

import "unsafe"

const line = 64 // bytes that come together

// Rows asks for the elements rows[i]*width … rows[i]*width+width-1 of base. The
// rows must lie within base.
func Rows[T any](base []T, width int, rows []uint32) {
	if len(base) == 0 || len(rows) == 0 {
		return
	}
	size := unsafe.Sizeof(base[0]) * uintptr(width)
	first := uintptr(unsafe.Pointer(unsafe.SliceData(base)))
	for at := uintptr(0); at < size; at += line {
		stride(first+at, size, unsafe.SliceData(rows), len(rows))
	}
	if size > line/2 && size%line != 0 && line%size != 0 {
		// The last element may lie in a line of its own.
		stride(first+size-1, size, unsafe.SliceData(rows), len(rows))
	}
}

// Places asks for the given number of bytes from each base[places[i]] on. What
// lies beyond the end of base is no harm.
func Places[T any](base []T, bytes int, places []uint32) {
	if len(base) == 0 || len(places) == 0 {
		return
	}
	first := uintptr(unsafe.Pointer(unsafe.SliceData(base)))
	for at := 0; at < bytes; at += line {
		stride(first+uintptr(at), unsafe.Sizeof(base[0]), unsafe.SliceData(places), len(places))
	}
}
