package score

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReadHeld(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		files  map[string]string
		header bool
		want   Held
	}{
		"tsv":    {map[string]string{"": "1\t2\n0\t\n"}, false, Held{Label: []float64{1, 0}}},
		"csv":    {map[string]string{"": "y,a\n1.5,2\n"}, true, Held{Label: []float64{1.5}}},
		"libsvm": {map[string]string{"": "1 0:2 4:1\n0\n"}, false, Held{Label: []float64{1, 0}}},
		"sides": {
			map[string]string{"": "1\t2\n0\t3\n", ".weight": "2\n0.5\n", ".query": "2\n"},
			false,
			Held{Label: []float64{1, 0}, Weight: []float64{2, 0.5}, Queries: []int{2}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "table")
			for suffix, text := range c.files {
				if err := os.WriteFile(path+suffix, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			got, err := ReadHeld(path, c.header)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadNumbers(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "predictions")
	write := func(text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1\t-2e-3\n3\tnan\n")
	values, width, err := ReadNumbers(path)
	if err != nil || width != 2 || len(values) != 4 || values[1] != -2e-3 || values[3] == values[3] {
		t.Errorf("got %v of width %d: %v", values, width, err)
	}
	for _, bad := range []string{"1\n2\t3\n", "one\n"} {
		write(bad)
		if _, _, err := ReadNumbers(path); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
