package clock

import (
	"errors"
	"testing"
	"time"

	"cloister/trust/broker/audit"
	"cloister/trust/broker/store"
)

var start = time.Date(2026, 11, 25, 9, 0, 0, 0, time.UTC)

// fixture is a clock whose host's time a test sets.
type fixture struct {
	t     *testing.T
	st    *store.Store
	host  time.Time
	clock *Clock
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	st, err := store.Open(t.TempDir(), store.Options{Create: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	f := &fixture{t: t, st: st, host: start}
	f.restart()
	return f
}

func (f *fixture) restart() {
	f.t.Helper()
	var err error
	if f.clock, err = Open(f.st, func() time.Time { return f.host }); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) update(fn func(*store.Tx) error) error { return f.st.Update(f.t.Context(), fn) }

func (f *fixture) witnessed(times ...time.Time) error {
	w := &audit.Witnessed{Times: times}
	w.Time, _ = w.Medians()
	return f.update(func(tx *store.Tx) error { return f.clock.Witnessed(tx, w) })
}

func (f *fixture) now(want time.Time) {
	f.t.Helper()
	if got := f.clock.Now(); !got.Equal(want) {
		f.t.Errorf("now is %s, want %s", got, want)
	}
}

func TestGreatest(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.now(start)
	if err := f.witnessed(start.Add(3*time.Minute), start.Add(2*time.Minute), start.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	f.now(start.Add(3 * time.Minute))
	issued := start.Add(4 * time.Minute)
	if err := f.update(func(tx *store.Tx) error { return f.clock.Collateral(tx, "sgx", issued, 17) }); err != nil {
		t.Fatal(err)
	}
	f.now(issued)
	f.host = start.Add(-time.Hour)
	f.restart()
	f.now(issued)
	f.host = start.Add(time.Hour)
	f.now(f.host)
}

func TestSkew(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		witnesses []time.Duration // from the host's clock
		wrong     bool
	}{
		"the same":                    {[]time.Duration{0, 0, 0}, false},
		"one far behind":              {[]time.Duration{-time.Hour, 0, time.Minute}, false},
		"one far ahead":               {[]time.Duration{time.Hour, 0, -time.Minute}, false},
		"five minutes behind":         {[]time.Duration{-Tolerance, -Tolerance, 0}, false},
		"more behind":                 {[]time.Duration{-Tolerance - time.Second, -Tolerance - time.Second, 0}, true},
		"clock set back":              {[]time.Duration{time.Hour, time.Hour, time.Hour}, true},
		"clock set ahead":             {[]time.Duration{-time.Hour, -time.Hour, -time.Hour}, true},
		"one of two far behind":       {[]time.Duration{0, -time.Hour}, true},
		"one of two far ahead":        {[]time.Duration{0, time.Hour}, true},
		"the only one, a little off":  {[]time.Duration{time.Minute}, false},
		"the only one, too far ahead": {[]time.Duration{time.Hour}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t)
			var times []time.Time
			for _, d := range test.witnesses {
				times = append(times, start.Add(d))
			}
			err := f.witnessed(times...)
			if errors.Is(err, ErrSkew) != test.wrong || !test.wrong && err != nil {
				t.Errorf("got %v", err)
			}
			if test.wrong {
				f.now(start) // what was refused is not kept
			}
		})
	}
}

// TestCollateralFromTheFuture lets dates of issue push the time, and the
// witnesses refuse it.
func TestCollateralFromTheFuture(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	if err := f.update(func(tx *store.Tx) error { return f.clock.Collateral(tx, "sgx", start.Add(time.Hour), 1) }); err != nil {
		t.Fatal(err)
	}
	if err := f.witnessed(start); !errors.Is(err, ErrSkew) {
		t.Errorf("got %v", err)
	}
}

func TestWithoutWitnesses(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	checkpoint := func() error {
		w := &audit.Witnessed{Insecure: audit.InsecureNoWitness, Time: f.clock.Now()}
		return f.update(func(tx *store.Tx) error { return f.clock.Witnessed(tx, w) })
	}
	if err := checkpoint(); err != nil {
		t.Fatal(err)
	}
	f.host = start.Add(-Tolerance)
	if err := checkpoint(); err != nil {
		t.Error(err)
	}
	f.now(start)
	f.host = start.Add(-Tolerance - time.Second)
	f.restart()
	if err := checkpoint(); !errors.Is(err, ErrSkew) {
		t.Errorf("got %v", err)
	}
}

func TestEvaluationNumber(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for i, step := range []struct {
		of         string
		evaluation uint32
		older      bool
	}{
		{"sgx", 17, false},
		{"tdx", 16, false},
		{"sgx", 17, false},
		{"sgx", 16, true},
		{"sgx", 18, false},
		{"sgx", 17, true},
		{"tdx", 15, true},
		{"tdx", 17, false},
	} {
		f.restart()
		err := f.update(func(tx *store.Tx) error { return f.clock.Collateral(tx, step.of, start, step.evaluation) })
		if errors.Is(err, ErrOlder) != step.older || !step.older && err != nil {
			t.Errorf("step %d: got %v", i, err)
		}
		err = f.st.View(func(tx *store.Tx) error {
			if f.clock.Seen(tx, step.of, start, step.evaluation) == step.older {
				t.Errorf("step %d: seen is %v", i, step.older)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}
