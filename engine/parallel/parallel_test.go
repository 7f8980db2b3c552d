package parallel_test

import (
	"errors"
	"fmt"
	"strings"
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

func TestHelp(t *testing.T) {
	t.Parallel()
	p := parallel.New(2)
	defer p.Close()
	var sum atomic.Int64
	var over atomic.Bool
	p.Run(2, func(task int) {
		if task == 0 {
			for range 100 {
				p.Chunks(100, 7, func(_, lo, hi int) { sum.Add(int64(hi - lo)) })
			}
			over.Store(true)
			return
		}
		for !over.Load() {
			if !p.Help() {
				p.Pause()
			}
		}
	})
	if got := sum.Load(); got != 10_000 {
		t.Fatalf("sum of chunk lengths = %d, want 10000", got)
	}
}

func TestPanicReachesCaller(t *testing.T) {
	t.Parallel()
	p := parallel.New(2)
	defer p.Close()
	defer func() {
		p, ok := recover().(*parallel.PanicError)
		if !ok || p.Value != "boom" || !strings.Contains(string(p.Stack), "TestPanicReachesCaller") {
			t.Fatalf("recovered %+v, want boom and where it came from", p)
		}
	}()
	p.Run(100, func(i int) {
		if i == 57 {
			panic("boom")
		}
	})
	t.Fatal("no panic")
}

func TestCatchKeepsWhereAPanicBegan(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	if err := parallel.Catch(func() error { return plain }); !errors.Is(err, plain) {
		t.Errorf("caught %v, want %v", err, plain)
	}
	parallel.Raise(plain)
	parallel.Raise(nil)
	first := parallel.Catch(func() error { panic("out of luck") })
	again := parallel.Catch(func() error {
		parallel.Raise(fmt.Errorf("wrapped: %w", first))
		return nil
	})
	var p *parallel.PanicError
	if !errors.As(again, &p) || !errors.Is(again, first) || p.Value != "out of luck" ||
		!strings.Contains(string(p.Stack), "TestCatchKeepsWhereAPanicBegan") || !strings.HasPrefix(p.Error(), "out of luck\n\n") {
		t.Errorf("caught %+v", again)
	}
}
