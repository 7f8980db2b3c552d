package lightgbm

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"cloister/engine/lightgbm/parameter"
)

// TestNotYet sets every parameter and value that is not supported yet.
func TestNotYet(t *testing.T) {
	t.Parallel()
	samples := map[parameter.Type]string{
		parameter.Int: "7", parameter.Float: "0.25", parameter.String: "x", parameter.Ints: "7,8",
		parameter.Int8s: "1,-1", parameter.Floats: "0.5", parameter.IntLists: "[0,1]",
	}
	for _, p := range Parameters() {
		values := map[string]parameter.Status{}
		for _, v := range p.Values {
			values[v.Name] = v.Status
		}
		if p.Status == parameter.NotYet {
			value := samples[p.Type]
			if p.Type == parameter.Bool {
				value = map[string]string{"true": "false", "false": "true"}[p.Default]
			}
			values[value] = p.Status
		}
		for value, status := range values {
			if status != parameter.NotYet {
				continue
			}
			_, notices, err := Resolve(args(t, p.Name+"="+value), nil)
			r := &resolver{config: NewConfig()}
			if !r.effective(p.OnlyWith) {
				if err != nil || len(notices) != 1 || notices[0].Kind != NoEffect || notices[0].Parameter != p.Name {
					t.Errorf("%s=%s without %s: got %v, %v, want one notice", p.Name, value, p.OnlyWith, notices, err)
				}
				continue
			}
			var refused *NotSupportedError
			if !errors.As(err, &refused) || refused.Parameter != p.Name || refused.Status != parameter.NotYet {
				t.Errorf("%s=%s: got %v, want not supported yet", p.Name, value, err)
			}
		}
	}
}

