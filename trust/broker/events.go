package broker

import "sync"

// events tells those who watch that the log grew.
type events struct {
	mu     sync.Mutex
	closed bool
	next   chan struct{}
}

func newEvents() *events { return &events{next: make(chan struct{})} }

// grown wakes all who wait.
func (e *events) grown() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		close(e.next)
		e.next = make(chan struct{})
	}
}

// wait returns what is closed when the log grows or the broker stops, and
// whether it has stopped.
func (e *events) wait() (grown <-chan struct{}, stopped bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.next, e.closed
}

func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.closed {
		e.closed = true
		close(e.next)
	}
}
