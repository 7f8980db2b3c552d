package lightgbm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"cloister/engine/lightgbm"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// fixture is a model that real LightGBM made, and what it predicts; see
// testdata/models/README.md.
type fixture struct {
	name  string
	text  []byte
	model *lightgbm.Model
	want  predictions
}

type predictions struct {
	Rows, Raw, Output, Contrib matrix
	Leaf                       [][]int32
}

var awkward = []float64{
	math.NaN(), 0, math.Copysign(0, -1), 1e-36, -1e-36, 1e-34, math.Inf(1), math.Inf(-1), 1, -1, 0.5, 3, 31, 32, 1e9, 1e300, -1e300,
}

// matrix reads null as NaN.
type matrix [][]float64

func (m *matrix) UnmarshalJSON(text []byte) error {
	var rows [][]*float64
	if err := json.Unmarshal(text, &rows); err != nil {
		return err
	}
	for _, row := range rows {
		values := make([]float64, len(row))
		for i, v := range row {
			values[i] = math.NaN()
			if v != nil {
				values[i] = *v
			}
		}
		*m = append(*m, values)
	}
	return nil
}

func fixtures(tb testing.TB) []fixture {
	tb.Helper()
	paths, err := filepath.Glob("testdata/models/*.json")
	if err != nil || len(paths) < 28 {
		tb.Fatalf("found %d fixtures in testdata/models, want 28 or more (%v)", len(paths), err)
	}
	var all []fixture
	for _, path := range paths {
		f := fixture{name: strings.TrimSuffix(filepath.Base(path), ".json")}
		expected, err := os.ReadFile(path)
		if err != nil {
			tb.Fatal(err)
		}
		if err := json.Unmarshal(expected, &f.want); err != nil {
			tb.Fatalf("%s: %v", path, err)
		}
		path = strings.TrimSuffix(path, ".json") + ".txt"
		if f.text, err = os.ReadFile(path); err != nil {
			tb.Fatal(err)
		}
		if f.model, err = lightgbm.ReadModel(path, bytes.NewReader(f.text)); err != nil {
			tb.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

func encode(tb testing.TB, m *lightgbm.Model) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := m.Write(&b); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestModelsAreWrittenAsLightGBMWroteThem(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(string(f.text), string(encode(t, f.model))); diff != "" {
				t.Errorf("read and written (-LightGBM +ours):\n%s", diff)
			}
		})
	}
}

func TestImportancesAreLightGBMs(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		if f.name == "regression" {
			continue // by gain: LightGBM sums gains of more digits than it writes
		}
		m := *f.model
		m.Importances = nil
		if diff := cmp.Diff(string(f.text), string(encode(t, &m))); diff != "" {
			t.Errorf("%s: computed importances (-LightGBM +ours):\n%s", f.name, diff)
		}
	}
}

func TestGainImportanceIsNearLightGBMs(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		if f.name != "regression" {
			continue
		}
		got := f.model.Importance(lightgbm.ImportanceGain, 0)
		for _, im := range f.model.Importances {
			for i, name := range f.model.FeatureNames {
				if name == im.Name && math.Abs(got[i]-float64(im.Value)) > 1e-5*got[i]+1 {
					t.Errorf("gain of %s is %v, LightGBM says %d", name, got[i], im.Value)
				}
			}
		}
		return
	}
	t.Fatal("no fixture with importances by gain")
}

// near compares to a relative precision.
func near(relative float64) cmp.Option {
	return cmp.Options{cmpopts.EquateApprox(relative, relative*1e-3), cmpopts.EquateNaNs()}
}

func TestPredictionsAreLightGBMs(t *testing.T) {
	t.Parallel()
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			p, err := f.model.Predictor(0, 0)
			if err != nil {
				t.Fatal(err)
			}
			var got predictions
			for _, row := range f.want.Rows {
				raw, output, leaves := make([]float64, p.Models()), make([]float64, p.Models()), make([]int32, p.Trees())
				for _, err := range []error{p.Raw(row, raw), p.Output(row, output), p.Leaves(row, leaves)} {
					if err != nil {
						t.Fatal(err)
					}
				}
				got.Raw, got.Output, got.Leaf = append(got.Raw, raw), append(got.Output, output), append(got.Leaf, leaves)
			}
			if diff := cmp.Diff(f.want.Leaf, got.Leaf); diff != "" {
				t.Errorf("leaves (-LightGBM +ours):\n%s", diff)
			}
			if diff := cmp.Diff(f.want.Raw, got.Raw, near(1e-12)); diff != "" {
				t.Errorf("raw scores (-LightGBM +ours):\n%s", diff)
			}
			if diff := cmp.Diff(f.want.Output, got.Output, near(1e-12)); diff != "" {
				t.Errorf("outputs (-LightGBM +ours):\n%s", diff)
			}
		})
	}
}

func TestContributionsAreLightGBMs(t *testing.T) {
	t.Parallel()
	compared := 0
	for _, f := range fixtures(t) {
		if len(f.want.Contrib) == 0 {
			continue
		}
		compared++
		p, err := f.model.Predictor(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		x, err := p.Explainer()
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range f.want.Rows {
			phi := make([]float64, x.Width())
			if err := x.Contributions(row, phi); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(f.want.Contrib[i], phi, near(1e-9)); diff != "" {
				t.Errorf("%s: contributions to row %d (-LightGBM +ours):\n%s", f.name, i, diff)
			}
		}
	}
	if compared < 25 {
		t.Errorf("compared contributions of %d models only", compared)
	}
}

// TestReproduciblePredictions must give the same bits on every architecture.
func TestReproduciblePredictions(t *testing.T) {
	t.Parallel()
	hash := sha256.New()
	add := func(values []float64) {
		for i, v := range values {
			if math.IsNaN(v) {
				values[i] = math.NaN() // there are several, and processors differ
			}
		}
		if err := binary.Write(hash, binary.LittleEndian, values); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range fixtures(t) {
		p, err := f.model.Predictor(0, 0)
		if err != nil {
			t.Fatal(err)
		}
		explainer, explainErr := p.Explainer()
		raw := make([]float64, p.Models())
		for _, row := range f.want.Rows {
			for _, predict := range []func(row, out []float64) error{p.Raw, p.Output} {
				if err := predict(row, raw); err != nil {
					t.Fatal(err)
				}
				add(raw)
			}
			if explainErr == nil {
				phi := make([]float64, explainer.Width())
				if err := explainer.Contributions(row, phi); err != nil {
					t.Fatal(err)
				}
				add(phi)
			}
		}
	}
	const want = "60a72e904e529f5935e9593ddffbdce6a341c91508b7d329ca5ce747aef84e38"
	if got := hex.EncodeToString(hash.Sum(nil)); got != want {
		t.Errorf("hash of the predictions is %s, want %s", got, want)
	}
}
