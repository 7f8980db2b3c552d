package document_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"cloister/trust/document"
)

type costly struct {
	Names map[word]*inner `json:"names"`
	Words []word          `json:"words"`
}

type inner struct {
	Inner map[word][]word `json:"inner"`
}

type word string

func (w word) MarshalText() ([]byte, error)     { return []byte(w), nil }
func (w *word) UnmarshalText(text []byte) error { *w = word(text); return nil }
func (word) Form() document.Form                { return document.Form{Name: "word"} }

// TestCostOfReading reads the texts that are said to keep readers of YAML busy: a
// quarter as large as they may be, which is where what is not linear shows.
func TestCostOfReading(t *testing.T) {
	t.Parallel()
	n := document.MaxBytes / 4
	times := func(s string) string { return strings.Repeat(s, n/len(s)) }
	deep := func(open string) string { return "words: " + strings.Repeat(open, (n-10)/len(open)) }
	for name, text := range map[string]string{
		"flow lists":        deep("["),
		"flow maps":         deep("{a: "),
		"flow keys":         deep("? "),
		"flow keys in list": deep("[? "),
		"block lists":       strings.Repeat("- ", n/2),
		"block keys":        strings.Repeat("? ", n/2),
		"anchors":           "words:\n" + strings.Repeat("- &a a\n", n/8),
		"aliases":           "words:\n- &a a\n" + strings.Repeat("- *a\n", n/6),
		"billion laughs":    "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nwords: [*c,*c,*c]\n",
		"quotes":            times("'"),
		"double quotes":     `words: ["` + strings.Repeat(`\u0041`, n/7) + `"]`,
		"colons":            times(": "),
		"commas":            "words: [" + strings.Repeat(",", n-12) + "]",
		"words":             "words: [" + strings.Repeat("a,", n/2-10) + "a]",
		"keys":              "names:\n" + strings.Repeat(" a: {}\n", n/8),
		"comments":          times("#\n"),
		"blank lines":       times("\n"),
		"long scalar":       "words: [" + strings.Repeat("a", n-12) + "]",
		"long plain lines":  "words: [" + strings.Repeat("a\n", n/2-12) + "]",
		"literal":           "words:\n - |\n" + strings.Repeat("  a\n", n/4-8),
		"folded":            "words:\n - >\n" + strings.Repeat("  a\n\n", n/5-8),
		"tags":              "words: [" + strings.Repeat("!!str a,", n/9) + "]",
		"documents":         times("---\n"),
		"indented":          strings.Repeat(" ", n-10) + "a: b",
		"growing indents":   growing(n),
		"many keys":         many(n),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if len(text) > n {
				t.Fatalf("%d bytes", len(text))
			}
			start := time.Now()
			err := document.Read("x.yaml", []byte(text), new(costly))
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %s", took)
			}
			if (err == nil) != (name == "many keys") {
				t.Errorf("error is %v", err)
			}
		})
	}
}

func growing(n int) string {
	var b strings.Builder
	for i := 0; b.Len()+i+4 < n; i++ {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func many(n int) string {
	var b strings.Builder
	b.WriteString("names:\n a:\n  inner:\n")
	for i := 0; b.Len() < n-40; i++ {
		fmt.Fprintf(&b, "   a%d: [a]\n", i)
	}
	return b.String()
}
