//go:build !race

package sgx_test

const underRace = false
