package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"cloister/test/bench/page"
	"cloister/test/peers/peer"
	"cloister/test/peers/synth"
)

// curve is a series of tables that grow in one direction.
type curve struct {
	name string // of what grows
	// about says what stays.
	about string
	sizes []int
	// table gives the rows and features at a size.
	table func(size int) (rows, features int)
	// from is the least size at which the work outweighs what every run costs:
	// the fit begins there.
	from int
}

var curves = []curve{
	{
		name: "rows", about: "of 28 features", sizes: []int{10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000}, from: 100_000,
		table: func(size int) (int, int) { return size, 28 },
	},
	{
		name: "features", about: "in 100,000 rows", sizes: []int{10, 30, 100, 300, 1000, 2000}, from: 30,
		table: func(size int) (int, int) { return 100_000, size },
	},
}

// curveConfig is what is trained: trees of the dense set, some of them.
var curveConfig = peer.Config{
	"objective": "binary", "num_leaves": "255", "max_bin": "255", "num_iterations": "10", "learning_rate": "0.1",
}

// much is the number of values of a table from which on it is measured once, and
// LightGBM with the setting that was faster before.
const much = 20_000_000

// point is what was measured at a size.
type point struct {
	size         int
	theirs, ours runs
}

// cost is one of the figures of a run.
type cost struct {
	name, unit string
	of         func(*runs) []float64
	scale      float64
}

var costs = []cost{
	{"load", "s", func(r *runs) []float64 { return r.load }, 1},
	{"train", "s", func(r *runs) []float64 { return r.train }, 1},
	{"memory", "MB", func(r *runs) []float64 { return r.trainPeak }, 1e-6},
}

func (c *cost) median(r *runs) float64 { return page.Median(c.of(r)) * c.scale }

// measureCurve makes the tables, one after the other, and trains on them. The
// tables are large and are not kept.
func measureCurve(ctx context.Context, o *options, c *curve, progress io.Writer) ([]point, error) {
	dir, err := filepath.Abs(filepath.Join(o.cache, "curve-"+c.name))
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // only a cache
	t := tables{dir: dir, train: filepath.Join(dir, "train.txt")}
	threads := o.threads[len(o.threads)-1]
	var points []point
	setting := ""
	for _, size := range c.sizes {
		rows, features := c.table(size)
		rows = scaled(rows, o)
		if err := synth.Write(t.train, &synth.Dense{Seed: 6, Columns: features, Kind: synth.Binary}, 0, rows); err != nil {
			return nil, err
		}
		b := &bench{options: o, set: &set{name: c.name, config: curveConfig}, tables: t, threads: threads}
		p := point{size: size}
		if c.name == "rows" {
			p.size = rows
		}
		repeat := o.repeat
		if rows*features > much {
			repeat = 1
		}
		for round := range repeat {
			if round == 0 && (setting == "" || rows*features <= much) {
				setting, err = b.fasterSetting(ctx, &p.theirs)
			} else {
				err = b.trainLightGBM(ctx, setting, &p.theirs)
			}
			if err == nil {
				err = b.trainCloister(ctx, &p.ours)
			}
			if err != nil {
				return nil, fmt.Errorf("%d %s: %w", size, c.name, err)
			}
		}
		fmt.Fprintf(progress, "%d %s: load %.3g s, train %.3g s; lightgbm %.3g s, %.3g s\n", p.size, c.name,
			page.Median(p.ours.load), page.Median(p.ours.train), page.Median(p.theirs.load), page.Median(p.theirs.train))
		points = append(points, p)
	}
	return points, nil
}

// fasterSetting trains with both settings of LightGBM and keeps the faster run.
func (b *bench) fasterSetting(ctx context.Context, r *runs) (string, error) {
	best := ""
	for _, setting := range settings {
		var one runs
		if err := b.trainLightGBM(ctx, setting, &one); err != nil {
			return "", err
		}
		if best == "" || one.train[0] < r.train[0] {
			best, *r = setting, one
		}
	}
	return best, nil
}

