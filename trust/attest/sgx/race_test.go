//go:build race

package sgx_test

// underRace says that the race detector, which makes everything many times
// slower, watches: every 8th byte is then changed, in a run that is about races.
const underRace = true
