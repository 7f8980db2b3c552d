//go:build !race

package ratls_test

// everyByte is the step of tests that change every byte.
const everyByte = 1
