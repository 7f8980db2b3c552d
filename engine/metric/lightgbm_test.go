package metric_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/metric"
	"cloister/engine/objective"
	"cloister/engine/parallel"
)

// fixture is what LightGBM reported; see testdata/README.md.
type fixture struct {
	Name          string
	Params        map[string]any
	Label, Weight []float32
	Group         []int32
	Scores        []float64
	Values        map[string]float64
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
		md.QueryStart = starts(f.Group)
	}
	return md
}

func starts(sizes []int32) []int32 {
	start := []int32{0}
	for _, n := range sizes {
		start = append(start, start[len(start)-1]+n)
	}
	return start
}

// values computes all metrics of a fixture by name.
func (f *fixture) values(t *testing.T, pool *parallel.Pool) map[string]float64 {
	t.Helper()
	cfg, md := config(t, f.Params), f.metadata()
	obj, err := objective.New(cfg, md)
	if err != nil {
		t.Fatal(err)
	}
	metrics, err := metric.New(cfg, obj, md)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, m := range metrics {
		for i, v := range m.Eval(pool, f.Scores, obj) {
			values[m.Names()[i]] = v
		}
	}
	return values
}

func TestAgainstLightGBM(t *testing.T) {
	t.Parallel()
	pool := parallel.New(2)
	t.Cleanup(pool.Close)
	covered := map[string]bool{}
	// LightGBM computes parts of gamma and of the cross entropies in single
	// precision.
	const tolerance = 2e-8
	for _, f := range fixtures(t) {
		got := f.values(t, pool)
		if len(got) != len(f.Values) {
			t.Errorf("%s: metrics %v, want %v", f.Name, got, f.Values)
		}
		for name, want := range f.Values {
			base, _, _ := strings.Cut(name, "@")
			covered[base] = true
			if v, ok := got[name]; !ok || math.Abs(v-want) > tolerance*math.Max(1, math.Abs(want)) {
				t.Errorf("%s: %s is %v (%t), want %v", f.Name, name, v, ok, want)
			}
		}
	}
	for _, v := range lightgbm.Lookup("metric").Values {
		if v.Name != "custom" && !covered[v.Name] {
			t.Errorf("no fixture for %s", v.Name)
		}
	}
}
