// Package platforms joins the platforms: it finds out which one this machine is,
// makes producers and verifiers of each, and reads and writes evidence of any.
package platforms

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"cloister/trust/attest"
)

// Limits of evidence. The largest real quotes have about 20,000 bytes, Intel's
// collateral about 100,000.
const (
	MaxQuote        = 128 << 10
	maxEndorsements = 512 << 10
	// MaxEvidence is of the JSON form.
	MaxEvidence = 1 << 20
)

// Encode writes evidence as one JSON document, as docs/reference/evidence.md
// describes it.
func Encode(e *attest.Evidence) ([]byte, error) {
	if err := check(e); err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

// Decode reads what Encode wrote, in any layout. Unknown, missing and repeated
// members are refused.
func Decode(document []byte) (*attest.Evidence, error) {
	if len(document) > MaxEvidence {
		return nil, fmt.Errorf("evidence of %d bytes: at most %d are read", len(document), MaxEvidence)
	}
	members, err := object(document)
	if err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	e := new(attest.Evidence)
	for name, value := range members {
		switch name {
		case "platform":
			e.Platform, err = attest.ParsePlatform(value)
		case "quote":
			e.Quote, err = fromBase64(value)
		case "endorsements":
			e.Endorsements, err = fromBase64(value)
			if err == nil && len(e.Endorsements) == 0 {
				err = errors.New("it is empty: leave it out")
			}
		default:
			err = errors.New("no such member is known")
		}
		if err != nil {
			return nil, fmt.Errorf("evidence: %.40q: %w", name, err)
		}
	}
	return e, check(e)
}

// fromBase64 reads the one form of RFC 4648, section 4: the strict encoding of the
// standard library still passes over line ends.
func fromBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("base64 has no line ends here")
	}
	return base64.StdEncoding.Strict().DecodeString(text)
}

// check refuses evidence that no platform makes.
func check(e *attest.Evidence) error {
	if e == nil {
		return errors.New("there is no evidence")
	}
	if _, err := attest.ParsePlatform(string(e.Platform)); err != nil {
		return fmt.Errorf("evidence: %w", err)
	}
	switch {
	case len(e.Quote) == 0:
		return errors.New("evidence: it has no quote")
	case len(e.Quote) > MaxQuote:
		return fmt.Errorf("evidence: a quote of %d bytes: at most %d are read", len(e.Quote), MaxQuote)
	case len(e.Endorsements) > maxEndorsements:
		return fmt.Errorf("evidence: endorsements of %d bytes: at most %d are read", len(e.Endorsements), maxEndorsements)
	}
	return nil
}

// object reads a JSON object whose values are strings. encoding/json takes the
// last of several members of one name and does not mind the case of names; here
// each is exact and there once.
func object(document []byte) (map[string]string, error) {
	d := json.NewDecoder(bytes.NewReader(document))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("it is no JSON object")
	}
	members := map[string]string{}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("it is no JSON: %w", err)
		}
		value, err := d.Token()
		if err != nil {
			return nil, fmt.Errorf("it is no JSON: %w", err)
		}
		key, _ := name.(string) // JSON has no other names
		text, ok := value.(string)
		if !ok {
			return nil, fmt.Errorf("%.40q is no string", key)
		}
		if _, twice := members[key]; twice {
			return nil, fmt.Errorf("%.40q is there twice", key)
		}
		members[key] = text
	}
	if _, err := d.Token(); err != nil {
		return nil, fmt.Errorf("it is no JSON: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the object")
	}
	return members, nil
}
