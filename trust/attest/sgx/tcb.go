package sgx

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"cloister/trust/attest"
)

// standing is what levels say together: the status, why, and since when.
type standing struct {
	status     attest.TCBStatus
	advisories []string
	date       time.Time // the earliest of the levels'
	detail     string
}

// join adds a level, of the platform, a module or an enclave.
func (s *standing) join(advisories []string, date time.Time) {
	s.advisories = append(s.advisories, advisories...)
	if s.date.IsZero() || date.Before(s.date) {
		s.date = date
	}
}

// sorted returns each advisory once.
func (s *standing) sorted() []string {
	slices.Sort(s.advisories)
	return slices.Compact(s.advisories)
}

// atLeast compares a machine's components with those of a level.
func atLeast(machine, level []uint8) bool {
	for i := range level {
		if machine[i] < level[i] {
			return false
		}
	}
	return true
}

// converge joins the status of a platform with that of its quoting enclave or TDX
// module ([QVL] 4.1.2.4.17): either being out of date makes both so.
func converge(platform, part attest.TCBStatus) attest.TCBStatus {
	if part == attest.Revoked {
		return attest.Revoked
	}
	if part != attest.OutOfDate {
		return platform
	}
	switch platform {
	case attest.UpToDate, attest.SWHardeningNeeded:
		return attest.OutOfDate
	case attest.ConfigurationNeeded, attest.ConfigurationAndSWHardeningNeeded:
		return attest.OutOfDateConfigurationNeeded
	default:
		return platform
	}
}

// evaluate finds the level of a machine in its TCB info ([PCS], "TCB Info",
// [QVL] 4.1.2.4.17), and joins it with the level of the quoting enclave.
func (t *TCBInfo) evaluate(pck *PCK, guest *TDReport, qe *ISVLevel) (*standing, error) {
	s := new(standing)
	level, err := t.match(pck, guest)
	if err != nil {
		return nil, err
	}
	s.status = level.Status
	s.join(level.Advisories, level.Date)
	s.detail = fmt.Sprintf("platform %s of %s", level.Status, level.Date.Format(time.DateOnly))
	if guest != nil {
		module, err := t.matchModule(guest)
		if err != nil {
			return nil, err
		}
		if module != nil {
			s.status = converge(s.status, module.Status)
			s.join(module.Advisories, module.Date)
			s.detail += fmt.Sprintf(", TDX module %s of %s", module.Status, module.Date.Format(time.DateOnly))
		}
		if guest.V15 && guest.TEETCBSVN2 != guest.TEETCBSVN {
			s.detail += fmt.Sprintf("; the TDX module was changed since the guest started, TEE TCB SVN from %x to %x, which relaunching the guest makes count",
				guest.TEETCBSVN, guest.TEETCBSVN2)
		}
	}
	s.status = converge(s.status, qe.Status)
	s.join(qe.Advisories, qe.Date)
	return s, nil
}

// match returns the first level all of whose SVNs the machine reaches. Of a guest
// the TEE TCB SVN counts as well; its first two, minor and major version of the
// TDX module, are judged by the module's own levels unless the major version is
// 0.
func (t *TCBInfo) match(pck *PCK, guest *TDReport) (*TCBLevel, error) {
	for i := range t.Levels {
		level := &t.Levels[i]
		if !atLeast(pck.Components[:], level.SGX[:]) || pck.PCESVN < level.PCESVN {
			continue
		}
		if guest != nil {
			from := 0
			if guest.TEETCBSVN[1] > 0 {
				from = 2
			}
			if !atLeast(guest.TEETCBSVN[from:], level.TDX[from:]) {
				continue
			}
		}
		return level, nil
	}
	if guest != nil {
		return nil, fmt.Errorf("no level of the TCB info is reached by components %d, PCESVN %d and TEE TCB SVN %x",
			pck.Components, pck.PCESVN, guest.TEETCBSVN)
	}
	return nil, fmt.Errorf("no level of the TCB info is reached by components %d and PCESVN %d", pck.Components, pck.PCESVN)
}

// identity returns what the TDX module of a guest must be, and its levels or nil
// ([QVL] 4.1.2.4.11).
func (t *TCBInfo) identity(guest *TDReport) (*TDXModule, []ISVLevel, error) {
	version := guest.TEETCBSVN[1]
	if version == 0 {
		return t.Module, nil, nil
	}
	id := fmt.Sprintf("TDX_%02X", version)
	for i := range t.ModuleIdentities {
		if m := &t.ModuleIdentities[i]; m.ID == id {
			return &m.TDXModule, m.Levels, nil
		}
	}
	return nil, nil, fmt.Errorf("the TCB info has no identity %s, which the module of the guest has", id)
}

// checkModule compares the TDX module of a guest with its identity.
func (t *TCBInfo) checkModule(guest *TDReport) error {
	m, _, err := t.identity(guest)
	if err != nil {
		return err
	}
	var attributes [8]byte
	binary.LittleEndian.PutUint64(attributes[:], guest.SEAMAttributes)
	for i := range attributes {
		attributes[i] &= m.AttributesMask[i]
	}
	switch {
	case guest.MRSignerSEAM != m.MRSigner:
		return fmt.Errorf("MRSIGNERSEAM is %x, not %x", guest.MRSignerSEAM, m.MRSigner)
	case attributes != m.Attributes:
		return fmt.Errorf("SEAM attributes under their mask are %x, not %x", attributes, m.Attributes)
	}
	return nil
}

// matchModule returns the level of a guest's TDX module, or nil if its major
// version is 0, which the levels of the platform judge.
func (t *TCBInfo) matchModule(guest *TDReport) (*ISVLevel, error) {
	_, levels, err := t.identity(guest)
	if err != nil || levels == nil {
		return nil, err
	}
	level, err := matchISV(levels, uint16(guest.TEETCBSVN[0]))
	if err != nil {
		return nil, fmt.Errorf("TDX module: %w", err)
	}
	return level, nil
}
