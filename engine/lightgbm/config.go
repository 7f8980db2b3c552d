package lightgbm

import (
	"errors"
	"fmt"
	"slices"

	"cloister/engine/lightgbm/parameter"
)

// maxErrors is how many bad settings one error names.
const maxErrors = 10

// ConfigFile returns the configuration file that arguments name with config or
// its alias; "" if none.
func ConfigFile(cmdline []Setting) string {
	return pick(cmdline).settings["config"].Value
}

// Resolve makes a Config from the settings of the command line and of a
// configuration file, either of which may be nil. The command line goes over
// the file; within each LightGBM's rules hold: of one name given twice the
// first counts, and of several names of one parameter the canonical one, else
// the shortest, else the first in the alphabet. An empty value means the
// default. Seeds that are not set follow from seed as in LightGBM.
//
// The notices are what the log should say, in a fixed order. The error joins
// one error for each of the first ten bad settings, of type *UnknownError,
// *ValueError, *NotSupportedError or *ConflictError; all match ErrParameters.
func Resolve(cmdline, file []Setting) (*Config, []Notice, error) {
	r := &resolver{config: NewConfig(), origins: map[string]Origin{}, set: map[string]bool{}}
	fromCommand, fromFile := pick(cmdline), pick(file)
	r.notices = append(r.notices, fromFile.notices...)
	r.notices = append(r.notices, fromCommand.notices...)
	if s, ok := fromFile.settings["config"]; ok {
		r.notice(Ignored, "config", s.Origin, "config=%s%s is ignored: a configuration file cannot name another",
			shorten(s.Value), at(s.Origin))
		delete(fromFile.settings, "config")
	}
	chosen := r.merge(fromCommand, fromFile)
	if s, ok := chosen["unknown_parameters"]; ok {
		r.apply(Lookup("unknown_parameters"), s)
	}
	for _, s := range slices.Concat(fromCommand.unknown, fromFile.unknown) {
		r.unknown(s)
	}
	if s, ok := chosen["seed"]; ok {
		r.apply(Lookup("seed"), s)
		if r.set["seed"] {
			r.config.deriveSeeds()
		}
	}
	all := declared().all
	for i := range all {
		s, ok := chosen[all[i].Name]
		if ok && all[i].Name != "seed" && all[i].Name != "unknown_parameters" {
			r.apply(&all[i], s)
		}
	}
	if err := r.finish(); err != nil {
		return nil, r.notices, err
	}
	return r.config, r.notices, nil
}

// Validate checks a Config that a program filled as Resolve checks settings,
// and completes it: canonical names for enums, the objective's metric if none
// is named. On error c is left as it was.
func (c *Config) Validate() ([]Notice, error) {
	completed := *c
	r := &resolver{config: &completed, origins: map[string]Origin{}}
	all := declared().all
	for i := range all {
		r.apply(&all[i], Setting{Key: all[i].Name, Value: c.text(all[i].Name)})
	}
	if len(completed.Valid) != len(c.Valid) {
		r.errs = append(r.errs, &ValueError{
			Parameter: "valid", Value: c.text("valid"), Want: "the name of a validation file cannot have a comma or be empty",
		})
	}
	if err := r.finish(); err != nil {
		return r.notices, err
	}
	*c = completed
	return r.notices, nil
}

// Set gives the parameter with that name or alias a value written as in a
// configuration file; an empty value means the default. It checks type, bounds
// and permitted values, not the agreement with other parameters: call Validate
// when all are set. Errors are of type *UnknownError or *ValueError, and the
// field then keeps its value.
func (c *Config) Set(name, value string) error {
	p := Lookup(name)
	if p == nil {
		return &UnknownError{Name: name, Nearest: nearest(name, declared().names)}
	}
	if value == "" {
		value = declared().defaults.text(p.Name)
	}
	if err := c.set(p, value); err != nil {
		return &ValueError{Parameter: p.Name, Value: value, Want: err.Error()}
	}
	return nil
}

