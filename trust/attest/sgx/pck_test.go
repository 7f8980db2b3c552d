package sgx_test

import (
	"bytes"
	"encoding/asn1"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/attest/attesttest"
	"cloister/trust/attest/sgx"
)

func TestPCKExtension(t *testing.T) {
	t.Parallel()
	m := a.Machine()
	got, err := sgx.ParsePCKExtension(extensionOf(t, m))
	if err != nil {
		t.Fatal(err)
	}
	want := &sgx.PCK{
		PPID: m.Spec.PPID, Components: m.Spec.Components, PCESVN: m.Spec.PCESVN, CPUSVN: m.Spec.CPUSVN,
		PCEID: m.Spec.PCEID, FMSPC: m.Spec.FMSPC, SGXType: sgx.Scalable,
		Platform: &sgx.PCKPlatform{InstanceID: m.Spec.InstanceID, DynamicPlatform: true, SMTEnabled: true},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("extension (-want +got):\n" + diff)
	}
	processor, err := sgx.ParsePCKExtension(extensionOf(t, a.Machine(func(s *attesttest.MachineSpec) { s.Processor = true })))
	want.Platform = nil
	if diff := cmp.Diff(want, processor); diff != "" || err != nil {
		t.Errorf("extension of the processor CA (-want +got), %v:\n%s", err, diff)
	}
}

// items takes the extension apart, so that tests can put it together otherwise.
func items(t *testing.T, der []byte) []asn1.RawValue {
	t.Helper()
	var list []asn1.RawValue
	if _, err := asn1.Unmarshal(der, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

func together(t *testing.T, list []asn1.RawValue) []byte {
	t.Helper()
	der, err := asn1.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// longer adds a NULL to an item.
func longer(t *testing.T, item asn1.RawValue) asn1.RawValue {
	t.Helper()
	item.Bytes, item.FullBytes = append(bytes.Clone(item.Bytes), 5, 0), nil
	return item
}

// longerSVN adds a NULL to the first component of the TCB.
func longerSVN(t *testing.T, list []asn1.RawValue) []byte {
	t.Helper()
	parts := items(t, list[1].FullBytes) // identifier and value
	components := items(t, parts[1].FullBytes)
	components[0] = longer(t, components[0])
	parts[1] = asn1.RawValue{FullBytes: together(t, components)}
	list = slices.Clone(list)
	list[1] = asn1.RawValue{FullBytes: together(t, parts)}
	return together(t, list)
}

func TestPCKExtensionRefused(t *testing.T) {
	t.Parallel()
	good := extensionOf(t, a.Machine())
	list := items(t, good)
	replace := func(old, with []byte) []byte {
		if !bytes.Contains(good, old) {
			t.Fatalf("%x is not in the extension", old)
		}
		return bytes.Replace(good, old, with, 1)
	}
	short, err := asn1.Marshal(struct {
		ID    asn1.ObjectIdentifier
		Value []byte
	}{asn1.ObjectIdentifier{1, 2, 840, 113741, 1, 13, 1, 1}, make([]byte, 15)})
	if err != nil {
		t.Fatal(err)
	}
	ppid := asn1.RawValue{FullBytes: short}
	for name, c := range map[string]struct {
		der  []byte
		want string
	}{
		"nothing":         {nil, "asn1"},
		"twice":           {together(t, append(list[:len(list):len(list)], list[0])), "is there twice"},
		"no PPID":         {together(t, list[1:]), "PPID is missing"},
		"no TCB":          {together(t, append(list[:1:1], list[2:]...)), "TCB is missing"},
		"no FMSPC":        {together(t, append(list[:3:3], list[4:]...)), "FMSPC is missing"},
		"no instance":     {together(t, append(list[:5:5], list[6:]...)), "platform instance id is missing"},
		"no config":       {together(t, list[:6]), "configuration is missing"},
		"unknown item":    {replace([]byte{0x0d, 1, 4, 4, 6}, []byte{0x0d, 1, 9, 4, 6}), "is not known"},
		"other type":      {replace([]byte{0x0a, 1, 1}, []byte{0x0a, 1, 3}), "SGX type 3 is not known"},
		"type an integer": {replace([]byte{0x0a, 1, 1}, []byte{0x02, 1, 1}), "SGX type"},
		"negative SVN":    {replace([]byte{2, 1, 7}, []byte{2, 1, 0xff}), "SVN of TCB component 1 -1 is not between 0 and 255"},
		"cut PPID":        {replace([]byte{4, 16, 0xa1}, []byte{4, 15, 0xa1}), "bytes too many"},
		"short PPID":      {together(t, append([]asn1.RawValue{ppid}, list[1:]...)), "PPID has 15 bytes, not 16"},
		"item of three":   {together(t, append([]asn1.RawValue{longer(t, list[0])}, list[1:]...)), "bytes too many"},
		"SVN of three":    {longerSVN(t, list), "bytes too many"},
		"more":            {append(bytes.Clone(good), 0), "bytes too many"},
	} {
		if p, err := sgx.ParsePCKExtension(c.der); err == nil || p != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	for n := range good {
		if _, err := sgx.ParsePCKExtension(good[:n]); err == nil {
			t.Errorf("%d of %d bytes were accepted", n, len(good))
		}
	}
}