func TestStatusMessages(t *testing.T) {
	t.Parallel()
	errorOf := func(status parameter.Status, reason, instead string) string {
		p := &Parameter{Name: "x", Default: "1", Status: status, Reason: reason, Instead: instead}
		r := &resolver{config: NewConfig(), origins: map[string]Origin{"x": {File: "a.conf", Line: 4}}}
		r.checkStatus(p, "2", status, reason, instead)
		return errors.Join(r.errs...).Error()
	}
	if got, want := errorOf(parameter.NotYet, "", ""), "x=2 (a.conf:4): not supported yet; leave it out or at its default, 1"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := errorOf(parameter.Refused, "no", "do this"), "x=2 (a.conf:4): no; do this"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNeutralValues(t *testing.T) {
	t.Parallel()
	for _, p := range Parameters() {
		if p.Neutral == nil || p.Status != parameter.NotYet {
			continue
		}
		value := fmt.Sprint(p.Neutral.Limit)
		if _, notices, err := Resolve(args(t, p.Name+"="+value), nil); err != nil || len(notices) > 0 {
			t.Errorf("%s=%s leaves the feature off: got %v, %v", p.Name, value, notices, err)
		}
	}
}

func TestNotices(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		lines []string
		want  []Notice
	}{
		"accepted": {
			[]string{"two_round=true", "machine_list_file=mlist.txt", "tree_learner=data"},
			[]Notice{
				{NoEffect, "tree_learner", Origin{"train.conf", 3}, "tree_learner=data (train.conf:3) has no effect: used only by distributed learning, and Cloister's engine trains on one machine"},
				{NoEffect, "two_round", Origin{"train.conf", 1}, "two_round=true (train.conf:1) has no effect: Cloister never holds the text, and reads tables with more rows than bin_construct_sample_cnt twice"},
				{NoEffect, "machine_list_filename", Origin{"train.conf", 2}, "machine_list_filename=mlist.txt (train.conf:2) has no effect: used only by distributed learning, and Cloister's engine trains on one machine"},
			},
		},
		"accepted at its default": {[]string{"two_round=false", "is_sparse=true", "num_machines=1"}, nil},
		"supported":               {[]string{"num_leaves=7", "alpha=0.5"}, nil},
		"unknown": {
			[]string{"unknown_parameters=warn", "num_leafs=7"},
			[]Notice{{Unknown, "num_leafs", Origin{"train.conf", 2}, `unknown parameter "num_leafs" (train.conf:2) is ignored; did you mean num_leaf?`}},
		},
		"depth": {
			[]string{"max_depth=6"},
			[]Notice{{Doubtful, "max_depth", Origin{"train.conf", 1}, "max_depth=6 (train.conf:1) allows more than the default of num_leaves=31 leaves: set num_leaves to use them"}},
		},
		"no limits": {
			[]string{"min_data_in_leaf=0", "min_sum_hessian_in_leaf=0"},
			[]Notice{{Changed, "min_data_in_leaf", Origin{"train.conf", 1}, "min_data_in_leaf and min_sum_hessian_in_leaf cannot both be 0: min_data_in_leaf set to 1"}},
		},
		"training file": {
			[]string{"data=a.csv", "valid=b.csv,a.csv"},
			[]Notice{{Changed, "valid", Origin{"train.conf", 2}, "a.csv is the training file too: is_provide_training_metric=true instead"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, notices, err := Resolve(nil, file(t, tc.lines...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, notices); diff != "" {
				t.Errorf("notices differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestConflicts(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"objective=binary is_unbalance=true scale_pos_weight=2":      "is_unbalance,scale_pos_weight",
		"objective=ova num_class=2 unbalance=+ scale_pos_weight=2":   "is_unbalance,scale_pos_weight",
		"is_unbalance=true scale_pos_weight=2":                       "",
		"objective=binary is_unbalance=true scale_pos_weight=1":      "",
		"force_col_wise=true force_row_wise=true":                    "force_col_wise,force_row_wise",
		"objective=quantile alpha=1":                                 "objective,alpha",
		"objective=huber alpha=1":                                    "",
		"predict_leaf_index=true predict_contrib=true":               "predict_leaf_index,predict_contrib",
		"objective=multiclass num_class=1":                           "objective,num_class",
		"objective=binary num_class=2":                               "objective,num_class",
		"task=predict num_class=2":                                   "",
		"objective=multiclass num_class=3 metric=auc":                "objective,metric",
		"objective=multiclass num_class=3 metric=none":               "",
		"objective=multiclass num_class=3 metric=auc_mu,multi_error": "",
		"objective=binary metric=auc,multi_logloss":                  "objective,metric",
		"objective=ova num_class=2 auc_mu_weights=0,1,1":             "auc_mu_weights,num_class",
		"objective=ova num_class=2 auc_mu_weights=0,1,0,0":           "auc_mu_weights",
		"objective=ova num_class=2 auc_mu_weights=5,1,1,0":           "",
		"boosting=rf":                "boosting,bagging_freq,bagging_fraction,feature_fraction",
		"boosting=rf bagging_freq=1": "boosting,bagging_freq,bagging_fraction,feature_fraction",
		"boosting=rf bagging_freq=1 bagging_fraction=0.5":             "",
		"boosting=rf feature_fraction=0.5":                            "",
		"boosting=goss bagging_freq=1 bagging_fraction=0.5":           "data_sample_strategy,bagging_freq,bagging_fraction",
		"data_sample_strategy=goss top_rate=0":                        "data_sample_strategy,top_rate,other_rate",
		"data_sample_strategy=goss top_rate=0.6 other_rate=0.5":       "data_sample_strategy,top_rate,other_rate",
		"data_sample_strategy=goss bagging_by_query=true top_rate=.5": "",
		"linear_tree=true zero_as_missing=true":                       "linear_tree,zero_as_missing",
		"use_quantized_grad=true num_grad_quant_bins=1":               "use_quantized_grad,num_grad_quant_bins",
		"use_quantized_grad=true num_grad_quant_bins=128":             "use_quantized_grad,num_grad_quant_bins",
		"use_quantized_grad=true num_grad_quant_bins=127":             "",
		"num_grad_quant_bins=128":                                     "",
		"linear_tree=true objective=mae":                              "linear_tree,objective",
	} {
		t.Run(settings, func(t *testing.T) {
			t.Parallel()
			c, err := resolveAll(args(t, strings.Fields(settings)...))
			if err != nil {
				t.Fatal(err)
			}
			r := &resolver{config: c}
			r.checkConflicts()
			var conflict *ConflictError
			err = errors.Join(r.errs...)
			switch {
			case want == "" && err != nil:
				t.Errorf("got %v, want no conflict", err)
			case want != "" && (!errors.As(err, &conflict) || strings.Join(conflict.Parameters, ",") != want):
				t.Errorf("got %v, want a conflict of %s", err, want)
			case want != "" && !errors.Is(err, ErrParameters):
				t.Errorf("%v does not match ErrParameters", err)
			}
		})
	}
}

func TestAdapted(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"max_depth=3":                                     "num_leaves=8",
		"max_depth=3 num_leaves=31":                       "num_leaves=31",
		"max_depth=3 num_leaves=":                         "num_leaves=8",
		"max_depth=5":                                     "num_leaves=31",
		"max_depth=2147483647":                            "num_leaves=31",
		"max_depth=-1":                                    "num_leaves=31",
		"boosting=goss":                                   "data_sample_strategy=goss",
		"boosting=GOSS":                                   "boosting=gbdt",
		"path_smooth=1 min_data_in_leaf=1":                "min_data_in_leaf=2",
		"eval_at=3,1,2":                                   "eval_at=1,2,3",
		"tree_learner=voting_parallel":                    "tree_learner=serial",
		"task=save_binary":                                "save_binary=true",
		"objective=none":                                  "objective=custom",
		"mc_method=advanced colsample_bynode=0.5":         "monotone_constraints_method=basic",
		"data_sample_strategy=goss bagging_by_query=true": "bagging_by_query=false",
		"interaction_constraints=[0, 1] , [ 2,3 ]":        "interaction_constraints=[0,1],[2,3]",
	} {
		texts := strings.Fields(settings)
		if strings.Contains(settings, "interaction") {
			texts = []string{settings}
		}
		c, err := resolveAll(args(t, texts...))
		if err != nil {
			t.Errorf("%s: %v", settings, err)
			continue
		}
		name, value, _ := strings.Cut(want, "=")
		if got, ok := c.Value(name); !ok || got != value {
			t.Errorf("%s: %s=%s, want %s", settings, name, got, value)
		}
	}
}

func TestCheckFiles(t *testing.T) {
	t.Parallel()
	for settings, want := range map[string]string{
		"data=a":              "",
		"task=train":          "task=train: no data to read: set data to a file",
		"task=predict data=a": "task=predict: no model: set input_model to a file",
		"data=a early_stopping=5": "early_stopping_round=5: early stopping needs a validation file: " +
			"set valid, or early_stopping_round=0",
		"data=a valid=b early_stopping=5 metric=none": "early_stopping_round=5 with metric=custom: " +
			"early stopping needs a metric: name one, or set early_stopping_round=0",
		"data=a valid=b early_stopping=5": "",
	} {
		c, _, err := Resolve(args(t, strings.Fields(settings)...), nil)
		if err != nil {
			t.Fatal(err)
		}
		err = c.CheckFiles()
		if (err == nil) != (want == "") || err != nil && (err.Error() != want || !errors.Is(err, ErrParameters)) {
			t.Errorf("%s:\ngot  %v\nwant %s", settings, err, want)
		}
	}
}
