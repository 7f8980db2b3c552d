package policy

import (
	"slices"
	"strconv"
	"time"

	"cloister/trust/document"
)

// Effect is what a line of a change does.
type Effect string

// The effects. Whatever is not known to be one of the others widens.
const (
	Widens   Effect = "widens"   // opens somebody's keys to more
	Narrows  Effect = "narrows"  // opens them to less
	Governs  Effect = "governs"  // touches nobody's keys
	Identity Effect = "identity" // changes by which keys an owner signs
	Joins    Effect = "joins"    // a new owner
	Leaves   Effect = "leaves"   // an owner who goes, whose keys are destroyed
	Chain    Effect = "chain"    // number and predecessor, in every change
)

// Line is a line in which two versions differ.
type Line struct {
	Path   document.Path `json:"path"`
	Old    string        `json:"old,omitempty"`
	New    string        `json:"new,omitempty"`
	Effect Effect        `json:"effect"`
	// Owners are those whom the effect concerns: who must sign what widens.
	Owners []Name `json:"owners,omitempty"`

	field string // the innermost field
}

// classifier says what the lines of one change do. It remembers whom an entry
// concerns, since an entry can have as many lines as a policy has room for.
type classifier struct {
	old, next *Policy
	owners    map[entry][]Name
}

// entry is one entry of a section of the policy, by the names of its field and
// its own.
type entry struct {
	section string
	name    Name
}

func newClassifier(old, next *Policy) *classifier {
	return &classifier{old: old, next: next, owners: make(map[entry][]Name)}
}

// line says what a line does. The outermost step at which the two versions
// have something and nothing decides, by the tag effect of its field; where both
// have all steps, the values of the last one do.
//
//	allow     more of it opens keys to more
//	forbid    less of it does
//	min, max  a number or a length of time; absent is zero
//	value     every change does
//	grant     as allow, for the owner of the item alone
//	everyone  as allow, for every owner
//	identity  the owner must sign, with the keys that it had
//	owner     comes and goes
//	govern    touches no key
//	chain     is in every change
func (k *classifier) line(c *document.Change) Line {
	line := Line{Path: c.Path, Old: c.Old, New: c.New}
	at := slices.IndexFunc(c.Steps, func(s document.Step) bool { return s.Old != s.New })
	if at < 0 {
		at = len(c.Steps) - 1
	}
	step := c.Steps[at]
	line.field = c.Steps[len(c.Steps)-1].Field.Tag.Get("json")
	effect := step.Field.Tag.Get("effect")
	added := step.New && !step.Old
	removed := step.Old && !step.New
	switch effect {
	case "allow", "grant", "everyone":
		line.Effect = either(removed, Narrows, Widens)
	case "forbid":
		line.Effect = either(added, Narrows, Widens)
	case "min", "max":
		line.Effect = Widens
		if before, after, ok := numbers(c); ok && at == len(c.Steps)-1 && (before < after) == (effect == "min") && before != after {
			line.Effect = Narrows
		}
	case "identity":
		line.Effect = Identity
	case "owner":
		switch {
		case added:
			line.Effect = Joins
		case removed:
			line.Effect = Leaves
		default:
			line.Effect = Widens
		}
	case "govern":
		line.Effect = Governs
	case "chain":
		line.Effect = Chain
	default: // value, and whatever is forgotten
		line.Effect = Widens
	}
	line.Owners = k.concerned(c.Steps, effect, line.Effect)
	return line
}

func either(is bool, yes, no Effect) Effect {
	if is {
		return yes
	}
	return no
}

// numbers are the two values of a leaf that can be compared; one that is absent
// is zero.
func numbers(c *document.Change) (before, after uint64, ok bool) {
	read := func(text string) (uint64, bool) {
		if text == "" {
			return 0, true
		}
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			return n, true
		}
		d, err := time.ParseDuration(text)
		return uint64(max(d, 0)), err == nil
	}
	before, okBefore := read(c.OldText)
	after, okAfter := read(c.NewText)
	return before, after, okBefore && okAfter
}

// concerned are the owners whom a line concerns. Those who leave are not among
// them: their keys are destroyed by the same change.
func (k *classifier) concerned(steps []document.Step, effect string, what Effect) []Name {
	name := Name(steps[0].Key)
	switch what {
	case Governs, Chain:
		return nil
	case Identity, Joins, Leaves:
		return []Name{name}
	case Widens, Narrows:
	}
	section := steps[0].Field.Name
	switch {
	case effect == "grant":
		for _, s := range steps[1:] {
			if s.Field.Tag.Get("effect") == "grant" {
				return k.staying([]Name{Item(s.Key).Owner()})
			}
		}
		return k.ownersOf(entry{}) // a grant of nothing: whoever it is, ask all
	case section == "Owners":
		return k.staying([]Name{name})
	case effect == "everyone":
		return k.ownersOf(entry{})
	}
	switch section {
	case "Workloads", "Provisioning", "Unseal":
		return k.ownersOf(entry{section, name})
	}
	return k.ownersOf(entry{})
}

// ownersOf are those whose keys an entry opens, in either version, or everyone
// where none is named.
func (k *classifier) ownersOf(e entry) []Name {
	known, ok := k.owners[e]
	if !ok {
		var all []Name
		switch e.section {
		case "Workloads":
			all = workloadOwners(e.name, k.old, k.next)
		case "Provisioning":
			all = provisioningOwners(e.name, k.old, k.next)
		case "Unseal":
			all = unsealOwners(e.name, k.old, k.next)
		default:
			all = everyone(k.old, k.next)
		}
		known = k.staying(all)
		k.owners[e] = known
	}
	return known
}

// staying are the names, sorted and each once, of those who are owners
// afterwards.
func (k *classifier) staying(names []Name) []Name {
	return slices.DeleteFunc(unique(names), func(n Name) bool { return k.next.Owners[n] == nil })
}

func unique(names []Name) []Name {
	slices.Sort(names)
	return slices.Compact(names)
}

func everyone(versions ...*Policy) []Name {
	var all []Name
	for _, p := range versions {
		all = append(all, sortedNames(p.Owners)...)
	}
	return unique(all)
}

// workloadOwners are those whose keys a workload can get. Who holds one of its
// certificates talks to all that trust it, so these concern everyone.
func workloadOwners(name Name, versions ...*Policy) []Name {
	var all []Name
	for _, p := range versions {
		w := p.Workloads[name]
		if w == nil {
			continue
		}
		if len(w.Certificates) > 0 {
			return everyone(versions...)
		}
		for item := range w.Keys {
			all = append(all, item.Owner())
		}
		for _, item := range w.Secrets {
			all = append(all, item.Owner())
		}
	}
	return all
}

func provisioningOwners(name Name, versions ...*Policy) []Name {
	var all []Name
	for _, p := range versions {
		if one := p.Provisioning[name]; one != nil {
			for _, item := range []Item{one.Key, one.Secret} {
				if item != "" {
					all = append(all, item.Owner())
				}
			}
		}
	}
	return all
}

func unsealOwners(name Name, versions ...*Policy) []Name {
	var all []Name
	for _, p := range versions {
		if u := p.Unseal[name]; u != nil {
			for item := range u.Keys {
				all = append(all, item.Owner())
			}
		}
	}
	return all
}
