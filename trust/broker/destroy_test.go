package broker

import (
	"testing"
	"time"
)

// TestDestroyedKeyLeavesFiles: once a key is destroyed the store is written anew
// without it.
func TestDestroyedKeyLeavesFiles(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	f.dataSet(f.a, "wards", "no-export")
	before := f.broker.store.Stats().Compactions
	f.order(f.a, Order{Operation: DestroyKey, DataSet: "wards", Version: 1})
	for deadline := time.Now().Add(20 * time.Second); f.broker.store.Stats().Compactions == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the store's files are as they were")
		}
	}
}
