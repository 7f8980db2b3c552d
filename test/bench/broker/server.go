package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"cloister/trust/attest"
	"cloister/trust/broker"
	"cloister/trust/broker/brokertest"
)

// server is a broker's process.
type server struct {
	world   *brokertest.World
	session *brokertest.Session
	ready   childReady
	program *brokertest.Enclave
	client  atomic.Uint32 // the number of the last address
	next    atomic.Uint32 // and of the last key

	lines, lineBytes atomic.Int64 // of the audit log, of releases

	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

// startServer starts a new broker with so many witnesses, and makes the first
// keys.
func startServer(ctx context.Context, o *options, witnesses int) (*server, error) {
	dir, err := os.MkdirTemp(o.dir, "broker")
	if err != nil {
		return nil, err
	}
	w, err := brokertest.New(dir, witnesses)
	if err != nil {
		return nil, err
	}
	s, err := openServer(ctx, o, w)
	if err != nil {
		return nil, err
	}
	if s.session, err = w.Open(ctx, &s.ready.Ready); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.session.Begin(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// openServer starts the process of a world's broker.
func openServer(ctx context.Context, o *options, w *brokertest.World) (*server, error) {
	text, err := json.Marshal(&w.Setup)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(w.Setup.Dir, "setup.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return nil, err
	}
	s := &server{world: w, program: w.Enclave(brokertest.Trainer), cmd: exec.CommandContext(ctx, o.server, childCommand, path)}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.out = bufio.NewReader(out)
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	if err := s.read(&s.ready); err != nil {
		return nil, errors.Join(fmt.Errorf("the server does not start: %w", err), s.close())
	}
	return s, nil
}

func (s *server) read(into any) error {
	line, err := s.out.ReadBytes('\n')
	if err != nil {
		return err
	}
	return json.Unmarshal(line, into)
}

// ask has the server's process carry out a command.
func (s *server) ask(command string, into any) error {
	if _, err := fmt.Fprintln(s.in, command); err != nil {
		return err
	}
	return s.read(into)
}

// close ends the process, which stops as it would at a signal.
func (s *server) close() error {
	s.world.Close()
	if s.session != nil {
		s.session.Client.Close()
	}
	return errors.Join(s.in.Close(), s.cmd.Wait())
}

// dial connects from one of many addresses of loopback, so that clients are told
// apart as they are on a network, and the broker's limits can be those that it
// has by itself.
func (s *server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n := s.client.Add(1)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 1, byte(n>>8)&0x3f, byte(n))}, Timeout: 10 * time.Second}
	return d.DialContext(ctx, network, address)
}

func (s *server) newClient() (*broker.Client, error) {
	return broker.NewClient(broker.ClientOptions{Address: s.ready.Address, Pin: s.ready.Pin, Attempts: 1, Dial: s.dial})
}

// keys are those of programs, made before: what a program costs is not measured.
// There are more than the broker remembers to have run.
var keys = sync.OnceValue(func() [][]byte {
	all := make([][]byte, 1000)
	for i := range all {
		k, err := kem().GenerateKey()
		if err != nil {
			panic(err)
		}
		all[i] = k.PublicKey().Bytes()
	}
	return all
})

// release does over a new connection what a release needs: a nonce, and evidence
// for it.
func (s *server) release(ctx context.Context) error {
	c, err := s.newClient()
	if err != nil {
		return err
	}
	defer c.Close()
	return s.releaseOver(ctx, c)
}

func (s *server) releaseOver(ctx context.Context, c *broker.Client) error {
	key := keys()[int(s.next.Add(1))%len(keys())]
	q := &broker.ReleaseRequest{Key: key, Job: brokertest.Job("fixed"), Want: []broker.Want{brokertest.Want("a", 1)}}
	var n broker.NonceAnswer
	if err := c.Do(ctx, http.MethodPost, broker.PathNonce, &broker.NonceRequest{KeyHash: hashOf(key)}, &n); err != nil {
		return err
	}
	q.Nonce = n.Nonce
	b := attest.Binding{Nonce: q.Nonce, Key: q.Key, Job: q.Job}
	e, err := s.program.Produce(ctx, b.ReportData())
	if err != nil {
		return err
	}
	q.Evidence = *e
	var a broker.ReleaseAnswer
	if err := c.Do(ctx, http.MethodPost, broker.PathRelease, q, &a); err != nil {
		return err
	}
	if len(a.Items) != 1 || a.Items[0].Sealed == nil || a.Receipt.Entry == "" {
		return fmt.Errorf("an answer without a key: %+v", a)
	}
	s.lines.Add(1)
	s.lineBytes.Add(int64(len(a.Receipt.Entry)))
	return nil
}

// handshake makes a connection to what does nothing more, and arithmetic one to
// what verifies and encrypts.
func (s *server) handshake(ctx context.Context) error  { return s.bare(ctx, s.ready.Handshakes) }
func (s *server) arithmetic(ctx context.Context) error { return s.bare(ctx, s.ready.Arithmetic) }

// bare makes a connection and waits for the byte that says that all is done.
func (s *server) bare(ctx context.Context, address string) error {
	c, err := s.dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	t := clientTLS(c)
	err = t.HandshakeContext(ctx)
	if err == nil {
		_, err = io.ReadFull(t, make([]byte, 1))
	}
	return errors.Join(err, t.Close())
}
