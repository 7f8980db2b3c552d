package broker

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
)

// tally logs requests that never came to a decision: malformed, oversized, slow
// and too many. So that a flood of them cannot fill the store, the first for a
// reason from a client gets a line at once, and those of the next minute one line
// with their number. A client that has more reasons than mostReasons for the same
// code gets one line for the rest.
type tally struct {
	write  func(*audit.Entry) // its own transaction, not waited for
	window time.Duration
	now    func() time.Time

	mu      sync.Mutex
	open    map[tallied]*count
	reasons map[tallied]int // how many are open, by what they have in common
}

type tallied struct {
	client, what string
	code         Code
	reason       string // empty for the rest
}

func (t tallied) common() tallied { t.reason = ""; return t }

type count struct {
	since  time.Time
	n      uint64
	reason string
}

// mostTallied bounds the kinds and clients that are told apart in a minute.
const (
	mostTallied = 1 << 12
	mostReasons = 8
)

func newTally(now func() time.Time, write func(*audit.Entry)) *tally {
	return &tally{write: write, window: time.Minute, now: now, open: map[tallied]*count{}, reasons: map[tallied]int{}}
}

func (t *tally) add(client, what string, p *refusal) {
	key := tallied{client, what, p.code, fmt.Sprintf("%.200s", p.message())}
	t.mu.Lock()
	if t.open[key] == nil && t.reasons[key.common()] >= mostReasons {
		key.reason = ""
	}
	if t.open[key] == nil && len(t.open) >= mostTallied {
		key.client, key.reason = "many", ""
	}
	c := t.open[key]
	if c != nil {
		c.n++
		t.mu.Unlock()
		return
	}
	t.open[key] = &count{since: t.now(), reason: p.message()}
	if key.reason != "" {
		t.reasons[key.common()]++
	}
	t.mu.Unlock()
	t.write(&audit.Entry{
		Type: "request", Client: key.client, Subject: what, Decision: audit.Refused, Reason: p.message(),
		Details: map[string]string{"code": string(p.code)},
	})
}

// flush writes the lines of what was counted, and begins to count anew.
func (t *tally) flush(all bool) {
	var entries []*audit.Entry
	t.mu.Lock()
	now := t.now()
	for key, c := range t.open {
		if !all && now.Sub(c.since) < t.window {
			continue
		}
		delete(t.open, key)
		if key.reason != "" {
			if t.reasons[key.common()]--; t.reasons[key.common()] == 0 {
				delete(t.reasons, key.common())
			}
		}
		if c.n == 0 {
			continue
		}
		entries = append(entries, &audit.Entry{
			Type: "request", Client: key.client, Subject: key.what, Decision: audit.Refused,
			Reason:  fmt.Sprintf("%d more like this within %s: %s", c.n, now.Sub(c.since).Round(time.Second), c.reason),
			Details: map[string]string{"code": string(key.code), "count": strconv.FormatUint(c.n, 10)},
		})
	}
	t.mu.Unlock()
	for _, e := range entries {
		t.write(e)
	}
}

// run flushes until ctx ends, and then a last time.
func (t *tally) run(ctx context.Context) {
	ticker := time.NewTicker(t.window / 4)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			t.flush(false)
		case <-ctx.Done():
			t.flush(true)
			return
		}
	}
}

// writeEntry is the tally's way into the log.
func (s *Server) writeEntry(e *audit.Entry) {
	err := s.store.Update(context.Background(), func(tx *store.Tx) error {
		_, err := s.audit.Append(tx, e)
		return err
	})
	if err != nil {
		s.log.Error("refused requests are not in the audit log", "error", err)
	}
}
