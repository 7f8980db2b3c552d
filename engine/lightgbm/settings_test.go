package lightgbm

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestParseFile(t *testing.T) {
	t.Parallel()
	text := "\ufeff# head\r\n\r\n  num_leaves = 63  # more\r\nmetric=l1, l2\n'data' = \"a b=c.csv\"\nvalid =\n\t# tail"
	got, err := ParseFile("x.conf", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"num_leaves", "63", Origin{"x.conf", 3}},
		{"metric", "l1, l2", Origin{"x.conf", 4}},
		{"data", "a b=c.csv", Origin{"x.conf", 5}},
		{"valid", "", Origin{"x.conf", 6}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings differ (-want +got):\n%s", diff)
	}
}

func TestParseFileErrors(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ text, want string }{
		"no equals sign": {"task = train\nnum_leaves 31\n", `x.conf:2: "num_leaves 31": no "=": write KEY=VALUE`},
		"no key":         {"= 31\n", `x.conf:1: "= 31": nothing before "=": write KEY=VALUE`},
		"quoted nothing": {"'' = 31\n", `x.conf:1: "'' = 31": nothing before "=": write KEY=VALUE`},
		"control":        {"\ndata = a\x00b\n", `x.conf:2: "data = a\x00b": control character inside: remove it`},
		"latin-1":        {"data = caf\xe9.csv\n", `x.conf:1: not UTF-8: save the file as UTF-8`},
		"utf-16":         {"\xff\xfed\x00a\x00", `x.conf:1: not UTF-8: save the file as UTF-8`},
		"too many": {
			strings.Repeat("a=1\n", MaxSettings+1),
			"x.conf:10001: more than 10000 settings: give the configuration file, not the data",
		},
		"too large": {
			strings.Repeat("#", MaxFileSize+1),
			"x.conf: larger than 4194304 bytes: give the configuration file, not the data",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := ParseFile("x.conf", strings.NewReader(tc.text))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || !errors.Is(err, ErrParameters) || err.Error() != tc.want {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
}

func TestParseFileReadError(t *testing.T) {
	t.Parallel()
	_, err := ParseFile("x.conf", iotest.ErrReader(io.ErrUnexpectedEOF))
	if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, ErrParameters) {
		t.Errorf("got %v, want the reader's error", err)
	}
}

func TestParseArgs(t *testing.T) {
	t.Parallel()
	got, err := ParseArgs([]string{"config=train.conf", ` "num_leaves" = '7' `, "data=a=b"})
	if err != nil {
		t.Fatal(err)
	}
	want := []Setting{
		{"config", "train.conf", CommandLine()},
		{"num_leaves", "7", CommandLine()},
		{"data", "a=b", CommandLine()},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("settings differ (-want +got):\n%s", diff)
	}
	if file := ConfigFile(got); file != "train.conf" {
		t.Errorf("ConfigFile = %q", file)
	}
	if file := ConfigFile([]Setting{{Key: "config_file", Value: "x"}}); file != "x" {
		t.Errorf("ConfigFile by its alias = %q", file)
	}
	for _, arg := range []string{"train.conf", "=1", "a=b\nc", "a=\xff", ""} {
		if _, err := ParseArgs([]string{"task=train", arg}); !errors.Is(err, ErrParameters) {
			t.Errorf("ParseArgs(%q) = %v, want a syntax error", arg, err)
		}
	}
}

func FuzzParseFile(f *testing.F) {
	for _, pattern := range []string{"testdata/conf/*.conf", "testdata/modeltext/*.conf"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Add([]byte("interaction_constraints=[0,[1],\nmonotone_constraints=300\nmetric=,\nunknown_parameters=warn\nx=\xff"))
	f.Fuzz(func(t *testing.T, text []byte) {
		settings, err := ParseFile("f.conf", strings.NewReader(string(text)))
		if err != nil {
			if !errors.Is(err, ErrParameters) || settings != nil {
				t.Fatalf("got %d settings and the error %v", len(settings), err)
			}
			return
		}
		c, _, err := Resolve(nil, settings)
		if err != nil {
			if !errors.Is(err, ErrParameters) || c != nil {
				t.Fatalf("got the error %v", err)
			}
			return
		}
		if _, err := c.Validate(); err != nil {
			t.Fatalf("what Resolve accepts Validate refuses: %v", err)
		}
		if _, notices, err := ParseModelText(c.ModelText()); err != nil || len(notices) > 0 {
			t.Fatalf("the model text cannot be read: %v %v", err, notices)
		}
	})
}
