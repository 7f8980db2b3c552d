// Package parallel runs loops on a fixed number of goroutines. What a loop
// computes must not depend on which goroutine ran which task: the number of
// tasks and their borders never depend on the number of threads.
package parallel

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// Pool is a set of goroutines that waits for loops. The zero value is not
// usable; a Pool must be closed.
type Pool struct {
	threads int
	loops   chan *loop
}

type loop struct {
	tasks  int64
	next   atomic.Int64
	run    func(task int)
	done   sync.WaitGroup
	caught atomic.Pointer[PanicError]
}

// New starts a pool that runs loops on the given number of threads, the
// caller's included; less than 1 means all processors.
func New(threads int) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, loops: make(chan *loop)}
	for range threads - 1 {
		go p.serve()
	}
	return p
}

// Close ends the pool's goroutines. No loop may be running.
func (p *Pool) Close() { close(p.loops) }

// Threads is the number of goroutines that work on a loop.
func (p *Pool) Threads() int { return p.threads }

func (p *Pool) serve() {
	for l := range p.loops {
		l.work()
		l.done.Done()
	}
}

// Run calls run(0) … run(tasks-1), each once, and returns when all have
// returned. A panic in a task is raised again in the caller: with its own
// value where the caller ran the task alone, else as a *PanicError.
func (p *Pool) Run(tasks int, run func(task int)) {
	if p.threads == 1 || tasks <= 1 {
		for i := range tasks {
			run(i)
		}
		return
	}
	l := &loop{tasks: int64(tasks), run: run}
	for range min(p.threads, tasks) - 1 {
		l.done.Add(1)
		select {
		case p.loops <- l:
		default:
			// Every goroutine is busy (a loop within a loop): do without.
			l.done.Done()
		}
	}
	l.work()
	l.done.Wait()
	if v := l.caught.Load(); v != nil {
		panic(v)
	}
}

func (l *loop) work() {
	defer func() {
		if p := caught(recover()); p != nil {
			l.caught.CompareAndSwap(nil, p)
		}
	}()
	for {
		i := l.next.Add(1) - 1
		if i >= l.tasks {
			return
		}
		l.run(int(i))
	}
}

// Chunks cuts 0 … n-1 into runs of size (the last may be shorter) and calls
// run for each; sums per chunk, added up in chunk order, are the same for any
// number of threads.
func (p *Pool) Chunks(n, size int, run func(chunk, lo, hi int)) {
	p.Run((n+size-1)/size, func(c int) {
		run(c, c*size, min(n, (c+1)*size))
	})
}
