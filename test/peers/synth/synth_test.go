package synth

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A figure in the documentation is of these very bytes.
func TestReproducibleTables(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		write func(path string) error
		want  string
	}{
		"dense": {func(path string) error {
			return Write(path, &Dense{Seed: 1, Columns: 28, Kind: Binary}, 0, 1000)
		}, "58fbcc12eb4d9ece"},
		"everything": {func(path string) error {
			return Write(path, &Dense{
				Seed: 2, Columns: 12, Kind: Multiclass, Classes: 5, Missing: 0.1, Zeros: 0.1,
				Categories: 2, Levels: 30, Weighted: true,
			}, 500, 500)
		}, "309c1e190ec8d906"},
		"counts": {func(path string) error {
			return Write(path, &Dense{Seed: 3, Columns: 6, Kind: Poisson}, 0, 500)
		}, "3e86560300e07f9e"},
		"bag": {func(path string) error {
			return Write(path, &Bag{Seed: 4, Columns: 300, PerRow: 20}, 0, 500)
		}, "89b7ba537d8b2a83"},
		"one hot": {func(path string) error {
			return Write(path, &OneHot{Seed: 6, Numbers: 2, Levels: []int{9, 4, 2}}, 0, 500)
		}, "d8bb59d48a7a8350"},
		"ranking": {func(path string) error {
			return WriteQueries(path, &Ranking{Seed: 5, Columns: 12}, 0, 50)
		}, "29e7d187de7967fe"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "table")
			if err := c.write(path); err != nil {
				t.Fatal(err)
			}
			h := sha256.New()
			for _, suffix := range []string{"", ".weight", ".query"} {
				text, err := os.ReadFile(path + suffix)
				if err != nil && !os.IsNotExist(err) {
					t.Fatal(err)
				}
				h.Write(text)
			}
			if got := hex.EncodeToString(h.Sum(nil)[:8]); got != c.want {
				t.Errorf("the tables are others: %s, want %s", got, c.want)
			}
		})
	}
}

func TestPartsOfATableFit(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table := &Dense{Seed: 7, Columns: 9, Kind: Regression, Missing: 0.2}
	var texts []string
	for i, part := range [][2]int{{0, 300}, {0, 120}, {120, 180}} {
		path := filepath.Join(dir, string(rune('a'+i)))
		if err := Write(path, table, part[0], part[1]); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(text))
	}
	if texts[0] != texts[1]+texts[2] {
		t.Error("the parts do not make the whole")
	}
	if strings.Count(texts[0], "nan") < 200 {
		t.Error("hardly any value is missing")
	}
	if _, err := os.Stat(filepath.Join(dir, "a.weight")); !os.IsNotExist(err) {
		t.Error("weights of 1 were written")
	}
}

func TestBagRowsAscend(t *testing.T) {
	t.Parallel()
	bag := &Bag{Seed: 4, Columns: 50, PerRow: 30}
	var row Row
	ones := 0
	for i := range 2000 {
		bag.Row(i, &row)
		ones += int(row.Label)
		for k := 1; k < len(row.Index); k++ {
			if row.Index[k] <= row.Index[k-1] || row.Index[k] >= bag.Columns {
				t.Fatalf("row %d: indices %v", i, row.Index)
			}
		}
	}
	if ones < 400 || ones > 1600 {
		t.Errorf("%d of 2000 labels are 1", ones)
	}
}
