package parallel_test

import (
	"sync/atomic"
	"testing"

	"cloister/engine/parallel"
)

func TestRunCallsEachTaskOnce(t *testing.T) {
	t.Parallel()
	for _, threads := range []int{1, 2, 3, 8} {
		p := parallel.New(threads)
		seen := make([]atomic.Int32, 1000)
		for range 50 {
			p.Run(len(seen), func(i int) { seen[i].Add(1) })
		}
		for i := range seen {
			if got := seen[i].Load(); got != 50 {
				t.Fatalf("%d threads: task %d ran %d times, want 50", threads, i, got)
			}
		}
		p.Close()
	}
}

func TestLoopsWithinLoops(t *testing.T) {
	t.Parallel()
	p := parallel.New(3)
	defer p.Close()
	var sum atomic.Int64
	p.Run(10, func(int) {
		p.Chunks(100, 7, func(_, lo, hi int) { sum.Add(int64(hi - lo)) })
	})
	if got := sum.Load(); got != 1000 {
		t.Fatalf("sum of chunk lengths = %d, want 1000", got)
	}
}

func TestPanicReachesCaller(t *testing.T) {
	t.Parallel()
	p := parallel.New(2)
	defer p.Close()
	defer func() {
		if v := recover(); v != "boom" {
			t.Fatalf("recovered %v, want boom", v)
		}
	}()
	p.Run(100, func(i int) {
		if i == 57 {
			panic("boom")
		}
	})
	t.Fatal("no panic")
}
