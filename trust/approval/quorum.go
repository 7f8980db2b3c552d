package approval

import "slices"

// Count is how many of the keys signed the message for the purpose. Each key
// counts once, however often it signed; signatures that are not valid, or of
// other keys, count nothing.
func Count(keys []PublicKey, purpose Purpose, message []byte, signatures []*Signature) int {
	n := 0
	for i, key := range keys {
		if key.IsZero() || slices.Contains(keys[:i], key) {
			continue
		}
		if slices.ContainsFunc(signatures, func(s *Signature) bool {
			return s != nil && s.key == key && s.Verify(purpose, message) == nil
		}) {
			n++
		}
	}
	return n
}
