package broker

import "testing"

func TestCollectAt(t *testing.T) {
	t.Parallel()
	if liveHeap() == 0 {
		t.Error("the runtime does not say what is held")
	}
	for live, want := range map[uint64]int{0: 1600, 1 << 20: 1600, 4 << 20: 1600, 8 << 20: 800, 64 << 20: 100, 1 << 40: 100} {
		if got := collectAt(live); got != want {
			t.Errorf("%d bytes: %d, want %d", live, got, want)
		}
	}
}
