package objective

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/parallel"
)

// fixture is what LightGBM computed for one objective; see testdata/README.md.
type fixture struct {
	Name           string
	Params         map[string]any
	Label, Weight  []float32
	Models         int
	Group          []int32
	Scores         []float64
	Leaf           [][]int
	Value, Hessian [][]float64
	Line           string
	FewLeaf        [][]int     `json:"few_leaf"`
	FewValue       [][]float64 `json:"few_value"`
	Start          []float64
	Raw            [][]float64
	Prediction     [][]float64
}

func fixtures(t *testing.T) []fixture {
	t.Helper()
	data, err := os.ReadFile("testdata/lightgbm.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []fixture
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func config(t *testing.T, params map[string]any) *lightgbm.Config {
	t.Helper()
	var settings []lightgbm.Setting
	for key, value := range params {
		settings = append(settings, lightgbm.Setting{Key: key, Value: fmt.Sprint(value)})
	}
	cfg, _, err := lightgbm.Resolve(settings, nil)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func (f *fixture) metadata() *dataset.Metadata {
	md := &dataset.Metadata{Label: f.Label, Weight: f.Weight}
	if f.Group != nil {
		md.QueryStart = []int32{0}
		for _, n := range f.Group {
			md.QueryStart = append(md.QueryStart, md.QueryStart[len(md.QueryStart)-1]+n)
		}
	}
	return md
}

func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*math.Max(1, math.Abs(want))
}

// linear is the generator of LightGBM's rank_xendcg, one for each query.
type linear uint32

func (r *linear) float() float64 {
	*r = 214013**r + 2531011
	return float64(float32(*r>>16&0x7fff) / 32768)
}

// lightGBMDraws replaces the random numbers of rank_xendcg by LightGBM's.
func lightGBMDraws(o *xendcg, pool *parallel.Pool, scores []float64, grad, hess []float32) {
	o.queries(pool, grad, hess, func(q, lo, hi int, s *queryScratch) {
		r := linear(o.seed) + linear(q)
		for i := range s.term {
			s.term[i] = r.float()
		}
		xendcgQuery(o.label[lo:hi], scores[lo:hi], s)
	})
}

func TestAgainstLightGBM(t *testing.T) {
	t.Parallel()
	pool := parallel.New(2)
	t.Cleanup(pool.Close)
	for _, f := range fixtures(t) {
		t.Run(f.Name, func(t *testing.T) {
			t.Parallel()
			o, err := New(config(t, f.Params), f.metadata())
			if err != nil {
				t.Fatal(err)
			}
			if o.String() != f.Line {
				t.Errorf("the model text's line is %q, want %q", o.String(), f.Line)
			}
			if o.Models() != f.Models {
				t.Errorf("%d models, want %d", o.Models(), f.Models)
			}
			for k, want := range f.Start {
				if got := o.BoostFromScore(k); !near(got, want, 1e-6) {
					t.Errorf("model %d starts from %v, want %v", k, got, want)
				}
			}
			f.checkOutput(t, o)
			f.checkGradients(t, o, pool)
			if r, ok := o.(Renewer); ok {
				f.checkRenewal(t, r)
			}
		})
	}
}

func (f *fixture) checkOutput(t *testing.T, o Objective) {
	t.Helper()
	parsed, err := ParseOutput(f.Line)
	if err != nil {
		t.Fatal(err)
	}
	if parsed.String() != f.Line || parsed.Name() != o.Name() || parsed.Models() != o.Models() ||
		parsed.NeedsAccuratePrediction() != o.NeedsAccuratePrediction() {
		t.Errorf("the parsed line gives %v %d, want %v %d", parsed, parsed.Models(), o, o.Models())
	}
	for i, raw := range f.Raw {
		got, fromLine := make([]float64, f.Models), make([]float64, f.Models)
		o.Transform(raw, got)
		parsed.Transform(raw, fromLine)
		for k, want := range f.Prediction[i] {
			// The line has six digits of sigmoid.
			if !near(fromLine[k], want, 1e-14) || !near(got[k], want, 1e-5) {
				t.Errorf("prediction of %v is %v, from the line %v, want %v", raw, got, fromLine, f.Prediction[i])
			}
		}
	}
}

// checkGradients compares sums over leaves: a leaf's value is -g/h of its rows
// and its weight h.
func (f *fixture) checkGradients(t *testing.T, o Objective, pool *parallel.Pool) {
	t.Helper()
	n := len(f.Label)
	grad, hess := make([]float32, n*f.Models), make([]float32, n*f.Models)
	o.Gradients(pool, 0, f.Scores, grad, hess)
	if x, ok := o.(*xendcg); ok {
		lightGBMDraws(x, pool, f.Scores, grad, hess)
	}
	tolerance := 1e-5
	if o.Name() == "lambdarank" {
		tolerance = 3e-5 // LightGBM rounds the argument of its sigmoid.
	}
	_, renewed := o.(Renewer)
	// LightGBM takes the first row's hessian for all of weighted mape, though
	// they differ.
	wrong := o.Name() == "mape" && f.Weight != nil
	for k := range f.Models {
		leaves := len(f.Value[k])
		g, h := make([]float64, leaves), make([]float64, leaves)
		for i, leaf := range f.Leaf[k] {
			g[leaf] += float64(grad[k*n+i])
			h[leaf] += float64(hess[k*n+i])
		}
		for leaf := range leaves {
			if !wrong && !near(h[leaf], f.Hessian[k][leaf], tolerance) {
				t.Errorf("model %d: the hessian of leaf %d is %v, want %v", k, leaf, h[leaf], f.Hessian[k][leaf])
			}
			if want := -f.Value[k][leaf] * f.Hessian[k][leaf]; !renewed && !near(g[leaf], want, tolerance) {
				t.Errorf("model %d: the gradient of leaf %d is %v, want %v", k, leaf, g[leaf], want)
			}
		}
	}
}

func (f *fixture) checkRenewal(t *testing.T, r Renewer) {
	t.Helper()
	check := func(leaf []int, values []float64) {
		rows := make([][]uint32, len(values))
		for i, l := range leaf {
			rows[l] = append(rows[l], uint32(i))
		}
		for l, want := range values {
			if got := r.RenewLeaf(rows[l], f.Scores); !near(got, want, 1e-9) {
				t.Errorf("leaf %d with %d rows gets %v, want %v", l, len(rows[l]), got, want)
			}
		}
	}
	check(f.Leaf[0], f.Value[0])
	check(f.FewLeaf[0], f.FewValue[0])
}

func TestFixturesCoverAllObjectives(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, f := range fixtures(t) {
		name, _, _ := strings.Cut(f.Line, " ")
		seen[name] = true
	}
	for name := range builders {
		if !seen[name] {
			t.Errorf("no fixture for %s", name)
		}
	}
}
