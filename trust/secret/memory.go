package secret

import "sync"

// Short secrets lie in locked regions, in slots of slotSize bytes; a lock is of
// whole pages, so a page must not hold two allocations that are unlocked at
// different times. Longer ones, and those for which no region can be had, lie
// on the heap, which Go does not move.
const (
	slotSize    = 64
	regionSize  = 64 << 10
	mostRegions = 16 // RLIMIT_MEMLOCK is often 8 MiB, sometimes 64 KiB
)

var arena struct {
	sync.Mutex
	free    []*slot
	regions int
	full    bool // no more regions are to be had
}

type slot [slotSize]byte

// allocate returns n zero bytes.
func allocate(n int) ([]byte, *slot) {
	if n > slotSize || n == 0 {
		return make([]byte, n), nil
	}
	arena.Lock()
	defer arena.Unlock()
	if len(arena.free) == 0 && !grow() {
		return make([]byte, n), nil
	}
	last := len(arena.free) - 1
	s := arena.free[last]
	arena.free = arena.free[:last]
	return s[:n:n], s
}

// release zeroes the memory and gives it back.
func release(b []byte, s *slot) {
	clear(b)
	if s == nil {
		return
	}
	arena.Lock()
	defer arena.Unlock()
	arena.free = append(arena.free, s)
}

// grow adds a region, with the arena locked.
func grow() bool {
	if arena.full || arena.regions == mostRegions {
		return false
	}
	region, err := lockedRegion(regionSize)
	if err != nil {
		arena.full = true
		return false
	}
	arena.regions++
	for i := 0; i < len(region); i += slotSize {
		arena.free = append(arena.free, (*slot)(region[i:]))
	}
	return true
}
