// Package peer runs the two programs that are compared: LightGBM, by a Python
// process that serves many requests, and Cloister, by its command.
package peer

import (
	"bufio"
	"bytes"
	"context"
	_ "embed" // the worker's source
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
)

//go:embed peer.py
var source string

// Worker is a Python process with LightGBM. It answers one request at a time;
// several goroutines may ask.
type Worker struct {
	mu     sync.Mutex
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	stderr tail
}

// Start starts a worker with an interpreter that has LightGBM. It ends with
// ctx or by Close.
func Start(ctx context.Context, python string) (*Worker, error) {
	w := &Worker{cmd: exec.CommandContext(ctx, python, "-c", source)}
	w.cmd.Stderr = &w.stderr
	in, err := w.cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := w.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	w.in, w.out = in, bufio.NewReader(out)
	if err := w.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start Python: %w", err)
	}
	return w, nil
}

// Args are the arguments of a request.
type Args map[string]any

// Do asks for an operation of peer.py and stores its result in the value that
// result points to, unless that is nil.
func (w *Worker) Do(op string, args Args, result any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	request := Args{"op": op}
	for k, v := range args {
		request[k] = v
	}
	line, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if _, err := w.in.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("%s: %w\n%s", op, err, w.stderr.String())
	}
	reply, err := w.out.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s: the Python process ended: %w\n%s", op, err, w.stderr.String())
	}
	var answer struct {
		Result json.RawMessage
		Error  string
	}
	if err := json.Unmarshal(reply, &answer); err != nil {
		return fmt.Errorf("%s: %w", op, err)
	}
	if answer.Error != "" {
		return fmt.Errorf("%s: %s%s", op, answer.Error, w.stderr.String())
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.Result, result)
}

// Close ends the process.
func (w *Worker) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return errors.Join(w.in.Close(), w.cmd.Wait())
}

// tail keeps the last part of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if extra := len(t.text) - tailBytes; extra > 0 {
		t.text = append(t.text[:0], t.text[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

// Trained is what a worker's operation "train" tells: seconds, iterations and
// the process's memory at its peak and after its imports, in bytes.
type Trained struct {
	Load, Train    float64
	Iterations     int
	BestIteration  int `json:"best_iteration"`
	Peak, Imported int64
}

// Predicted is what a worker's operation "predict" tells.
type Predicted struct {
	Predict        float64
	Peak, Imported int64
}
