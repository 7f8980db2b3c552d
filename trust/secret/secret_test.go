package secret

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
)

const plain = "correct horse battery staple"

// TestNeverShown prints a secret in every way that a program is likely to, bare,
// pointed to and inside other values.
func TestNeverShown(t *testing.T) {
	t.Parallel()
	s := Copy([]byte(plain))
	type inner struct{ Key, unexported Bytes }
	type outer struct {
		Inner   *inner
		Value   inner
		List    []Bytes
		Map     map[string]Bytes
		private any
	}
	in := inner{s, s}
	values := map[string]any{
		"value": s, "pointer": &s, "slice": []Bytes{s}, "map": map[string]Bytes{"k": s},
		"struct": in, "nested": outer{&in, in, []Bytes{s}, map[string]Bytes{"k": s}, s},
	}
	for name, v := range values {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%c", "%08b"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			j, err := json.Marshal(v)
			if err != nil {
				t.Fatal(err)
			}
			out.Write(j)
			for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
				slog.New(h).Info("shown", "v", v)
			}
			fmt.Fprint(&out, fmt.Errorf("refused %v", v), fmt.Sprint(v))
			check(t, out.String())
		})
	}
}

func check(t *testing.T, out string) {
	t.Helper()
	for name, form := range map[string]string{
		"text": "horse", "hex": fmt.Sprintf("%x", "horse"), "HEX": fmt.Sprintf("%X", "horse"),
		"decimal": "104 111 114", "commas": "0x68, 0x6f", "base64": "aG9yc2",
	} {
		if strings.Contains(out, form) {
			t.Errorf("the secret is shown as %s:\n%s", name, out)
		}
	}
}

func TestNotMarshalled(t *testing.T) {
	t.Parallel()
	s := Copy([]byte(plain))
	if _, err := s.MarshalBinary(); !errors.Is(err, ErrNotMarshalled) {
		t.Errorf("MarshalBinary gives %v", err)
	}
	if err := gob.NewEncoder(io.Discard).Encode(s); !errors.Is(err, ErrNotMarshalled) {
		t.Errorf("gob gives %v", err)
	}
	if text, _ := s.MarshalText(); string(text) != redacted {
		t.Errorf("MarshalText gives %q", text)
	}
	if v, _ := s.MarshalYAML(); v != redacted {
		t.Errorf("MarshalYAML gives %q", v)
	}
}

func TestZero(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 32, slotSize, slotSize + 1, 5000} {
		s := Take(bytes.Repeat([]byte{7}, n))
		b, twin, clone := s.Expose(), s, s.Clone()
		s.Zero()
		if !s.Empty() || !twin.Empty() {
			t.Errorf("%d bytes are left", twin.Len())
		}
		// A slot may belong to another test's secret by now: look at heap alone.
		if n > slotSize && !bytes.Equal(b, make([]byte, n)) {
			t.Errorf("%d bytes were not zeroed", n)
		}
		if !bytes.Equal(clone.Expose(), bytes.Repeat([]byte{7}, n)) {
			t.Errorf("the clone of %d bytes went with them", n)
		}
		s.Zero()
	}
	Bytes{}.Zero()
}

func TestTakeLeavesNothing(t *testing.T) {
	t.Parallel()
	b := []byte(plain)
	s := Take(b)
	if !bytes.Equal(b, make([]byte, len(plain))) {
		t.Error("what was taken is still there")
	}
	if string(s.Expose()) != plain {
		t.Error("what was taken is not what is held")
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	a, b := Copy([]byte("a")), Copy([]byte("b"))
	if !a.Equal(a.Clone()) || a.Equal(b) || a.Equal(Bytes{}) || !(Bytes{}).Equal(New(0)) {
		t.Error("Equal is wrong")
	}
}

func TestRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		in   io.Reader
		want string
		err  string
	}{
		"short":    {strings.NewReader("abc"), "abc", ""},
		"exact":    {strings.NewReader("abcd"), "abcd", ""},
		"empty":    {strings.NewReader(""), "", ""},
		"too long": {strings.NewReader("abcde"), "", "longer than 4 bytes"},
		"broken":   {iotest.ErrReader(errors.New("broken")), "", "broken"},
		"in bits":  {iotest.OneByteReader(strings.NewReader("abc")), "abc", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Read(c.in, 4)
			if c.err != "" {
				if err == nil || err.Error() != c.err {
					t.Fatalf("got %v, want %s", err, c.err)
				}
				return
			}
			if err != nil || string(s.Expose()) != c.want {
				t.Fatalf("got %q, %v", s.Expose(), err)
			}
		})
	}
	if _, err := Random(iotest.ErrReader(io.ErrClosedPipe), 4); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("Random without randomness gives %v", err)
	}
}

// TestSlotsAreNotShared allocates and zeroes from many goroutines, and looks
// whether any secret ever changes under its holder, or a new one is not zero.
func TestSlotsAreNotShared(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				n := 1 + (i*7)%80
				if fresh := New(n); !bytes.Equal(fresh.Expose(), make([]byte, n)) {
					t.Error("a new secret is not zero")
				} else {
					fresh.Zero()
				}
				mine := bytes.Repeat([]byte{byte(g + 1)}, n)
				s := Copy(mine)
				exposed := s.Expose()
				if i%500 == 0 {
					runtime.GC()
				}
				if !bytes.Equal(exposed, mine) {
					t.Errorf("goroutine %d lost its secret", g)
					return
				}
				s.Zero()
				s.Zero()
			}
		})
	}
	wg.Wait()
}

func BenchmarkTakeZero(b *testing.B) {
	var key [32]byte
	for b.Loop() {
		Copy(key[:]).Zero()
	}
}
