package dataset

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// splitmix is the generator of testdata/bins/make.py.
type splitmix uint64

func (g *splitmix) next() uint64 {
	*g += 0x9E3779B97F4A7C15
	z := uint64(*g)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

func (g *splitmix) unit() float64 { return float64(g.next()>>11) / (1 << 53) }

func (g *splitmix) bell() float64 {
	sum := 0.0
	for range 12 {
		sum += g.unit()
	}
	return sum - 6
}

// level is a whole number below n, the smaller the likelier with every draw.
func (g *splitmix) level(draws int, n float64) float64 {
	u := g.unit()
	for range draws - 1 {
		u *= g.unit()
	}
	return math.Trunc(u * n)
}

// gaps is v, or 0 or NaN by u.
func gaps(u, v, present, zero float64) float64 {
	switch {
	case u < present:
		return v
	case u < zero:
		return 0
	}
	return math.NaN()
}

var kinds = map[string]func(g *splitmix) float64{
	"uniform": (*splitmix).unit,
	"bell":    (*splitmix).bell,
	"bell with gaps": func(g *splitmix) float64 {
		if u, v := g.unit(), g.bell(); u >= 0.1 {
			return v
		}
		return math.NaN()
	},
	"mostly zero":   func(g *splitmix) float64 { u, v := g.unit(), g.bell(); return gaps(u, v, 0.05, 1) },
	"zero and gaps": func(g *splitmix) float64 { u, v := g.unit(), g.bell(); return gaps(u, v, 0.3, 0.6) },
	"negative":      func(g *splitmix) float64 { return -1 - g.unit() },
	"counts":        func(g *splitmix) float64 { return g.level(2, 40) },
	"signed counts": func(g *splitmix) float64 { return g.level(2, 40) - 3 },
	"spike": func(g *splitmix) float64 {
		u, v := g.unit(), g.bell()
		if u < 0.75 {
			return 7.25
		}
		return v
	},
	"spikes": func(g *splitmix) float64 {
		u, v := g.unit(), g.bell()
		switch {
		case u < 0.2:
			return 0.5
		case u < 0.4:
			return 0.75
		}
		return v
	},
	"constant":   func(*splitmix) float64 { return 4.5 },
	"zero":       func(*splitmix) float64 { return 0 },
	"missing":    func(*splitmix) float64 { return math.NaN() },
	"neighbours": func(g *splitmix) float64 { return math.Float64frombits(math.Float64bits(1) + uint64(g.unit()*9)) },
	"tiny": func(g *splitmix) float64 {
		return []float64{
			0, math.Copysign(0, -1), 5e-324, -5e-324, 1e-310, 1e-36, -1e-36, 1e-35,
			-1e-35, 1.1e-35, -1.1e-35, 1e-34, -1e-34, 1e-30, -1e-30, 1,
		}[int(g.unit()*16)]
	},
	"huge":       func(g *splitmix) float64 { return g.bell() * 1e307 },
	"wide":       func(g *splitmix) float64 { u := g.unit() - 0.5; return u * float64(uint64(1)<<int(g.unit()*60)) },
	"binary":     func(g *splitmix) float64 { return gaps(g.unit(), 1, 0.5, 1) },
	"rare":       func(g *splitmix) float64 { return gaps(g.unit(), 1, 0.012, 1) },
	"plus minus": func(g *splitmix) float64 { return 2*gaps(g.unit(), 1, 0.5, 1) - 1 },
	"level":      func(g *splitmix) float64 { return g.level(3, 30) },
	"many levels": func(g *splitmix) float64 {
		return g.level(2, 900)
	},
	"level with gaps": func(g *splitmix) float64 {
		u, v := g.unit(), g.level(2, 12)
		if u < 0.1 {
			return math.NaN()
		}
		return v
	},
	"level with negative": func(g *splitmix) float64 { return g.level(2, 12) - 2 },
	"level from one":      func(g *splitmix) float64 { return g.level(2, 6) + 1 },
	"big levels":          func(g *splitmix) float64 { return float64(g.level(2, 6)*100000) + 70000 },
}

// hexFloat compares by bits, so that NaN equals NaN and 0 differs from -0.
type hexFloat uint64

func (h *hexFloat) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return err
	}
	v, err := strconv.ParseFloat(s, 64)
	*h = bitsOf(v)
	return err
}

