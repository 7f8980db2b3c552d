package main

import (
	"encoding/xml"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestExponent(t *testing.T) {
	t.Parallel()
	x := []float64{10, 100, 1000}
	for name, c := range map[string]struct {
		y    []float64
		want float64
	}{
		"linear":    {[]float64{3, 30, 300}, 1},
		"quadratic": {[]float64{1, 100, 10000}, 2},
		"constant":  {[]float64{5, 5, 5}, 0},
	} {
		if got := exponent(x, c.y); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// grown is a curve's points of linear costs.
func grown() []point {
	var points []point
	for _, size := range []int{100, 1000, 10_000} {
		one := func(v float64) []float64 { return []float64{v} }
		n := float64(size)
		points = append(points, point{
			size:   size,
			ours:   runs{load: one(n / 1e4), train: one(n / 1e3), trainPeak: one(n * 1e4)},
			theirs: runs{load: one(n / 5e3), train: one(n / 1e3), trainPeak: one(n * 1e4)},
		})
	}
	return points
}

func TestCurveMarkdown(t *testing.T) {
	t.Parallel()
	c := &curve{name: "rows", about: "of 28 features", from: 1000}
	want := `| rows of 28 features | load, s | train, s | memory, MB | LightGBM: load, s | train, s | memory, MB |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: |
| 100 | 0.01 | 0.1 | 1 | 0.02 | 0.1 | 1 |
| 1,000 | 0.1 | 1 | 10 | 0.2 | 1 | 10 |
| 10,000 | 1 | 10 | 100 | 2 | 10 | 100 |

The costs grow with the number of rows, from 1,000 on, as its power (1 is linear): load 1.00, train 1.00, memory 1.00; LightGBM's: load 1.00, train 1.00, memory 1.00.
`
	if diff := cmp.Diff(want, c.markdown(grown())); diff != "" {
		t.Error(diff)
	}
}

func TestPlot(t *testing.T) {
	t.Parallel()
	c := &curve{name: "rows", about: "of <28> features"}
	p := plot{title: "Growth & costs", panels: c.panels(grown())}
	text := p.svg()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("the plot is no XML: %v\n%s", err, text)
		}
	}
	for what, want := range map[string]int{
		"<path": 6, "<circle": 9, `<rect class="mark`: 9, "Growth &amp; costs": 1, "prefers-color-scheme: dark": 1, "NaN": 0,
	} {
		if got := strings.Count(text, what); got != want {
			t.Errorf("%d times %q, want %d", got, what, want)
		}
	}
}

func TestNamesOfLinesStandApart(t *testing.T) {
	t.Parallel()
	p := panel{lines: []line{{y: []float64{10}}, {y: []float64{10}}, {y: []float64{10.1}}, {y: []float64{500}}}}
	y := newAxis([]float64{1, 1000}, 300, 30)
	at := p.names(&y)
	for i := range at {
		for j := range i {
			if math.Abs(at[i]-at[j]) < 13 {
				t.Errorf("names %d and %d are %v and %v", i, j, at[i], at[j])
			}
		}
	}
}