// exponent fits y = a·x^k by least squares of the logarithms and returns k: 1
// where y grows as x does.
func exponent(x, y []float64) float64 {
	n, sx, sy, sxx, sxy := float64(len(x)), 0.0, 0.0, 0.0, 0.0
	for i := range x {
		u, v := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+u, sy+v, sxx+u*u, sxy+u*v
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// growth says how the costs of a program grow from a size on.
func (c *curve) growth(points []point, of func(*point) *runs) string {
	var parts []string
	for _, k := range costs {
		var x, y []float64
		for i := range points {
			if points[i].size >= c.from {
				x, y = append(x, float64(points[i].size)), append(y, k.median(of(&points[i])))
			}
		}
		if len(x) < 2 {
			return "too few sizes for a fit"
		}
		parts = append(parts, fmt.Sprintf("%s %.2f", k.name, exponent(x, y)))
	}
	return strings.Join(parts, ", ")
}

func ours(p *point) *runs   { return &p.ours }
func theirs(p *point) *runs { return &p.theirs }

// markdown is the curve's table and what it says.
func (c *curve) markdown(points []point) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s %s | load, s | train, s | memory, MB | LightGBM: load, s | train, s | memory, MB |\n", c.name, c.about)
	b.WriteString("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for i := range points {
		p := &points[i]
		fmt.Fprintf(&b, "| %s ", grouped(p.size))
		for _, r := range []*runs{&p.ours, &p.theirs} {
			for _, k := range costs {
				if k.unit == "s" {
					fmt.Fprintf(&b, "| %.3g ", k.median(r))
				} else {
					fmt.Fprintf(&b, "| %.0f ", k.median(r))
				}
			}
		}
		b.WriteString("|\n")
	}
	fmt.Fprintf(&b, "\nThe costs grow with the number of %s, from %s on, as its power (1 is linear): %s; LightGBM's: %s.\n",
		c.name, grouped(c.from), c.growth(points, ours), c.growth(points, theirs))
	return b.String()
}

// grouped writes thousands apart: 1,000,000.
func grouped(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// runCurves measures both curves, prints them and plots them.
func runCurves(ctx context.Context, o *options, m *page.Machine, stdout, progress io.Writer) error {
	var text strings.Builder
	if o.scale != 1 {
		fmt.Fprintf(&text, "**A trial with %g of the rows: these figures say nothing of the whole.**\n\n", o.scale)
	}
	threads := page.Counted(o.threads[len(o.threads)-1], "thread")
	fmt.Fprintf(&text, "%s. %s; 10 trees of 255 leaves; medians of %s, one run of tables of more than %s values.\n\n", m, threads, page.Counted(o.repeat, "run"), grouped(much))
	var figure plot
	figure.title = "Seconds and memory as tables grow"
	for i := range curves {
		c := &curves[i]
		points, err := measureCurve(ctx, o, c, progress)
		if err != nil {
			return err
		}
		fmt.Fprintf(&text, "%s\n", c.markdown(points))
		figure.panels = append(figure.panels, c.panels(points)...)
	}
	path := filepath.Join(o.cache, plotName)
	if o.write != "" {
		path = filepath.Join(filepath.Dir(o.write), plotName)
		fmt.Fprintf(&text, "![Seconds and memory over rows and features, both axes logarithmic: straight lines, Cloister's below LightGBM's or near them; the tables have the figures](%s)\n", plotName)
	}
	if err := os.WriteFile(path, []byte(figure.svg()), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(progress, "the plot is in %s\n", path)
	fmt.Fprintf(stdout, "## curves\n\n%s\n", &text)
	if o.write == "" {
		return nil
	}
	return errors.Join(page.WriteBlock(o.write, curvesBlock, text.String()))
}

// plotName is the file of the plot.
const plotName = "benchmark-curves.svg"

// panels are those of a curve: seconds and memory.
func (c *curve) panels(points []point) []panel {
	seconds := panel{title: "seconds over " + c.name + " " + c.about}
	memory := panel{title: "MB over " + c.name + " " + c.about}
	for _, program := range []struct {
		name string
		of   func(*point) *runs
	}{{"Cloister", ours}, {"LightGBM", theirs}} {
		for _, k := range costs {
			l := line{program: program.name, what: k.name}
			for i := range points {
				l.x, l.y = append(l.x, float64(points[i].size)), append(l.y, k.median(program.of(&points[i])))
			}
			if k.unit == "s" {
				seconds.lines = append(seconds.lines, l)
			} else {
				memory.lines = append(memory.lines, l)
			}
		}
	}
	return []panel{seconds, memory}
}
