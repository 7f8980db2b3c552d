package main

import (
	"context"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"cloister/test/bench/page"
	"cloister/trust/broker"
)

func kem() hpke.KEM { return hpke.MLKEM768X25519() }

func hashOf(b []byte) broker.Digest { return sha256.Sum256(b) }

// clientTLS is the client's end of a handshake; whose certificate it is does not
// matter here.
func clientTLS(c net.Conn) *tls.Conn {
	return tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}})
}

// clients is how many do something at the same time.
const clients = 32

// closed has clients do something again and again, each as soon as it is done,
// and returns how often. It ends after a time, or after a number if that is
// not zero.
func closed(ctx context.Context, seconds float64, number int64, do func(context.Context) error) (int64, error) {
	var wg sync.WaitGroup
	var begun, done atomic.Int64
	var failed atomic.Pointer[error]
	end := time.Now().Add(time.Duration(seconds * float64(time.Second)))
	for range clients {
		wg.Go(func() {
			for failed.Load() == nil && (number > 0 || time.Now().Before(end)) {
				if n := begun.Add(1); number > 0 && n > number {
					return
				}
				if err := do(ctx); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return done.Load(), *err
	}
	return done.Load(), nil
}

// cost has clients do something and returns the server's processor time for each,
// and how many there were in a second.
func (s *server) cost(ctx context.Context, seconds float64, do func(context.Context) error) (each, rate float64, err error) {
	var before, after usage
	if err := s.ask("usage", &before); err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	n, err := closed(ctx, seconds, 0, do)
	took := time.Since(begun)
	if err != nil {
		return 0, 0, err
	}
	if err := s.ask("usage", &after); err != nil {
		return 0, 0, err
	}
	return (after.CPU - before.CPU) / float64(n), float64(n) / took.Seconds(), nil
}

// releases are what was measured of releases with one kind of witnesses.
type releases struct {
	handshake, verify, hpke, least, release, rate, part []float64
}

// measureRelease measures the server's processor time for a release beside that
// of a server which makes a handshake, verifies a quote and encrypts a key for each
// connection and does nothing else, in turn.
func measureRelease(ctx context.Context, o *options) ([]row, error) {
	var rows []row
	for _, witnesses := range []int{0, 3} {
		m, err := releaseCosts(ctx, o, witnesses)
		if err != nil {
			return nil, err
		}
		if witnesses == 0 {
			rows = append(rows,
				row{"processor time of a connection with its TLS 1.3 handshake, of a verification and of HPKE, each alone, µs", fmt.Sprintf("%.0f, %.0f, %.0f",
					1e6*page.Median(m.handshake), 1e6*page.Median(m.verify), 1e6*page.Median(m.hpke)), ""},
				row{"processor time of all three in a server that does nothing else, µs", fmt.Sprintf("%.0f", 1e6*page.Median(m.least)), ""})
		}
		rows = append(
			rows,
			row{"processor time of a release, " + named(witnesses) + ", µs", fmt.Sprintf("%.0f", 1e6*page.Median(m.release)), ""},
			row{"releases by one core, each second, " + named(witnesses), fmt.Sprintf("%.0f", 1/page.Median(m.release)), ""},
			row{"… of what that server does", fmt.Sprintf("%.2f", page.Median(m.part)), "0.60"},
			row{"releases each second, clients on the same machine, " + named(witnesses), fmt.Sprintf("%.0f", page.Median(m.rate)), ""},
		)
	}
	return rows, nil
}

func named(witnesses int) string {
	if witnesses == 0 {
		return "`insecure-no-witness`"
	}
	return fmt.Sprintf("%d witnesses", witnesses) // of which more than half co-sign
}

func releaseCosts(ctx context.Context, o *options, witnesses int) (m *releases, err error) {
	s, err := startServer(ctx, o, witnesses)
	if err != nil {
		return nil, err
	}
	defer func() {
		if closeErr := s.close(); err == nil {
			err = closeErr
		}
	}()
	if _, _, err := s.cost(ctx, min(1, o.seconds), s.release); err != nil { // caches are filled
		return nil, err
	}
	if o.profile != "" && witnesses == 0 {
		if err := s.profiled(ctx, o); err != nil {
			return nil, err
		}
	}
	m = &releases{}
	for range o.repeat {
		handshake, _, err := s.cost(ctx, o.seconds/3, s.handshake)
		if err != nil {
			return nil, err
		}
		least, _, err := s.cost(ctx, o.seconds/2, s.arithmetic)
		if err != nil {
			return nil, err
		}
		var c costs
		if err := s.ask("arithmetic", &c); err != nil {
			return nil, err
		}
		release, rate, err := s.cost(ctx, o.seconds, s.release)
		if err != nil {
			return nil, err
		}
		m.handshake, m.verify, m.hpke = append(m.handshake, handshake), append(m.verify, c.Verify), append(m.hpke, c.HPKE)
		m.least = append(m.least, least)
		m.release, m.rate = append(m.release, release), append(m.rate, rate)
		m.part = append(m.part, least/release)
		fmt.Fprintf(o.progress, "%s: handshake %.0f, verification %.0f, HPKE %.0f, all three %.0f of %.0f µs; %.0f releases/s\n",
			named(witnesses), 1e6*handshake, 1e6*c.Verify, 1e6*c.HPKE, 1e6*least, 1e6*release, rate)
	}
	return m, nil
}

// profiled has the server profile itself under releases.
func (s *server) profiled(ctx context.Context, o *options) error {
	var ok bool
	if err := s.ask("profile "+o.profile, &ok); err != nil {
		return err
	}
	if _, _, err := s.cost(ctx, 10, s.release); err != nil {
		return err
	}
	return s.ask("profiled", &ok)
}