// EvalPositions returns the positions k of NDCG@k and MAP@k, ascending: EvalAt
// or, where that is empty, LightGBM's default of 1 to 5.
func (c *Config) EvalPositions() []int {
	if len(c.EvalAt) == 0 {
		return []int{1, 2, 3, 4, 5}
	}
	return slices.Sorted(slices.Values(c.EvalAt))
}

// LabelGains returns the gain of each label of a ranking: LabelGain or, where
// that is empty, LightGBM's default of 2^i - 1 for the labels 0 to 30.
func (c *Config) LabelGains() []float64 {
	if len(c.LabelGain) > 0 {
		return slices.Clone(c.LabelGain)
	}
	gains := make([]float64, 31)
	for i := range gains {
		gains[i] = float64(int(1)<<i - 1)
	}
	return gains
}

// Metrics returns the names of the metrics to compute: Metric without
// "custom", which stands for none.
func (c *Config) Metrics() []string {
	return slices.DeleteFunc(slices.Clone(c.Metric), func(name string) bool { return name == "custom" })
}

// deriveSeeds sets the other seeds from Seed with LightGBM's generator
// (Config::Set and Random::NextShort): x ← 214013·x + 2531011 modulo 2³², of
// which the bits 16 to 30 are taken modulo 2¹⁵-1.
func (c *Config) deriveSeeds() {
	x := uint32(c.Seed)
	for _, seed := range []*int{
		&c.DataRandomSeed, &c.BaggingSeed, &c.DropSeed, &c.FeatureFractionSeed, &c.ObjectiveSeed, &c.ExtraSeed,
	} {
		x = 214013*x + 2531011
		*seed = int(x>>16&0x7fff) % 0x7fff
	}
}

// resolver collects what is found while a Config is made.
type resolver struct {
	config *Config
	// origins says where the value of a parameter comes from.
	origins map[string]Origin
	// set has the parameters that were given a value; nil if that is unknown.
	set     map[string]bool
	notices []Notice
	errs    []error
}

func (r *resolver) notice(kind NoticeKind, name string, origin Origin, format string, args ...any) {
	r.notices = append(r.notices, Notice{
		Kind: kind, Parameter: name, Origin: origin, Text: fmt.Sprintf(format, args...),
	})
}

// merge puts the command line over the file.
func (r *resolver) merge(fromCommand, fromFile picked) map[string]Setting {
	chosen := fromFile.settings
	for _, p := range declared().all {
		over, ok := fromCommand.settings[p.Name]
		if !ok {
			continue
		}
		if under, both := chosen[p.Name]; both {
			r.notice(Overridden, p.Name, under.Origin, "%s is ignored: %s goes over it", described(under), described(over))
		}
		chosen[p.Name] = over
	}
	return chosen
}

func (r *resolver) unknown(s Setting) {
	near := nearest(s.Key, declared().names)
	if r.config.UnknownParameters != "warn" {
		r.errs = append(r.errs, &UnknownError{Name: s.Key, Nearest: near, Origin: s.Origin})
		return
	}
	hint := ""
	if near != "" {
		hint = "; did you mean " + near + "?"
	}
	r.notice(Unknown, s.Key, s.Origin, "unknown parameter %q%s is ignored%s", shorten(s.Key), at(s.Origin), hint)
}

// apply sets one parameter. An empty value leaves the default.
func (r *resolver) apply(p *Parameter, s Setting) {
	r.origins[p.Name] = s.Origin
	if s.Value == "" && r.set != nil {
		return
	}
	if err := r.config.set(p, s.Value); err != nil {
		r.errs = append(r.errs, &ValueError{Parameter: p.Name, Value: s.Value, Origin: s.Origin, Want: err.Error()})
		return
	}
	if r.set != nil {
		r.set[p.Name] = true
	}
}

// finish checks statuses, adapts values to each other and checks conflicts.
// Each step needs the one before to have found nothing wrong.
func (r *resolver) finish() error {
	for _, step := range []func(){r.checkStatuses, r.adapt, r.checkConflicts} {
		if len(r.errs) > 0 {
			break
		}
		step()
	}
	if more := len(r.errs) - maxErrors; more > 0 {
		r.errs = append(r.errs[:maxErrors], fmt.Errorf("and %d more: %w", more, ErrParameters))
	}
	return errors.Join(r.errs...)
}