func bitsOf(v float64) hexFloat {
	if math.IsNaN(v) {
		v = math.NaN()
	}
	return hexFloat(math.Float64bits(v))
}

type lightgbmMapper struct {
	Bins        int         `json:"bins"`
	Missing     MissingType `json:"missing"`
	SparseRate  hexFloat    `json:"sparse_rate"`
	Min         hexFloat    `json:"min"`
	Max         hexFloat    `json:"max"`
	DefaultBin  uint32      `json:"default_bin"`
	MostFreqBin uint32      `json:"most_freq_bin"`
	UpperBound  []hexFloat  `json:"upper_bound"`
	Categories  []int32     `json:"categories"`
}

type lightgbmFeature struct {
	Kind        string          `json:"kind"`
	Categorical bool            `json:"categorical"`
	Info        string          `json:"info"`
	Mapper      *lightgbmMapper `json:"mapper"`
}

type lightgbmCase struct {
	Name   string    `json:"name"`
	Number int       `json:"number"`
	Rows   int       `json:"rows"`
	Forced []float64 `json:"forced"`
	Params struct {
		MaxBin           *int  `json:"max_bin"`
		MaxBinByFeature  []int `json:"max_bin_by_feature"`
		MinDataInBin     *int  `json:"min_data_in_bin"`
		MinDataInLeaf    *int  `json:"min_data_in_leaf"`
		UseMissing       *bool `json:"use_missing"`
		ZeroAsMissing    *bool `json:"zero_as_missing"`
		FeaturePreFilter *bool `json:"feature_pre_filter"`
	} `json:"params"`
	Features []lightgbmFeature `json:"features"`
}

func orDefault[T any](p *T, v T) T {
	if p != nil {
		return *p
	}
	return v
}

func (c *lightgbmCase) options(feature int, categorical bool) MapperOptions {
	// By way of Options, as a table's are: the sample is the whole of it.
	o := Options{
		MaxBin:           orDefault(c.Params.MaxBin, 255),
		MinDataInBin:     orDefault(c.Params.MinDataInBin, 3),
		MinDataInLeaf:    orDefault(c.Params.MinDataInLeaf, 20),
		UseMissing:       orDefault(c.Params.UseMissing, true),
		ZeroAsMissing:    orDefault(c.Params.ZeroAsMissing, false),
		FeaturePreFilter: orDefault(c.Params.FeaturePreFilter, true),
		MaxBinByFeature:  c.Params.MaxBinByFeature,
		ForcedBins:       slices.Repeat([][]float64{c.Forced}, len(c.Features)),
	}
	return o.mapper(feature, categorical, c.Rows, c.Rows)
}

func asLightGBM(m *Mapper) *lightgbmMapper {
	if m.Trivial {
		return nil
	}
	out := &lightgbmMapper{
		Bins: m.NumBins, Missing: m.Missing, SparseRate: bitsOf(m.SparseRate), Min: bitsOf(m.Min), Max: bitsOf(m.Max),
		DefaultBin: m.DefaultBin, MostFreqBin: m.MostFreqBin, Categories: m.Categories,
	}
	for _, v := range m.UpperBound {
		if math.IsNaN(v) {
			v = 2 // LightGBM has the number of the missing type there
		}
		out.UpperBound = append(out.UpperBound, bitsOf(v))
	}
	return out
}

// TestMappersAgreeWithLightGBM compares with what LightGBM 4.7.0 found, bit for
// bit: see testdata/bins/README.md.
func TestMappersAgreeWithLightGBM(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/bins/lightgbm.json")
	if err != nil {
		t.Fatal(err)
	}
	var cases []lightgbmCase
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 15 {
		t.Fatalf("%d cases, want at least 15", len(cases))
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for i, f := range c.Features {
				g := splitmix(1000*c.Number + i)
				var values []float64
				for range c.Rows {
					if v := kinds[f.Kind](&g); !(math.Abs(v) <= ZeroThreshold) {
						values = append(values, v)
					}
				}
				m := NewMapper(values, c.Rows, c.options(i, f.Categorical))
				if d := cmp.Diff(f.Mapper, asLightGBM(m)); d != "" {
					t.Errorf("%s (categorical %t): -LightGBM +ours:\n%s", f.Kind, f.Categorical, d)
				}
				if got := m.Info(); got != f.Info {
					t.Errorf("%s: info %q, LightGBM's %q", f.Kind, got, f.Info)
				}
			}
		})
	}
}
