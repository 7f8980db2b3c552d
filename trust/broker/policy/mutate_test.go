package policy

import (
	"encoding"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"

	"cloister/trust/approval"
)

// mutation is a policy in which one field differs.
type mutation struct {
	name   string
	policy *Policy
}

// concerns reports whether the change could touch what an entry gets: it is in
// that entry, makes a new one, or is in none.
func (m *mutation) concerns(entry string) bool {
	section, rest, in := strings.Cut(strings.TrimPrefix(m.name, "policy."), "[")
	switch section {
	case "Workloads", "Provisioning", "Unseal":
		return !in || strings.HasPrefix(rest, entry+"]") || entry == "another"
	}
	return true
}

// edit changes one field of the policy that it was made for, or of a copy.
type edit struct {
	name  string
	apply func(*Policy)
}

// edits are all changes of one field of a policy, in every way that is different
// in kind: each value to another, greater, smaller and none, each element and
// entry taken away, one more added, each part taken away or added.
func edits(t *testing.T, p *Policy) []edit {
	t.Helper()
	m := &mutator{t: t, base: p}
	m.value("policy", func(p *Policy) reflect.Value { return reflect.ValueOf(p).Elem() })
	return m.all
}

// mutations are policies with one edit each.
func mutations(t *testing.T, p *Policy) []mutation {
	t.Helper()
	var all []mutation
	for _, e := range edits(t, p) {
		next := clone(p)
		e.apply(next)
		all = append(all, mutation{e.name, next})
	}
	return all
}

type mutator struct {
	t    *testing.T
	base *Policy
	all  []edit
}

type place = func(*Policy) reflect.Value

func (m *mutator) add(name string, at place, change func(reflect.Value)) {
	m.all = append(m.all, edit{name, func(p *Policy) { change(at(p)) }})
}

func (m *mutator) value(name string, at place) {
	v := at(m.base)
	t := v.Type()
	_, text := v.Interface().(encoding.TextMarshaler)
	switch {
	case text, t.Kind() == reflect.Bool, t.Kind() >= reflect.Uint && t.Kind() <= reflect.Uint64:
		m.leaf(name, at)
	case t.Kind() == reflect.Struct:
		for i := range t.NumField() {
			m.value(name+"."+t.Field(i).Name, func(p *Policy) reflect.Value { return at(p).Field(i) })
		}
	case t.Kind() == reflect.Pointer:
		if v.IsNil() {
			m.add(name+" added", at, func(v reflect.Value) { v.Set(m.sample(t, 0)) })
			return
		}
		m.value(name, func(p *Policy) reflect.Value { return at(p).Elem() })
		m.add(name+" removed", at, func(v reflect.Value) { v.SetZero() })
	case t.Kind() == reflect.Slice:
		m.slice(name, at)
	case t.Kind() == reflect.Map:
		m.entries(name, at)
	default:
		m.t.Fatalf("%s: a %v cannot be changed", name, t)
	}
}

func (m *mutator) leaf(name string, at place) {
	v := at(m.base)
	if !v.IsZero() {
		m.add(name+" to none", at, func(v reflect.Value) { v.SetZero() })
	}
	switch v.Kind() {
	case reflect.Bool:
		m.add(name+" turned", at, func(v reflect.Value) { v.SetBool(!v.Bool()) })
		return
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if _, text := v.Interface().(encoding.TextMarshaler); text {
			break
		}
		m.add(name+" plus one", at, func(v reflect.Value) { v.SetUint(v.Uint() + 1) })
		if v.Uint() > 0 {
			m.add(name+" minus one", at, func(v reflect.Value) { v.SetUint(v.Uint() - 1) })
		}
		return
	default:
	}
	for i := range samples(m.t, v.Type()) {
		sample := m.sample(v.Type(), i)
		if !reflect.DeepEqual(sample.Interface(), v.Interface()) {
			m.add(fmt.Sprintf("%s to %v", name, sample), at, func(v reflect.Value) { v.Set(sample) })
		}
	}
}

func (m *mutator) slice(name string, at place) {
	v := at(m.base)
	for i := range v.Len() {
		m.add(fmt.Sprintf("%s[%d] removed", name, i), at, func(v reflect.Value) {
			v.Set(reflect.AppendSlice(v.Slice(0, i), v.Slice(i+1, v.Len())))
		})
	}
	for i := range samples(m.t, v.Type().Elem()) {
		sample := m.sample(v.Type().Elem(), i)
		there := false
		for j := range v.Len() {
			there = there || reflect.DeepEqual(v.Index(j).Interface(), sample.Interface())
		}
		if !there {
			m.add(fmt.Sprintf("%s plus %v", name, sample), at, func(v reflect.Value) { v.Set(reflect.Append(v, sample)) })
		}
	}
}

