package broker

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"cloister/trust/approval"
	"cloister/trust/broker/audit"
	"cloister/trust/broker/policy"
	"cloister/trust/broker/store"
	"cloister/trust/broker/vault"
)

// lying is the broker's peer which changes receipts of answers from one place, as
// a broker would that shows a client another line of its log.
type lying struct {
	place string
	lie   func(*Receipt)
	inner http.RoundTripper
}

func (l *lying) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := l.inner.RoundTrip(r)
	if err != nil || r.URL.Path != l.place || resp.StatusCode != http.StatusOK {
		return resp, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(text, &fields); err != nil {
		return nil, err
	}
	var receipt Receipt
	if err := json.Unmarshal(fields["receipt"], &receipt); err != nil {
		return nil, err
	}
	l.lie(&receipt)
	if fields["receipt"], err = json.Marshal(receipt); err != nil {
		return nil, err
	}
	if text, err = json.Marshal(fields); err != nil {
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(text))
	return resp, nil
}

// receiptOf proves any entry of the log, which is what a lying broker can do.
func (f *fixture) receiptOf(t *testing.T, is func(*audit.Entry) bool) Receipt {
	t.Helper()
	f.waitWitnessed(t)
	w := f.broker.audit.Witnessed()
	for i, e := range f.entries() {
		if int64(i) < w.Size && is(e) {
			r, err := f.broker.receipt(t.Context(), int64(i), w)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
	}
	t.Fatal("no such entry")
	return Receipt{}
}

// forged is a receipt that the log of a key proves for an edited entry.
func (f *fixture) forged(t *testing.T, r *Receipt, edit func(*audit.Entry)) Receipt {
	t.Helper()
	e, err := audit.ParseEntry([]byte(r.Entry))
	if err != nil {
		t.Fatal(err)
	}
	edit(e)
	line, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	c := &audit.Checkpoint{Origin: logName("test"), Size: 1, Root: tlog.RecordHash(line)}
	signed, err := c.Sign(f.logSigner(t))
	if err != nil {
		t.Fatal(err)
	}
	return Receipt{Entry: string(line), Checkpoint: string(signed), Proof: [][]byte{}}
}

// receiptCase asks for something that is answered with a receipt.
type receiptCase struct {
	place string
	ask   func(*Client) error
	// bound are the details that tell the request.
	bound []string
	// other is an entry of the same kind that was granted, too.
	other func(*audit.Entry) bool
}

func (f *fixture) receiptCases(t *testing.T) map[string]receiptCase {
	t.Helper()
	kind := func(name string) func(*audit.Entry) bool {
		return func(e *audit.Entry) bool { return e.Type == name && e.Decision == audit.Granted }
	}
	order := func(o Order) func(*Client) error {
		return func(c *Client) error {
			f.number["a"]++
			one := o
			one.Owner, one.Number = "a", f.number["a"]
			if one.Operation == NewKey {
				one.Version = f.nextVersion(t, one.DataSet)
			}
			_, err := c.Order(t.Context(), &OrderRequest{
				Order: one, Signatures: []string{f.a.sign(t, one.Purpose(), one.Statement("test", f.pin.FirstPolicy))},
			})
			return err
		}
	}
	thaw := true
	freeze := func(c *Client) error {
		thaw = !thaw
		f.number["b"]++
		o := policy.Freeze{Broker: "test", First: policy.Hash(f.pin.FirstPolicy), Owner: "b", Number: f.number["b"], Thaw: thaw}
		purpose := approval.ForFreeze
		if thaw {
			purpose = approval.ForUnfreeze
		}
		_, err := c.Freeze(t.Context(), &FreezeRequest{Owner: "b", Number: o.Number, Thaw: thaw, Signatures: []string{f.b.sign(t, purpose, o.Statement())}})
		return err
	}
	return map[string]receiptCase{
		"release": {PathRelease, func(c *Client) error {
			_, err := c.Release(t.Context(), newProgram(t, "trainer"), jobOf("one"), []Want{wards("a", 1)})
			return err
		}, []string{"key", "job", "evidence", "platform", "workload", "run"}, kind("release")},
		"certificate": {PathCertificate, func(c *Client) error {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return err
			}
			got, err := c.Certificate(t.Context(), newProgram(t, "trainer"), jobOf("one"), key, []string{"worker-0.cluster.test"}, 0)
			if err == nil && !key.PublicKey.Equal(got.Certificate.PublicKey) {
				err = errors.New("a certificate of another key")
			}
			return err
		}, []string{"key", "job", "evidence", "serial"}, kind("certificate")},
		"unseal": {PathUnseal, func(c *Client) error {
			item, _, err := c.Unseal(t.Context(), "a", "wards", 1)
			if err == nil {
				item.Key.Zero()
			}
			return err
		}, []string{"key"}, kind("unseal")},
		"order":       {PathOrder, order(Order{Operation: NewKey, DataSet: "more", Use: vault.Data}), []string{"number"}, kind("order.new-key")},
		"job's order": {PathOrder, order(Order{Operation: ApproveJob, Job: jobOf("counted"), Runs: 3, Expires: time.Now().Add(time.Hour)}), []string{"number", "job", "runs"}, kind("order.approve-job")},
		"freeze":      {PathFreeze, freeze, []string{"number"}, func(e *audit.Entry) bool { return e.Type == "freeze" || e.Type == "unfreeze" }},
	}
}

