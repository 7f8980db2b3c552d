package gbdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"cloister/engine/dataset"
	"cloister/engine/lightgbm"
	"cloister/engine/tree"
)

// maxForcedBytes bounds a file of forced splits; a tree of the most leaves
// needs less.
const maxForcedBytes = 32 << 20

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
	if err := decodeJSON(name, r, &root); err != nil {
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

// decodeJSON reads a file of one JSON value without unknown fields.
func decodeJSON(name string, r io.Reader, into any) error {
	data, err := io.ReadAll(io.LimitReader(r, maxForcedBytes+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
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
		err = fmt.Errorf("%s is a JSON %s where a value of type %s is expected", kind.Field, kind.Value, kind.Type)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		at, err = int64(len(data)), errors.New("the file ends before the JSON value does")
	}
	line := 1 + bytes.Count(data[:min(max(at, 0), int64(len(data)))], []byte("\n"))
	return fmt.Errorf("%s:%d: %w", name, line, err)
}

// forcedSplits reads and checks forcedsplits_filename.
func forcedSplits(cfg *lightgbm.Config, train *dataset.Dataset) (*tree.ForcedSplit, error) {
	if cfg.ForcedsplitsFilename == "" {
		return nil, nil //nolint:nilnil // none are forced
	}
	f, err := os.Open(cfg.ForcedsplitsFilename)
	if err != nil {
		return nil, fmt.Errorf("forcedsplits_filename: %w", err)
	}
	defer func() { _ = f.Close() }()
	root, err := ReadForcedSplits(cfg.ForcedsplitsFilename, f)
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
