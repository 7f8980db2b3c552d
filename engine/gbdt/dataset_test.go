package gbdt_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/dataset"
	"cloister/engine/gbdt"
	"cloister/engine/lightgbm"
)

func TestDatasetOptions(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(dataset.DefaultOptions(), gbdt.DatasetOptions(lightgbm.NewConfig())); diff != "" {
		t.Errorf("LightGBM's defaults are not the data set's (-data set +parameters):\n%s", diff)
	}
	cfg := lightgbm.NewConfig()
	for name, value := range map[string]string{
		"max_bin": "63", "min_data_in_bin": "5", "bin_construct_sample_cnt": "1000", "data_random_seed": "7",
		"use_missing": "false", "zero_as_missing": "true", "feature_pre_filter": "false", "min_data_in_leaf": "9",
		"num_threads": "3", "enable_bundle": "false", "categorical_feature": "name:a,b",
	} {
		if err := cfg.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	want := dataset.DefaultOptions()
	want.MaxBin, want.MinDataInBin, want.BinConstructSampleCnt, want.DataRandomSeed = 63, 5, 1000, 7
	want.UseMissing, want.ZeroAsMissing, want.FeaturePreFilter, want.MinDataInLeaf = false, true, false, 9
	want.Threads, want.EnableBundle, want.CategoricalNames = 3, false, []string{"a", "b"}
	if diff := cmp.Diff(want, gbdt.DatasetOptions(cfg)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
