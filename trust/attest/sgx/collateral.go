package sgx

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"cloister/trust/attest"
)

// Collateral is what Intel publishes about machines and quoting enclaves, as it
// was received: nothing of it is verified before a Verifier does. What a Source
// returned is never changed.
type Collateral struct {
	TCBInfo         []byte // the JSON document, exactly as signed
	TCBInfoChain    []byte // its signing certificate and the root, in PEM
	QEIdentity      []byte
	QEIdentityChain []byte
	RootCRL         []byte // DER; empty if there is none
	PCKCRL          []byte // DER, of the CA that issued the PCK certificate; empty if there is none
}

// Request says which collateral is wanted.
type Request struct {
	TEE   attest.Platform // SGX or TDX
	FMSPC [6]byte
	CA    CA
	// Endorsements are those of the evidence.
	Endorsements []byte
}

func (r *Request) String() string {
	return fmt.Sprintf("%s collateral of FMSPC %x and the %s CA", r.TEE, r.FMSPC, r.CA)
}

// Source finds collateral. It is safe for concurrent use.
type Source interface {
	// Collateral returns an error in whose chain ErrNoCollateral is if the source
	// works and has none for the request. It returns the same pointer as long as it
	// has nothing newer: a Verifier keeps what it parsed by it.
	Collateral(ctx context.Context, r *Request) (*Collateral, error)
}

// ErrNoCollateral is in the chain of what a Source returns that has no collateral
// for a request.
var ErrNoCollateral = errors.New("no collateral")

// Sources asks one source after the other, and returns the first answer.
//
// The order matters: collateral that the evidence carries, older but not yet
// expired, would hide newer collateral of a service that comes after it. So a
// service comes first, and Carried helps where it is out of reach.
type Sources []Source

// Collateral implements Source. Evidence whose endorsements are malformed is
// refused and no further source asked.
func (s Sources) Collateral(ctx context.Context, r *Request) (*Collateral, error) {
	var failures []error
	for _, source := range s {
		c, err := source.Collateral(ctx, r)
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, attest.ErrRefused) || ctx.Err() != nil:
			return nil, err
		case !errors.Is(err, ErrNoCollateral):
			failures = append(failures, err)
		}
	}
	if len(failures) > 0 {
		return nil, errors.Join(failures...)
	}
	return nil, fmt.Errorf("%w: none of %d sources has %s", ErrNoCollateral, len(s), r)
}

// Carried is the source of the collateral that evidence carries as endorsements.
// Make it with NewCarried.
type Carried struct {
	parsed *cache[string, *Collateral]
}

// NewCarried returns a source of carried collateral.
func NewCarried() *Carried { return &Carried{parsed: newCache[string, *Collateral](cachedCollateral)} }

// Collateral implements Source.
func (c *Carried) Collateral(_ context.Context, r *Request) (*Collateral, error) {
	if len(r.Endorsements) == 0 {
		return nil, fmt.Errorf("%w: the evidence carries no endorsements", ErrNoCollateral)
	}
	key := string(r.Endorsements)
	if found, ok := c.parsed.get(key); ok {
		return found, nil
	}
	parsed, err := ParseEndorsements(r.Endorsements)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", attest.ErrRefused, err)
	}
	c.parsed.put(key, parsed)
	return parsed, nil
}

// endorsementsVersion is of the document of Endorsements.
const endorsementsVersion = 1

// maxEndorsements bounds a document; one with Intel's largest has 100,000 bytes.
const maxEndorsements = 512 << 10

// endorsements is the carried form; docs/reference/collateral.md describes it.
type endorsements struct {
	Version         int    `json:"version"`
	TCBInfo         string `json:"tcb_info"`
	TCBInfoChain    string `json:"tcb_info_chain"`
	QEIdentity      string `json:"qe_identity"`
	QEIdentityChain string `json:"qe_identity_chain"`
	RootCRL         []byte `json:"root_crl,omitempty"`
	PCKCRL          []byte `json:"pck_crl,omitempty"`
}

// Endorsements writes collateral as one JSON document, the form in which evidence
// carries it.
func (c *Collateral) Endorsements() ([]byte, error) {
	document := endorsements{
		Version: endorsementsVersion,
		TCBInfo: string(c.TCBInfo), TCBInfoChain: string(c.TCBInfoChain),
		QEIdentity: string(c.QEIdentity), QEIdentityChain: string(c.QEIdentityChain),
		RootCRL: c.RootCRL, PCKCRL: c.PCKCRL,
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil {
		return nil, fmt.Errorf("endorsements: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// ParseEndorsements reads what Endorsements wrote. It accepts no other form of the
// same content: nobody signed the document, so that nothing in it may vary.
func ParseEndorsements(document []byte) (*Collateral, error) {
	if len(document) > maxEndorsements {
		return nil, fmt.Errorf("endorsements of %d bytes: at most %d are read", len(document), maxEndorsements)
	}
	var e endorsements
	if err := json.Unmarshal(document, &e); err != nil {
		return nil, fmt.Errorf("endorsements: %w", err)
	}
	if e.Version != endorsementsVersion {
		return nil, fmt.Errorf("endorsements of version %d: %d is known", e.Version, endorsementsVersion)
	}
	c := &Collateral{
		TCBInfo: []byte(e.TCBInfo), TCBInfoChain: []byte(e.TCBInfoChain),
		QEIdentity: []byte(e.QEIdentity), QEIdentityChain: []byte(e.QEIdentityChain),
		RootCRL: e.RootCRL, PCKCRL: e.PCKCRL,
	}
	again, err := c.Endorsements()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(again, document) {
		return nil, errors.New("endorsements are not in the form in which they are written")
	}
	return c, nil
}
