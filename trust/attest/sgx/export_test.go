package sgx

// SetSource changes where a verifier finds collateral. What it verified of quotes
// stays known, so that tests which change each byte of collateral need not do
// that again.
func SetSource(v *Verifier, s Source) { v.options.Collateral = s }

// ParsePEM is fuzzed.
var ParsePEM = parsePEM
