package audit

import (
	"strings"
	"unicode"
)

// Is says whether the entry is of a type, or of one below it: "order.new-key" is
// an "order".
func (e *Entry) Is(kind string) bool {
	return e.Type == kind || strings.HasPrefix(e.Type, kind+".")
}

// Concerns says whether the entry is about an owner or about what is the owner's:
// whether its subject, or a detail that names owners, has the name as a word, or
// as what comes before a slash.
func (e *Entry) Concerns(owner string) bool {
	texts := []string{e.Subject, e.Details["owner"], e.Details["owners"], e.Details["destroyed"]}
	if strings.HasPrefix(e.Type, "policy") {
		texts = append(texts, e.Reason) // who approved
	}
	for _, text := range texts {
		words := strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune(`,;:"`, r) })
		for _, w := range words {
			if before, _, _ := strings.Cut(w, "/"); before == owner {
				return true
			}
		}
	}
	return false
}
