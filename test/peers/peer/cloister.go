package peer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
)

// Config is a configuration of LightGBM's parameters.
type Config map[string]string

// With returns the configuration with other settings over it.
func (c Config) With(over Config) Config {
	both := maps.Clone(c)
	maps.Copy(both, over)
	return both
}

// Settings are the configuration as KEY=VALUE, in the order of the names.
func (c Config) Settings() []string {
	list := make([]string, 0, len(c))
	for _, k := range slices.Sorted(maps.Keys(c)) {
		list = append(list, k+"="+c[k])
	}
	return list
}

// TrainSummary is what "cloister train --json" prints.
type TrainSummary struct {
	Rows          int
	Iterations    int
	BestIteration int `json:"best_iteration"`
	Seconds       struct{ Load, Train, Total float64 }
}

// PredictSummary is what "cloister predict --json" prints.
type PredictSummary struct {
	Rows, Columns int
	Seconds       float64
}

// Train runs "cloister train" with a configuration.
func Train(ctx context.Context, binary string, c Config) (TrainSummary, error) {
	var s TrainSummary
	err := run(ctx, &s, binary, "train", c)
	return s, err
}

// Predict runs "cloister predict" with a configuration.
func Predict(ctx context.Context, binary string, c Config) (PredictSummary, error) {
	var s PredictSummary
	err := run(ctx, &s, binary, "predict", c)
	return s, err
}

func run(ctx context.Context, summary any, binary, command string, c Config) error {
	cmd := exec.CommandContext(ctx, binary, append([]string{command, "--json"}, c.Settings()...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("cloister %s: %w\n%s", command, err, strings.TrimSpace(stderr.String()))
	}
	if err := json.Unmarshal(out, summary); err != nil {
		return fmt.Errorf("cloister %s --json: %w", command, err)
	}
	return nil
}
