package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"cloister/test/bench/page"
)

// measureLatency has releases begin at half of the rate that the broker reaches,
// at random moments, whether or not those before have ended. The time of each is
// from the moment at which it was to begin.
func measureLatency(ctx context.Context, o *options) (rows []row, err error) {
	for _, witnesses := range []int{0, 3} {
		s, err := startServer(ctx, o, witnesses)
		if err != nil {
			return nil, err
		}
		medians, tails, ratios, err := latencies(ctx, o, s)
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return nil, err
		}
		rows = append(
			rows,
			row{"time of a release at half load, " + named(witnesses) + ", median and p99, ms", fmt.Sprintf("%.1f and %.1f", 1e3*page.Median(medians), 1e3*page.Median(tails)), ""},
			row{"… p99 as a multiple of the median", fmt.Sprintf("%.1f", page.Median(ratios)), "below 5"},
		)
	}
	return rows, nil
}

func latencies(ctx context.Context, o *options, s *server) (medians, tails, ratios []float64, err error) {
	for range o.repeat {
		_, most, err := s.cost(ctx, o.seconds, s.release)
		if err != nil {
			return nil, nil, nil, err
		}
		times, err := open(ctx, 2*o.seconds, most/2, s.release)
		if err != nil {
			return nil, nil, nil, err
		}
		median, tail := times[len(times)/2], times[len(times)*99/100]
		medians, tails, ratios = append(medians, median), append(tails, tail), append(ratios, tail/median)
		fmt.Fprintf(o.progress, "at %.0f/s of %.0f/s: median %.2f ms, p99 %.2f ms, greatest %.2f ms\n", most/2, most, 1e3*median, 1e3*tail, 1e3*times[len(times)-1])
	}
	return medians, tails, ratios, nil
}

// open has something begin at random moments at a rate (a Poisson process), and
// returns how long each took, in seconds, sorted.
func open(ctx context.Context, seconds, rate float64, do func(context.Context) error) ([]float64, error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var times []float64
	var failed error
	at := time.Now()
	for end := at.Add(time.Duration(seconds * float64(time.Second))); at.Before(end); {
		at = at.Add(time.Duration(rand.ExpFloat64() / rate * float64(time.Second)))
		due := at
		time.Sleep(time.Until(due))
		wg.Go(func() {
			err := do(ctx)
			took := time.Since(due).Seconds()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				failed = err
			}
			times = append(times, took)
		})
	}
	wg.Wait()
	slices.Sort(times)
	return times, failed
}
