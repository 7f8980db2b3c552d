package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"cloister/test/bench/page"
	"cloister/trust/broker"
	"cloister/trust/broker/brokertest"
)

// measureMemory watches the memory over many requests that leave no line in the
// audit log, and over as many releases, each of which leaves one.
func measureMemory(ctx context.Context, o *options) (rows []row, err error) {
	s, err := startServer(ctx, o, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	kinds := []struct {
		name string
		do   func(context.Context) error
	}{
		{"requests without evidence", s.info},
		{"releases", s.release},
	}
	for _, kind := range kinds {
		var at [2]usage
		for i, n := range []int{o.requests / 10, o.requests - o.requests/10} {
			if _, err := closed(ctx, 0, int64(n), kind.do); err != nil {
				return nil, err
			}
			if err := s.ask("usage memory", &at[i]); err != nil {
				return nil, err
			}
		}
		fmt.Fprintf(o.progress, "%s: %+v\n", kind.name, at)
		rows = append(
			rows,
			row{
				fmt.Sprintf("memory after %d and %d %s: resident, MB", o.requests/10, o.requests, kind.name),
				fmt.Sprintf("%.0f and %.0f", at[0].Resident/1e6, at[1].Resident/1e6), "flat",
			},
			row{"… heap, MB", fmt.Sprintf("%.1f and %.1f", at[0].Heap/1e6, at[1].Heap/1e6), "flat"},
			row{"… heap for each, bytes", fmt.Sprintf("%.0f", (at[1].Heap-at[0].Heap)/float64(o.requests-o.requests/10)), ""},
		)
	}
	line := float64(s.lineBytes.Load()) / float64(s.lines.Load())
	return append(rows, row{"… of which the line in the audit log has", fmt.Sprintf("%.0f", line), ""}), nil
}

// info asks over a new connection what the broker says of itself.
func (s *server) info(ctx context.Context) error {
	c, err := s.newClient()
	if err != nil {
		return err
	}
	defer c.Close()
	return c.Do(ctx, http.MethodGet, broker.PathBroker, nil, nil)
}

// measureIdle holds connections that asked once, while releases go on.
func measureIdle(ctx context.Context, o *options) (rows []row, err error) {
	s, err := startServer(ctx, o, 0)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	_, free, err := s.cost(ctx, o.seconds, s.release)
	if err != nil {
		return nil, err
	}
	var before, held usage
	if err := s.ask("usage memory", &before); err != nil {
		return nil, err
	}
	conns := make([]net.Conn, 0, o.connections)
	defer func() {
		for _, c := range conns {
			c.Close() //nolint:errcheck // only a measurement
		}
	}()
	var mu sync.Mutex
	_, err = closed(ctx, 0, int64(o.connections), func(ctx context.Context) error {
		c, err := s.idle(ctx)
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	if err := s.ask("usage memory", &held); err != nil {
		return nil, err
	}
	_, busy, err := s.cost(ctx, o.seconds, s.release)
	if err != nil {
		return nil, err
	}
	open := 0
	for _, c := range conns {
		err := again(c)
		if err == nil {
			open++
		} else if open == 0 {
			fmt.Fprintln(o.progress, err)
		}
	}
	return []row{
		{fmt.Sprintf("idle connections held of %d, and asked again after releases went on", o.connections), fmt.Sprint(open), fmt.Sprint(o.connections)},
		{"… memory of each, resident and heap, kB", fmt.Sprintf("%.1f and %.1f", (held.Resident-before.Resident)/1e3/float64(len(conns)), (held.Heap-before.Heap)/1e3/float64(len(conns))), ""},
		{"… releases each second meanwhile, of those without them", fmt.Sprintf("%.2f", busy/free), ""},
	}, nil
}

const question = "GET " + broker.PathBroker + " HTTP/1.1\r\nHost: broker\r\n\r\n"

// idle makes a connection that asked once (HTTP/1.1).
func (s *server) idle(ctx context.Context) (net.Conn, error) {
	c, err := s.dial(ctx, "tcp", s.ready.Address)
	if err != nil {
		return nil, err
	}
	t := clientHTTP1(c)
	if err := again(t); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return t, nil
}

// again asks over a connection and reads the whole answer.
func again(c net.Conn) error {
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, question); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return errors.Join(fmt.Errorf("the answer has status %d", resp.StatusCode), err)
	}
	return nil
}

// measureStart starts a broker that has many keys.
func measureStart(ctx context.Context, o *options) ([]row, error) {
	dir := filepath.Join(o.dir, "start")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	w, err := brokertest.New(dir, 0)
	if err != nil {
		return nil, err
	}
	s, err := openServer(ctx, o, w)
	if err != nil {
		return nil, err
	}
	if s.session, err = w.Open(ctx, &s.ready.Ready); err == nil {
		err = s.session.Begin(ctx)
	}
	if err := errors.Join(err, s.close()); err != nil {
		return nil, err
	}
	if err := w.Setup.Fill(ctx, o.keys); err != nil {
		return nil, err
	}
	var times []float64
	for range max(o.repeat, 11) {
		begun := time.Now()
		s, err := openServer(ctx, o, w)
		if err != nil {
			return nil, err
		}
		resp, err := ready(ctx, s)
		took := time.Since(begun)
		if err := errors.Join(err, s.close()); err != nil {
			return nil, err
		}
		if resp != http.StatusOK {
			return nil, fmt.Errorf("the broker is not ready: status %d", resp)
		}
		fmt.Fprintf(o.progress, "ready after %s\n", took)
		times = append(times, took.Seconds())
	}
	return []row{{fmt.Sprintf("from the start of the process to ready with %d keys, ms", o.keys), fmt.Sprintf("%.0f", 1e3*page.Median(times)), "below 300"}}, nil
}

// ready asks a broker whether it is.
func ready(ctx context.Context, s *server) (int, error) {
	c := &http.Client{Transport: &http.Transport{DialTLSContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		c, err := s.dial(ctx, network, s.ready.Address)
		if err != nil {
			return nil, err
		}
		return clientHTTP1(c), nil
	}}}
	defer c.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.ready.Address+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func clientHTTP1(c net.Conn) *tls.Conn {
	return tls.Client(c, &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
}
