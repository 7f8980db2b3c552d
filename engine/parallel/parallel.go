// Package parallel runs loops on a fixed number of goroutines. What a loop
// computes must not depend on which goroutine ran which task: the number of
// tasks and their borders never depend on the number of threads.
package parallel

import (
	"runtime"
	"sync/atomic"
)

// Pool is a set of goroutines that waits for loops. The zero value is not
// usable; a Pool must be closed.
type Pool struct {
	threads int
	spins   int        // times to look for work before sleeping
	loops   chan *loop // for whoever is free; a loop may be over when it is taken
}

type loop struct {
	tasks  int64
	run    func(task int)
	next   atomic.Int64 // the first task that nobody has taken
	ended  atomic.Int64 // tasks that have returned, or never will
	over   chan struct{}
	caught atomic.Pointer[PanicError]
}

// A longSpin is some tens of microseconds: what it takes to wake a sleeping
// thread, and longer than what a training does between two loops.
const (
	longSpin  = 20_000
	shortSpin = 200
)

// New starts a pool that runs loops on the given number of threads, the
// caller's included; less than 1 means all processors.
func New(threads int) *Pool {
	if threads < 1 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, loops: make(chan *loop, 4*threads)}
	if threads <= runtime.GOMAXPROCS(0) {
		p.spins = longSpin
	}
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
	for {
		for i := 0; i < p.spins && len(p.loops) == 0; i++ {
		}
		l, ok := <-p.loops
		if !ok {
			return
		}
		l.work()
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
	l := &loop{tasks: int64(tasks), run: run, over: make(chan struct{})}
	for range min(p.threads, tasks) - 1 {
		select {
		case p.loops <- l:
		default: // there is enough to do for everyone
		}
	}
	l.work()
	for i := 0; i < p.spins && l.ended.Load() < l.tasks; i++ {
	}
	if l.ended.Load() < l.tasks {
		<-l.over
	}
	if v := l.caught.Load(); v != nil {
		panic(v)
	}
}

// Help works on a loop that another goroutine runs, if there is one that lacks
// hands, and reports whether it found any. It is for tasks that would wait.
func (p *Pool) Help() bool {
	select {
	case l, ok := <-p.loops:
		if ok {
			l.work()
		}
		return ok
	default:
		return false
	}
}

// Pause lets some time pass, up to when a loop lacks hands.
func (p *Pool) Pause() {
	if p.spins == 0 {
		runtime.Gosched()
		return
	}
	for i := 0; i < shortSpin && len(p.loops) == 0; i++ {
	}
}

// work runs tasks until none is left. A panic gives up those that nobody has
// taken.
func (l *loop) work() {
	defer func() {
		if p := caught(recover()); p != nil {
			l.caught.CompareAndSwap(nil, p)
			l.end(1 + max(0, l.tasks-l.next.Swap(l.tasks)))
		}
	}()
	for {
		i := l.next.Add(1) - 1
		if i >= l.tasks {
			return
		}
		l.run(int(i))
		l.end(1)
	}
}

func (l *loop) end(tasks int64) {
	if l.ended.Add(tasks) == l.tasks {
		close(l.over)
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
