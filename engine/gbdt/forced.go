package gbdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"strings"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/tree"
)

// maxForcedBytes bounds a file of forced splits or bins.
const maxForcedBytes = 32 << 20

// maxForcedFeature bounds what a short file of forced bins makes.
const maxForcedFeature = 1 << 20

// forcedNode is a split as the file has it.
type forcedNode struct {
	Feature   *int        `json:"feature"`
	Threshold *float64    `json:"threshold"`
	Left      *forcedNode `json:"left"`
	Right     *forcedNode `json:"right"`
}

// ReadForcedSplits reads the splits that every tree starts with, in LightGBM's
// JSON: an object with the fields feature (a column's number), threshold and,
// for the children, left and right, which are objects of the same kind. An
// empty object or null means no split. Name is the file's name in errors.
func ReadForcedSplits(name string, r io.Reader) (*tree.ForcedSplit, error) {
	var root *forcedNode
	if err := decodeJSON(name, r, &root, splitsForm); err != nil {
		return nil, err
	}
	split, err := root.split()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return split, nil
}

func (n *forcedNode) split() (*tree.ForcedSplit, error) {
	if n == nil || (n.Feature == nil && n.Threshold == nil && n.Left == nil && n.Right == nil) {
		return nil, nil //nolint:nilnil // no split is no error
	}
	switch {
	case n.Feature == nil:
		return nil, errors.New("feature is missing: every split needs a feature and a threshold")
	case n.Threshold == nil:
		return nil, errors.New("threshold is missing: every split needs a feature and a threshold")
	case *n.Feature < 0:
		return nil, fmt.Errorf("feature %d is negative: columns are numbered from 0", *n.Feature)
	}
	s := &tree.ForcedSplit{Feature: *n.Feature, Threshold: *n.Threshold}
	var err error
	if s.Left, err = n.Left.split(); err != nil {
		return nil, fmt.Errorf("left: %w", err)
	}
	if s.Right, err = n.Right.split(); err != nil {
		return nil, fmt.Errorf("right: %w", err)
	}
	return s, nil
}

// What the files look like, for hints.
const (
	splitsForm = `write {"feature": 0, "threshold": 0.5, "left": {…}, "right": {…}}; left and right may be left out`
	binsForm   = `write [{"feature": 0, "bin_upper_bound": [0.1, 0.5]}, …]`
)

// decodeJSON reads a file of one JSON value without unknown fields. form is the
// hint where it is something else.
func decodeJSON(name string, r io.Reader, into any, form string) error {
	data, err := io.ReadAll(io.LimitReader(r, maxForcedBytes+1))
	if err != nil {
		if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
			err = pe.Err
		}
		return fmt.Errorf("%s: cannot read: %w", name, err)
	}
	if len(data) > maxForcedBytes {
		return fmt.Errorf("%s: has more than %d bytes", name, maxForcedBytes)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	err = d.Decode(into)
	at := d.InputOffset()
	if err == nil {
		if _, more := d.Token(); errors.Is(more, io.EOF) {
			return nil
		}
		err = errors.New("more follows after the JSON value")
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		at = syntax.Offset
	case errors.As(err, &kind):
		at = kind.Offset
		err = wrongKind(kind)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at, err = int64(len(data)), errors.New("the file ends before the JSON value does")
	}
	line := 1 + bytes.Count(data[:min(max(at, 0), int64(len(data)))], []byte("\n"))
	text := strings.TrimPrefix(err.Error(), "json: ")
	return advise(form, "%s:%d: %s", name, line, text)
}

// wrongKind says in the words of JSON what stands where something else should.
func wrongKind(e *json.UnmarshalTypeError) error {
	wanted := "number"
	switch e.Type.Kind() {
	case reflect.Int:
		wanted = "whole number"
	case reflect.Slice:
		wanted = "list"
	case reflect.Struct, reflect.Pointer:
		wanted = "object"
	default:
	}
	got := strings.Replace(e.Value, "array", "list", 1)
	if number, ok := strings.CutPrefix(got, "number "); ok {
		if wanted == "number" {
			return fmt.Errorf("%s is %s, which is out of range", e.Field, number)
		}
		return fmt.Errorf("%s is %s, not %s", e.Field, number, article(wanted))
	}
	if e.Field == "" {
		return fmt.Errorf("the value is %s, not %s", article(got), article(wanted))
	}
	return fmt.Errorf("%s is %s, not %s", e.Field, article(got), article(wanted))
}

