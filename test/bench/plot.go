package main

import (
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// plot is a figure of panels, two in a row, whose axes are logarithmic.
type plot struct {
	title  string
	panels []panel
}

type panel struct {
	title string
	lines []line
}

// line is what one program takes: its colour and marks tell the program, its
// dashes what is measured.
type line struct {
	program, what string
	x, y          []float64
}

// Sizes of a panel and of what is around its lines, in pixels.
const (
	panelWidth, panelHeight                        = 440, 320
	marginLeft, marginRight, marginTop, marginFoot = 60, 90, 36, 40
)

// style has colours of Okabe and Ito, which people of every colour vision can
// tell apart, on light and on dark ground.
const style = `
text { font: 12px system-ui, sans-serif; fill: var(--ink); }
.title { font-weight: 600; }
.ground { fill: var(--paper); }
.grid { stroke: var(--grid); stroke-width: 1; }
.Cloister { stroke: var(--first); }
.LightGBM { stroke: var(--second); }
path { fill: none; stroke-width: 2; stroke-linejoin: round; }
.train { stroke-dasharray: 7 4; }
.mark { fill: var(--paper); stroke-width: 2; }
text.Cloister { fill: var(--first); stroke: none; }
text.LightGBM { fill: var(--second); stroke: none; }
svg { --paper: #ffffff; --ink: #1b1b1b; --grid: #d8d8d8; --first: #0072b2; --second: #b04a00; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #16181b; --ink: #e8e8e8; --grid: #3b3f45; --first: #56b4e9; --second: #f0a24a; }
}
`

// svg draws the figure.
func (p *plot) svg() string {
	var b strings.Builder
	rows := (len(p.panels) + 1) / 2
	width, height := 2*panelWidth, rows*panelHeight
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img" aria-labelledby="title">`+"\n",
		width, height, width, height)
	fmt.Fprintf(&b, `<title id="title">%s</title>`+"\n<style>%s</style>\n", escaped(p.title), style)
	fmt.Fprintf(&b, `<rect class="ground" width="%d" height="%d"/>`+"\n", width, height)
	for i := range p.panels {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%2*panelWidth, i/2*panelHeight)
		p.panels[i].draw(&b)
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func escaped(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

// axis turns numbers into places: whole powers of ten, from low to high, lie
// between from and to.
type axis struct {
	low, high int
	from, to  float64
}

// newAxis spans all positive values.
func newAxis(values []float64, from, to float64) axis {
	a := axis{low: math.MaxInt, high: math.MinInt, from: from, to: to}
	for _, v := range values {
		if v > 0 {
			a.low = min(a.low, int(math.Floor(math.Log10(v))))
			a.high = max(a.high, int(math.Ceil(math.Log10(v))))
		}
	}
	if a.low > a.high {
		a.low, a.high = 0, 0
	}
	if a.low == a.high {
		a.high++
	}
	return a
}

func (a *axis) at(v float64) float64 {
	share := (math.Log10(v) - float64(a.low)) / float64(a.high-a.low)
	return a.from + share*(a.to-a.from)
}

// tick names a power of ten.
func tick(power int) string {
	v := math.Pow10(power)
	switch {
	case power >= 6:
		return strconv.FormatFloat(v/1e6, 'f', -1, 64) + " M"
	case power >= 3:
		return strconv.FormatFloat(v/1e3, 'f', -1, 64) + " k"
	default:
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
}

func (p *panel) draw(b *strings.Builder) {
	var xs, ys []float64
	for _, l := range p.lines {
		xs, ys = append(xs, l.x...), append(ys, l.y...)
	}
	x := newAxis(xs, marginLeft, panelWidth-marginRight)
	y := newAxis(ys, panelHeight-marginFoot, marginTop)
	fmt.Fprintf(b, `<text class="title" x="%d" y="20">%s</text>`+"\n", marginLeft, escaped(p.title))
	for k := x.low; k <= x.high; k++ {
		at := x.at(math.Pow10(k))
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", at, at, y.from, y.to)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`+"\n", at, y.from+18, tick(k))
	}
	for k := y.low; k <= y.high; k++ {
		at := y.at(math.Pow10(k))
		fmt.Fprintf(b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", x.from, x.to, at, at)
		fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", x.from-6, at+4, tick(k))
	}
	names := p.names(&y)
	for i := range p.lines {
		p.lines[i].draw(b, &x, &y, names[i])
	}
}

// names are the heights of the lines' names, at their ends but never on one
// another.
func (p *panel) names(y *axis) []float64 {
	const apart = 14
	at := make([]float64, len(p.lines))
	for i, l := range p.lines {
		at[i] = y.at(l.y[len(l.y)-1])
	}
	for range p.lines { // push apart, from the top, until none meet
		for i := range at {
			for j := range at {
				if i != j && math.Abs(at[i]-at[j]) < apart && (at[i] > at[j] || at[i] == at[j] && i > j) {
					at[i] = at[j] + apart
				}
			}
		}
	}
	return at
}

func (l *line) draw(b *strings.Builder, x, y *axis, name float64) {
	var way strings.Builder
	for i := range l.x {
		command := 'L'
		if i == 0 {
			command = 'M'
		}
		fmt.Fprintf(&way, "%c%.1f %.1f", command, x.at(l.x[i]), y.at(l.y[i]))
	}
	class := escaped(l.program + " " + l.what)
	fmt.Fprintf(b, `<path class="%s" d="%s"/>`+"\n", class, &way)
	for i := range l.x {
		u, v := x.at(l.x[i]), y.at(l.y[i])
		if l.program == "Cloister" {
			fmt.Fprintf(b, `<circle class="mark %s" cx="%.1f" cy="%.1f" r="3.5"/>`+"\n", escaped(l.program), u, v)
		} else {
			fmt.Fprintf(b, `<rect class="mark %s" x="%.1f" y="%.1f" width="6" height="6"/>`+"\n", escaped(l.program), u-3, v-3)
		}
	}
	fmt.Fprintf(b, `<text class="%s" x="%.1f" y="%.1f">%s, %s</text>`+"\n", escaped(l.program), x.to+8, name+4, escaped(l.program), escaped(l.what))
}
