package broker

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/issuer"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
)

// apply makes a complete change take effect.
func (s *Server) apply(ctx context.Context, old, next *policy.Policy, record *policyRecord, entry *audit.Entry) (*took, error) {
	verifiers, err := s.verify(next)
	if err != nil {
		return nil, refuse(CodePolicy, "the verifiers that the policy asks for: %w", err)
	}
	t := &took{}
	if t.witnesses, err = s.quorum.prepare(old, next); err != nil {
		return nil, refuse(CodePolicy, "the witnesses that the policy names: %w", err)
	}
	forced := &inForce{policy: next, hash: record.Hash, verifiers: verifiers}
	var applied *policy.Applied
	err = s.store.Update(ctx, func(tx *store.Tx) (err error) {
		froze, err := frozen(tx)
		if err != nil {
			return err
		}
		now := s.clock.Now()
		if applied, err = policy.Apply(old, next, record.Signatures, froze, record.Complete, now); err != nil {
			return refuse(CodePolicy, "%w", err)
		}
		record.Applied, record.Approved = now, applied.Approved
		if forced.first, err = s.putPolicy(tx, record); err != nil {
			return err
		}
		if err := s.changeOwners(tx, old, applied); err != nil {
			return err
		}
		if err := s.revoke(tx, old, next); err != nil {
			return err
		}
		t.index, err = s.audit.Append(tx, &audit.Entry{
			Type: "policy", Request: entry.Request, Client: entry.Client, Subject: fmt.Sprintf("policy version %d", next.Version),
			Decision: audit.Granted, Reason: "approved by " + strings.Join(texts(applied.Approved), ", "),
			Details: map[string]string{"policy": record.Hash.String(), "destroyed": strings.Join(texts(applied.Destroy), ", ")},
		})
		return err
	})
	if err != nil {
		closeQuorum(t.witnesses)
		return nil, err
	}
	s.inForce.Store(forced)
	s.log.InfoContext(ctx, "the policy changed", "version", next.Version, "hash", record.Hash.String(), "entry", t.index)
	s.reseal(ctx)
	s.forget(ctx)
	s.goOver(ctx, t)
	return t, nil
}

// goOver goes over to other witnesses once those of before have signed that there
// are others, whether or not who handed in the change still waits.
func (s *Server) goOver(ctx context.Context, t *took) {
	if t.witnesses == nil {
		return
	}
	s.wg.Go(func() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		defer cancel()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			select {
			case <-s.events.done:
				cancel()
			case <-stop:
			}
		}()
		for ctx.Err() == nil {
			if _, err := s.audit.Wait(ctx, t.index); err == nil {
				s.quorum.use(t.witnesses, t.index)
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Second):
			}
		}
		closeQuorum(t.witnesses)
	})
}

// putPolicy stores a version as the one in force, and forgets what waited for
// the one before.
func (s *Server) putPolicy(tx *store.Tx, record *policyRecord) (first policy.Hash, err error) {
	known, err := getJSON(tx, bucketPolicy, keyFirst, &first)
	if err != nil {
		return first, err
	}
	if !known {
		first = record.Hash
		if err := putJSON(tx, bucketPolicy, keyFirst, first); err != nil {
			return first, err
		}
	}
	for _, key := range []string{keyCurrent, fmt.Sprintf("version/%020d", record.Version)} {
		if err := putJSON(tx, bucketPolicy, key, record); err != nil {
			return first, err
		}
	}
	var waiting []string
	for hash := range tx.Range(bucketPending, "", "") {
		waiting = append(waiting, hash)
	}
	for _, hash := range waiting {
		if err := tx.Delete(bucketPending, hash); err != nil {
			return first, err
		}
	}
	return first, nil
}

// changeOwners makes the roots of those who join, and destroys those of who
// leave, with all that they ordered.
func (s *Server) changeOwners(tx *store.Tx, old *policy.Policy, applied *policy.Applied) error {
	if len(applied.Destroy) > 0 {
		if err := tx.Put(bucketPolicy, keyForget, []byte("{}")); err != nil {
			return err
		}
	}
	for _, name := range applied.Destroy {
		if err := forgetUnlocker(tx, string(name)); err != nil {
			return err
		}
		if err := s.vault.RemoveOwner(tx, string(name)); err != nil {
			return err
		}
		if err := tx.Delete(bucketFrozen, string(name)); err != nil {
			return err
		}
		var gone [][2]string
		for key := range tx.Prefix(bucketTerms, string(name)+"/") {
			gone = append(gone, [2]string{bucketTerms, key})
		}
		for key := range tx.Range(bucketJobs, "", "") {
			if strings.HasSuffix(key, "/"+string(name)) {
				gone = append(gone, [2]string{bucketJobs, key})
			}
		}
		for _, g := range gone {
			if err := tx.Delete(g[0], g[1]); err != nil {
				return err
			}
		}
	}
	for name := range applied.Policy.Owners {
		if old != nil && old.Owners[name] != nil {
			continue
		}
		if err := s.vault.AddOwner(tx, string(name)); err != nil {
			return err
		}
	}
	return nil
}

