package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cloister/engine/dataset/read"
)

// Setting is a parameter that took part in making a data set, as a
// configuration of LightGBM would write it.
type Setting struct{ Name, Value string }

// Names of settings that are not compared like the others.
const (
	settingSeed   = "data_random_seed"
	settingForced = "forcedbins_filename"
	settingLeaf   = "min_data_in_leaf"
)

// recipe lists what makes a table's bins. all says that the sample was the
// whole table, so that the seed did not matter.
func (o *Options) recipe(in *read.Options, names []string, all bool) ([]Setting, error) {
	categorical, err := o.categorical(names)
	if err != nil {
		return nil, err
	}
	var features []int
	for f, is := range categorical {
		if is {
			features = append(features, f)
		}
	}
	list := []Setting{
		{"header", strconv.FormatBool(in.Header)},
		{"label_column", columnText(in.Label)},
		{"weight_column", columnText(in.Weight)},
		{"group_column", columnText(in.Group)},
		{"ignore_column", columnText(in.Ignore...)},
		{"max_bin", strconv.Itoa(o.MaxBin)},
		{"max_bin_by_feature", joinInts(o.MaxBinByFeature)},
		{"min_data_in_bin", strconv.Itoa(o.MinDataInBin)},
		{"bin_construct_sample_cnt", strconv.Itoa(o.BinConstructSampleCnt)},
		{"use_missing", strconv.FormatBool(o.UseMissing)},
		{"zero_as_missing", strconv.FormatBool(o.ZeroAsMissing)},
		{"categorical_feature", joinInts(features)},
		{"feature_pre_filter", strconv.FormatBool(o.FeaturePreFilter)},
		{settingForced, forcedText(o.ForcedBins)},
	}
	if o.FeaturePreFilter {
		list = append(list, Setting{settingLeaf, strconv.Itoa(o.MinDataInLeaf)})
	}
	if !all {
		list = append(list, Setting{settingSeed, strconv.FormatUint(o.DataRandomSeed, 10)})
	}
	return list, nil
}

func columnText(refs ...read.ColumnRef) string {
	var names, indices []string
	for _, r := range refs {
		switch {
		case r.Set && r.Name != "":
			names = append(names, r.Name)
		case r.Set:
			indices = append(indices, strconv.Itoa(r.Index))
		}
	}
	if names != nil {
		names[0] = "name:" + names[0]
	}
	return strings.Join(append(names, indices...), ",")
}

func joinInts(list []int) string {
	var text []string
	for _, n := range list {
		text = append(text, strconv.Itoa(n))
	}
	return strings.Join(text, ",")
}

// forcedText is the content of forcedbins_filename: feature:bound,bound;…
func forcedText(bins [][]float64) string {
	var b strings.Builder
	for f, bounds := range bins {
		if len(bounds) == 0 {
			continue
		}
		fmt.Fprintf(&b, "%d:", f)
		for _, v := range bounds {
			b.WriteString(strconv.FormatFloat(v, 'g', -1, 64) + ",")
		}
		b.WriteByte(';')
	}
	return b.String()
}

// checkRecipe finds what asks for other bins than a stored data set has. Bounds
// that nobody asks for are no contradiction: the file has them.
func checkRecipe(file string, stored []Setting, o *Options, in *read.Options, names []string) error {
	asked, err := o.recipe(in, names, false)
	if err != nil {
		return err
	}
	for _, s := range stored {
		at := slices.IndexFunc(asked, func(a Setting) bool { return a.Name == s.Name })
		if at < 0 || asked[at].Value == s.Value {
			continue
		}
		want := asked[at].Value
		switch s.Name {
		case settingForced:
			if want == "" {
				continue
			}
			return badOption(s.Name, "the bounds differ from those that %s was made with; save the data set again", file)
		case settingLeaf:
			return badOption(s.Name, "is %s, but %s was made with %s and feature_pre_filter=true, which leaves features out; "+
				"save the data set again with feature_pre_filter=false to try several", want, file, s.Value)
		}
		return badOption(s.Name, "is %s, but %s was made with %s; leave it out, or save the data set again", shown(want), file, shown(s.Value))
	}
	return nil
}

func shown(value string) string {
	if value == "" {
		return "not set"
	}
	return value
}
