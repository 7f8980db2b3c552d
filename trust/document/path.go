package document

import (
	"fmt"
	"strings"
	"unicode/utf16"
)

// Path is the place of a value, such as workloads[train].sgx.config-id.
type Path string

// Field is the path of a field of the struct at p.
func (p Path) Field(name string) Path {
	if p == "" {
		return Path(name)
	}
	return p + "." + Path(name)
}

// Key is the path of an entry of the map, or of an element of the set, at p.
func (p Path) Key(key string) Path {
	if !plain(key) {
		key = Quote(key)
	}
	return p + "[" + Path(key) + "]"
}

// plain reports whether a key needs no quotes: it can then be told from one that
// has some, and ends nowhere but at its bracket.
func plain(key string) bool {
	if key == "" {
		return false
	}
	for _, c := range []byte(key) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("._/@:+=- ", c) >= 0:
		default:
			return false
		}
	}
	return true
}

// Quote writes text in printable ASCII, as a JSON string: whatever else it has,
// control and bidirectional characters among them, is escaped. The escape does
// not depend on a version of Unicode, so the text can be hashed.
func Quote(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r >= ' ' && r <= '~':
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
