package snp

import "crypto/x509"

// ParseEndorsement reads what the certificate of a report's key says, all levels of
// every product too.
func ParseEndorsement(der []byte, kind SigningKey) (Product, []byte, error) {
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return "", nil, err
	}
	e, err := parseEndorsement(x, kind)
	if err != nil {
		return "", nil, err
	}
	for _, p := range []Product{Milan, Genoa, Turin} {
		_, _ = e.tcb(p) // it may lack some
	}
	return e.product, e.hardwareID, nil
}
