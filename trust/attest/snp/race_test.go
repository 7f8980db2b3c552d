//go:build race

package snp_test

// everyByte is the step of tests that change every byte: the race detector makes
// them many times slower, and a run with it is about races.
const everyByte = 16
