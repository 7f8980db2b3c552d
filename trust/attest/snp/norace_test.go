//go:build !race

package snp_test

// everyByte is the step of tests that change every byte.
const everyByte = 1
