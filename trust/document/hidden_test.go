package document_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode"

	"cloister/trust/document"
)

// TestHiddenCharacters reads every character of Unicode: none that cannot be
// seen, or that moves others, passes, not even in a comment, and the letters of most languages do.
func TestHiddenCharacters(t *testing.T) {
	t.Parallel()
	// Unicode's derived property Default_Ignorable_Code_Point, of which Go has the
	// part that other properties do not give.
	invisible := []*unicode.RangeTable{
		unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector, unicode.Bidi_Control,
	}
	for c := rune(0); c <= unicode.MaxRune; c++ {
		if c >= 0xd800 && c <= 0xdfff || c == '\n' || c == '\r' {
			continue
		}
		hidden := unicode.In(c, invisible...) && !visibleFormat(c)
		if !hidden && (!unicode.IsLetter(c) || c > 0x3000) {
			continue // whether it passes is nobody's concern, or takes too long to try
		}
		err := document.Read("x.yaml", []byte("# "+string(c)+"\nwords: [a]\n"), new(costly))
		refused := err != nil && strings.Contains(err.Error(), fmt.Sprintf("x.yaml:1:3: has the character U+%04X", c))
		if hidden && !refused {
			t.Errorf("%U passes: %v", c, err)
		}
		if !hidden && unicode.IsLetter(c) && err != nil {
			t.Errorf("%U is refused: %v", c, err)
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
