// Package random makes choices that depend on what is chosen for (a seed, an
// iteration, a row), never on the order or the thread in which choices are
// made.
//
// It is the output function of SplitMix64 (G. L. Steele, D. Lea, C. H. Flood,
// "Fast splittable pseudorandom number generators", OOPSLA 2014) applied to
// counters. It passes statistical tests and is fast; it is not fit for
// cryptography: who sees some outputs can compute the others.
package random

import (
	"math/bits"
	"slices"
)

// gamma is the odd number nearest 2^64 over the golden ratio.
const gamma = 0x9e3779b97f4a7c15

// multiplier spreads the parts of a hash: another odd number, so that hashes
// and sequences do not share bits (from G. L. Steele, S. Vigna,
// "Computationally easy, spectrally good multipliers for congruential
// pseudorandom number generators", 2021).
const multiplier = 0xd1342543de82ef95

// mix is SplitMix64's output function, a bijection of 64 bits.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Hash returns 64 random bits for a seed and parts; any difference in the seed,
// the parts, their order or their number gives independent bits.
func Hash(seed uint64, parts ...uint64) uint64 {
	h := mix(seed + gamma)
	for _, p := range parts {
		h = Extend(h, p)
	}
	return h
}

// Hash1 is Hash(seed, a) without a slice.
func Hash1(seed, a uint64) uint64 {
	return Extend(mix(seed+gamma), a)
}

// Hash2 is Hash(seed, a, b) without a slice.
func Hash2(seed, a, b uint64) uint64 {
	return Extend(Hash1(seed, a), b)
}

// Extend returns Hash(seed, parts..., part) where h is Hash(seed, parts...):
// a loop over items hashes what they share once.
func Extend(h, part uint64) uint64 {
	return mix(h + (part+1)*multiplier)
}

// Float64 maps random bits to [0, 1), evenly, in steps of 2^-53.
func Float64(bits uint64) float64 { return float64(float64(bits>>11) * 0x1p-53) }

// Source is a sequence of random numbers. It is not safe for concurrent use;
// two goroutines take two sources with different parts.
type Source struct{ state uint64 }

// New returns the sequence of a seed and parts.
func New(seed uint64, parts ...uint64) *Source {
	return &Source{state: mix(^Hash(seed, parts...))}
}

// Uint64 returns the next 64 random bits.
func (s *Source) Uint64() uint64 {
	s.state += gamma
	return mix(s.state)
}

// Float64 returns a number in [0, 1).
func (s *Source) Float64() float64 { return Float64(s.Uint64()) }

// IntN returns each of 0 … n-1 with the same probability (D. Lemire, "Fast
// random integer generation in an interval", ACM TOMACS 29, 2019), and 0 when
// n is less than 2.
func (s *Source) IntN(n int) int {
	if n < 2 {
		return 0
	}
	bound := uint64(n)
	hi, lo := bits.Mul64(s.Uint64(), bound)
	if lo < bound {
		for reject := -bound % bound; lo < reject; {
			hi, lo = bits.Mul64(s.Uint64(), bound)
		}
	}
	return int(hi)
}

// Shuffle puts n items in random order by swapping (Fisher and Yates).
func (s *Source) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, s.IntN(i+1))
	}
}

// Sample returns k different numbers of 0 … n-1, ascending, each set of k with
// the same probability; all n when k is n or more, none when k is not positive.
func (s *Source) Sample(n, k int) []int {
	k = max(0, min(k, n))
	chosen := make([]int, 0, k)
	if k > n/16 {
		// D. E. Knuth, "The Art of Computer Programming", volume 2, section
		// 3.4.2, algorithm S.
		for i := 0; len(chosen) < k; i++ {
			if s.IntN(n-i) < k-len(chosen) {
				chosen = append(chosen, i)
			}
		}
		return chosen
	}
	// J. Bentley and R. W. Floyd, "A sample of brilliance", CACM 30, 1987.
	seen := make(map[int]struct{}, k)
	for i := n - k; i < n; i++ {
		c := s.IntN(i + 1)
		if _, again := seen[c]; again {
			c = i
		}
		seen[c] = struct{}{}
		chosen = append(chosen, c)
	}
	slices.Sort(chosen)
	return chosen
}
