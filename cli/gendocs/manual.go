package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cloister/cli"
)

// manual is the manual page (section 1) of a command, in the man macros.
func manual(cmd *cobra.Command) string {
	var b strings.Builder
	b.WriteString(".\\\" Written by cli/gendocs. Do not edit.\n")
	fmt.Fprintf(&b, ".TH \"%s\" \"1\" \"\" \"Cloister\" \"Cloister manual\"\n", roff(strings.ToUpper(pageName(cmd))))
	fmt.Fprintf(&b, ".SH NAME\n%s \\- %s\n", roff(pageName(cmd)), roff(cmd.Short))
	if cmd.Runnable() {
		fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n", roff(cmd.UseLine()))
	}
	b.WriteString(".SH DESCRIPTION\n")
	if cmd.Long == "" {
		b.WriteString(roff(description(cmd)) + "\n")
	} else {
		fmt.Fprintf(&b, ".nf\n%s\n.fi\n", roffLines(cmd.Long))
	}
	manualFlags(&b, "OPTIONS", cmd.NonInheritedFlags())
	manualFlags(&b, "OPTIONS OF ALL COMMANDS", cmd.InheritedFlags())
	if cmd.Example != "" {
		fmt.Fprintf(&b, ".SH EXAMPLES\n.nf\n%s\n.fi\n", roffLines(unindent(cmd.Example)))
	}
	b.WriteString(".SH EXIT STATUS\n")
	for _, e := range cli.ExitMeanings {
		fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", e.Code, roff(e.Meaning))
	}
	if pages := related(cmd); len(pages) > 0 {
		names := make([]string, len(pages))
		for i, p := range pages {
			names[i] = fmt.Sprintf("\\fB%s\\fP(1)", roff(pageName(p)))
		}
		fmt.Fprintf(&b, ".SH SEE ALSO\n%s\n", strings.Join(names, ",\n"))
	}
	return b.String()
}

func manualFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, ".SH %s\n", title)
	bold := func(form string) string { return "\\fB" + roff(form) + "\\fP" }
	eachFlag(flags, bold, func(forms, usage string) {
		fmt.Fprintf(b, ".TP\n%s\n%s\n", forms, roff(usage))
	})
}

// roff escapes one line of text.
func roff(s string) string {
	s = strings.NewReplacer("\\", "\\e", "-", "\\-").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = "\\&" + s
	}
	return s
}

func roffLines(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	for i, l := range lines {
		lines[i] = roff(l)
	}
	return strings.Join(lines, "\n")
}
