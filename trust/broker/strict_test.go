package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/broker/store"
)

// checkTokens is what checkKeys does, by the tokens of encoding/json.
func checkTokens(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	type level struct {
		object, isKey bool
		seen          map[string]bool
	}
	var stack []level
	next := func() {
		if n := len(stack); n > 0 && stack[n-1].object {
			stack[n-1].isKey = true
		}
	}
	for {
		token, err := d.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				if len(stack) == maxDepth {
					return errors.New("deep")
				}
				stack = append(stack, level{object: t == '{', isKey: t == '{', seen: map[string]bool{}})
				break
			}
			stack = stack[:len(stack)-1]
			next()
		case string:
			if n := len(stack); n > 0 && stack[n-1].isKey {
				top := &stack[n-1]
				if top.seen[t] || !lowerKey([]byte(t)) || len(top.seen) == maxKeys {
					return errors.New("key")
				}
				top.seen[t], top.isKey = true, false
				continue
			}
			next()
		default:
			next()
		}
		if len(stack) == 0 {
			break
		}
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more")
	}
	return nil
}

// FuzzDecode compares what is accepted, and what is read, with a slower reader of
// the same rules. Only keys that are written with escapes and base64 with line
// breaks are refused by the fast one alone.
func FuzzDecode(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"nonce":"` + strings.Repeat("0a", 32) + `","want":[{"kind":"key","owner":"a","name":"b","version":1},{}]}`,
		`{"key":"QUJD","evidence":{"platform":"sgx","quote":"QUJDRA==","endorsements":null}}`, `{"key":"QUJ"}`, `{"key":"QUJD\u000a"}`, `{"key":"Q\nUJD"}`,
		`{"evidence":{"quote":"","quote":""}}`, `{"want":[{"Kind":"key"}]}`, `{"want":null}`, `{"want":{}}`, `{"job":1}`, `{"evidence":[]}`, `{"evidence":{"x":1}}`,
		`{"\u0061":1}`, `[1,2,]`, `{"key":""}}`, `"a\\"`, `"a\\\"`, ` { "key" : null , "want" : [ ] } `, `{"want":[{"version":00}]}`, `{"want":[{"version":-1}]}`,
		strings.Repeat("[", 20), "", "nul", "1 2", `{"key":tru}`, "{\"key\":\"\n\"}", `{"want":[{"version":18446744073709551615}]}`, `{"key":[65,66]}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var fast, slow ReleaseRequest
		got := decode(data, &fast)
		want := checkTokens(data)
		if want == nil {
			d := json.NewDecoder(bytes.NewReader(data))
			d.DisallowUnknownFields()
			want = d.Decode(&slow)
		}
		if got == nil && want != nil {
			t.Errorf("%q is accepted; the other reader says %v", data, want)
		}
		if diff := cmp.Diff(slow, fast); got == nil && diff != "" {
			t.Errorf("%q is read otherwise than by the other reader:\n%s", data, diff)
		}
		if got != nil && want == nil && utf8.Valid(data) && !bytes.ContainsRune(data, '\\') {
			t.Errorf("%q is refused: %v; the other reader accepts it", data, got)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	text, err := json.Marshal(&ReleaseRequest{Key: make([]byte, 1216), Want: []Want{wards("a", 1)}})
	if err != nil {
		b.Fatal(err)
	}
	text = bytes.Replace(text, []byte(`"quote":null`), []byte(`"quote":"`+strings.Repeat("QUJD", 1200)+`"`), 1)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		var q ReleaseRequest
		if err := decode(text, &q); err != nil {
			b.Fatal(err)
		}
	}
}

// TestForgetRuns has a job run more often than is remembered by whom.
func TestForgetRuns(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	now := time.Now()
	run := func(by string, at time.Time) (n uint64) {
		t.Helper()
		err := f.broker.store.Update(t.Context(), func(tx *store.Tx) (err error) {
			n, err = f.broker.countRun(tx, "job/x", by, false, 0, at)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	remembered := func() (n int) {
		err := f.broker.store.View(func(tx *store.Tx) error {
			if n = tx.Len(bucketAgain); n != tx.Len(bucketLast) {
				t.Errorf("%d keys, %d runs", n, tx.Len(bucketLast))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 3 * mostSame {
		if got := run(strings.Repeat("k", i+1), now); got != uint64(i+1) {
			t.Fatalf("run %d is number %d", i+1, got)
		}
	}
	if n := remembered(); n != mostSame {
		t.Errorf("%d runs are remembered, want %d", n, mostSame)
	}
	if got := run(strings.Repeat("k", 3*mostSame), now.Add(sameRun/2)); got != 3*mostSame {
		t.Errorf("asked again it is run %d", got)
	}
	if got := run("k", now); got != 3*mostSame+1 {
		t.Errorf("whom nobody remembers ran as number %d", got)
	}
	if got := run("", now); got != 3*mostSame+2 {
		t.Errorf("nobody ran as number %d", got)
	}
	later := now.Add(2 * sameRun)
	for i := range mostSame {
		run("later"+strings.Repeat("k", i), later)
	}
	if n := remembered(); n != mostSame {
		t.Errorf("%d runs are remembered, want %d", n, mostSame)
	}
	if got := run("k", later); got != 4*mostSame+3 {
		t.Errorf("after the time it is run %d", got)
	}
}
