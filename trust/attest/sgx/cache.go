package sgx

import (
	"container/list"
	"sync"
)

// cache holds what was last used, up to a limit. Its zero value holds nothing.
type cache[K comparable, V any] struct {
	limit int

	mu    sync.Mutex
	items map[K]*list.Element // of cached[K, V]
	order list.List           // last used first
}

type cached[K comparable, V any] struct {
	key   K
	value V
}

func newCache[K comparable, V any](limit int) *cache[K, V] {
	return &cache[K, V]{limit: limit, items: map[K]*list.Element{}}
}

func (c *cache[K, V]) get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.items[key]
	if !ok {
		return value, false
	}
	c.order.MoveToFront(e)
	return e.Value.(cached[K, V]).value, true
}

func (c *cache[K, V]) put(key K, value V) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.items[key]; ok {
		e.Value = cached[K, V]{key, value}
		c.order.MoveToFront(e)
		return
	}
	c.items[key] = c.order.PushFront(cached[K, V]{key, value})
	if c.order.Len() > c.limit {
		last := c.order.Back()
		delete(c.items, c.order.Remove(last).(cached[K, V]).key)
	}
}
