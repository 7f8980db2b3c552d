package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"cloister/test/bench/page"
	"cloister/test/peers/peer"
)

// newMachine is this machine, with the version of LightGBM.
func newMachine(ctx context.Context, o *options) (*page.Machine, error) {
	w, err := peer.Start(ctx, o.python)
	if err != nil {
		return nil, err
	}
	var v struct{ LightGBM, Python string }
	err = w.Do("versions", nil, &v)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	m := page.ThisMachine(ctx)
	m.Library = "LightGBM " + v.LightGBM + " (PyPI)"
	return m, nil
}

// markdown is what stands in the page.
func (r *result) markdown(m *page.Machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", r.set.about)
	if r.scale != 1 {
		fmt.Fprintf(&b, "**A trial with %g of the rows: these figures say nothing of the whole.**\n\n", r.scale)
	}
	fmt.Fprintf(&b, "%s. Medians of %s.\n\n", m, page.Counted(r.repeat, "run"))
	fmt.Fprintf(&b, "| threads | | load, s | train, s | predict, s | memory, MB | memory of predict, MB | %s | leaves |\n", r.set.metric.Name)
	b.WriteString("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, t := range r.threads {
		row := func(name string, v *runs) {
			fmt.Fprintf(&b, "| %d | %s | %.3g | %.3g | %.3g | %.0f | %.0f | %.6g | %d |\n", t.threads, name,
				page.Median(v.load), page.Median(v.train), page.Median(v.predict), page.Median(v.trainPeak)/1e6, page.Median(v.predictPeak)/1e6, v.metric, v.leaves)
		}
		row("LightGBM, `"+t.setting+"`", &t.theirs)
		row("Cloister", &t.ours)
		fmt.Fprintf(&b, "| %d | **ratio** | %s | %s | %s | %s | %s | | |\n", t.threads,
			times(t.theirs.load, t.ours.load), times(t.theirs.train, t.ours.train), times(t.theirs.predict, t.ours.predict),
			times(t.ours.trainPeak, t.theirs.trainPeak), times(t.ours.predictPeak, t.theirs.predictPeak))
	}
	return b.String()
}

// times is the ratio of two medians.
func times(a, b []float64) string { return fmt.Sprintf("%.2f ×", page.Median(a)/page.Median(b)) }

// summary has the geometric means of the ratios over all sets.
func summary(results []*result, m *page.Machine) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Geometric means of the ratios over the %s. %s.\n\n", page.Counted(len(results), "set"), m)
	b.WriteString("| threads | load | train | predict | memory | memory of predict |\n| --- | ---: | ---: | ---: | ---: | ---: |\n")
	for i, t := range results[0].threads {
		fmt.Fprintf(&b, "| %d ", t.threads)
		for _, ratio := range []func(t *threadResult) float64{
			func(t *threadResult) float64 { return page.Median(t.theirs.load) / page.Median(t.ours.load) },
			func(t *threadResult) float64 { return page.Median(t.theirs.train) / page.Median(t.ours.train) },
			func(t *threadResult) float64 { return page.Median(t.theirs.predict) / page.Median(t.ours.predict) },
			func(t *threadResult) float64 { return page.Median(t.ours.trainPeak) / page.Median(t.theirs.trainPeak) },
			func(t *threadResult) float64 {
				return page.Median(t.ours.predictPeak) / page.Median(t.theirs.predictPeak)
			},
		} {
			sum := 0.0
			for _, r := range results {
				sum += math.Log(ratio(&r.threads[i]))
			}
			fmt.Fprintf(&b, "| %.2f × ", math.Exp(sum/float64(len(results))))
		}
		b.WriteString("|\n")
	}
	return b.String()
}
