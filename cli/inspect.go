package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"cloister/engine/lightgbm"
)

const inspectLong = `Show what is in a model, LightGBM's or Cloister's: its objective, its size, the
features that matter to it, the parameters that it was trained with as far as
they differ from the defaults, and its first tree.

With --json the whole model is written as LightGBM's dump_model() gives it, and
its parameters besides. "-" is standard input.`

const inspectExample = `  cloister inspect LightGBM_model.txt
  cloister inspect model.txt --features=5 --trees=0
  cloister inspect model.txt --json | jq .feature_importances`

// inspection is what "cloister inspect" shows.
type inspection struct {
	trees    int // how many trees to draw, all if negative
	features int // how many features to list, all if negative
}

func (a *app) newInspectCommand() *cobra.Command {
	var opt inspection
	cmd := &cobra.Command{
		Use:     "inspect MODEL",
		Short:   "Show what is in a model",
		Long:    inspectLong,
		Example: inspectExample,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return inputError(`for example "cloister inspect LightGBM_model.txt"`, "name one model, not %d", len(args))
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return a.inspect(args[0], opt) },
	}
	cmd.Flags().IntVar(&opt.trees, "trees", 1, "draw the first `N` trees, all if -1")
	cmd.Flags().IntVar(&opt.features, "features", 20, "list the `N` most important features, all if -1")
	return cmd
}

// inspect shows the model at path on standard output.
func (a *app) inspect(path string, opt inspection) error {
	model, err := a.loadModel(path)
	if err != nil {
		return err
	}
	if a.json {
		err := model.WriteJSON(stdoutWriter{a.stdout})
		if bad := (*lightgbm.ModelError)(nil); errors.As(err, &bad) {
			return fmt.Errorf("%s: %w", sourceName(path), err)
		}
		return err
	}
	w := bufio.NewWriterSize(stdoutWriter{a.stdout}, 1<<16)
	size := &countingWriter{w: bufio.NewWriter(io.Discard)}
	if err := model.Write(size); err != nil {
		return err
	}
	writeSummary(w, model, sourceName(path), size.n)
	writeFeatures(w, model, opt.features)
	writeParameters(w, model)
	for i, t := range model.Trees[:upTo(opt.trees, len(model.Trees))] {
		drawTree(w, model, i, t)
	}
	return w.Flush()
}

// upTo is n, but at most most and all of it if n is negative.
func upTo(n, most int) int {
	if n < 0 {
		return most
	}
	return min(n, most)
}

func writeSummary(w *bufio.Writer, m *lightgbm.Model, name string, size int64) {
	row := func(key, format string, args ...any) {
		fmt.Fprintf(w, "%-12s%s\n", key, printable(fmt.Sprintf(format, args...)))
	}
	row("model", "%s", name)
	row("size", "%s of text", byteSize(float64(size)))
	objective := m.Objective
	if objective == "" {
		objective = "custom"
	}
	row("objective", "%s", objective)
	if m.NumClass > 1 {
		row("classes", "%d", m.NumClass)
	}
	row("iterations", "%d", m.NumIterations())
	row("trees", "%s", treeTotals(m))
	if m.AverageOutput {
		row("output", "the mean of the iterations, not their sum")
	}
	used := 0
	for _, n := range m.Importance(lightgbm.ImportanceSplit, 0) {
		if n > 0 {
			used++
		}
	}
	row("features", "%d, of which %d are in splits", m.NumFeatures(), used)
	if names := categoricalFeatures(m); len(names) > 0 {
		row("categorical", "%s", someNames(names))
	}
	if monotone := monotoneFeatures(m); len(monotone) > 0 {
		row("monotone", "%s", someNames(monotone))
	}
}

// treeTotals counts trees, leaves and levels.
func treeTotals(m *lightgbm.Model) string {
	if len(m.Trees) == 0 {
		return "0"
	}
	least, most, all, depth, linear := math.MaxInt, 0, 0, 0, false
	for _, t := range m.Trees {
		least, most, all = min(least, t.NumLeaves), max(most, t.NumLeaves), all+t.NumLeaves
		depth = max(depth, t.MaxDepth())
		linear = linear || t.IsLinear
	}
	leaves := counted(most, "leaf", "leaves")
	if most > least {
		leaves = strconv.Itoa(least) + " to " + leaves
	}
	text := fmt.Sprintf("%d with %s (%d in all), depth up to %d", len(m.Trees), leaves, all, depth)
	if linear {
		text += ", linear models in the leaves"
	}
	return text
}

