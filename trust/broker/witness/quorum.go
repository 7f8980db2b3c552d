package witness

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/broker/audit"
)

// ErrNoQuorum says that not as many witnesses co-signed as must. It may be tried
// again.
var ErrNoQuorum = errors.New("not more than half of the witnesses co-signed, or not as many as the policy wants")

// DefaultTimeout bounds one witness's answer.
const DefaultTimeout = 10 * time.Second

// Set is a log and its witnesses, as a policy names them.
type Set struct {
	Log       note.Verifier
	Witnesses []*Verifier
	// Quorum is how many must co-sign: more than half. 0 is the least number that is.
	Quorum int
}

// Need is the number of witnesses that must co-sign.
func (s *Set) Need() int {
	if s.Quorum == 0 {
		return len(s.Witnesses)/2 + 1
	}
	return s.Quorum
}

// check refuses a set in which one key could count twice: a co-signature does
// not cover the name.
func (s *Set) check() error {
	if len(s.Witnesses) == 0 {
		return errors.New("no witnesses are named: name some, or go on with " + audit.InsecureNoWitness)
	}
	if n := len(s.Witnesses); s.Need() <= n/2 || s.Need() > n {
		return fmt.Errorf("%d of %d witnesses are to co-sign: more than half must, and there are no more than %d", s.Quorum, n, n)
	}
	for i, w := range s.Witnesses {
		for _, other := range s.Witnesses[:i] {
			if w.name == other.name || w.key.Equal(other.key) {
				return fmt.Errorf("witnesses %s and %s have the same name or the same key", other.name, w.name)
			}
		}
	}
	return nil
}

// Verify verifies that the log and as many of the witnesses as must signed a
// checkpoint.
func (s *Set) Verify(signed []byte) (*audit.Witnessed, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	others := make([]note.Verifier, len(s.Witnesses))
	for i, w := range s.Witnesses {
		others[i] = w
	}
	c, n, err := audit.OpenCheckpoint(signed, s.Log, others...)
	if err != nil {
		return nil, err
	}
	out := &audit.Witnessed{Checkpoint: *c, Note: string(signed)}
	for _, sig := range n.Sigs {
		for _, w := range s.Witnesses {
			if sig.Name != w.name || sig.Hash != w.hash {
				continue
			}
			at, err := signedAt(sig.Base64)
			if err != nil {
				return nil, err
			}
			out.Witnesses = append(out.Witnesses, w.name)
			out.Times = append(out.Times, at)
		}
	}
	if got := len(out.Witnesses); got < s.Need() {
		return nil, fmt.Errorf("checkpoint of %d entries: %d of %d witnesses co-signed, and %d must: %w", c.Size, got, len(s.Witnesses), s.Need(), ErrNoQuorum)
	}
	out.Time, _ = out.Medians()
	return out, nil
}

// Quorum asks witnesses. It is an audit.Quorum.
type Quorum struct {
	set     Set
	clients []*client
	timeout time.Duration

	ctx    context.Context // of the answers that come after the decision
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

// NewQuorum returns the quorum of a log's witnesses, of whom as many as need must
// co-sign, or more than half if that is 0. Each answer is waited for
// up to the timeout, DefaultTimeout if it is zero. Close ends it.
func NewQuorum(log note.Verifier, peers []Peer, need int, timeout time.Duration) (*Quorum, error) {
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	q := &Quorum{set: Set{Log: log, Quorum: need}, timeout: timeout}
	for _, p := range peers {
		c, err := newClient(p)
		if err != nil {
			return nil, err
		}
		q.clients = append(q.clients, c)
		q.set.Witnesses = append(q.set.Witnesses, p.Key)
	}
	if err := q.set.check(); err != nil {
		return nil, err
	}
	q.ctx, q.cancel = context.WithCancel(context.Background())
	return q, nil
}

// Close ends what is still asked.
func (q *Quorum) Close() {
	q.cancel()
	q.wg.Wait()
	for _, c := range q.clients {
		c.Client.CloseIdleConnections()
	}
}

// Cosign implements audit.Quorum. It asks all witnesses at once and returns when
// enough have answered, or when enough no longer can. The others are asked to
// the end all the same, so that none falls behind.
func (q *Quorum) Cosign(ctx context.Context, cp *audit.Checkpoint, signed []byte, prove func(int64) (tlog.TreeProof, error)) (*audit.Witnessed, error) {
	type reply struct {
		name string
		sig  *cosignature
		err  error
	}
	replies := make(chan reply, len(q.clients))
	for _, c := range q.clients {
		q.wg.Go(func() {
			ctx, cancel := context.WithTimeout(q.ctx, q.timeout)
			defer cancel()
			sig, err := c.cosign(ctx, cp, signed, prove)
			replies <- reply{c.Key.name, sig, err}
		})
	}
	var got []string
	var refused []error
	conflicts := 0
	for len(got) < q.set.Need() && len(refused) <= len(q.clients)-q.set.Need() {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case r := <-replies:
			if r.err == nil {
				got = append(got, r.sig.line)
				continue
			}
			if errors.Is(r.err, errConflict) {
				conflicts++
			}
			refused = append(refused, fmt.Errorf("witness %s: %w", r.name, r.err))
		}
	}
	if len(got) >= q.set.Need() {
		slices.Sort(got)
		return q.set.Verify(append(slices.Clone(signed), strings.Join(got, "")...))
	}
	why := errors.Join(refused...)
	if len(q.clients)-conflicts < q.set.Need() {
		return nil, fmt.Errorf("%w: %w", audit.ErrForked, why)
	}
	return nil, fmt.Errorf("%w: %w", ErrNoQuorum, why)
}

// None is the quorum of nobody, audit.InsecureNoWitness: a restored or copied
// store can repeat what was done.
type None struct {
	Now func() time.Time
}

// Cosign implements audit.Quorum.
func (n None) Cosign(_ context.Context, cp *audit.Checkpoint, signed []byte, _ func(int64) (tlog.TreeProof, error)) (*audit.Witnessed, error) {
	return &audit.Witnessed{Checkpoint: *cp, Note: string(signed), Time: n.Now().UTC(), Insecure: audit.InsecureNoWitness}, nil
}

// VerifyProof verifies offline that the entry with this line is in the log, in
// a checkpoint that the log and as many of the witnesses as must signed.
func (s *Set) VerifyProof(p *audit.Proof, line []byte) (*audit.Witnessed, error) {
	w, err := s.Verify(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	if err := p.Check(&w.Checkpoint, line); err != nil {
		return nil, err
	}
	return w, nil
}