func article(noun string) string {
	if noun == "object" {
		return "an " + noun
	}
	return "a " + noun
}

// forcedSplits reads and checks forcedsplits_filename.
func forcedSplits(cfg *lightgbm.Config, train *dataset.Dataset) (*tree.ForcedSplit, error) {
	if cfg.ForcedsplitsFilename == "" {
		return nil, nil //nolint:nilnil // none are forced
	}
	var root *tree.ForcedSplit
	err := open("forcedsplits_filename", cfg.ForcedsplitsFilename, func(name string, r io.Reader) (err error) {
		root, err = ReadForcedSplits(name, r)
		return err
	})
	if err != nil {
		return nil, err
	}
	usable := make([]bool, len(train.FeatureNames))
	for i := range train.Columns {
		usable[train.Columns[i].Feature] = true
	}
	if err := checkForced(root, usable); err != nil {
		return nil, fmt.Errorf("%s: %w", cfg.ForcedsplitsFilename, err)
	}
	return root, nil
}

func checkForced(s *tree.ForcedSplit, usable []bool) error {
	if s == nil {
		return nil
	}
	if s.Feature >= len(usable) {
		return fmt.Errorf("a split is on feature %d, but the training data has features 0 to %d", s.Feature, len(usable)-1)
	}
	if !usable[s.Feature] {
		return fmt.Errorf("a split is on feature %d, which cannot be split: it is constant, ignored or too rare", s.Feature)
	}
	if err := checkForced(s.Left, usable); err != nil {
		return err
	}
	return checkForced(s.Right, usable)
}

// open reads the file that a parameter names.
func open(parameter, name string, read func(name string, r io.Reader) error) error {
	f, err := os.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", parameter, err)
	}
	defer func() { _ = f.Close() }()
	return read(name, f)
}

// forcedBounds is an entry of a file of forced bins.
type forcedBounds struct {
	Feature *int      `json:"feature"`
	Bounds  []float64 `json:"bin_upper_bound"`
}

// ReadForcedBins reads bin borders in LightGBM's JSON: a list of objects with
// the fields feature (a column's number) and bin_upper_bound (a list of
// numbers). The result has a list for every feature up to the last one named,
// as dataset.Options.ForcedBins has. Name is the file's name in errors.
func ReadForcedBins(name string, r io.Reader) ([][]float64, error) {
	var list []forcedBounds
	if err := decodeJSON(name, r, &list, binsForm); err != nil {
		return nil, err
	}
	var bins [][]float64
	for i, e := range list {
		switch {
		case e.Feature == nil:
			return nil, fmt.Errorf("%s: entry %d: feature is missing", name, i+1)
		case *e.Feature < 0 || *e.Feature >= maxForcedFeature:
			return nil, fmt.Errorf("%s: entry %d: feature %d is not a column's number", name, i+1, *e.Feature)
		case e.Bounds == nil:
			return nil, fmt.Errorf("%s: entry %d: bin_upper_bound is missing", name, i+1)
		}
		if missing := *e.Feature + 1 - len(bins); missing > 0 {
			bins = append(bins, make([][]float64, missing)...)
		}
		if bins[*e.Feature] != nil {
			return nil, fmt.Errorf("%s: entry %d: feature %d has an entry already", name, i+1, *e.Feature)
		}
		bounds := slices.Clone(e.Bounds)
		slices.Sort(bounds)
		bins[*e.Feature] = slices.Compact(bounds)
	}
	return bins, nil
}

// ForcedBins reads the file of forcedbins_filename, for
// dataset.Options.ForcedBins; nil if there is none.
func ForcedBins(cfg *lightgbm.Config) ([][]float64, error) {
	if cfg.ForcedbinsFilename == "" {
		return nil, nil
	}
	var bins [][]float64
	err := open("forcedbins_filename", cfg.ForcedbinsFilename, func(name string, r io.Reader) (err error) {
		bins, err = ReadForcedBins(name, r)
		return err
	})
	return bins, err
}
