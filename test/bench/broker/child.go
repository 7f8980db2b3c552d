package main

import (
	"bufio"
	"context"
	"crypto/hpke"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"syscall"
	"time"

	"cloister/trust/attest/sgx"
	"cloister/trust/broker"
	"cloister/trust/broker/brokertest"
)

const childCommand = "serve-for-bench"

func parseQuote(b []byte) (*sgx.Quote, error) { return sgx.ParseQuote(b) }

// usage is what a process took so far.
type usage struct {
	CPU      float64 `json:"cpu"`      // seconds, of user and system
	Resident float64 `json:"resident"` // bytes
	Heap     float64 `json:"heap"`     // bytes that are reachable
}

func cpuTime() (float64, error) {
	var r syscall.Rusage
	err := syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9, err
}

// takeUsage asks for the memory, too, only if it is to: that costs a collection.
func takeUsage(memory bool) (u usage, err error) {
	if memory {
		debug.FreeOSMemory()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		u.Heap = float64(m.HeapAlloc)
		text, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			return u, err
		}
		fields := strings.Fields(string(text))
		if len(fields) < 2 {
			return u, errors.New("/proc/self/statm is not understood")
		}
		pages, err := strconv.ParseFloat(fields[1], 64)
		if err != nil {
			return u, err
		}
		u.Resident = pages * float64(os.Getpagesize())
	}
	u.CPU, err = cpuTime()
	return u, err
}

// childReady is what the server's process says first.
type childReady struct {
	brokertest.Ready
	// Handshakes is where handshakes are made and nothing else, Arithmetic where
	// after each a quote is verified and a key encrypted, and nothing else.
	Handshakes string `json:"handshakes"`
	Arithmetic string `json:"arithmetic"`
}

// runChild serves the broker of a setup in a file and answers commands, a line
// each, until there are no more.
func runChild(path string, in io.Reader, out io.Writer) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	s := new(brokertest.Setup)
	if err := json.Unmarshal(text, s); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go broker.CollectLess(ctx)         // as cloister broker serve does
	w, err := brokertest.New(s.Dir, 0) // another authority is as good
	if err != nil {
		return err
	}
	v, err := newVerifier(ctx, w)
	if err != nil {
		return err
	}
	a, err := newArithmetic(v)
	if err != nil {
		return err
	}
	ready, done := make(chan childReady, 1), make(chan error, 1)
	go func() {
		log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
		done <- s.Serve(ctx, log, func(b *broker.Broker, r *brokertest.Ready) {
			ready <- childReady{*r, bare(b.TLS(), nothing), bare(b.TLS(), a.both)}
		})
	}()
	select {
	case err := <-done:
		return err
	case r := <-ready:
		if err := json.NewEncoder(out).Encode(r); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		answer, err := command(lines.Text(), a)
		if err == nil {
			err = json.NewEncoder(out).Encode(answer)
		}
		if err != nil {
			return err
		}
	}
	cancel()
	return <-done
}

func command(line string, a *arithmetic) (any, error) {
	name, rest, _ := strings.Cut(line, " ")
	switch name {
	case "usage":
		return takeUsage(rest == "memory")
	case "arithmetic":
		return a.costs()
	case "profile":
		f, err := os.Create(rest)
		if err != nil {
			return nil, err
		}
		return true, pprof.StartCPUProfile(f)
	case "profiled":
		pprof.StopCPUProfile()
		return true, nil
	}
	return nil, fmt.Errorf("command %q is not known", line)
}

// costs are seconds of processor time.
type costs struct {
	Verify float64 `json:"verify"`
	HPKE   float64 `json:"hpke"`
}

// arithmetic is what a release cannot do without, besides the handshake.
type arithmetic struct {
	verify, encrypt func() error
}

func newArithmetic(v *verifier) (*arithmetic, error) {
	kem, kdf, aead := hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.AES256GCM()
	key, err := kem.GenerateKey()
	if err != nil {
		return nil, err
	}
	public := key.PublicKey().Bytes()
	return &arithmetic{verify: v.verify, encrypt: func() error {
		to, err := kem.NewPublicKey(public) // each program has its own
		if err != nil {
			return err
		}
		_, sender, err := hpke.NewSender(to, kdf, aead, []byte("bench"))
		if err == nil {
			_, err = sender.Seal(nil, make([]byte, 32))
		}
		return err
	}}, v.verify()
}

func (a *arithmetic) both() error { return errors.Join(a.verify(), a.encrypt()) }

func nothing() error { return nil }

func (a *arithmetic) costs() (c costs, err error) {
	if c.Verify, err = costOf(a.verify); err != nil {
		return c, err
	}
	c.HPKE, err = costOf(a.encrypt)
	return c, err
}

// costOf is the processor time of doing something once.
func costOf(do func() error) (float64, error) {
	const n = 2000
	before, err := cpuTime()
	if err != nil {
		return 0, err
	}
	for range n {
		if err := do(); err != nil {
			return 0, err
		}
	}
	after, err := cpuTime()
	return (after - before) / n, err
}

// bare serves connections that end after their handshake and what is done then.
func bare(config *tls.Config, do func() error) string {
	l, err := tls.Listen("tcp", "127.0.0.1:0", config)
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()                                 //nolint:errcheck // only a measurement
				c.SetDeadline(time.Now().Add(10 * time.Second)) //nolint:errcheck // as above
				h, ok := c.(*tls.Conn)
				if !ok || h.HandshakeContext(context.Background()) != nil || do() != nil {
					return
				}
				c.Write([]byte{1}) //nolint:errcheck // the client sees what came
			}()
		}
	}()
	return l.Addr().String()
}
