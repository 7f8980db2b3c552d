package lightgbm_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/parser"
	"go/token"
	"testing"

	"cloister/engine/lightgbm"
)

// FuzzModelShown writes whatever is a model as JSON and as source code.
func FuzzModelShown(f *testing.F) {
	for _, fixture := range fixtures(f) {
		switch fixture.name {
		case "stump", "custom", "pandas", "linear_categorical", "unused_features":
			f.Add(fixture.text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := lightgbm.ReadModel("m.txt", bytes.NewReader(text))
		if err != nil {
			return
		}
		var b bytes.Buffer
		var me *lightgbm.ModelError
		switch err := m.WriteJSON(&b); {
		case err != nil && !errors.As(err, &me):
			t.Errorf("error %v, want a *ModelError", err)
		case err == nil && !json.Valid(b.Bytes()):
			t.Errorf("no JSON:\n%s", b.Bytes())
		}
		b.Reset()
		if err := m.WriteSource(&b, lightgbm.CPP); err != nil {
			t.Errorf("C++: %v", err)
		}
		b.Reset()
		if err := m.WriteSource(&b, lightgbm.Go); err != nil {
			t.Errorf("Go: %v", err)
		}
		if _, err := parser.ParseFile(token.NewFileSet(), "model.go", &b, 0); err != nil {
			t.Errorf("no Go: %v", err)
		}
	})
}
