package random_test

import (
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/random"
)

func TestReproducibleGolden(t *testing.T) {
	t.Parallel()
	s := random.New(42, 7, 9)
	shuffled := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	s.Shuffle(10, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	got := map[string]any{
		"Hash(42)":       random.Hash(42),
		"Hash(42, 7, 9)": random.Hash(42, 7, 9),
		"Uint64":         []uint64{s.Uint64(), s.Uint64()},
		"Float64":        s.Float64(),
		"IntN":           []int{s.IntN(1000), s.IntN(1000), s.IntN(math.MaxInt)},
		"Shuffle":        shuffled,
		"Sample dense":   s.Sample(20, 5),
		"Sample sparse":  s.Sample(100_000, 5),
	}
	want := map[string]any{
		"Float64":        float64(0.7063216017781214),
		"Hash(42)":       uint64(13679457532755275413),
		"Hash(42, 7, 9)": uint64(2532661965053334848),
		"IntN":           []int{575, 118, 8065992915752242913},
		"Sample dense":   []int{0, 4, 10, 11, 17},
		"Sample sparse":  []int{18212, 29319, 44461, 57259, 71053},
		"Shuffle":        []int{0, 2, 1, 4, 5, 6, 8, 3, 7, 9},
		"Uint64":         []uint64{10073929200642506226, 14561875113810691710},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("random choices changed (-want +got):\n%s", diff)
	}
}

func TestHashVariantsAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(100) {
		if got, want := random.Hash1(seed, 5), random.Hash(seed, 5); got != want {
			t.Errorf("Hash1(%d, 5) = %d, want %d", seed, got, want)
		}
		if got, want := random.Hash2(seed, 5, 6), random.Hash(seed, 5, 6); got != want {
			t.Errorf("Hash2(%d, 5, 6) = %d, want %d", seed, got, want)
		}
		if got, want := random.Extend(random.Hash2(seed, 5, 6), 7), random.Hash(seed, 5, 6, 7); got != want {
			t.Errorf("Extend(Hash2(%d, 5, 6), 7) = %d, want %d", seed, got, want)
		}
	}
}

func TestHashSeparatesNeighbours(t *testing.T) {
	t.Parallel()
	seen := map[uint64]bool{}
	for seed := range uint64(20) {
		seen[random.Hash(seed)] = true
		for a := range uint64(20) {
			seen[random.Hash(seed, a)] = true
			for b := range uint64(20) {
				seen[random.Hash(seed, a, b)] = true
			}
		}
	}
	if want := 20 + 20*20 + 20*20*20; len(seen) != want {
		t.Errorf("%d different hashes, want %d", len(seen), want)
	}
}

func TestIntNIsUniform(t *testing.T) {
	t.Parallel()
	const n, draws = 7, 70_000
	var counts [n]int
	s := random.New(1)
	for range draws {
		counts[s.IntN(n)]++
	}
	chiSquare := 0.
	for _, c := range counts {
		d := float64(c) - draws/n
		chiSquare += float64(d*d) / (draws / n)
	}
	// The 0.999 quantile with 6 degrees of freedom.
	if chiSquare > 22.46 {
		t.Errorf("counts %v are not uniform: chi-square %.1f", counts, chiSquare)
	}
}

func TestIntNOfNothing(t *testing.T) {
	t.Parallel()
	s := random.New(1)
	for _, n := range []int{-5, 0, 1} {
		if got := s.IntN(n); got != 0 {
			t.Errorf("IntN(%d) = %d, want 0", n, got)
		}
	}
}

func TestSample(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ n, k, want int }{
		"none":                 {10, 0, 0},
		"negative":             {10, -1, 0},
		"one":                  {10, 1, 1},
		"most":                 {10, 9, 9},
		"all":                  {10, 10, 10},
		"too many":             {10, 11, 10},
		"few of many":          {1_000_000, 1000, 1000},
		"of nothing":           {0, 3, 0},
		"of less than nothing": {-4, 3, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := random.New(3, 4).Sample(test.n, test.k)
			if len(got) != test.want {
				t.Fatalf("%d numbers, want %d", len(got), test.want)
			}
			if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
				t.Errorf("%v is not strictly ascending", got)
			}
			if len(got) > 0 && (got[0] < 0 || got[len(got)-1] >= test.n) {
				t.Errorf("%v leaves 0 … %d", got, test.n-1)
			}
		})
	}
}

func TestSampleTakesEachItemEquallyOften(t *testing.T) {
	t.Parallel()
	for _, n := range []int{20, 200} {
		counts := make([]int, n)
		const k, rounds = 5, 20_000
		for round := range uint64(rounds) {
			for _, i := range random.New(9, round).Sample(n, k) {
				counts[i]++
			}
		}
		mean := float64(k*rounds) / float64(n)
		for i, c := range counts {
			if math.Abs(float64(c)-mean) > 5*math.Sqrt(mean) {
				t.Errorf("item %d of %d was taken %d times, want about %.0f", i, n, c, mean)
			}
		}
	}
}

func TestFloat64Range(t *testing.T) {
	t.Parallel()
	if got := random.Float64(math.MaxUint64); got >= 1 {
		t.Errorf("Float64 of all ones is %v, want less than 1", got)
	}
	s, sum := random.New(5), 0.
	for range 10_000 {
		f := s.Float64()
		if f < 0 || f >= 1 {
			t.Fatalf("Float64 = %v, want in [0, 1)", f)
		}
		sum += f
	}
	if math.Abs(sum/10_000-0.5) > 0.015 {
		t.Errorf("mean is %v, want about 0.5", sum/10_000)
	}
}
