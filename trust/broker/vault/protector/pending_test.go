package protector

import (
	"errors"
	"testing"
)

// TestPending: a root key that waits for its owners opens in this process alone.
func TestPending(t *testing.T) {
	t.Parallel()
	p, err := NewPending()
	if err != nil {
		t.Fatal(err)
	}
	key := rootKey(t)
	sealed, err := p.Seal(t.Context(), key, associated)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := p.Unseal(t.Context(), sealed, associated)
	if err != nil || !opened.Equal(key) {
		t.Errorf("it does not open: %v", err)
	}
	if _, err := p.Unseal(t.Context(), sealed, []byte("another broker")); !errors.Is(err, ErrSealed) {
		t.Errorf("another broker's: %v", err)
	}
	other, err := NewPending()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Unseal(t.Context(), sealed, associated); !errors.Is(err, ErrSealed) {
		t.Errorf("in another process: %v", err)
	}
	if Refuse(p, true) != nil {
		t.Error("it is refused in a trusted execution environment")
	}
}