// revoke revokes the certificates that a new policy does not allow: of a name that
// it does not grant any more, or of a program that it describes in another way
// than the one before did. Who still is the program asks for another.
func (s *Server) revoke(tx *store.Tx, old, next *policy.Policy) error {
	if s.issuer == nil {
		return nil
	}
	_, err := s.issuer.Revoke(tx, issuer.ReasonPrivilegeWithdrawn, func(c *issuer.Issued) bool {
		if c.Workload == provisionWorkload {
			return false // the broker's own
		}
		name := policy.Name(c.Workload)
		w := next.Workloads[name]
		if w == nil || old == nil || !sameProgram(old, next, name) {
			return true
		}
		for _, name := range c.Names {
			if !slices.Contains(w.Certificates, policy.DNSName(name)) {
				return true
			}
		}
		return false
	})
	return err
}

// sameProgram says that all evidence of a workload that an older policy accepted
// is accepted by the next: platforms and programs are described in the same way,
// and no job has gone.
func sameProgram(old, next *policy.Policy, name policy.Name) bool {
	was, is := old.Workloads[name], next.Workloads[name]
	if was == nil || is == nil || was.OwnerApprovedJobs != is.OwnerApprovedJobs ||
		!reflect.DeepEqual(was.Program, is.Program) || !reflect.DeepEqual(old.Platforms, next.Platforms) {
		return false
	}
	for _, job := range was.Jobs {
		if !slices.Contains(is.Jobs, job) {
			return false
		}
	}
	return true
}

// keyForget marks that an owner left whose keys older files of the store may
// still hold.
const keyForget = "forget"

// forget makes destroyed keys unreadable in older files of the store too: under a
// new root key nothing of before opens, and compacting removes the files. It ends
// what was begun before a kill.
func (s *Server) forget(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	due := false
	err := s.store.View(func(tx *store.Tx) error {
		_, due = tx.Get(bucketPolicy, keyForget)
		return nil
	})
	if err != nil || !due {
		return
	}
	err = s.vault.RotateRoot(ctx, s.store)
	if err == nil {
		err = s.store.Compact(ctx)
	}
	if err == nil {
		err = s.store.Update(ctx, func(tx *store.Tx) error { return tx.Delete(bucketPolicy, keyForget) })
	}
	if err != nil {
		s.log.ErrorContext(ctx, "the keys of a removed owner are destroyed, but older files may still hold them wrapped; the next start tries again", "error", err)
	}
}

// compact writes the store anew beside what goes on, so that its files have no
// more what was deleted.
func (s *Server) compact() {
	s.wg.Go(func() {
		if err := s.store.Compact(context.Background()); err != nil && !errors.Is(err, store.ErrClosed) {
			s.log.Warn("a destroyed key is still in older files of the store, wrapped", "error", err)
		}
	})
}

// applyWaiting applies changes whose delay has passed, until ctx ends.
func (s *Server) applyWaiting(ctx context.Context) {
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if err := s.applyDue(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "a change of the policy that waited is not applied", "error", err)
			}
		}
	}
}

func (s *Server) applyDue(ctx context.Context) error {
	s.changing.Lock()
	defer s.changing.Unlock()
	current := s.inForce.Load()
	if current == nil {
		return nil
	}
	var due []*policyRecord
	err := s.store.View(func(tx *store.Tx) error {
		for hash := range tx.Range(bucketPending, "", "") {
			r := new(policyRecord)
			if _, err := getJSON(tx, bucketPending, hash, r); err != nil {
				return err
			}
			if !r.Complete.IsZero() {
				due = append(due, r)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var failed error
	for _, r := range due {
		next, err := policy.Parse("policy version "+strconv.FormatUint(r.Version, 10), []byte(r.Text))
		if err != nil {
			failed = errors.Join(failed, err)
			continue
		}
		change, err := policy.Compare(current.policy, next)
		if err != nil || s.clock.Now().Before(r.Complete.Add(change.Waits())) {
			continue // another version took its place, or it waits
		}
		// The first that is due and holds is the next version; the others follow
		// none. One that does not, since an owner froze, holds up no other.
		_, err = s.apply(ctx, current.policy, next, r, &audit.Entry{})
		if err == nil {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	return failed
}
