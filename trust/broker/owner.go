package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/vault"
)

func (c *Client) get(ctx context.Context, place string, answer any) error {
	return c.retried(ctx, func() error { return c.Do(ctx, http.MethodGet, place, nil, answer) })
}

// once hands in what counts once. It is only tried again where no connection
// came about, so that an order whose answer was lost is not answered with its
// own number being used up.
func (c *Client) once(ctx context.Context, place string, ask, answer any) error {
	var sent error
	err := c.retried(ctx, func() error {
		sent = nil
		err := c.Do(ctx, http.MethodPost, place, ask, answer)
		var op *net.OpError
		if errors.Is(err, ErrNetwork) && !(errors.As(err, &op) && op.Op == "dial") {
			sent = err
			return nil
		}
		return err
	})
	if err == nil && sent != nil {
		return fmt.Errorf("whether the broker did it is not known; ask for its state: %w", sent)
	}
	return err
}

// Submit hands in a version of the policy, with signatures.
func (c *Client) Submit(ctx context.Context, q *PolicyRequest) (*PolicyAnswer, error) {
	next, err := policy.Parse("policy", []byte(q.Policy))
	if err != nil {
		return nil, err
	}
	receipts, err := c.receipts(ctx)
	if err != nil {
		return nil, err
	}
	var a PolicyAnswer
	if err := c.retried(ctx, func() error { return c.Do(ctx, http.MethodPost, PathPolicy, q, &a) }); err != nil {
		return nil, err
	}
	hash := next.Hash()
	switch {
	case a.Hash != hash:
		return nil, fmt.Errorf("the broker answers about the policy %s, and %s was handed in: %w", a.Hash, hash, audit.ErrTampered)
	case !a.Applied:
		return &a, nil
	case a.Receipt == nil:
		return nil, fmt.Errorf("the broker says that the policy is in force and gives no receipt: %w", audit.ErrTampered)
	}
	return &a, receipts.check(ctx, a.Receipt, &expected{
		kind: "policy", anyRequest: true, subject: fmt.Sprintf("policy version %d", next.Version), details: map[string]string{"policy": hash.String()},
	})
}

// Pending returns the versions of the policy that wait.
func (c *Client) Pending(ctx context.Context) ([]PendingPolicy, error) {
	var a PendingAnswer
	err := c.get(ctx, PathPending, &a)
	return a.Pending, err
}

// Owners returns the owners of the policy in force.
func (c *Client) Owners(ctx context.Context) ([]OwnerState, error) {
	var a struct {
		Owners []OwnerState `json:"owners"`
	}
	err := c.get(ctx, PathOwners, &a)
	return a.Owners, err
}

// DataSet returns what is known of the versions of a data set or secret.
func (c *Client) DataSet(ctx context.Context, item policy.Item) (*DataSetState, error) {
	var a DataSetState
	query := url.Values{"owner": {string(item.Owner())}, "name": {string(item.Name())}}
	return &a, c.get(ctx, PathDataSets+"?"+query.Encode(), &a)
}

// Order gives an owner's order.
func (c *Client) Order(ctx context.Context, q *OrderRequest) (*OrderAnswer, error) {
	return c.ordered(ctx, PathOrder, q, q.Order.entry())
}

// ordered hands in what is carried out at once, and proves that it is in the log.
func (c *Client) ordered(ctx context.Context, place string, ask any, entry *audit.Entry) (*OrderAnswer, error) {
	receipts, err := c.receipts(ctx)
	if err != nil {
		return nil, err
	}
	var a OrderAnswer
	if err := c.once(ctx, place, ask, &a); err != nil {
		return nil, err
	}
	return &a, receipts.check(ctx, &a.Receipt, new(expected).of(entry, a.Request))
}

// Freeze stops all releases of an owner's keys, or allows them again.
func (c *Client) Freeze(ctx context.Context, q *FreezeRequest) (*OrderAnswer, error) {
	return c.ordered(ctx, PathFreeze, q, q.entry())
}

// Keys returns what is known of all keys of an owner.
func (c *Client) Keys(ctx context.Context, owner policy.Name) ([]vault.KeyInfo, error) {
	var a DataSetState
	err := c.get(ctx, PathDataSets+"?"+url.Values{"owner": {string(owner)}}.Encode(), &a)
	return a.Keys, err
}
