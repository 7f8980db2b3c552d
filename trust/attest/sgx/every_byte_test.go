package sgx_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"testing"

	"cloister/trust/attest"
	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

// unsigned are the bytes of quotes, certificates, TCB info, QE identity and
// revocation lists that can be changed without refusal, each with the reason.
//
// The formats themselves leave bytes unsigned: line ends and padding of PEM, the
// NUL after the chain, JSON around the signed body, the case of hexadecimal digits
// of a signature, lengths and types of the quote. All are read in one form only, so
// that none is left to be listed.
var unsigned = map[string]map[int]string{}

// fixed is a source of one collateral.
type fixed struct{ c *sgx.Collateral }

func (f fixed) Collateral(context.Context, *sgx.Request) (*sgx.Collateral, error) { return f.c, nil }

// subject is evidence that verifies, and how.
type subject struct {
	tee        attest.Platform
	quote      []byte
	collateral *sgx.Collateral
	options    sgx.Options
}

func (s *subject) verifier(c *sgx.Collateral) *sgx.Verifier {
	o := s.options
	o.Collateral = fixed{c}
	if s.tee == attest.TDX {
		return sgx.NewTDXVerifier(o)
	}
	return sgx.NewVerifier(o)
}

func (s *subject) evidence() *attest.Evidence {
	return &attest.Evidence{Platform: s.tee, Quote: s.quote}
}

// subjects are one of every kind of quote, and the real one.
func subjects(tb testing.TB) map[string]*subject {
	tb.Helper()
	e, c := oasis(tb)
	all := map[string]*subject{
		"real": {attest.SGX, e.Quote, c, sgx.Options{Now: at(oasisTime), InsecureNoCRLs: true}},
	}
	a := attesttest.New(attesttest.Config{})
	m := a.Machine()
	processor := a.Machine(func(s *attesttest.MachineSpec) { s.Processor = true })
	nul := func(s *attesttest.QuoteSpec) { s.Chain = append(slices.Clone(s.Chain), 0) }
	data := attest.ReportData{7}
	for name, s := range map[string]*subject{
		"SGX 3":               {attest.SGX, m.SGXQuote(3, data, nul), m.Collateral(attest.SGX), sgx.Options{}},
		"SGX 4, processor CA": {attest.SGX, processor.SGXQuote(4, data), processor.Collateral(attest.SGX), sgx.Options{}},
		"SGX 5":               {attest.SGX, m.SGXQuote(5, data), m.Collateral(attest.SGX), sgx.Options{}},
		"TDX 4":               {attest.TDX, m.TDXQuote(4, data), m.Collateral(attest.TDX), sgx.Options{}},
		"TDX 5, report 1.0":   {attest.TDX, m.TDXQuote(5, data, nul), m.Collateral(attest.TDX), sgx.Options{}},
		"TDX 5, report 1.5":   {attest.TDX, m.TDXQuote(5, data, attesttest.V15), m.Collateral(attest.TDX), sgx.Options{}},
	} {
		s.options = sgx.Options{Now: a.Clock, Roots: a.Roots()}
		all[name] = s
	}
	return all
}

// flips are what is changed in each byte: every bit alone in the long variant.
func flips() []byte {
	if os.Getenv("CLOISTER_SOAK") != "" {
		return []byte{1, 2, 4, 8, 16, 32, 64, 128, 255}
	}
	return []byte{0x01, 0x20} // 0x20 is the case of letters
}

// everyByte calls verify with b changed at each position in turn, and fails if it
// does not refuse.
func everyByte(t *testing.T, what string, b []byte, verify func(changed []byte) error) {
	t.Helper()
	changed := bytes.Clone(b)
	for i := range b {
		for _, flip := range flips() {
			changed[i] = b[i] ^ flip
			err := verify(changed)
			if reason, ok := unsigned[what][i]; ok {
				if err != nil {
					t.Errorf("%s: byte %d is listed as unsigned (%s) and refused: %v", what, i, reason, err)
				}
				continue
			}
			if !errors.Is(err, attest.ErrRefused) {
				t.Errorf("%s: byte %d of %d changed by %#x: %v", what, i, len(b), flip, err)
			}
		}
		changed[i] = b[i]
	}
}

