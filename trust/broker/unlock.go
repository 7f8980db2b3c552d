package broker

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
	"cloister/trust/broker/vault/protector"
	"cloister/trust/broker/vault/shares"
)

// Where no platform seals the root key, every owner gives a share of what opens
// it after each start (protector.OwnersSeal). Whose recipients get the shares is
// said by each owner's signed order; the broker keeps the shares, encrypted to
// them, in its store, and gives an owner the owner's own.

const (
	bucketUnlock  = "broker.unlock"
	keyRecipients = "recipients/" // and the owner: protector.OwnerRecipients
	keyDelivery   = "delivery/"   // and the owner: protector.Delivery
)

// nameUnlockers enters the recipients of an owner.
func (s *Server) nameUnlockers(tx *store.Tx, o *Order) error {
	if s.unlock == nil {
		return refuse(CodeNotFound, "this broker is not unlocked by its owners")
	}
	if err := s.ready(tx); err != nil {
		return err
	}
	if _, err := shares.Recipients(o.Recipients); err != nil {
		return refuse(CodeMalformed, "%w", err)
	}
	if o.Threshold > len(o.Recipients) {
		return refuse(CodeMalformed, "%d of %d recipients", o.Threshold, len(o.Recipients))
	}
	r := protector.OwnerRecipients{Owner: string(o.Owner), Threshold: o.Threshold, Recipients: o.Recipients}
	return putJSON(tx, bucketUnlock, keyRecipients+r.Owner, &r)
}

// ready refuses while a restored broker is not confirmed.
func (s *Server) ready(tx *store.Tx) error {
	state, err := s.vault.Restored(tx)
	if err == nil && state != nil && !state.Open() {
		err = fmt.Errorf("the broker is %w: waiting for %v", vault.ErrRestored, state.Waiting())
	}
	return err
}

// unlockShares returns an owner's shares of what the root key is sealed with.
func (s *Server) unlockShares(tx *store.Tx, owner policy.Name) (*protector.Delivery, error) {
	if s.unlock == nil {
		return nil, refuse(CodeNotFound, "this broker is not unlocked by its owners")
	}
	d := new(protector.Delivery)
	known, err := getJSON(tx, bucketUnlock, keyDelivery+string(owner), d)
	if err == nil && !known {
		err = refuse(CodeConflict, "the root key is not sealed for %s yet: every owner has to name recipients first", owner)
	}
	return d, err
}

// delivered are an owner's shares, or nil if there are none yet.
func (s *Server) delivered(owner policy.Name) (d *protector.Delivery) {
	err := s.store.View(func(tx *store.Tx) (err error) {
		d, err = s.unlockShares(tx, owner)
		return err
	})
	if err != nil {
		return nil
	}
	return d
}

// sealedFor refuses to take keys of an owner without whom the root key opens.
func (s *Server) sealedFor(tx *store.Tx, owner policy.Name) error {
	if s.unlock == nil {
		return nil
	}
	_, err := s.unlockShares(tx, owner)
	return err
}

// deliver keeps the shares that were made for owners. It is called before the
// root file is written.
func (s *Server) deliver(ctx context.Context, all []protector.Delivery) error {
	return s.store.Update(ctx, func(tx *store.Tx) error {
		var gone []string
		for key := range tx.Prefix(bucketUnlock, keyDelivery) {
			kept := func(d protector.Delivery) bool { return keyDelivery+d.Set.Owner == key && len(d.Sealed) == 0 }
			if !slices.ContainsFunc(all, kept) {
				gone = append(gone, key)
			}
		}
		for _, key := range gone {
			if err := tx.Delete(bucketUnlock, key); err != nil {
				return err
			}
		}
		var names []string
		for _, d := range all {
			names = append(names, d.Set.Owner)
			if len(d.Sealed) == 0 {
				continue // the owner keeps the shares there are
			}
			if err := putJSON(tx, bucketUnlock, keyDelivery+d.Set.Owner, &d); err != nil {
				return err
			}
		}
		_, err := s.audit.Append(tx, &audit.Entry{Type: "unlock.sealed", Subject: "root key", Reason: "sealed for " + strings.Join(names, ", ")})
		return err
	})
}

// reseal seals the root key for the owners of the policy in force, if it is not
// yet, and every one of them has named recipients. A new owner without any is
// left out, and its keys are not taken.
func (s *Server) reseal(ctx context.Context) {
	if s.unlock == nil {
		return
	}
	ctx = context.WithoutCancel(ctx)
	s.sealing.Lock()
	defer s.sealing.Unlock()
	if err := s.resealOwners(ctx); err != nil {
		s.log.ErrorContext(ctx, "the root key is not sealed anew for its owners", "error", err)
	}
}

func (s *Server) resealOwners(ctx context.Context) error {
	p := s.inForce.Load()
	if p == nil {
		return nil
	}
	sealed := s.unlock.Sets()
	var want []protector.OwnerRecipients
	var have []shares.Set
	missing, same := 0, true
	err := s.store.View(func(tx *store.Tx) error {
		for name := range p.policy.Owners {
			var r protector.OwnerRecipients
			known, err := getJSON(tx, bucketUnlock, keyRecipients+string(name), &r)
			if err != nil {
				return err
			}
			if !known {
				missing++
				continue
			}
			want = append(want, r)
			var d protector.Delivery
			if known, err = getJSON(tx, bucketUnlock, keyDelivery+string(name), &d); err != nil {
				return err
			}
			if known && d.Set.Threshold == r.Threshold && reflect.DeepEqual(d.Recipients, r.Recipients) && slices.Contains(sealed, d.Set) {
				want[len(want)-1].Keep = d.Set.ID
			} else {
				same = false
			}
			have = append(have, d.Set)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if len(want) == 0 || missing > 0 && len(sealed) == 0 {
		return nil // at first it waits for all
	}
	slices.SortFunc(have, func(a, b shares.Set) int { return strings.Compare(a.Owner, b.Owner) })
	if same && slices.Equal(have, sealed) {
		return nil
	}
	if err := s.unlock.SetOwners(want); err != nil {
		return err
	}
	return s.vault.Reseal(ctx, s.unlock)
}

// forgetUnlocker deletes what an owner who leaves had named.
func forgetUnlocker(tx *store.Tx, owner string) error {
	for _, key := range []string{keyRecipients + owner, keyDelivery + owner} {
		if _, ok := tx.Get(bucketUnlock, key); !ok {
			continue
		}
		if err := tx.Delete(bucketUnlock, key); err != nil {
			return err
		}
	}
	return nil
}
