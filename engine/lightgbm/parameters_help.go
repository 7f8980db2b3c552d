package lightgbm

import (
	"fmt"
	"io"
	"strings"

	"cloister/engine/lightgbm/parameter"
)

const (
	helpWidth  = 80
	helpIndent = "      "
)

// Help writes what cloister train --help-parameters shows: every parameter
// with aliases, type, default, bounds, values and status, by section.
func Help(w io.Writer) error {
	var out strings.Builder
	out.WriteString("Parameters of LightGBM 4.7.0 and of Cloister, written KEY=VALUE.\n")
	for _, section := range parameter.Sections() {
		fmt.Fprintf(&out, "\n%s:\n", section)
		for i := range declared().all {
			if p := &declared().all[i]; p.Section == section {
				helpParameter(&out, p)
			}
		}
	}
	if _, err := io.WriteString(w, out.String()); err != nil {
		return fmt.Errorf("write the help: %w", err)
	}
	return nil
}

func helpParameter(w *strings.Builder, p *Parameter) {
	facts := []string{p.Type.String(), "default " + p.ShownDefault()}
	if len(p.Bounds) > 0 {
		facts = append(facts, p.ShownBounds())
	}
	if p.OnlyWith != "" {
		facts = append(facts, "only with "+p.OnlyWith)
	}
	if p.Status != parameter.Supported {
		facts = append(facts, p.Status.String())
	}
	fmt.Fprintf(w, "\n  %s (%s)\n", p.Name, strings.Join(facts, "; "))
	wrap(w, p.Text)
	if p.Reason != "" {
		text := p.Status.String() + ": " + p.Reason
		if p.Instead != "" {
			text += "; " + p.Instead
		}
		wrap(w, text)
	}
	if len(p.Aliases) > 0 {
		wrap(w, "aliases: "+strings.Join(p.Aliases, ", "))
	}
	for _, v := range p.Values {
		text := v.Name
		if len(v.Aliases) > 0 {
			text += " (" + strings.Join(v.Aliases, ", ") + ")"
		}
		text += ": " + v.Text
		if v.Status != parameter.Supported {
			text += " [" + v.Status.String() + "]"
		}
		wrap(w, "- "+text)
	}
}

// wrap writes indented lines of at most helpWidth bytes, where words allow. An
// item of a list hangs behind its dash.
func wrap(w *strings.Builder, text string) {
	hang := helpIndent
	if strings.HasPrefix(text, "- ") {
		hang += "  "
	}
	line := helpIndent
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case len(line)+1+len(word) > helpWidth:
			w.WriteString(line + "\n")
			line = hang + word
		default:
			line += " " + word
		}
	}
	w.WriteString(line + "\n")
}
