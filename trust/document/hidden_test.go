package document_test

import (
	"fmt"
	"iter"
	"strings"
	"testing"
	"unicode"

	"cloister/trust/document"
)

// TestHiddenCharacters reads characters of Unicode: none that cannot be seen, or
// that moves others, passes, not even in a comment, and the letters of most
// languages do.
func TestHiddenCharacters(t *testing.T) {
	t.Parallel()
	// Unicode's derived property Default_Ignorable_Code_Point, of which Go has the
	// part that other properties do not give.
	hidden := make(map[rune]bool)
	for _, table := range []*unicode.RangeTable{
		unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Bidi_Control,
	} {
		for c := range all(table) {
			hidden[c] = !visibleFormat(c) && c != '\n' && c != '\r'
		}
	}
	for c, is := range hidden {
		if !is {
			continue
		}
		err := document.Read("x.yaml", []byte("# "+string(c)+"\n"), new(costly))
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("x.yaml:1:3: has the character U+%04X", c)) {
			t.Errorf("%U passes: %v", c, err)
		}
	}
	letters := "# "
	for c := rune(0); c < 0x3000; c++ {
		if unicode.IsLetter(c) && !hidden[c] {
			letters += string(c)
		}
	}
	if err := document.Read("x.yaml", []byte(letters+"\nwords: [a]\n"), new(costly)); err != nil {
		t.Errorf("letters are refused: %v", err)
	}
}

// all are the characters of a table.
func all(table *unicode.RangeTable) iter.Seq[rune] {
	return func(yield func(rune) bool) {
		for _, r := range table.R16 {
			for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
				if !yield(c) {
					return
				}
			}
		}
		for _, r := range table.R32 {
			for c := rune(r.Lo); c <= rune(r.Hi); c += rune(r.Stride) {
				if !yield(c) {
					return
				}
			}
		}
	}
}

// visibleFormat are the characters of category Cf that stand for something that
// is seen: signs before numbers and the like in Arabic, Syriac, Kaithi and
// Egyptian writing.
func visibleFormat(c rune) bool {
	return c >= 0x600 && c <= 0x605 || c == 0x6dd || c == 0x70f || c == 0x890 || c == 0x891 || c == 0x8e2 ||
		c == 0x110bd || c == 0x110cd || c >= 0x13430 && c <= 0x1343f
}
