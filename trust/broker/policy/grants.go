package policy

import (
	"slices"
	"strings"

	"cloister/trust/document"
)

// grants checks each thing that is asked for.
func (p *Policy) grants(w *Workload, ask *Request, l *checklist) {
	w.job(ask, l)
	for _, d := range ask.Keys {
		l.check("key "+string(d.Item), grantsVersion(w.Keys, d.Item, d.Version),
			"version %d of %s must be granted; granted is %s", d.Version, document.Quote(string(d.Item)), granted(w.Keys, d.Item))
		p.owner(d.Item, ask.Frozen, l)
		enforces(w.Terms, &d, l)
	}
	for _, s := range ask.Secrets {
		l.check("secret "+string(s), slices.Contains(w.Secrets, s), "%s must be among the secrets that are granted", document.Quote(string(s)))
		p.owner(s, ask.Frozen, l)
	}
	for _, c := range ask.Certificates {
		l.check("certificate "+string(c), slices.Contains(w.Certificates, c), "%s must be among the names that are granted", document.Quote(string(c)))
	}
}

// job checks that the workload may run the job that the evidence binds.
func (w *Workload) job(ask *Request, l *checklist) {
	job := JobHash(ask.Binding.Job)
	if !w.OwnerApprovedJobs {
		l.check("job", slices.Contains(w.Jobs, job), "job %s must be one of the %d that are listed", job, len(w.Jobs))
		return
	}
	owners := ask.owners()
	var missing []string
	for _, o := range owners {
		if !slices.Contains(ask.JobApprovedBy, o) {
			missing = append(missing, string(o))
		}
	}
	switch {
	case job == NoJob:
		l.check("job", false, "the program runs no job, and only jobs that owners approved are accepted")
	case len(owners) == 0:
		l.check("job", false, "nothing of any owner is asked for, so no owner's approval can stand for the job")
	case len(missing) > 0:
		l.check("job", false, "job %s is not approved by %s", job, strings.Join(missing, ", "))
	default:
		l.check("job", true, "job %s is approved by every owner of what is asked for", job)
	}
}

// owners are those whose keys or secrets are asked for, sorted.
func (r *Request) owners() []Name {
	var all []Name
	for _, d := range r.Keys {
		all = append(all, d.Item.Owner())
	}
	for _, s := range r.Secrets {
		all = append(all, s.Owner())
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// owner checks that an item's owner exists and is not frozen.
func (p *Policy) owner(item Item, frozen []Name, l *checklist) {
	name := item.Owner()
	owner := p.Owners[name]
	switch {
	case owner == nil:
		l.check("owner "+string(name), false, "there is no owner %s in the policy", document.Quote(string(name)))
	case owner.Frozen:
		l.check("owner "+string(name), false, "the policy has frozen all releases of %s", name)
	case slices.Contains(frozen, name):
		l.check("owner "+string(name), false, "%s has frozen all releases", name)
	default:
		l.check("owner "+string(name), true, "%s has not frozen releases", name)
	}
}

// enforces checks that the program enforces the terms of a data set.
func enforces(terms []Name, d *DataSet, l *checklist) {
	name := "terms of " + string(d.Item)
	if d.Terms == nil {
		l.check(name, false, "the register does not say what terms of use %s has", document.Quote(string(d.Item)))
		return
	}
	var missing []string
	for _, t := range d.Terms {
		if !slices.Contains(terms, t) {
			missing = append(missing, document.Quote(string(t)))
		}
	}
	if len(missing) > 0 {
		l.check(name, false, "the program does not enforce %s", strings.Join(missing, ", "))
		return
	}
	l.check(name, true, "the program enforces all %d of them", len(d.Terms))
}

func grantsVersion(keys map[Item][]Versions, item Item, version uint64) bool {
	return slices.ContainsFunc(keys[item], func(v Versions) bool { return v.Has(version) })
}

func granted(keys map[Item][]Versions, item Item) string {
	if len(keys[item]) == 0 {
		return "none"
	}
	var texts []string
	for _, v := range keys[item] {
		texts = append(texts, v.String())
	}
	return strings.Join(texts, ", ")
}
