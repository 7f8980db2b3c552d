package cli

import (
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"cloister/engine/parallel"
)

// How soon and how often progress is shown: on a terminal as a line that
// changes, elsewhere as a line of the log.
const (
	progressDelay  = 2 * time.Second
	progressRedraw = 200 * time.Millisecond
	progressLog    = 10 * time.Second
)

// unit is what a progress counts.
type unit struct {
	name  string
	bytes bool
}

// progress shows how far something has come once it has taken two seconds. Its
// counters may be moved by any goroutine.
type progress struct {
	app   *app
	what  string
	unit  unit
	begun time.Time    // for the whole
	start atomic.Int64 // of this pass, in Unix nanoseconds: rates rest on it
	done  atomic.Int64
	total atomic.Int64 // 0: not known
	quit  chan struct{}
	gone  sync.WaitGroup
	bug   error // a panic of show, raised again by stop
}

// startProgress begins to show progress of what ("reading train.csv"). stop
// must be called.
func (a *app) startProgress(what string, u unit, total int64) *progress {
	p := &progress{app: a, what: what, unit: u, begun: time.Now(), quit: make(chan struct{})}
	p.total.Store(total)
	p.restart()
	p.gone.Go(func() {
		p.bug = parallel.Catch(func() error {
			p.show()
			return nil
		})
	})
	return p
}

func (p *progress) add(n int64) { p.done.Add(n) }

// set says how far a pass over a file has come; a smaller number begins the
// next pass.
func (p *progress) set(done, total int64) {
	if done < p.done.Load() {
		p.restart()
	}
	p.done.Store(done)
	p.total.Store(total)
}

// restart begins a new pass over the same thing.
func (p *progress) restart() {
	p.start.Store(time.Now().UnixNano())
	p.done.Store(0)
}

// stop ends the display.
func (p *progress) stop() {
	close(p.quit)
	p.gone.Wait()
	p.app.console.setLine("")
	parallel.Raise(p.bug)
}

func (p *progress) show() {
	if p.app.level.Level() > slog.LevelInfo {
		return
	}
	interval := progressLog
	if p.app.console.tty {
		interval = progressRedraw
	}
	timer := time.NewTimer(progressDelay)
	defer timer.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-timer.C:
		}
		if p.app.console.tty {
			p.app.console.setLine(p.text(time.Now()))
		} else {
			p.app.log.Info(p.what, p.attrs(time.Now())...)
		}
		timer.Reset(interval)
	}
}

// rate is in units a second; left is 0 where it cannot be told.
func (p *progress) rate(now time.Time) (rate float64, left time.Duration) {
	seconds := float64(now.UnixNano()-p.start.Load()) / 1e9
	done, total := p.done.Load(), p.total.Load()
	if seconds <= 0 || done <= 0 {
		return 0, 0
	}
	rate = float64(done) / seconds
	if total > done {
		left = time.Duration(float64(total-done) / rate * float64(time.Second)).Round(time.Second)
	}
	return rate, left
}

// text is the line on a terminal.
func (p *progress) text(now time.Time) string {
	done, total := p.done.Load(), p.total.Load()
	rate, left := p.rate(now)
	text := p.what + ": "
	if total > 0 {
		text += fmt.Sprintf("%3d%% ", min(100, done*100/total))
	}
	switch {
	case total > 0 && p.unit.bytes:
		text += byteSize(float64(done)) + " of " + byteSize(float64(total))
	case total > 0:
		text += fmt.Sprintf("%d of %s", done, p.unit.amount(float64(total)))
	default:
		text += p.unit.amount(float64(done))
	}
	if rate > 0 {
		text += ", " + p.unit.amount(rate) + "/s"
	}
	if left > 0 {
		text += ", " + left.String() + " left"
	}
	return text
}

// attrs are those of a line of the log.
func (p *progress) attrs(now time.Time) []any {
	name := p.unit.name
	if p.unit.bytes {
		name = "bytes"
	}
	attrs := []any{slog.Int64(name, p.done.Load())}
	if total := p.total.Load(); total > 0 {
		attrs = append(attrs, slog.Int64("of", total))
	}
	attrs = append(attrs, slog.Duration("elapsed", now.Sub(p.begun).Round(time.Second)))
	if _, left := p.rate(now); left > 0 {
		attrs = append(attrs, slog.Duration("left", left))
	}
	return attrs
}

// amount writes a count for people.
func (u unit) amount(n float64) string {
	if !u.bytes {
		if n < 10 && n != float64(int(n)) {
			return fmt.Sprintf("%.1f %s", n, u.name)
		}
		return fmt.Sprintf("%.0f %s", n, u.name)
	}
	return byteSize(n)
}

// byteSize writes a number of bytes for people.
func byteSize(n float64) string {
	for _, prefix := range []string{"", "k", "M", "G"} {
		if n < 1000 {
			if prefix == "" || n >= 100 {
				return fmt.Sprintf("%.0f %sB", n, prefix)
			}
			return fmt.Sprintf("%.1f %sB", n, prefix)
		}
		n /= 1000
	}
	return fmt.Sprintf("%.1f TB", n)
}
