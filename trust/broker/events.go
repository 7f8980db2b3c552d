package broker

import "sync"

// events ends the streams of those who watch when the broker stops.
type events struct {
	once sync.Once
	done chan struct{}
}

func newEvents() *events { return &events{done: make(chan struct{})} }

func (e *events) close() { e.once.Do(func() { close(e.done) }) }
