package broker

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// metrics are what Prometheus reads (text exposition format 0.0.4).
type metrics struct {
	releases, items atomic.Uint64

	mu       sync.Mutex
	refusals map[[2]string]uint64 // by what was asked and code
	times    map[string]*histogram
}

// bounds of the histograms, in seconds.
var bounds = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30}

type histogram struct {
	counts [15]uint64 // of each bound, and beyond
	sum    float64
}

func newMetrics() *metrics {
	return &metrics{refusals: map[[2]string]uint64{}, times: map[string]*histogram{}}
}

func (m *metrics) released(items int) {
	m.releases.Add(1)
	m.items.Add(uint64(items))
}

func (m *metrics) refused(what string, code Code) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.refusals[[2]string{what, string(code)}]++
}

// took records how long a request of a place of the API took.
func (m *metrics) took(place string, d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	h := m.times[place]
	if h == nil {
		h = &histogram{}
		m.times[place] = h
	}
	i, _ := slices.BinarySearch(bounds, d.Seconds())
	h.counts[i]++
	h.sum += d.Seconds()
}

func (m *metrics) write(w io.Writer) {
	fmt.Fprintf(w, "# HELP cloister_broker_releases_total Requests that got what they asked for.\n# TYPE cloister_broker_releases_total counter\ncloister_broker_releases_total %d\n", m.releases.Load())
	fmt.Fprintf(w, "# HELP cloister_broker_released_items_total Keys and secrets released.\n# TYPE cloister_broker_released_items_total counter\ncloister_broker_released_items_total %d\n", m.items.Load())
	m.mu.Lock()
	defer m.mu.Unlock()
	fmt.Fprint(w, "# HELP cloister_broker_refusals_total Requests that were refused.\n# TYPE cloister_broker_refusals_total counter\n")
	keys := slices.SortedFunc(maps.Keys(m.refusals), func(a, b [2]string) int { return strings.Compare(a[0]+"\n"+a[1], b[0]+"\n"+b[1]) })
	for _, k := range keys {
		fmt.Fprintf(w, "cloister_broker_refusals_total{request=%q,code=%q} %d\n", k[0], k[1], m.refusals[k])
	}
	fmt.Fprint(w, "# HELP cloister_broker_request_seconds How long requests took.\n# TYPE cloister_broker_request_seconds histogram\n")
	for _, path := range slices.Sorted(maps.Keys(m.times)) {
		h := m.times[path]
		sum := uint64(0)
		for i, b := range bounds {
			sum += h.counts[i]
			fmt.Fprintf(w, "cloister_broker_request_seconds_bucket{path=%q,le=\"%g\"} %d\n", path, b, sum)
		}
		sum += h.counts[len(bounds)]
		fmt.Fprintf(w, "cloister_broker_request_seconds_bucket{path=%q,le=\"+Inf\"} %d\ncloister_broker_request_seconds_sum{path=%q} %g\ncloister_broker_request_seconds_count{path=%q} %d\n",
			path, sum, path, h.sum, path, sum)
	}
}

// Operation is what an operator's tools ask: whether the broker lives, whether it
// is ready, and its metrics. It belongs on an address of the operator's own.
func (s *Server) Operation() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s.answer(w, http.StatusOK, &Health{Status: "ok"})
	})
	mux.HandleFunc("GET /readyz", s.handleReady)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		s.metrics.write(w)
		ready := 0
		if s.Ready() == nil {
			ready = 1
		}
		size, err := s.audit.Size()
		if err == nil {
			fmt.Fprintf(w, "# TYPE cloister_broker_audit_entries gauge\ncloister_broker_audit_entries %d\n", size)
		}
		fmt.Fprintf(w, "# TYPE cloister_broker_ready gauge\ncloister_broker_ready %d\n", ready)
	})
	return mux
}