func TestEveryByteOfQuote(t *testing.T) {
	t.Parallel()
	for name, s := range subjects(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.verifier(s.collateral)
			if _, err := v.Verify(context.Background(), s.evidence()); err != nil {
				t.Fatal(err)
			}
			everyByte(t, "quote", s.quote, func(changed []byte) error {
				_, err := v.Verify(context.Background(), &attest.Evidence{Platform: s.tee, Quote: changed})
				return err
			})
		})
	}
}

// parts are the parts of collateral.
var parts = map[string]func(*sgx.Collateral) *[]byte{
	"TCB info":          func(c *sgx.Collateral) *[]byte { return &c.TCBInfo },
	"TCB info chain":    func(c *sgx.Collateral) *[]byte { return &c.TCBInfoChain },
	"QE identity":       func(c *sgx.Collateral) *[]byte { return &c.QEIdentity },
	"QE identity chain": func(c *sgx.Collateral) *[]byte { return &c.QEIdentityChain },
	"root CRL":          func(c *sgx.Collateral) *[]byte { return &c.RootCRL },
	"PCK CRL":           func(c *sgx.Collateral) *[]byte { return &c.PCKCRL },
}

func TestEveryByteOfCollateral(t *testing.T) {
	t.Parallel()
	all := subjects(t)
	for _, name := range []string{"real", "TDX 4"} {
		s := all[name]
		for what, part := range parts {
			t.Run(name+", "+what, func(t *testing.T) {
				t.Parallel()
				c := *s.collateral
				v := s.verifier(&c)
				everyByte(t, what, *part(s.collateral), func(changed []byte) error {
					next := *s.collateral
					*part(&next) = bytes.Clone(changed)
					_, err := v.Verify(context.Background(), s.withSource(v, &next))
					return err
				})
			})
		}
	}
}

// withSource returns the evidence after the verifier's source has been changed.
func (s *subject) withSource(v *sgx.Verifier, c *sgx.Collateral) *attest.Evidence {
	sgx.SetSource(v, fixed{c})
	return s.evidence()
}

func TestEveryByteOfEndorsements(t *testing.T) {
	t.Parallel()
	e, _ := oasis(t)
	v := sgx.NewVerifier(sgx.Options{Now: at(oasisTime), InsecureNoCRLs: true})
	everyByte(t, "endorsements", e.Endorsements, func(changed []byte) error {
		_, err := v.Verify(context.Background(), &attest.Evidence{Platform: attest.SGX, Quote: e.Quote, Endorsements: changed})
		return err
	})
}

func TestEveryLength(t *testing.T) {
	t.Parallel()
	for name, s := range subjects(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := s.verifier(s.collateral)
			for what, b := range otherLengths(s.quote) {
				_, err := v.Verify(context.Background(), &attest.Evidence{Platform: s.tee, Quote: b})
				if !errors.Is(err, attest.ErrRefused) {
					t.Errorf("quote of %d bytes %s to %d: %v", len(s.quote), what, len(b), err)
				}
			}
		})
	}
	s := subjects(t)["SGX 3"]
	for what, part := range parts {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			v := s.verifier(s.collateral)
			b := *part(s.collateral)
			for what, changed := range otherLengths(b) {
				c := *s.collateral
				*part(&c) = changed
				_, err := v.Verify(context.Background(), s.withSource(v, &c))
				if len(changed) == len(b)-1 && b[len(b)-1] == '\n' && bytes.HasPrefix(b, []byte("-----BEGIN")) {
					if err != nil { // the line feed that ends a chain may be missing
						t.Error(err)
					}
				} else if !errors.Is(err, attest.ErrRefused) {
					t.Errorf("%d bytes %s to %d: %v", len(b), what, len(changed), err)
				}
			}
		})
	}
}

// otherLengths yields b cut at every length, and padded by up to 4096 bytes of
// several kinds.
func otherLengths(b []byte) func(yield func(string, []byte) bool) {
	return func(yield func(string, []byte) bool) {
		for n := range len(b) {
			if !yield("cut", b[:n:n]) {
				return
			}
		}
		for _, c := range []byte{0, '\n', ' ', b[len(b)-1]} {
			for _, n := range []int{1, 2, 3, 4, 8, 16, 63, 64, 65, 384, 584, 648, 4096} {
				if !yield("padded", append(bytes.Clone(b), bytes.Repeat([]byte{c}, n)...)) {
					return
				}
			}
		}
	}
}
