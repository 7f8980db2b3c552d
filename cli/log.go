package cli

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

// textHandler writes log records for people: level message key=value.
type textHandler struct {
	level slog.Leveler
	mu    *sync.Mutex
	w     io.Writer
	attrs string // of WithAttrs, written out
	group string // of WithGroup, with a dot at its end
}

func newTextHandler(w io.Writer, level slog.Leveler) *textHandler {
	return &textHandler{level: level, mu: new(sync.Mutex), w: w}
}

// Enabled implements slog.Handler.
func (h *textHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// Handle implements slog.Handler.
func (h *textHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(levelName(r.Level))
	b.WriteString(printable(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.group, a)
		return true
	})
	b.WriteByte('\n')
	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.w, b.String())
	return err
}

// WithAttrs implements slog.Handler.
func (h *textHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	next := *h
	next.attrs = b.String()
	return &next
}

// WithGroup implements slog.Handler.
func (h *textHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	next := *h
	next.group += name + "."
	return &next
}

// inSeconds writes durations as --json does.
func inSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

func levelName(level slog.Level) string {
	switch {
	case level < slog.LevelInfo:
		return "debug "
	case level < slog.LevelWarn:
		return "info  "
	case level < slog.LevelError:
		return "warn  "
	default:
		return "error "
	}
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, inner := range v.Group() {
			appendAttr(b, group, inner)
		}
		return
	}
	b.WriteByte(' ')
	b.WriteString(group)
	b.WriteString(a.Key)
	b.WriteByte('=')
	b.WriteString(quoted(attrText(v)))
}

func attrText(v slog.Value) string {
	switch v.Kind() {
	case slog.KindFloat64:
		return strconv.FormatFloat(v.Float64(), 'g', 6, 64)
	case slog.KindDuration:
		return v.Duration().Round(time.Millisecond).String()
	case slog.KindTime:
		return v.Time().Format(time.RFC3339)
	default:
		return v.String()
	}
}

// quoted leaves a word as it is and quotes what could be read as more than
// one.
func quoted(s string) string {
	odd := func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' || r == '='
	}
	if s == "" || strings.ContainsFunc(s, odd) {
		return strconv.Quote(s)
	}
	return s
}

// setLogging applies the flags. Of the two kinds of quiet and verbose the
// flags' one wins over the parameter verbosity, which is applied later.
func (a *app) setLogging(format string, verbose int, quiet bool) error {
	switch {
	case quiet && verbose > 0:
		return inputError("", "--quiet and --verbose exclude each other")
	case quiet:
		a.level.Set(slog.LevelWarn)
	case verbose > 0:
		a.level.Set(slog.LevelDebug)
	}
	switch format {
	case "text":
	case "json":
		a.jsonLog = true
		a.console.tty = false // a program reads along: no line that is rewritten
		a.log = slog.New(slog.NewJSONHandler(a.console, &slog.HandlerOptions{Level: a.level, ReplaceAttr: inSeconds}))
	default:
		return inputError("use --log-format=text or --log-format=json", "unknown log format %q", format)
	}
	return nil
}
