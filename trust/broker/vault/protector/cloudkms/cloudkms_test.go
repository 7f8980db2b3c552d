//go:build cloudkms

package cloudkms

import (
	"strings"
	"testing"

	"gocloud.dev/secrets"
)

// TestOpen opens a keeper of every service, none of which connects before it is
// used.
func TestOpen(t *testing.T) {
	t.Setenv("AZURE_CLIENT_ID", "")
	for _, scheme := range Schemes {
		if !secrets.DefaultURLMux().ValidKeeperScheme(scheme) {
			t.Errorf("%s is not linked in", scheme)
		}
	}
	for address, want := range map[string]string{
		"base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=": "is not known",
		"":                 "is not known",
		"awskms://%zz":     "invalid URL escape",
		"hashivault://key": "is not known",
	} {
		if _, _, err := Open(t.Context(), address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", address, err)
		}
	}
	p, done, err := Open(t.Context(), "awskms://1234abcd-12ab-34cd-56ef-1234567890ab?region=eu-central-1")
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if p.Name() != "cloud-kms awskms" {
		t.Errorf("it is called %s", p.Name())
	}
}