func (m *mutator) entries(name string, at place) {
	v := at(m.base)
	for _, key := range v.MapKeys() {
		entry := fmt.Sprintf("%s[%v]", name, key)
		m.add(entry+" removed", at, func(v reflect.Value) { v.SetMapIndex(key, reflect.Value{}) })
		if v.Type().Elem().Kind() == reflect.Pointer {
			m.value(entry, func(p *Policy) reflect.Value { return at(p).MapIndex(key).Elem() })
			m.add(entry+" doubled", at, func(v reflect.Value) { v.SetMapIndex(m.key(v.Type().Key()), deepCopy(v.MapIndex(key))) })
			continue
		}
		// A slice in a map is changed in a copy.
		sub := &mutator{t: m.t, base: m.base}
		sub.value(entry, func(p *Policy) reflect.Value {
			holder := reflect.New(v.Type().Elem()).Elem()
			holder.Set(at(p).MapIndex(key))
			return holder
		})
		for i := range v.MapIndex(key).Len() {
			m.add(fmt.Sprintf("%s[%d] removed", entry, i), at, func(v reflect.Value) {
				old := deepCopy(v.MapIndex(key))
				v.SetMapIndex(key, reflect.AppendSlice(old.Slice(0, i), old.Slice(i+1, old.Len())))
			})
		}
		for i := range samples(m.t, v.Type().Elem().Elem()) {
			sample := m.sample(v.Type().Elem().Elem(), i)
			m.add(fmt.Sprintf("%s plus %v", entry, sample), at, func(v reflect.Value) {
				v.SetMapIndex(key, reflect.Append(deepCopy(v.MapIndex(key)), sample))
			})
		}
	}
	m.add(name+" plus one", at, func(v reflect.Value) {
		if v.IsNil() {
			v.Set(reflect.MakeMap(v.Type()))
		}
		v.SetMapIndex(m.key(v.Type().Key()), m.sample(v.Type().Elem(), 0))
	})
}

func (m *mutator) key(t reflect.Type) reflect.Value { return m.sample(t, 1) }

// sample is another value of a type, with something in it.
func (m *mutator) sample(t reflect.Type, i int) reflect.Value {
	v := reflect.New(t).Elem()
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		all := samples(m.t, t)
		if err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(all[i%len(all)])); err != nil {
			m.t.Fatalf("sample of %v: %v", t, err)
		}
	case t.Kind() == reflect.Pointer:
		v.Set(reflect.New(t.Elem()))
		v.Elem().Set(m.sample(t.Elem(), i))
	case t.Kind() == reflect.Struct:
		for j := range t.NumField() {
			v.Field(j).Set(m.sample(t.Field(j).Type, i))
		}
	case t.Kind() == reflect.Slice:
		v.Set(reflect.Append(v, m.sample(t.Elem(), i)))
	case t.Kind() == reflect.Map:
		v.Set(reflect.MakeMap(t))
		v.SetMapIndex(m.sample(t.Key(), i), m.sample(t.Elem(), i))
	case t.Kind() == reflect.Bool:
		v.SetBool(true)
	default:
		v.SetUint(1)
	}
	return v
}

// samples are texts of a type. A type without any stops the test: whoever adds
// one to the policy adds its samples here.
func samples(t *testing.T, typ reflect.Type) []string {
	t.Helper()
	all, ok := sampleTexts()[typ]
	if !ok {
		t.Fatalf("there are no samples of %v", typ)
	}
	return all
}

var sampleTexts = sync.OnceValue(func() map[reflect.Type][]string {
	hash := "sha256:" + strings.Repeat("5a", 32)
	return map[reflect.Type][]string{
		reflect.TypeFor[Format]():        {string(CurrentFormat)},
		reflect.TypeFor[Name]():          {"lab", "another"},
		reflect.TypeFor[Item]():          {"lab/wards", "hospital-b/more"},
		reflect.TypeFor[DNSName]():       {"another.train.svc"},
		reflect.TypeFor[Hash]():          {hash},
		reflect.TypeFor[JobHash]():       {hash, "none"},
		reflect.TypeFor[Bytes16]():       {strings.Repeat("5a", 16)},
		reflect.TypeFor[Bytes32]():       {strings.Repeat("5a", 32)},
		reflect.TypeFor[Bytes48]():       {strings.Repeat("5a", 48)},
		reflect.TypeFor[Bytes64]():       {strings.Repeat("5a", 64)},
		reflect.TypeFor[Machine]():       {strings.Repeat("5a", 16)},
		reflect.TypeFor[Masked]():        {"0x5", "0x4/0xfffffffffffffffe", "0x35", "0xe7"},
		reflect.TypeFor[Bits]():          {"0x20000", "0x30000"},
		reflect.TypeFor[Duration]():      {"1h", "2000h"},
		reflect.TypeFor[Versions]():      {"7", "2-6", "9+"},
		reflect.TypeFor[Platform]():      {"sgx", "tdx", "snp", "insecure-none"},
		reflect.TypeFor[Status]():        {"OutOfDate", "UpToDate"},
		reflect.TypeFor[Advisory]():      {"INTEL-SA-99999"},
		reflect.TypeFor[Root]():          {"intel", "amd-turin", hash},
		reflect.TypeFor[Product]():       {"Turin", "Genoa"},
		reflect.TypeFor[SigningKey]():    {"VLEK"},
		reflect.TypeFor[CloudProvider](): {"Another Cloud"},
		reflect.TypeFor[Digest]():        {"sha384:" + strings.Repeat("5a", 48)},
		reflect.TypeFor[GuestRoot]():     {"initrd", "verity:" + strings.Repeat("5a", 32)},
		reflect.TypeFor[CommandLine]():   {"quiet"},
		reflect.TypeFor[WitnessKey]():    {"witness.hospital-a.example+7020b22d+BHABmx2CPOj/wO/DAtIJjXu0n54bekxbYRthv8T3rMJs"},
		reflect.TypeFor[approval.PublicKey](): {
			approvalKey("someone").String(), approvalKey("another").String(),
		},
	}
})
