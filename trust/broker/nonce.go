package broker

import (
	"crypto/subtle"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
)

// nonces are those that were given out and not used. They live in memory: a
// broker that starts again has none.
type nonces struct {
	now       func() time.Time // of the process, not to be set back
	random    io.Reader
	life      time.Duration
	perClient int
	most      int

	mu    sync.Mutex
	open  map[Digest]nonce
	count map[string]int // by client
	order []Digest       // by expiry; may hold used ones
}

type nonce struct {
	client  string
	keyHash Digest
	expires time.Time
}

func newNonces(now func() time.Time, random io.Reader, l *Limits) *nonces {
	return &nonces{
		now: now, random: random, life: l.NonceLife, perClient: l.NoncesPerClient, most: l.Nonces,
		open: map[Digest]nonce{}, count: map[string]int{},
	}
}

// issue makes a nonce that only the key of a hash can use.
func (n *nonces) issue(client string, keyHash Digest) (Digest, time.Duration, error) {
	var d Digest
	if _, err := io.ReadFull(n.random, d[:]); err != nil {
		return d, 0, fmt.Errorf("nonce: %w", err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.now()
	n.expire(now)
	switch {
	case n.count[client] >= n.perClient:
		return d, 0, refuse(CodeTooMany, "this client has %d nonces that it has not used; they expire within %s", n.count[client], n.life)
	case len(n.open) >= n.most:
		return d, 0, refuse(CodeBusy, "too many nonces are in use; try again within %s", n.life)
	}
	n.open[d] = nonce{client, keyHash, now.Add(n.life)}
	n.count[client]++
	n.order = append(n.order, d)
	if len(n.order) > 2*n.most {
		// Most were used: they need not wait for the end of their time.
		n.order = slices.DeleteFunc(n.order, func(d Digest) bool { _, open := n.open[d]; return !open })
	}
	return d, n.life, nil
}

// expire forgets the nonces that are too old, with the lock held.
func (n *nonces) expire(now time.Time) {
	i := 0
	for ; i < len(n.order); i++ {
		one, ok := n.open[n.order[i]]
		if ok && now.Before(one.expires) {
			break
		}
		if ok {
			n.remove(n.order[i], one)
		}
	}
	// The array behind does not grow for ever: append copies what is left.
	n.order = n.order[i:]
}

func (n *nonces) remove(d Digest, one nonce) {
	delete(n.open, d)
	if n.count[one.client]--; n.count[one.client] == 0 {
		delete(n.count, one.client)
	}
}

// take uses a nonce up, whether or not the key fits.
func (n *nonces) take(d, keyHash Digest) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	one, ok := n.open[d]
	if !ok {
		return refuse(CodeNonce, "the nonce is not one of this broker's, was used before, or has expired")
	}
	n.remove(d, one)
	switch {
	case !n.now().Before(one.expires):
		return refuse(CodeNonce, "the nonce has expired: it is valid for %s", n.life)
	case subtle.ConstantTimeCompare(one.keyHash[:], keyHash[:]) != 1:
		return refuse(CodeNonce, "the nonce was given out for another key")
	}
	return nil
}
