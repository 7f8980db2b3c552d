package policy

import "fmt"

// unpackTCB reads a TCB version (AMD publication 56860, "TCB_VERSION"), whose
// bytes mean other things since Turin.
func unpackTCB(product Product, version uint64) SNPTCB {
	at := func(byteIndex int) uint8 { return uint8(version >> (8 * byteIndex)) }
	if product == Turin {
		return SNPTCB{FMC: at(0), BootLoader: at(1), TEE: at(2), SNP: at(3), Microcode: at(7)}
	}
	return SNPTCB{BootLoader: at(0), TEE: at(1), SNP: at(6), Microcode: at(7)}
}

// covers reports whether every version is at least that of least.
func (t SNPTCB) covers(least SNPTCB) bool {
	return t.BootLoader >= least.BootLoader && t.TEE >= least.TEE && t.SNP >= least.SNP &&
		t.Microcode >= least.Microcode && t.FMC >= least.FMC
}

// String implements fmt.Stringer.
func (t SNPTCB) String() string {
	return fmt.Sprintf("boot loader %d, tee %d, snp %d, microcode %d, fmc %d", t.BootLoader, t.TEE, t.SNP, t.Microcode, t.FMC)
}
