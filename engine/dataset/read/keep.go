package read

import (
	"context"
	"slices"
	"sync"
)

// keeper holds the rows of a source that opens once.
type keeper struct {
	mu     sync.Mutex
	chunks []*Batch
}

func newKeeper() *keeper { return &keeper{} }

func (k *keeper) add(b *Batch) {
	c := &Batch{Seq: b.Seq, First: b.First}
	c.copyRows(b, nil)
	k.mu.Lock()
	k.chunks = append(k.chunks, c)
	k.mu.Unlock()
}

func (k *keeper) each(ctx context.Context, threads int, fn func(*Batch) error) error {
	slices.SortFunc(k.chunks, func(a, b *Batch) int { return a.Seq - b.Seq })
	return runTasks(ctx, threads, len(k.chunks), func(i int) error { return fn(k.chunks[i]) })
}

// replay gives the rows again and lets go of them as it goes.
func (k *keeper) replay(ctx context.Context, threads int, fn func(*Batch) error) error {
	slices.SortFunc(k.chunks, func(a, b *Batch) int { return a.Seq - b.Seq })
	return runTasks(ctx, threads, len(k.chunks), func(i int) error {
		b := k.chunks[i]
		k.chunks[i] = nil
		return fn(b)
	})
}

// runTasks calls run(0) … run(n-1) from some goroutines, in ascending order of
// their starts, and returns the error of the lowest task that failed. After a
// failure no later task is started.
func runTasks(ctx context.Context, threads, n int, run func(i int) error) error {
	var mu sync.Mutex
	next, failed := 0, n
	var first error
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if next >= failed || ctx.Err() != nil {
			return -1
		}
		next++
		return next - 1
	}
	var wg sync.WaitGroup
	for range min(threads, n) {
		wg.Go(func() {
			for i := take(); i >= 0; i = take() {
				if err := run(i); err != nil {
					mu.Lock()
					if i < failed {
						failed, first = i, err
					}
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if first != nil {
		return first
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
