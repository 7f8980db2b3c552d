package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

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
	var a PolicyAnswer
	return &a, c.retried(ctx, func() error { return c.Do(ctx, http.MethodPost, PathPolicy, q, &a) })
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
	var a OrderAnswer
	return &a, c.once(ctx, PathOrder, q, &a)
}

// Freeze stops all releases of an owner's keys, or allows them again.
func (c *Client) Freeze(ctx context.Context, q *FreezeRequest) (*OrderAnswer, error) {
	var a OrderAnswer
	return &a, c.once(ctx, PathFreeze, q, &a)
}

// Keys returns what is known of all keys of an owner.
func (c *Client) Keys(ctx context.Context, owner policy.Name) ([]vault.KeyInfo, error) {
	var a DataSetState
	err := c.get(ctx, PathDataSets+"?"+url.Values{"owner": {string(owner)}}.Encode(), &a)
	return a.Keys, err
}
