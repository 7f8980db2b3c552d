package attest_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/trust/attest"
)

func TestChecklist(t *testing.T) {
	t.Parallel()
	var l attest.Checklist
	if v, err := l.End(); err != nil || len(v.Checks) > 0 {
		t.Errorf("without a check: %v, %v", v, err)
	}
	one, two := errors.New("it is red"), errors.New("it is late")
	if !l.Check("first", nil, "%d bytes", 7) || l.Refused() {
		t.Error("a check without an error failed")
	}
	if l.Check("second", one, "not looked at") || l.Check("third", two, "") || !l.Refused() {
		t.Error("a check with an error passed")
	}
	l.Check("fourth", nil, "fine")
	v, err := l.End()
	want := []attest.Check{
		{Name: "first", Passed: true, Detail: "7 bytes"},
		{Name: "second", Detail: "it is red"},
		{Name: "third", Detail: "it is late"},
		{Name: "fourth", Passed: true, Detail: "fine"},
	}
	if diff := cmp.Diff(want, v.Checks); diff != "" {
		t.Error("checks (-want +got):\n" + diff)
	}
	if diff := cmp.Diff(want[1:3], v.Failed()); diff != "" {
		t.Error("failed (-want +got):\n" + diff)
	}
	if err == nil || err.Error() != "evidence refused: second: it is red; third: it is late" {
		t.Errorf("error is %v", err)
	}
	for _, target := range []error{attest.ErrRefused, one, two} {
		if !errors.Is(err, target) {
			t.Errorf("%q is not in the chain of the error", target)
		}
	}
}
