package cli

import (
	"io"

	"cloister/durable"
)

// output is where a command's result goes: a file, which appears whole or not
// at all, or standard output.
type output struct {
	io.Writer
	app  *app
	file *durable.File // nil for standard output
}

// createOutput opens the file at path, or standard output for "-". It must be
// ended by commit or abort.
func (a *app) createOutput(path string) (*output, error) {
	if path == "-" {
		return &output{Writer: stdoutWriter{a.stdout}, app: a}, nil
	}
	f, err := durable.Create(path)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.left {
		f.Abort()
		return nil, errInterrupted
	}
	a.pending[f] = true
	return &output{Writer: f, app: a, file: f}, nil
}

// checkOutput finds out before long work whether its result can be written.
func (a *app) checkOutput(path, name string) error {
	if path == "-" {
		if a.json {
			return inputError("name a file in "+name, "%s=- and --json both want standard output", name)
		}
		return nil
	}
	out, err := a.createOutput(path)
	if err != nil {
		return err
	}
	out.abort()
	return nil
}

// commit puts the result into its place.
func (o *output) commit() error {
	if o.file == nil {
		return nil
	}
	err := o.file.Commit()
	o.forget()
	return err
}

// abort drops the result unless it was committed.
func (o *output) abort() {
	if o.file != nil {
		o.file.Abort()
		o.forget()
	}
}

func (o *output) forget() {
	o.app.mu.Lock()
	defer o.app.mu.Unlock()
	delete(o.app.pending, o.file)
}

// stdoutWriter marks the errors of standard output.
type stdoutWriter struct{ w io.Writer }

func (s stdoutWriter) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if err != nil {
		err = &stdoutError{err}
	}
	return n, err
}
