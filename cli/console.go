package cli

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/term"
)

// console is standard error: whole lines of messages, and on a terminal one
// last line that shows progress and is rewritten in place. A failure to write
// there is nobody's concern.
type console struct {
	tty   bool
	width func() int

	mu   sync.Mutex
	w    io.Writer
	line string // the progress line that is shown
}

func newConsole(w io.Writer) *console {
	c := &console{w: w, width: func() int { return 80 }}
	f, ok := w.(*os.File)
	if !ok {
		return c
	}
	fd := int(f.Fd())
	c.tty = term.IsTerminal(fd)
	c.width = func() int {
		if width, _, err := term.GetSize(fd); err == nil && width > 0 {
			return width
		}
		return 80
	}
	return c
}

// Write writes whole lines above the progress line.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.line == "" {
		c.w.Write(p) //nolint:errcheck // see console
		return len(p), nil
	}
	buf := append([]byte("\r\x1b[K"), p...)
	buf = append(buf, c.line...)
	c.w.Write(buf) //nolint:errcheck // see console
	return len(p), nil
}

func (c *console) printf(format string, args ...any) {
	fmt.Fprintf(c, format, args...)
}

// setLine shows a progress line, or with "" removes it. Only a terminal has
// one.
func (c *console) setLine(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.tty || line == c.line {
		return
	}
	if runes := []rune(line); len(runes) >= c.width() {
		line = string(runes[:c.width()-1])
	}
	c.line = line
	io.WriteString(c.w, "\r\x1b[K"+line) //nolint:errcheck // see console
}
