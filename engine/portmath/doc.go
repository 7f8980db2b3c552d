// Package portmath has the elementary functions that the engine needs, with
// the same bits on every architecture. Go's own differ: some architectures
// have them in assembly, and the compiler may fuse x*y + z into one rounding
// where the hardware can. Here every product that is added to something is
// rounded explicitly (float64(a*b) + c), which the language forbids to fuse,
// and only operations that IEEE 754 rounds correctly are used.
//
// Signatures and special values are those of package math. Errors are below
// 1 unit in the last place for Exp, Expm1, Log, Log1p, Log2, Log10 and Pow,
// below 2 for Tanh, and for Lgamma 4 or, where it is below 1, 4·2^-53.
package portmath

//go:generate go run ./internal/gentables
