package lightgbm

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// MaxFileSize is the size in bytes above which a configuration file is
	// refused.
	MaxFileSize = 4 << 20
	// MaxSettings is the number of settings above which one is refused.
	MaxSettings = 10_000
)

// Origin says where a setting stands. The zero Origin is a program.
type Origin struct {
	// File is the name of the configuration file, or "command line".
	File string
	// Line is the 1-based line in the file, or 0.
	Line int
}

// CommandLine returns the origin of settings that are arguments.
func CommandLine() Origin { return Origin{File: "command line"} }

// String returns the origin as messages show it, as in "train.conf:3"; it is
// empty for a program.
func (o Origin) String() string {
	if o.Line == 0 {
		return o.File
	}
	return o.File + ":" + strconv.Itoa(o.Line)
}

// Setting is one KEY=VALUE as somebody wrote it: the key may be an alias and
// the value is not checked yet.
type Setting struct {
	Key, Value string
	Origin     Origin
}

// ParseArgs reads settings from arguments of the form KEY=VALUE, split at the
// first =. Blanks and quotes around key and value are removed, as LightGBM
// does. Errors are of type *SyntaxError.
func ParseArgs(args []string) ([]Setting, error) {
	settings := make([]Setting, 0, len(args))
	for _, arg := range args {
		s, err := parseSetting(arg, CommandLine())
		if err != nil {
			return nil, err
		}
		settings = append(settings, s)
	}
	return settings, nil
}

// readError says once which file it was: an error of package os says it too.
func readError(what, name string, err error) error {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err
	}
	return fmt.Errorf("%s: cannot read the %s: %w", name, what, err)
}

// ParseFile reads a configuration file, name being what messages call it: one
// KEY = VALUE a line, blank lines and comments from # to the end of the line.
// A byte-order mark and CRLF are fine. It is stricter than LightGBM: a line
// without = is a *SyntaxError, and so are control characters and text that is
// not UTF-8. At most MaxFileSize bytes and MaxSettings settings are read.
func ParseFile(name string, r io.Reader) ([]Setting, error) {
	text, err := io.ReadAll(io.LimitReader(r, MaxFileSize+1))
	if err != nil {
		return nil, readError("configuration file", name, err)
	}
	if len(text) > MaxFileSize {
		return nil, &SyntaxError{
			Origin:  Origin{File: name},
			Problem: fmt.Sprintf("larger than %d bytes: give the configuration file, not the data", MaxFileSize),
		}
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var settings []Setting
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		origin := Origin{File: name, Line: number}
		if !utf8.ValidString(line) {
			return nil, &SyntaxError{Origin: origin, Problem: "not UTF-8: save the file as UTF-8"}
		}
		line, _, _ = strings.Cut(line, "#")
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		s, err := parseSetting(line, origin)
		if err != nil {
			return nil, err
		}
		if len(settings) == MaxSettings {
			return nil, &SyntaxError{
				Origin:  origin,
				Problem: fmt.Sprintf("more than %d settings: give the configuration file, not the data", MaxSettings),
			}
		}
		settings = append(settings, s)
	}
	return settings, nil
}

func parseSetting(text string, origin Origin) (Setting, error) {
	key, value, found := strings.Cut(text, "=")
	key, value = unquote(key), unquote(value)
	switch {
	case !found:
		return Setting{}, &SyntaxError{Origin: origin, Text: text, Problem: `no "=": write KEY=VALUE`}
	case key == "":
		return Setting{}, &SyntaxError{Origin: origin, Text: text, Problem: `nothing before "=": write KEY=VALUE`}
	case !utf8.ValidString(text):
		return Setting{}, &SyntaxError{Origin: origin, Text: text, Problem: "not UTF-8: write it in UTF-8"}
	case hasControl(key) || hasControl(value):
		return Setting{}, &SyntaxError{Origin: origin, Text: text, Problem: "control character inside: remove it"}
	}
	return Setting{Key: key, Value: value, Origin: origin}, nil
}

// unquote removes blanks and then quotes from both ends.
func unquote(s string) string {
	return strings.Trim(strings.TrimSpace(s), `"'`)
}

func hasControl(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