func categoricalFeatures(m *lightgbm.Model) []string {
	var names []string
	for i, text := range m.FeatureInfos {
		if text == "none" {
			continue
		}
		if info, err := lightgbm.ParseFeatureInfo(text); err == nil && info.Categories != nil {
			names = append(names, m.FeatureNames[i])
		}
	}
	return names
}

func monotoneFeatures(m *lightgbm.Model) []string {
	var names []string
	for i, c := range m.MonotoneConstraints {
		switch {
		case c > 0:
			names = append(names, m.FeatureNames[i]+" (rising)")
		case c < 0:
			names = append(names, m.FeatureNames[i]+" (falling)")
		}
	}
	return names
}

// writeFeatures writes a table of the features with the greatest gains.
func writeFeatures(w *bufio.Writer, m *lightgbm.Model, most int) {
	gain, splits := m.Importance(lightgbm.ImportanceGain, 0), m.Importance(lightgbm.ImportanceSplit, 0)
	var order []int
	total, greatest := 0.0, 0.0
	for i, n := range splits {
		if n > 0 {
			order = append(order, i)
			total, greatest = total+gain[i], max(greatest, gain[i])
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case gain[a] > gain[b]:
			return -1
		case gain[a] < gain[b]:
			return 1
		}
		return 0
	})
	shown := order[:upTo(most, len(order))]
	if len(shown) == 0 {
		return
	}
	width := len("feature")
	for _, i := range shown {
		width = max(width, utf8.RuneCountInString(shortName(m, i)))
	}
	fmt.Fprintf(w, "\n%-*s  %8s  %12s  %6s\n", width, "feature", "splits", "gain", "share")
	for _, i := range shown {
		fmt.Fprintf(w, "%-*s  %8.0f  %12s  %6s  %s\n", width, shortName(m, i), splits[i], brief(gain[i]),
			percent(gain[i]/total), bar(gain[i]/greatest))
	}
	if rest := len(order) - len(shown); rest > 0 {
		fmt.Fprintf(w, "and %d more\n", rest)
	}
}

// shortName is a feature's name for a column of a table.
func shortName(m *lightgbm.Model, feature int) string {
	const most = 40
	name := []rune(printable(m.FeatureNames[feature]))
	if len(name) > most {
		name = append(name[:most-1], '…')
	}
	return string(name)
}

func brief(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// percent is blank for what is no share, where gains are infinite.
func percent(share float64) string {
	if math.IsNaN(share) {
		return ""
	}
	return fmt.Sprintf("%.1f %%", 100*share)
}

// bar is a horizontal bar of up to 24 cells in steps of an eighth.
func bar(share float64) string {
	const cells = 24
	if !(share >= 0 && share <= 1) {
		return ""
	}
	eighths := int(math.Round(8 * cells * share))
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string(rune('█' + 8 - rest)) // the blocks get thinner from U+2588 on
	}
	return text
}

// writeParameters lists the parameters that differ from their defaults.
func writeParameters(w *bufio.Writer, m *lightgbm.Model) {
	if m.Parameters == "" {
		return
	}
	texts, err := m.ParameterTexts()
	if err != nil {
		fmt.Fprintf(w, "\nparameters cannot be read: %s\n", printable(err.Error()))
		return
	}
	cfg, _, err := lightgbm.ParseModelText(m.Parameters)
	if err != nil {
		fmt.Fprintf(w, "\nparameters cannot be read: %s\n", printable(err.Error()))
		return
	}
	fmt.Fprintf(w, "\nparameters that differ from the defaults\n")
	defaults, none := lightgbm.NewConfig(), true
	for _, p := range texts {
		text := p.Value
		if known, ok := cfg.Value(p.Name); ok {
			usual, _ := defaults.Value(p.Name)
			if known == usual {
				continue
			}
			text = known
			if usual != "" {
				text += " (default " + usual + ")"
			}
		}
		none = false
		fmt.Fprintf(w, "  %s = %s\n", printable(p.Name), printable(text))
	}
	if none {
		fmt.Fprintf(w, "  none\n")
	}
}
