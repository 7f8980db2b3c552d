package policy

import (
	"fmt"

	"cloister/trust/approval"
	"cloister/trust/document"
)

// Freeze is an owner's order to stop all releases of its keys at once, which any
// one of its keys signs, or to allow them again, which as many must sign as for
// anything else.
type Freeze struct {
	Broker Name
	// First is the hash of the broker's first policy, which tells it from others of
	// the same name.
	First Hash
	Owner Name
	// Number grows with each order of the owner, so that none is used twice.
	Number uint64
	Thaw   bool
}

func (f *Freeze) purpose() approval.Purpose {
	if f.Thaw {
		return approval.ForUnfreeze
	}
	return approval.ForFreeze
}

// Statement is what is signed.
func (f *Freeze) Statement() []byte {
	what := "freeze"
	if f.Thaw {
		what = "unfreeze"
	}
	return fmt.Appendf(nil, "cloister owner %s\npurpose: %s\nbroker: %s\nfirst policy: %s\nowner: %s\nnumber: %d\n",
		what, document.Quote(string(f.purpose())), document.Quote(string(f.Broker)), f.First, document.Quote(string(f.Owner)), f.Number)
}

// CheckFreeze accepts an order. first is the hash of the broker's first policy,
// last the number of the owner's last order. An order of a recovery key counts as
// that of any other key for freezing, and not for the opposite.
func (p *Policy) CheckFreeze(f *Freeze, first Hash, last uint64, signatures []*approval.Signature) error {
	owner := p.Owners[f.Owner]
	refused := func(format string, args ...any) error {
		return fmt.Errorf("%w: %w", ErrRefused, fmt.Errorf(format, args...))
	}
	switch {
	case owner == nil:
		return refused("there is no owner %s", document.Quote(string(f.Owner)))
	case f.Broker != p.Broker || f.First != first || first.IsZero():
		return refused("the order is for another broker")
	case f.Number <= last:
		return refused("the order has number %d, and %s has given number %d already", f.Number, f.Owner, last)
	}
	if f.Thaw {
		if !owner.signed(approval.ForUnfreeze, f.Statement(), signatures) {
			return refused("%d of the keys of %s must sign to allow releases again", owner.Threshold, f.Owner)
		}
		return nil
	}
	keys := append([]approval.PublicKey{owner.Recovery}, owner.Keys...)
	if approval.Count(keys, approval.ForFreeze, f.Statement(), signatures) == 0 {
		return refused("no key of %s signed the order", f.Owner)
	}
	return nil
}
