package policy

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"cloister/trust/approval"
	"cloister/trust/document"
)

// ErrRefused is in the chain of every error which says that a policy, or a change
// of one, is not accepted.
var ErrRefused = errors.New("policy refused")

// Change is the step from one version of a policy to the next.
type Change struct {
	Old *Policy // nil for the first version
	New *Policy

	Lines []Line
}

// Compare is the change from old, nil for none, to next. A version that does not
// follow old is refused: an older one above all.
func Compare(old, next *Policy) (*Change, error) {
	c := &Change{Old: old, New: next}
	if err := c.follows(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	classes := newClassifier(c.before(), next)
	for _, d := range document.Diff(old, next) {
		c.Lines = append(c.Lines, classes.line(&d))
	}
	return c, nil
}

func (c *Change) before() *Policy {
	if c.Old == nil {
		return new(Policy)
	}
	return c.Old
}

func (c *Change) follows() error {
	if c.Old == nil {
		if c.New.Version != 1 {
			return fmt.Errorf("the first policy of a broker is version 1, not %d", c.New.Version)
		}
		return nil
	}
	hash := c.Old.Hash()
	switch {
	case c.New.Broker != c.Old.Broker:
		return fmt.Errorf("it is for the broker %s, not %s", c.New.Broker, c.Old.Broker)
	case c.New.Version <= c.Old.Version:
		return fmt.Errorf("version %d does not follow version %d, which is in force: there is no way back to an older policy; write its text as version %d",
			c.New.Version, c.Old.Version, c.Old.Version+1)
	case c.New.Version != c.Old.Version+1:
		return fmt.Errorf("version %d does not follow version %d; the next one is %d", c.New.Version, c.Old.Version, c.Old.Version+1)
	case c.New.Previous != hash:
		return fmt.Errorf("its previous is %s, but the hash of version %d is %s", c.New.Previous, c.Old.Version, hash)
	}
	return nil
}

// Statement is what owners sign: the purpose, the broker, both versions with the
// hashes of their whole canonical forms, and each line that goes (-) or comes
// (+). It is printable ASCII and newlines, and the same for all who have both
// versions.
func (c *Change) Statement() []byte {
	var b bytes.Buffer
	b.WriteString("cloister policy change\n")
	fmt.Fprintf(&b, "purpose: %s\n", document.Quote(string(approval.ForPolicy)))
	fmt.Fprintf(&b, "broker: %s\n", document.Quote(string(c.New.Broker)))
	if c.Old == nil {
		b.WriteString("from: none\n")
	} else {
		fmt.Fprintf(&b, "from: version %d, %s\n", c.Old.Version, c.Old.Hash())
	}
	fmt.Fprintf(&b, "to: version %d, %s\n\n", c.New.Version, c.New.Hash())
	for _, l := range c.Lines {
		if l.Old != "" {
			b.WriteString("- " + l.Old + "\n")
		}
		if l.New != "" {
			b.WriteString("+ " + l.New + "\n")
		}
	}
	return b.Bytes()
}

// Needs is whose signatures a change needs.
type Needs struct {
	// Approvals owners of Of must sign.
	Approvals uint64 `json:"approvals"`
	Of        []Name `json:"of"`
	// Must are those who must be among them or sign besides, each with the reason.
	Must []Must `json:"must"`
}

// Must is an owner who must sign, and why.
type Must struct {
	Owner Name   `json:"owner"`
	Why   string `json:"why"`
	// Recovery says that the owner's recovery key does as well.
	Recovery bool `json:"recovery,omitempty"`
}

// Needs says whose signatures the change needs: k of the owners before it, and
// everyone whose keys it opens to more, whose own keys it changes, or who joins.
// The first version needs all of its owners.
func (c *Change) Needs() Needs {
	n := Needs{Approvals: c.before().Approvals, Of: sortedNames(c.before().Owners)}
	why := make(map[Name]*must)
	for i := range c.Lines {
		l := &c.Lines[i]
		for _, name := range l.Owners {
			m := why[name]
			if m == nil {
				m = new(must)
			}
			switch l.Effect {
			case Joins:
				m.joins = true
			case Identity:
				m.identity = true
				m.recovery = m.recovery || strings.HasPrefix(l.field, "recovery")
			case Widens:
				m.widens = append(m.widens, l.Path)
			case Narrows, Governs, Chain, Leaves:
				continue
			}
			why[name] = m
		}
	}
	for _, name := range sortedNames(why) {
		m := why[name]
		can := c.Old != nil && m.identity && !m.recovery && c.onlyReplaces(name) && !c.Old.Owners[name].Recovery.IsZero()
		n.Must = append(n.Must, Must{Owner: name, Why: m.text(c.Old == nil), Recovery: can})
	}
	if c.Old == nil {
		n.Of = sortedNames(c.New.Owners)
		n.Approvals = uint64(len(n.Of))
	}
	return n
}

// onlyReplaces reports whether the change replaces an owner's keys and does
// nothing else: a recovery key stands for its owner in that alone, and not in
// what somebody would have it sign on the way.
func (c *Change) onlyReplaces(name Name) bool {
	return !slices.ContainsFunc(c.Lines, func(l Line) bool {
		return l.Effect != Chain && (l.Effect != Identity || l.Owners[0] != name)
	})
}

// must is why an owner must sign.
type must struct {
	joins, identity bool
	recovery        bool // the recovery key itself is changed
	widens          []document.Path
}

func (m *must) text(first bool) string {
	switch {
	case m.joins && first:
		return "is an owner of the first version"
	case m.joins:
		return "joins"
	}
	var all []string
	if m.identity {
		all = append(all, "its own keys change")
	}
	if n := len(m.widens); n > 0 {
		text := "its keys are opened to more by " + string(m.widens[0])
		if n > 1 {
			text += fmt.Sprintf(" and %d more", n-1)
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}

// Destroys are the owners who leave. The broker destroys their keys when the
// change takes effect, so that whoever comes under the same name later gets
// none of them.
func (c *Change) Destroys() []Name {
	var gone []Name
	for _, name := range sortedNames(c.before().Owners) {
		if c.New.Owners[name] == nil {
			gone = append(gone, name)
		}
	}
	return gone
}

// Waits is how long the change waits after its last signature: the delay of the
// version before, if anybody's keys are opened to more or are replaced.
func (c *Change) Waits() time.Duration {
	if c.Old != nil && slices.ContainsFunc(c.Lines, func(l Line) bool { return l.Effect == Widens || l.Effect == Identity }) {
		return c.Old.Delay()
	}
	return 0
}

// Approval is what signatures say about a change.
type Approval struct {
	Approved []Name   `json:"approved"` // owners, enough of whose keys signed
	Missing  []string `json:"missing,omitempty"`
}

// Complete reports whether nothing is missing.
func (a *Approval) Complete() bool { return len(a.Missing) == 0 }

// Check says which owners have signed and what is missing. frozen are the owners
// who froze their keys by a statement of their own: what they sign does not
// count, since they said that a key is not theirs alone, but for their recovery
// key, which may replace it.
func (c *Change) Check(signatures []*approval.Signature, frozen []Name) *Approval {
	statement, needs := c.Statement(), c.Needs()
	a := new(Approval)
	approved := make(map[Name]bool)
	for _, name := range everyone(c.before(), c.New) {
		if c.approves(name, needs, statement, signatures, slices.Contains(frozen, name)) {
			approved[name] = true
			a.Approved = append(a.Approved, name)
		}
	}
	var count uint64
	for _, name := range needs.Of {
		if approved[name] {
			count++
		}
	}
	if count < needs.Approvals {
		a.Missing = append(a.Missing, fmt.Sprintf("%d of %d owners have signed, %d must", count, len(needs.Of), needs.Approvals))
	}
	for _, m := range needs.Must {
		if !approved[m.Owner] {
			a.Missing = append(a.Missing, fmt.Sprintf("%s must sign: %s", m.Owner, m.Why))
		}
	}
	return a
}

// approves reports whether an owner has signed. Whoever was an owner before signs
// with the keys from before.
func (c *Change) approves(name Name, needs Needs, statement []byte, signatures []*approval.Signature, frozen bool) bool {
	owner := c.before().Owners[name]
	if owner == nil {
		owner = c.New.Owners[name]
	}
	at := slices.IndexFunc(needs.Must, func(m Must) bool { return m.Owner == name })
	if at >= 0 && needs.Must[at].Recovery &&
		approval.Count([]approval.PublicKey{owner.Recovery}, approval.ForPolicy, statement, signatures) == 1 {
		return true
	}
	return !frozen && owner.signed(approval.ForPolicy, statement, signatures)
}

// signed reports whether enough of the owner's keys signed.
func (o *Owner) signed(purpose approval.Purpose, message []byte, signatures []*approval.Signature) bool {
	return o.Threshold > 0 && uint64(approval.Count(o.Keys, purpose, message, signatures)) >= o.Threshold
}

// Signed reports whether the owner of that name signed a message for a purpose
// with as many of its keys as it must.
func (p *Policy) Signed(name Name, purpose approval.Purpose, message []byte, signatures []*approval.Signature) bool {
	owner := p.Owners[name]
	return owner != nil && owner.signed(purpose, message, signatures)
}

// Applied is a change that has taken effect.
type Applied struct {
	Policy   *Policy
	Approved []Name
	// Destroy are the owners whose keys the broker must destroy before it releases
	// anything under the new policy.
	Destroy []Name
}

// NotYetError says that a change is complete and waits.
type NotYetError struct{ Until time.Time }

func (e *NotYetError) Error() string {
	return "the change is signed and waits until " + stamp(e.Until)
}

// Apply makes next the policy in force if its change from old, nil for none, has
// the signatures that it needs and has waited. complete is when the last of them
// came in, now the broker's time.
func Apply(old, next *Policy, signatures []*approval.Signature, frozen []Name, complete, now time.Time) (*Applied, error) {
	c, err := Compare(old, next)
	if err != nil {
		return nil, err
	}
	a := c.Check(signatures, frozen)
	if !a.Complete() {
		return nil, fmt.Errorf("%w: the change to version %d lacks signatures: %s", ErrRefused, next.Version, strings.Join(a.Missing, "; "))
	}
	if until := complete.Add(c.Waits()); now.Before(until) {
		return nil, fmt.Errorf("%w: %w", ErrRefused, &NotYetError{until})
	}
	return &Applied{Policy: next, Approved: a.Approved, Destroy: c.Destroys()}, nil
}

// OwnerOf is the owner of a key, a recovery key among them, or "".
func (p *Policy) OwnerOf(key approval.PublicKey) Name {
	for _, name := range sortedNames(p.Owners) {
		owner := p.Owners[name]
		if !key.IsZero() && (owner.Recovery == key || slices.Contains(owner.Keys, key)) {
			return name
		}
	}
	return ""
}
