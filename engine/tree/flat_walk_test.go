package tree

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestBitsWalkers compares the assembly with what it stands for.
func TestBitsWalkers(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 1))
	for range 300 {
		leaves, width, groups := 1+r.IntN(1+r.IntN(300)), 2+r.IntN(40), r.IntN(9)
		nodes := make([]flatNode, 2*leaves)
		open := []uint32{0}
		for free := uint32(2); len(open) < leaves; free += 2 {
			k := r.IntN(len(open))
			nodes[open[k]] = flatNode{next: free, column: uint16(1 + r.IntN(width-1)), key: uint8(r.IntN(inColumn))}
			open[k] = free
			open = append(open, free+1)
		}
		for _, place := range open {
			nodes[place] = flatNode{next: place}
		}
		cells := make([]cell, groups*width)
		for i := range cells {
			if i%width > 0 {
				for lane := range cells[i] {
					cells[i][lane] = uint8(r.IntN(256))
				}
			}
		}
		got, want := make([]places, groups), make([]places, groups)
		(&flatTree{nodes: nodes}).walk(cells, width, got)
		walkSimply(nodes, cells, width, want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestBitsRanks(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 2))
	for steps := range 11 {
		keys := make([]uint64, 1<<steps-1)
		for range 100 {
			for i := range keys {
				keys[i] = r.Uint64N(uint64(4 * len(keys)))
			}
			slices.Sort(keys)
			var got, want [lanes]uint64
			for lane := range got {
				got[lane] = r.Uint64N(uint64(4*len(keys) + 2))
				at, _ := slices.BinarySearch(keys, got[lane])
				want[lane] = uint64(at)
			}
			simply := got
			toRanksSimply(keys, steps, &simply)
			toRanks(keys, steps, &got)
			if got != want || simply != want {
				t.Fatalf("%d steps: %v, in Go %v, want %v", steps, got, simply, want)
			}
		}
	}
}

func TestTransposeBytes(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(3, 3))
	var m [8]uint64
	for i := range m {
		m[i] = r.Uint64()
	}
	got := m
	transposeBytes(&got)
	for i := range m {
		for k := range m {
			if uint8(got[k]>>(8*i)) != uint8(m[i]>>(8*k)) {
				t.Fatalf("byte %d of word %d is not byte %d of word %d", i, k, k, i)
			}
		}
	}
}
