package snp

import (
	"fmt"
	"strings"
)

// Product is a line of processors that share a root and a form of TCB versions.
type Product string

// The products.
const (
	Milan Product = "Milan"
	Genoa Product = "Genoa"
	Turin Product = "Turin"
)

// productOf returns the product of a processor by family and model, the combined
// values of CPUID ([VCEK], "Determining the Product Name").
func productOf(fms [3]byte) (Product, bool) {
	family, model := fms[0], fms[1]
	switch {
	case family == 0x19 && model <= 0x0f:
		return Milan, true
	case family == 0x19 && (model >= 0x10 && model <= 0x1f || model >= 0xa0 && model <= 0xaf):
		return Genoa, true
	case family == 0x1a && model <= 0x11:
		return Turin, true
	}
	return "", false
}

// parseProduct returns the product of a certificate's productName: Milan-B0 in a
// VCEK, Milan in a VLEK.
func parseProduct(name string) (Product, error) {
	line, _, _ := strings.Cut(name, "-")
	switch p := Product(line); p {
	case Milan, Genoa, Turin:
		return p, nil
	}
	return "", fmt.Errorf("product %.40q is not known: it is Milan, Genoa or Turin", name)
}

// level is one security patch level of a TCB version.
type level struct {
	name string
	at   uint // its place among the 8 bytes
	oid  int  // the last number of the certificate's extension
	kds  string
}

// levels are the parts of a TCB version ([ABI], TCB_VERSION; [VCEK], tables 8 to
// 11): those of Turin lie elsewhere.
func (p Product) levels() []level {
	if p == Turin {
		return []level{
			{"fmc", 0, 9, "fmcSPL"},
			{"boot loader", 1, 1, "blSPL"},
			{"tee", 2, 2, "teeSPL"},
			{"snp", 3, 3, "snpSPL"},
			{"microcode", 7, 8, "ucodeSPL"},
		}
	}
	return []level{
		{"boot loader", 0, 1, "blSPL"},
		{"tee", 1, 2, "teeSPL"},
		{"snp", 6, 3, "snpSPL"},
		{"microcode", 7, 8, "ucodeSPL"},
	}
}

func (l level) of(tcb uint64) uint8 { return uint8(tcb >> (8 * l.at)) }

// atMost says why a TCB version is above another; nil if it is not. What is
// neither of the known levels must be the same in both.
func (p Product) atMost(low, high uint64, lowName, highName string) error {
	rest := ^uint64(0)
	for _, l := range p.levels() {
		if l.of(low) > l.of(high) {
			return fmt.Errorf("the level of %s is %d in the %s TCB and %d in the %s TCB, which cannot be lower",
				l.name, l.of(low), lowName, l.of(high), highName)
		}
		rest &^= 0xff << (8 * l.at)
	}
	if low&rest != high&rest {
		return fmt.Errorf("the reserved levels differ between %s TCB %016x and %s TCB %016x", lowName, low, highName, high)
	}
	return nil
}

// describe is a TCB version for people.
func (p Product) describe(tcb uint64) string {
	parts := make([]string, 0, 5)
	for _, l := range p.levels() {
		parts = append(parts, fmt.Sprintf("%s %d", l.name, l.of(tcb)))
	}
	return strings.Join(parts, ", ")
}

// hardwareID is what certificates and the key distribution service call a chip:
// its id, of which Turin has 8 bytes and zeros after them ([VCEK], HWID).
func (p Product) hardwareID(chipID []byte) []byte {
	if p == Turin {
		return chipID[:8]
	}
	return chipID
}