// picked is what one source of settings says.
type picked struct {
	// settings has at most one setting for each canonical name.
	settings map[string]Setting
	unknown  []Setting
	notices  []Notice
}

// pick chooses among several settings of one parameter.
func pick(settings []Setting) picked {
	result := picked{settings: map[string]Setting{}}
	first := map[string]Setting{}
	for _, s := range settings {
		if kept, again := first[s.Key]; again {
			result.ignore(s, kept, "it comes first")
			continue
		}
		first[s.Key] = s
		if Lookup(s.Key) == nil {
			result.unknown = append(result.unknown, s)
		}
	}
	for i := range declared().all {
		p := &declared().all[i]
		names := slices.Clone(p.Aliases)
		slices.SortFunc(names, shorterFirst)
		for _, name := range slices.Insert(names, 0, p.Name) {
			s, given := first[name]
			if !given {
				continue
			}
			if kept, taken := result.settings[p.Name]; taken {
				result.ignore(s, kept, "both are "+p.Name)
				continue
			}
			result.settings[p.Name] = s
		}
	}
	return result
}

func (r *picked) ignore(s, kept Setting, why string) {
	name := s.Key
	if p := Lookup(s.Key); p != nil {
		name = p.Name
	}
	r.notices = append(r.notices, Notice{
		Kind: Ignored, Parameter: name, Origin: s.Origin,
		Text: fmt.Sprintf("%s is ignored: %s counts, %s", described(s), described(kept), why),
	})
}

// shorterFirst is LightGBM's order among the aliases of one parameter.
func shorterFirst(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	if a < b {
		return -1
	}
	return 1
}

// described returns KEY=VALUE with its origin.
func described(s Setting) string {
	return shorten(s.Key) + "=" + shorten(s.Value) + at(s.Origin)
}

// checkStatuses refuses what is not supported and tells what has no effect.
func (r *resolver) checkStatuses() {
	for i := range declared().all {
		p := &declared().all[i]
		value := r.config.text(p.Name)
		if value == declared().defaults.text(p.Name) || r.followsFromSeed(p.Name, value) {
			continue
		}
		if !r.effective(p.OnlyWith) {
			origin := r.origins[p.Name]
			r.notice(NoEffect, p.Name, origin, "%s=%s%s has no effect without %s", p.Name, shorten(value), at(origin), p.OnlyWith)
			continue
		}
		r.checkStatus(p, value, p.Status, p.Reason, p.Instead)
		for _, v := range p.Values {
			if names := r.config.names(p.Name); slices.Contains(names, v.Name) {
				r.checkStatus(p, v.Name, v.Status, v.Reason, v.Instead)
			}
		}
	}
}

// followsFromSeed says whether nobody but seed gave a parameter its value.
func (r *resolver) followsFromSeed(name, value string) bool {
	if r.set != nil {
		return !r.set[name]
	}
	derived := *declared().defaults
	derived.Seed = r.config.Seed
	derived.deriveSeeds()
	return value == derived.text(name)
}

func (r *resolver) checkStatus(
	p *Parameter, value string, status parameter.Status, reason, instead string,
) {
	origin := r.origins[p.Name]
	switch {
	case status == parameter.Supported:
	case status == parameter.Accepted:
		r.notice(NoEffect, p.Name, origin, "%s=%s%s has no effect: %s", p.Name, shorten(value), at(origin), reason)
	case status == parameter.NotYet && p.Neutral != nil && r.config.meets(p, *p.Neutral):
	default:
		if instead == "" {
			instead = "leave it out or at its default, " + p.ShownDefault()
		}
		r.errs = append(r.errs, &NotSupportedError{
			Parameter: p.Name, Value: value, Origin: origin, Status: status, Reason: reason, Instead: instead,
		})
	}
}
