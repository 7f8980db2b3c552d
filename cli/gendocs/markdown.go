package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"cloister/cli"
)

// markdown is the reference page of a command.
func markdown(cmd *cobra.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "<!-- Written by cli/gendocs. Do not edit. -->\n# %s\n\n%s.\n", cmd.CommandPath(), cmd.Short)
	if cmd.Long != "" {
		fmt.Fprintf(&b, "\n```text\n%s\n```\n", strings.TrimSpace(cmd.Long))
	}
	if cmd.Runnable() {
		fmt.Fprintf(&b, "\n## Usage\n\n```sh\n%s\n```\n", cmd.UseLine())
	}
	if cmd.Example != "" {
		fmt.Fprintf(&b, "\n## Examples\n\n```sh\n%s\n```\n", unindent(cmd.Example))
	}
	markdownFlags(&b, "Flags", cmd.NonInheritedFlags())
	markdownFlags(&b, "Flags of all commands", cmd.InheritedFlags())
	if !cmd.HasParent() {
		b.WriteString("\n## Exit codes\n\n| code | meaning |\n| ---: | --- |\n")
		for _, e := range cli.ExitMeanings {
			fmt.Fprintf(&b, "| %d | %s |\n", e.Code, e.Meaning)
		}
	}
	if pages := related(cmd); len(pages) > 0 {
		b.WriteString("\n## See also\n\n")
		if cmd.Flags().Lookup("help-parameters") != nil {
			b.WriteString("- [Parameters](../parameters.md): every KEY, its values and its default\n")
		}
		for _, p := range pages {
			fmt.Fprintf(&b, "- [%s](%s.md): %s\n", p.CommandPath(), pageName(p), p.Short)
		}
	}
	return b.String()
}

func markdownFlags(b *strings.Builder, title string, flags *pflag.FlagSet) {
	if !flags.HasAvailableFlags() {
		return
	}
	fmt.Fprintf(b, "\n## %s\n\n| flag | meaning |\n| --- | --- |\n", title)
	code := func(form string) string { return "`" + form + "`" }
	eachFlag(flags, code, func(forms, usage string) {
		fmt.Fprintf(b, "| %s | %s |\n", forms, strings.ReplaceAll(usage, "|", "\\|"))
	})
}

// eachFlag gives the forms of each flag, marked up, and what it does.
func eachFlag(flags *pflag.FlagSet, mark func(form string) string, write func(forms, usage string)) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		forms, usage := flagText(f)
		for i, form := range forms {
			forms[i] = mark(form)
		}
		write(strings.Join(forms, ", "), usage)
	})
}

// flagText gives a flag's forms and what it does.
func flagText(f *pflag.Flag) (names []string, usage string) {
	value, usage := pflag.UnquoteUsage(f)
	if f.Shorthand != "" {
		names = append(names, "-"+f.Shorthand)
	}
	long := "--" + f.Name
	if value != "" && f.Value.Type() != "count" {
		long += "=" + value
	}
	names = append(names, long)
	if f.Value.Type() == "string" && f.DefValue != "" {
		usage += fmt.Sprintf(" (default %s)", f.DefValue)
	}
	return names, usage
}

// unindent removes the two spaces that examples have in --help.
func unindent(s string) string {
	lines := strings.Split(strings.Trim(s, "\n"), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(l, "  ")
	}
	return strings.Join(lines, "\n")
}
