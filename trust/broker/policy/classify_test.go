package policy

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"cloister/trust/document"
)

// effects are those that classify knows.
var effects = []string{"allow", "forbid", "min", "max", "value", "grant", "everyone", "identity", "owner", "govern", "chain"}

// TestEveryFieldHasAnEffect walks the types, so that a new field cannot be
// forgotten. One that was would widen for everyone; it would not be free.
func TestEveryFieldHasAnEffect(t *testing.T) {
	t.Parallel()
	seen := make(map[reflect.Type]bool)
	var visit func(typ reflect.Type)
	visit = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Map || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] || typ.Implements(reflect.TypeFor[document.Text]()) {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			f := typ.Field(i)
			if tag := f.Tag.Get("effect"); !f.Anonymous && !slices.Contains(effects, tag) {
				t.Errorf("%v.%s has the effect %q", typ, f.Name, tag)
			}
			visit(f.Type)
		}
	}
	visit(reflect.TypeFor[Policy]())
	if len(seen) < 20 {
		t.Errorf("only %d types were seen", len(seen))
	}
}

// TestEveryChangeIsClassified changes every field, one at a time: each is seen,
// and what it does and to whom is said.
func TestEveryChangeIsClassified(t *testing.T) {
	t.Parallel()
	base := full(t)
	all := mutations(t, base)
	if len(all) < 500 {
		t.Errorf("only %d changes were made", len(all))
	}
	for _, m := range all {
		lines := document.Diff(base, m.policy)
		if len(lines) == 0 {
			if reflect.DeepEqual(base, m.policy) {
				t.Errorf("%s: changed nothing", m.name)
			} else {
				t.Errorf("%s: is not seen in the difference", m.name)
			}
		}
		for _, c := range lines {
			if c.Old == c.New || c.Path == "" {
				t.Errorf("%s: line %q to %q at %q", m.name, c.Old, c.New, c.Path)
			}
			l := newClassifier(base, m.policy).line(&c)
			switch l.Effect {
			case Identity, Joins, Leaves:
				if len(l.Owners) != 1 {
					t.Errorf("%s: %s concerns %v", m.name, l.Path, l.Owners)
				}
			case Widens, Narrows, Governs, Chain:
			default:
				t.Errorf("%s: %s has the effect %q", m.name, l.Path, l.Effect)
			}
		}
	}
}

// TestUnknownEffectWidensForEveryone: what is not classified is the worst.
func TestUnknownEffectWidensForEveryone(t *testing.T) {
	t.Parallel()
	p := full(t)
	for _, tag := range []string{"", "unheard-of"} {
		c := document.Change{Path: "new", New: "new: true", Steps: []document.Step{{
			Field: reflect.StructField{Name: "New", Tag: reflect.StructTag(`json:"new" effect:"` + tag + `"`)}, New: true,
		}}}
		l := newClassifier(p, p).line(&c)
		if l.Effect != Widens || len(l.Owners) != len(p.Owners) {
			t.Errorf("effect %q: %s for %v", tag, l.Effect, l.Owners)
		}
	}
}

// TestNothingWidensUnsigned is the property that owners rely on: whatever a
// changed policy releases of an owner's, and the one before did not, needs that
// owner's signature. It changes every field in every way, asks for everything
// that any program could ask for, under both, and compares. Of a change in one
// entry, only the questions about that entry are asked, unless CLOISTER_SOAK is
// set.
func TestNothingWidensUnsigned(t *testing.T) {
	t.Parallel()
	for name, base := range bases(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			nothingWidensUnsigned(t, base.policy, base.only)
		})
	}
}

func nothingWidensUnsigned(t *testing.T, base *Policy, only string) {
	t.Helper()
	before := newOracle(base)
	widened := 0
	for _, m := range mutations(t, base) {
		if !strings.HasPrefix(m.name, only) || m.policy.Broker != base.Broker || document.Validate("policy.yaml", m.policy) != nil {
			continue // is never accepted
		}
		m.policy.Version, m.policy.Previous = base.Version+1, base.Hash()
		change, err := Compare(base, m.policy)
		if err != nil {
			t.Errorf("%s: %v", m.name, err)
			continue
		}
		must := make(map[Name]bool)
		for _, one := range change.Needs().Must {
			must[one.Owner] = true
		}
		after := newOracle(m.policy)
		wider := false
		for _, q := range questions(m.policy) {
			if !m.concerns(q.who) && os.Getenv("CLOISTER_SOAK") == "" || !after.releases(q) || before.releases(q) {
				continue
			}
			wider = true
			for _, owner := range q.owners(m.policy) {
				if !must[owner] {
					t.Errorf("%s: releases %q to %s, and %s need not sign", m.name, q.item, q.who, owner)
				}
			}
		}
		if wider {
			widened++
		}
	}
	if widened < 20 && only == "" || widened == 0 {
		t.Errorf("only %d changes widened anything", widened)
	}
}

// bases are policies to change, and which of their fields: with frozen owners,
// little is released that could widen.
func bases(t *testing.T) map[string]base {
	t.Helper()
	p := full(t)
	p.Owners["hospital-b"].Frozen = false
	return map[string]base{"all": {p, ""}, "frozen": {full(t), "policy.Owners"}}
}

type base struct {
	policy *Policy
	only   string
}

// clock is when everything is asked.
var clock = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
