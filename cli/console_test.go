package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestTextHandler(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	level := new(slog.LevelVar)
	log := slog.New(newTextHandler(&b, level))
	log.Debug("not shown")
	log.Info("read data", "file", "a b.csv", "rows", 569, "seconds", 1.23456789, "empty", "")
	log.Warn("odd\x1b[2J\nname", "error", errors.New(`"x" = 1`), slog.Group("g", "a", 1, "b", 2*time.Second))
	log.With("shard", 3).WithGroup("in").With("k", true).Error("no", "v", nil)
	level.Set(slog.LevelDebug)
	log.Debug("shown")
	want := `info  read data file="a b.csv" rows=569 seconds=1.23457 empty=""
warn  odd\u001b[2J
  name error="\"x\" = 1" g.a=1 g.b=2s
error no shard=3 in.k=true in.v=<nil>
debug shown
`
	if got := b.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestConsoleKeepsTheProgressLineLast(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	c := newConsole(&b)
	c.tty, c.width = true, func() int { return 10 }
	c.setLine("half")
	c.setLine("half")
	c.printf("a line\n")
	c.setLine("more than ten letters")
	c.setLine("")
	c.printf("end\n")
	const erase = "\r\x1b[K"
	want := erase + "half" + erase + "a line\nhalf" + erase + "more than" + erase + "end\n"
	if got := b.String(); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNoProgressLineWithoutATerminal(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	c := newConsole(&b)
	c.setLine("half")
	c.printf("a line\n")
	if got := b.String(); got != "a line\n" {
		t.Errorf("got %q", got)
	}
}

func TestProgressText(t *testing.T) {
	t.Parallel()
	start := time.Unix(1000, 0)
	for name, test := range map[string]struct {
		unit        unit
		done, total int64
		want, log   string
	}{
		"bytes": {
			unit{bytes: true},
			25e6, 100e6,
			"reading:  25% 25.0 MB of 100 MB, 2.5 MB/s, 30s left",
			"bytes=25000000 of=100000000 elapsed=10s left=30s",
		},
		"unknown total": {unit{name: "rows"}, 500, 0, "reading: 500 rows, 50 rows/s", "rows=500 elapsed=10s"},
		"slow":          {unit{name: "trees"}, 5, 10, "reading:  50% 5 of 10 trees, 0.5 trees/s, 10s left", "trees=5 of=10 elapsed=10s left=10s"},
		"nothing yet":   {unit{name: "rows"}, 0, 10, "reading:   0% 0 of 10 rows", "rows=0 of=10 elapsed=10s"},
		"past the end":  {unit{name: "rows"}, 12, 10, "reading: 100% 12 of 10 rows, 1.2 rows/s", "rows=12 of=10 elapsed=10s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := &progress{what: "reading", unit: test.unit, begun: start}
			p.start.Store(start.UnixNano())
			p.done.Store(test.done)
			p.total.Store(test.total)
			now := start.Add(10 * time.Second)
			if got := p.text(now); got != test.want {
				t.Errorf("line %q, want %q", got, test.want)
			}
			var b bytes.Buffer
			slog.New(newTextHandler(&b, new(slog.LevelVar))).Info("m", p.attrs(now)...)
			if got := strings.TrimPrefix(strings.TrimSpace(b.String()), "info  m "); got != test.log {
				t.Errorf("attributes %q, want %q", got, test.log)
			}
		})
	}
}

func TestProgressStops(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	a := newApp(strings.NewReader(""), &b, &b)
	p := a.startProgress("reading", unit{name: "rows"}, 10)
	p.add(3)
	p.restart()
	p.stop()
	if b.Len() != 0 || p.done.Load() != 0 {
		t.Errorf("a quick pass showed %q and counts %d", b.String(), p.done.Load())
	}
}

func TestByteSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 123456: "123 kB", 1.5e9: "1.5 GB", 2e12: "2.0 TB",
	} {
		if got := byteSize(n); got != want {
			t.Errorf("byteSize(%g) = %q, want %q", n, got, want)
		}
	}
}
