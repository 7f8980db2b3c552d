package cli

import (
	"bufio"
	"fmt"
	"strconv"
	"strings"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/tree"
)

// Limits of a drawing: deeper subtrees are told in one line, long lists cut.
const (
	drawnDepth      = 24
	drawnCategories = 12
)

// branch is a part of a tree that is still to be drawn.
type branch struct {
	node   int32  // as in tree.Tree: a leaf if negative
	indent string // before the line of the node
	below  string // before the lines below it
	answer string // "yes" or "no" to the condition above
	depth  int
}

// drawTree draws a tree as indented text, the condition of each node and below
// it what follows if it holds and if it does not.
func drawTree(w *bufio.Writer, m *lightgbm.Model, index int, t *tree.Tree) {
	fmt.Fprintf(w, "\ntree %d", index)
	if m.TreesPerIteration > 1 {
		fmt.Fprintf(w, " (iteration %d, class %d)", index/m.TreesPerIteration, index%m.TreesPerIteration)
	}
	fmt.Fprintf(w, ": %s, depth %d, shrinkage %s\n", counted(t.NumLeaves, "leaf", "leaves"), t.MaxDepth(), brief(t.Shrinkage))
	root := branch{}
	if t.NumLeaves == 1 {
		root.node = -1
	}
	stack := []branch{root}
	for len(stack) > 0 {
		b := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		w.WriteString(b.indent + b.answer) //nolint:errcheck // Flush tells
		switch {
		case b.node < 0:
			fmt.Fprintf(w, "%s\n", describeLeaf(m, t, int(^b.node)))
		case b.depth == drawnDepth:
			fmt.Fprintf(w, "… (%d more leaves)\n", leavesBelow(t, b.node))
		default:
			fmt.Fprintf(w, "%s\n", describeNode(m, t, int(b.node)))
			stack = append(stack,
				branch{t.RightChild[b.node], b.below + "└─ ", b.below + "   ", "no:  ", b.depth + 1},
				branch{t.LeftChild[b.node], b.below + "├─ ", b.below + "│  ", "yes: ", b.depth + 1})
		}
	}
}

func describeNode(m *lightgbm.Model, t *tree.Tree, node int) string {
	var b strings.Builder
	b.WriteString(shortName(m, int(t.SplitFeature[node])))
	if t.IsCategorical(node) {
		b.WriteString(" in {" + someCategories(t.Categories(node)) + "}")
	} else {
		b.WriteString(" <= " + strconv.FormatFloat(t.Threshold[node], 'g', -1, 64))
		b.WriteString(missingRule(t, node))
	}
	fmt.Fprintf(&b, "  (gain %s, count %d, value %s)", brief(float64(t.SplitGain[node])), t.InternalCount[node], brief(t.InternalValue[node]))
	return b.String()
}

// missingRule says where missing values go.
func missingRule(t *tree.Tree, node int) string {
	left := t.DecisionType[node]&tree.DefaultLeftMask != 0
	switch missing := t.MissingType(node); {
	case missing == dataset.MissingNaN && left:
		return " or missing"
	case missing == dataset.MissingNaN:
		return " and not missing"
	case missing == dataset.MissingZero && left:
		return " or missing or 0"
	case missing == dataset.MissingZero:
		return " and neither missing nor 0"
	default:
		return ""
	}
}

func someCategories(list []int) string {
	words := make([]string, 0, drawnCategories+1)
	for i, c := range list {
		if i == drawnCategories {
			words = append(words, fmt.Sprintf("… %d more", len(list)-i))
			break
		}
		words = append(words, strconv.Itoa(c))
	}
	return strings.Join(words, ", ")
}

func describeLeaf(m *lightgbm.Model, t *tree.Tree, leaf int) string {
	text := "value " + brief(t.LeafValue[leaf])
	if t.IsLinear {
		var b strings.Builder
		b.WriteString("value " + brief(t.LeafConst[leaf]))
		for i, f := range t.LeafFeatures[leaf] {
			fmt.Fprintf(&b, " %+.6g × %s", t.LeafCoeff[leaf][i], shortName(m, int(f)))
		}
		if len(t.LeafFeatures[leaf]) > 0 {
			b.WriteString(", or " + brief(t.LeafValue[leaf]) + " if one is missing")
		}
		text = b.String()
	}
	return fmt.Sprintf("leaf %d: %s  (count %d)", leaf, text, t.LeafCount[leaf])
}

// leavesBelow counts the leaves of a subtree.
func leavesBelow(t *tree.Tree, node int32) int {
	leaves := 0
	stack := []int32{node}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if at < 0 {
			leaves++
			continue
		}
		stack = append(stack, t.LeftChild[at], t.RightChild[at])
	}
	return leaves
}