// TestReceiptOfAnother gives clients receipts that prove something else than that
// their own request was granted. Each must be refused, as tampering.
func TestReceiptOfAnother(t *testing.T) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	certificate, hash := selfSigned(t, private)
	f := newFixture(t, setting{limits: Limits{Rate: 10_000, Burst: 10_000}, prepare: func(f *fixture) {
		f.extra = "unseal:\n  person: {client: \"sha256:" + hash.String() + "\", keys: {a/wards: [1]}}\n"
	}})
	f.dataSet(f.a, "wards", "no-export")
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	foreignLog, _, err := logSigner(logName("test"), foreign)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range f.receiptCases(t) {
		ask := func(t *testing.T, seen *Seen, lie func(*Receipt)) error {
			t.Helper()
			client, err := NewClient(ClientOptions{
				Address: f.addr, Pin: f.pin, Log: f.broker.logKey, Seen: seen, Attempts: 1, Certificates: []tls.Certificate{certificate},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			client.http.Transport = &lying{c.place, lie, client.http.Transport}
			return c.ask(client)
		}
		if err := ask(t, nil, func(*Receipt) {}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		other := f.receiptOf(t, c.other)
		edited := func(edit func(*audit.Entry)) func(*Receipt) {
			return func(r *Receipt) { *r = f.forged(t, r, edit) }
		}
		lies := map[string]func(*Receipt){
			"an earlier request of the same kind": func(r *Receipt) { *r = other },
			"refused":                             edited(func(e *audit.Entry) { e.Decision = audit.Refused }),
			"not decided":                         edited(func(e *audit.Entry) { e.Decision = "" }),
			"another type":                        edited(func(e *audit.Entry) { e.Type = "request" }),
			"withheld":                            edited(func(e *audit.Entry) { e.Type += ".withheld" }),
			"another subject":                     edited(func(e *audit.Entry) { e.Subject += " and more" }),
			"another request":                     edited(func(e *audit.Entry) { e.Request += "0" }),
			"no request":                          edited(func(e *audit.Entry) { e.Request = "" }),
			"no details":                          edited(func(e *audit.Entry) { e.Details = nil }),
			"an edited line":                      func(r *Receipt) { r.Entry = strings.Replace(r.Entry, `"v":1`, `"v":2`, 1) },
			"no line":                             func(r *Receipt) { r.Entry = "" },
			"nothing":                             func(r *Receipt) { *r = Receipt{} },
			"another index":                       func(r *Receipt) { r.Index-- },
			"no proof":                            func(r *Receipt) { r.Proof = nil },
			"a short hash":                        func(r *Receipt) { r.Proof[0] = r.Proof[0][1:] },
			"another log": func(r *Receipt) {
				n, _, _ := strings.Cut(r.Checkpoint, "\n\n")
				signed, err := note.Sign(&note.Note{Text: n + "\n"}, foreignLog)
				if err != nil {
					t.Error(err)
				}
				r.Checkpoint = string(signed)
			},
			"a signature that is wrong": func(r *Receipt) {
				r.Checkpoint = strings.Replace(r.Checkpoint, "\n\n", "\nextension\n\n", 1)
			},
		}
		for _, d := range c.bound {
			lies["detail "+d] = edited(func(e *audit.Entry) { e.Details[d] += "0" })
			lies["no detail "+d] = edited(func(e *audit.Entry) { delete(e.Details, d) })
		}
		// The forged one is good but for the edit.
		if err := ask(t, nil, edited(func(*audit.Entry) {})); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for lie, tell := range lies {
			t.Run(name+"/"+lie, func(t *testing.T) {
				if err := ask(t, nil, tell); !errors.Is(err, audit.ErrTampered) {
					t.Errorf("got %v", err)
				}
			})
		}
		t.Run(name+"/an older log", func(t *testing.T) {
			seen := f.seenLog(t)
			was := seen.Checkpoint
			if err := ask(t, seen, edited(func(*audit.Entry) {})); !errors.Is(err, audit.ErrTampered) {
				t.Errorf("got %v", err)
			}
			if seen.Checkpoint != was {
				t.Error("the older log replaces what was seen")
			}
			if err := ask(t, seen, func(*Receipt) {}); err != nil || seen.Checkpoint == was {
				t.Errorf("the honest one: %v", err)
			}
		})
		t.Run(name+"/another history", func(t *testing.T) {
			seen := f.seenLog(t)
			last, err := seen.Last()
			if err != nil {
				t.Fatal(err)
			}
			last.Root[0]++
			signed, err := last.Sign(f.logSigner(t))
			if err != nil {
				t.Fatal(err)
			}
			seen.Checkpoint = string(signed)
			if err := ask(t, seen, func(*Receipt) {}); !errors.Is(err, audit.ErrTampered) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestPinnedLog: a broker with another log than the pinned one is another broker.
func TestPinnedLog(t *testing.T) {
	t.Parallel()
	f := newFixture(t, setting{})
	_, foreign, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, log, err := logSigner(logName("test"), foreign)
	if err != nil {
		t.Fatal(err)
	}
	c, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Log: log, Attempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Info(t.Context()); !errors.Is(err, ErrWrongBroker) {
		t.Errorf("got %v", err)
	}
	if _, err := NewClient(ClientOptions{Address: f.addr, Pin: f.pin, Seen: &Seen{Format: SeenFormat, Broker: "another"}}); !errors.Is(err, ErrWrongBroker) {
		t.Errorf("a checkpoint of another broker: %v", err)
	}
}

// TestReceiptOfPolicy: a change that is said to be in force is in the log.
func TestReceiptOfPolicy(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*Receipt){
		"honest":         func(*Receipt) {},
		"another policy": func(r *Receipt) { r.Entry = strings.Replace(r.Entry, "policy version 2", "policy version 3", 1) },
		"nothing":        func(r *Receipt) { *r = Receipt{} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := newFixture(t, setting{})
			next := strings.Replace(f.policyText(2, f.parse(f.text).Hash().String()), "    certificates: [worker-0.cluster.test]\n", "", 1)
			change, err := policy.Compare(f.parse(f.text), f.parse(next))
			if err != nil {
				t.Fatal(err)
			}
			client := f.client()
			client.http.Transport = &lying{PathPolicy, lie, client.http.Transport}
			q := &PolicyRequest{Policy: next}
			for _, p := range []person{f.a, f.b} {
				q.Signatures = append(q.Signatures, p.sign(t, approval.ForPolicy, change.Statement()))
			}
			a, err := client.Submit(t.Context(), q)
			if name == "honest" {
				if err != nil || !a.Applied {
					t.Errorf("%+v, %v", a, err)
				}
				return
			}
			if !errors.Is(err, audit.ErrTampered) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// logSigner is the log's own key.
func (f *fixture) logSigner(t *testing.T) (signer note.Signer) {
	t.Helper()
	err := f.broker.store.Update(t.Context(), func(tx *store.Tx) error {
		key, err := f.broker.vault.OwnSigner(tx, ownLog)
		if err != nil {
			return err
		}
		signer, _, err = logSigner(logName("test"), key)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func (f *fixture) nextVersion(t *testing.T, name policy.Name) uint64 {
	t.Helper()
	state, err := f.client().DataSet(t.Context(), policy.Item("a/"+string(name)))
	if err != nil {
		t.Fatal(err)
	}
	return state.Next
}

// seenLog is the newest checkpoint, as somebody has seen it.
func (f *fixture) seenLog(t *testing.T) *Seen {
	t.Helper()
	f.waitWitnessed(t)
	return &Seen{Format: SeenFormat, Broker: "test", FirstPolicy: f.pin.FirstPolicy, Checkpoint: f.broker.audit.Witnessed().Note}
}
