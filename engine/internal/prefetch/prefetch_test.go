package prefetch

import (
	"testing"
)

// A hint has no result; what can be tested is that it harms nothing, with rows
// of every width, at both ends of the memory.
func TestRows(t *testing.T) {
	t.Parallel()
	for width := range 20 {
		base := make([]uint64, 100*width)
		for i := range base {
			base[i] = uint64(i)
		}
		Rows(base, width, []uint32{0, 99, 50})
		Rows(base, width, nil)
		Places(base, 8*width, []uint32{0, 99, 50})
		for i := range base {
			if base[i] != uint64(i) {
				t.Fatalf("width %d changed element %d", width, i)
			}
		}
	}
}
