package broker

import (
	"context"
	"os"
	"runtime/debug"
	gometrics "runtime/metrics"
	"time"
)

// mostGarbage is how much a broker that holds little may leave to collect.
const mostGarbage = 64 << 20

// CollectLess has Go's collector of the whole process run less often while little
// is held, until ctx ends: each connection leaves garbage, and a broker with few
// keys would collect, at the usual setting, after every few dozens of requests.
// What it costs is 64 MiB of memory at most. A broker that holds more than that is
// as before, and so is one whose operator set GOGC.
func CollectLess(ctx context.Context) {
	if os.Getenv("GOGC") != "" {
		return
	}
	before := debug.SetGCPercent(collectAt(liveHeap()))
	defer debug.SetGCPercent(before)
	ticker := time.NewTicker(10 * time.Second)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			debug.SetGCPercent(collectAt(liveHeap()))
		}
	}
}

// collectAt is the setting GOGC for so many bytes that are held.
func collectAt(live uint64) int {
	return int(max(100, mostGarbage*100/max(live, mostGarbage/16)))
}

// liveHeap is what the last collection found to be held.
func liveHeap() uint64 {
	sample := []gometrics.Sample{{Name: "/gc/heap/live:bytes"}}
	gometrics.Read(sample)
	if sample[0].Value.Kind() != gometrics.KindUint64 {
		return mostGarbage
	}
	return sample[0].Value.Uint64()
}
