package sgx

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloister/trust/attest/revocation"
)

// trusted is collateral parsed, with its signatures verified, or with the reason
// why it cannot be trusted. What depends on the time or the quote is not in it,
// so that it is made once for each Collateral and used for every quote.
type trusted struct {
	tcb      *TCBInfo
	tcbChain *chain
	tcbErr   error

	qe      *QEIdentity
	qeChain *chain
	qeErr   error

	rootCRL    *revocation.List // nil if there is none
	rootCRLErr error

	pckList    *x509.RevocationList // nil if there is none; who issued it is not known here
	pckListErr error

	mu      sync.Mutex
	pckCRLs map[string]pckCRL // by the issuer's certificate
}

type pckCRL struct {
	crl *revocation.List
	err error
}

func (v *Verifier) trust(c *Collateral) *trusted {
	t := &trusted{pckCRLs: map[string]pckCRL{}}
	var s Signed
	if s, t.tcbChain, t.tcbErr = v.verifySigned(c.TCBInfo, "tcbInfo", c.TCBInfoChain); t.tcbErr == nil {
		t.tcb, t.tcbErr = parseTCBInfo(s)
	}
	if s, t.qeChain, t.qeErr = v.verifySigned(c.QEIdentity, "enclaveIdentity", c.QEIdentityChain); t.qeErr == nil {
		t.qe, t.qeErr = parseQEIdentity(s)
	}
	if len(c.RootCRL) > 0 {
		t.rootCRL, t.rootCRLErr = t.verifyRootCRL(c.RootCRL)
	}
	if len(c.PCKCRL) > 0 {
		t.pckList, t.pckListErr = revocation.Parse(c.PCKCRL)
	}
	return t
}

// verifySigned verifies a document and the chain of its signer. Its body is
// parsed only after that.
func (v *Verifier) verifySigned(document []byte, name string, text []byte) (Signed, *chain, error) {
	s, err := splitSigned(document, name)
	if err != nil {
		return s, nil, err
	}
	c, err := v.signingChain(text)
	if err != nil {
		return s, nil, err
	}
	return s, c, s.verify(p256(c.leaf()))
}

// signingChain returns the verified chain of a signer of collateral. Most
// collateral has the same one; those that fail are not kept.
func (v *Verifier) signingChain(text []byte) (*chain, error) {
	key := string(text)
	if c, ok := v.signers.get(key); ok {
		return c, nil
	}
	certs, err := parsePEM(text)
	if err != nil {
		return nil, err
	}
	c, err := verifyChain(certs, v.options.Roots, []string{nameSigning}, []string{nameRoot})
	if err != nil {
		return nil, err
	}
	v.signers.put(key, c)
	return c, nil
}

func (t *trusted) verifyRootCRL(der []byte) (*revocation.List, error) {
	list, err := revocation.Parse(der)
	if err != nil {
		return nil, err
	}
	if t.tcbErr != nil {
		return nil, errors.New("the root that would have signed the list is not known: the TCB info is not trusted")
	}
	return revocation.Verify(list, t.tcbChain.certs[1], x509.ECDSAWithSHA256)
}

// crlOf returns the list of the CA that issued PCK certificates, or nil if there
// is none.
func (t *trusted) crlOf(issuer *x509.Certificate) (*revocation.List, error) {
	if t.pckList == nil {
		return nil, t.pckListErr
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	found, ok := t.pckCRLs[string(issuer.Raw)]
	if !ok {
		found.crl, found.err = revocation.Verify(t.pckList, issuer, x509.ECDSAWithSHA256)
		if len(t.pckCRLs) < 8 { // Intel has two
			t.pckCRLs[string(issuer.Raw)] = found
		}
	}
	return found.crl, found.err
}

// sameRoot says whether two chains end in the same key of the same name.
func sameRoot(a, b *chain) bool {
	x, y := a.certs[len(a.certs)-1], b.certs[len(b.certs)-1]
	return bytes.Equal(x.RawSubject, y.RawSubject) && bytes.Equal(x.RawSubjectPublicKeyInfo, y.RawSubjectPublicKeyInfo)
}

// revocation checks every certificate that was used against the lists. Without
// insecure both lists must be there.
func (t *trusted) revocation(pck *pckChain, insecure bool) error {
	if t.rootCRLErr != nil {
		return t.rootCRLErr
	}
	pckCRL, err := t.crlOf(pck.certs[1])
	if err != nil {
		return err
	}
	if !insecure && (t.rootCRL == nil || pckCRL == nil) {
		return errors.New("the collateral lacks a revocation list, of the root CA or of the PCK CA; only an option that is called insecure goes without")
	}
	if t.rootCRL != nil {
		for _, cert := range []*x509.Certificate{pck.certs[1], t.tcbChain.leaf(), t.qeChain.leaf()} {
			if err := t.rootCRL.Check(cert); err != nil {
				return err
			}
		}
	}
	if pckCRL != nil {
		return pckCRL.Check(pck.leaf())
	}
	return nil
}

// dated is a part of the collateral that expires.
type dated struct {
	name         string
	issued, next time.Time
}

// dates returns the dates of every part.
func (t *trusted) dates(pck *pckChain) []dated {
	all := []dated{{"TCB info", t.tcb.IssueDate, t.tcb.NextUpdate}, {"QE identity", t.qe.IssueDate, t.qe.NextUpdate}}
	if t.rootCRL != nil {
		all = append(all, dated{"revocation list of the root CA", t.rootCRL.From, t.rootCRL.Next})
	}
	if c, err := t.crlOf(pck.certs[1]); err == nil && c != nil {
		all = append(all, dated{"revocation list of the PCK CA", c.From, c.Next})
	}
	return all
}

// fresh checks that each part was issued and has not expired longer than grace
// ago.
func fresh(all []dated, now time.Time, grace time.Duration) error {
	for _, d := range all {
		switch {
		case now.Before(d.issued):
			return fmt.Errorf("%s is from the future: issued on %s, now is %s; check the clock", d.name, date(d.issued), date(now))
		case now.After(d.next.Add(grace)) && grace > 0:
			return fmt.Errorf("%s expired on %s, longer than the grace of %s ago: now is %s", d.name, date(d.next), grace, date(now))
		case now.After(d.next.Add(grace)):
			return fmt.Errorf("%s expired on %s, now is %s", d.name, date(d.next), date(now))
		}
	}
	return nil
}
