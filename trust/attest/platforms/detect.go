package platforms

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/go-configfs-tsm/configfs/configfsi"

	"cloister/trust/attest"
	"cloister/trust/attest/gramine"
	"cloister/trust/attest/insecure"
	"cloister/trust/attest/tsm"
)

// System is where a machine has what says which platform it is.
type System struct {
	Gramine string           // the directory of Gramine's attestation files
	Devices string           // the directory of device files
	TSM     configfsi.Client // the kernel's configfs-tsm, nil if there is none
	// Keys is the directory of insecure-none's machine key.
	Keys string
}

// ThisSystem is the machine that this program runs on.
func ThisSystem(keys string) System {
	return System{Gramine: gramine.Directory, Devices: "/dev", TSM: tsm.Kernel(), Keys: keys}
}

// Detected is a platform and how it was found out.
type Detected struct {
	Platform attest.Platform `json:"platform"`
	Why      string          `json:"why"`
}

// Detect finds out which platform this is. It is insecure-none only where nothing
// speaks for another: a platform that is there and cannot make evidence is an
// error.
func (s System) Detect() (Detected, error) {
	switch kind, err := gramine.Type(s.Gramine); {
	case errors.Is(err, gramine.ErrNoGramine):
	case err != nil:
		return Detected{}, fmt.Errorf("this seems to be sgx under gramine, but: %w", err)
	default:
		if _, err := gramine.NewProducer(s.Gramine); err != nil {
			return Detected{}, fmt.Errorf("this is sgx under gramine, but it makes no quotes: %w", err)
		}
		return Detected{attest.SGX, fmt.Sprintf("%s says %s", filepath.Join(s.Gramine, "attestation_type"), kind)}, nil
	}
	platform, err := tsm.Detect(s.TSM)
	if err == nil {
		return Detected{platform, "the kernel's configfs-tsm reports of it"}, nil
	}
	if !errors.Is(err, tsm.ErrNoTSM) {
		return Detected{}, fmt.Errorf("the kernel has configfs-tsm, but: %w", err)
	}
	for device, platform := range map[string]attest.Platform{"tdx_guest": attest.TDX, "sev-guest": attest.SNP} {
		path := filepath.Join(s.Devices, device)
		if _, err := os.Stat(path); err == nil {
			return Detected{}, fmt.Errorf("this is %s, as there is %s, but the kernel offers no configfs-tsm reports: use Linux 6.7 or later and mount configfs", platform, path)
		}
	}
	return Detected{attest.InsecureNone, "there is neither gramine nor a guest of TDX or SEV-SNP"}, nil
}

// NewProducer returns a producer of a platform's evidence. A platform that this
// machine is not is an error.
func (s System) NewProducer(p attest.Platform) (attest.Producer, error) {
	switch p {
	case attest.InsecureNone:
		return insecure.NewProducer(s.Keys), nil
	case attest.SGX:
		producer, err := gramine.NewProducer(s.Gramine)
		if err != nil {
			return nil, fmt.Errorf("platform sgx: %w", err)
		}
		return producer, nil
	case attest.TDX, attest.SNP:
		producer, err := tsm.NewProducer(s.TSM)
		if err != nil {
			return nil, fmt.Errorf("platform %s: %w", p, err)
		}
		if producer.Platform() != p {
			return nil, fmt.Errorf("platform %s: this machine is %s", p, producer.Platform())
		}
		return producer, nil
	}
	return nil, fmt.Errorf("platform %q is not known", p)
}
