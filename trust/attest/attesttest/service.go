package attesttest

import (
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"cloister/trust/attest"
)

// Service serves collateral as Intel's Provisioning Certification Service,
// version 4, or as a PCCS does. Its fields are set before it serves.
type Service struct {
	// Machines are those whose FMSPC it knows.
	Machines []*Machine
	// Edits change the collateral of a platform.
	Edits func(tee attest.Platform) []func(*CollateralSpec)
	// PCCS has it write what a PCCS writes where the two differ: names of headers,
	// the root's revocation list in hexadecimal.
	PCCS bool
}

// Handler serves the collateral of machines as Intel's service does.
func Handler(machines ...*Machine) *Service { return &Service{Machines: machines} }

// ServeHTTP implements http.Handler.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/sgx/certification/v4/tcb":
		s.tcbInfo(w, r, attest.SGX)
	case "/tdx/certification/v4/tcb":
		s.tcbInfo(w, r, attest.TDX)
	case "/sgx/certification/v4/qe/identity":
		s.qeIdentity(w, r, attest.SGX)
	case "/tdx/certification/v4/qe/identity":
		s.qeIdentity(w, r, attest.TDX)
	case "/sgx/certification/v4/pckcrl":
		s.pckCRL(w, r)
	case "/sgx/certification/v4/rootcacrl", "/IntelSGXRootCA.der":
		s.rootCRL(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *Service) spec(m *Machine, tee attest.Platform) *CollateralSpec {
	if s.Edits == nil {
		return m.collateralSpec(tee, nil)
	}
	return m.collateralSpec(tee, s.Edits(tee))
}

func (s *Service) document(w http.ResponseWriter, header string, chain *CollateralSpec, body []byte) {
	// Intel's service and PCCS escape all that is no letter, digit or one of -._~:
	// the + and = of PEM, too, and a blank as %20.
	escaped := strings.ReplaceAll(url.QueryEscape(string(pemOf(chain.Signing.Cert, chain.Root.Cert))), "+", "%20")
	w.Header().Set(header, escaped)
	w.Header().Set("Content-Type", "application/json")
	write(w, body)
}

func (s *Service) tcbInfo(w http.ResponseWriter, r *http.Request, tee attest.Platform) {
	for _, m := range s.Machines {
		if strings.EqualFold(r.URL.Query().Get("fmspc"), FMSPCOf(m.Spec.FMSPC)) {
			spec := s.spec(m, tee)
			header := "TCB-Info-Issuer-Chain"
			if s.PCCS {
				header = "SGX-TCB-Info-Issuer-Chain"
			}
			s.document(w, header, spec, spec.build().TCBInfo)
			return
		}
	}
	http.NotFound(w, r)
}

func (s *Service) qeIdentity(w http.ResponseWriter, r *http.Request, tee attest.Platform) {
	if len(s.Machines) == 0 {
		http.NotFound(w, r)
		return
	}
	spec := s.spec(s.Machines[0], tee)
	s.document(w, "SGX-Enclave-Identity-Issuer-Chain", spec, spec.build().QEIdentity)
}

func (s *Service) pckCRL(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	for _, m := range s.Machines {
		ca := "platform"
		if m.Spec.Processor {
			ca = "processor"
		}
		if q.Get("ca") == ca && q.Get("encoding") == "der" {
			write(w, s.spec(m, attest.SGX).PCKCRL)
			return
		}
	}
	http.NotFound(w, r)
}

func (s *Service) rootCRL(w http.ResponseWriter, r *http.Request) {
	if len(s.Machines) == 0 {
		http.NotFound(w, r)
		return
	}
	crl := s.spec(s.Machines[0], attest.SGX).RootCRL
	if s.PCCS && r.URL.Path != "/IntelSGXRootCA.der" {
		crl = hex.AppendEncode(nil, crl)
	}
	write(w, crl)
}

// write answers; a client that went away does not matter.
func write(w http.ResponseWriter, b []byte) { _, _ = w.Write(b) }
