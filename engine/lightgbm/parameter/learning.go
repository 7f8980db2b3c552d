package parameter

const (
	onlyCategorical = "Categorical features: "
	layoutOnly      = "only the memory layout of histograms depends on it, and Cloister chooses that itself"
)

// learning declares the limits of a tree and the choice of rows and features.
func learning() []Parameter {
	return []Parameter{
		{
			Name: "force_col_wise", Type: Bool, Default: "false",
			Text:   "Build histograms column by column.",
			Status: Accepted, Reason: layoutOnly,
		},
		{
			Name: "force_row_wise", Type: Bool, Default: "false",
			Text:   "Build histograms row by row.",
			Status: Accepted, Reason: layoutOnly,
		},
		{
			Name: "histogram_pool_size", Aliases: []string{"hist_pool_size"}, Type: Float, Default: "-1.0",
			Text:   "Memory in MB for histograms kept for later; negative for no limit.",
			Status: Accepted, Reason: "only memory use depends on it, and Cloister keeps as many histograms as a tree needs",
		},
		{
			Name: "max_depth", Type: Int, Default: "-1",
			Text:   "Most splits between root and leaf; 0 or less for no limit. Without num_leaves a small depth also lowers num_leaves to what fits.",
			Status: Supported,
		},
		{
			Name:    "min_data_in_leaf",
			Aliases: []string{"min_data_per_leaf", "min_data", "min_child_samples", "min_samples_leaf"},
			Type:    Int, Default: "20", Bounds: []Bound{atLeast(0)},
			Text:   "Fewest rows in a leaf.",
			Status: Supported,
		},
		{
			Name:    "min_sum_hessian_in_leaf",
			Aliases: []string{"min_sum_hessian_per_leaf", "min_sum_hessian", "min_hessian", "min_child_weight"},
			Type:    Float, Default: "1e-3", Bounds: []Bound{atLeast(0)},
			Text:   "Smallest sum of second derivatives in a leaf.",
			Status: Supported,
		},
		{
			Name: "bagging_fraction", Aliases: []string{"sub_row", "subsample", "bagging"},
			Type: Float, Default: "1.0", Bounds: fraction(),
			Text:   "Part of the rows that a bag has. Bagging needs bagging_freq too.",
			Status: Supported,
		},
		{
			Name: "pos_bagging_fraction", Aliases: []string{"pos_sub_row", "pos_subsample", "pos_bagging"},
			Type: Float, Default: "1.0", Bounds: fraction(), OnlyWith: "objective=binary",
			Text:   "Part of the positive rows that a bag has, for objective=binary; replaces bagging_fraction.",
			Status: Supported,
		},
		{
			Name: "neg_bagging_fraction", Aliases: []string{"neg_sub_row", "neg_subsample", "neg_bagging"},
			Type: Float, Default: "1.0", Bounds: fraction(), OnlyWith: "objective=binary",
			Text:   "Part of the negative rows that a bag has, for objective=binary; replaces bagging_fraction.",
			Status: Supported,
		},
		{
			Name: "bagging_freq", Aliases: []string{"subsample_freq"}, Type: Int, Default: "0",
			Text:   "Iterations for which a bag is used before the next is drawn; 0 or less for no bagging.",
			Status: Supported,
		},
		{
			Name: "bagging_seed", Aliases: []string{"bagging_fraction_seed"}, Type: Int, Default: "3",
			Text:   "Seed of bagging.",
			Status: Supported,
		},
		{
			Name: "bagging_by_query", Type: Bool, Default: "false",
			Text:   "Choose whole queries instead of rows.",
			Status: Supported,
		},
		{
			Name: "feature_fraction", Aliases: []string{"sub_feature", "colsample_bytree"},
			Type: Float, Default: "1.0", Bounds: fraction(),
			Text:   "Part of the features that a tree may use, drawn anew for every tree.",
			Status: Supported,
		},
		{
			Name: "feature_fraction_bynode", Aliases: []string{"sub_feature_bynode", "colsample_bynode"},
			Type: Float, Default: "1.0", Bounds: fraction(),
			Text:   "Part of the tree's features that a split may use, drawn anew for every node.",
			Status: Supported,
		},
		{
			Name: "feature_fraction_seed", Type: Int, Default: "2",
			Text:   "Seed of feature_fraction and feature_fraction_bynode.",
			Status: Supported,
		},
		{
			Name: "extra_trees", Aliases: []string{"extra_tree"}, Type: Bool, Default: "false",
			Text:   "Try one random threshold a feature instead of all.",
			Status: Supported,
		},
		{
			Name: "extra_seed", Type: Int, Default: "6", OnlyWith: "extra_trees=true",
			Text:   "Seed of extra_trees.",
			Status: Supported,
		},
		{
			Name: "early_stopping_round", Aliases: []string{"early_stopping_rounds", "early_stopping", "n_iter_no_change"},
			Type: Int, Default: "0",
			Text:   "Stop when a metric on a validation set has not improved for this many iterations, and keep the best iteration's trees; 0 or less to go on to the end.",
			Status: Supported,
		},
		{
			Name: "early_stopping_min_delta", Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)},
			Text:   "Change of the metric that counts as an improvement for early stopping.",
			Status: Supported,
		},
		{
			Name: "first_metric_only", Type: Bool, Default: "false",
			Text:   "Use only the first metric for early stopping.",
			Status: Supported,
		},
		{
			Name: "max_delta_step", Aliases: []string{"max_tree_output", "max_leaf_output"}, Type: Float, Default: "0.0",
			Text:   "Largest size of a leaf value before learning_rate; 0 or less for no limit.",
			Status: Supported,
		},
		{
			Name: "lambda_l1", Aliases: []string{"reg_alpha", "l1_regularization"},
			Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)},
			Text:   "L1 penalty on leaf values.",
			Status: Supported,
		},
		{
			Name: "lambda_l2", Aliases: []string{"reg_lambda", "lambda", "l2_regularization"},
			Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)},
			Text:   "L2 penalty on leaf values.",
			Status: Supported,
		},
		{
			Name: "linear_lambda", Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)}, OnlyWith: "linear_tree=true",
			Text:   "L2 penalty on the coefficients of the linear models in leaves.",
			Status: Supported,
		},
		{
			Name: "min_gain_to_split", Aliases: []string{"min_split_gain"},
			Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)},
			Text:   "Smallest gain for which a leaf is split.",
			Status: Supported,
		},
	}
}

// sampling declares the options of dart and goss and of categorical splits.
func sampling() []Parameter {
	return []Parameter{
		{
			Name: "drop_rate", Aliases: []string{"rate_drop"}, Type: Float, Default: "0.1",
			Bounds: zeroToOne(), OnlyWith: "boosting=dart",
			Text:   "Part of the trees that is dropped in an iteration.",
			Status: Supported,
		},
		{
			Name: "max_drop", Type: Int, Default: "50", OnlyWith: "boosting=dart",
			Text:   "Most trees dropped in an iteration; 0 or less for no limit.",
			Status: Supported,
		},
		{
			Name: "skip_drop", Type: Float, Default: "0.5", Bounds: zeroToOne(), OnlyWith: "boosting=dart",
			Text:   "Probability that an iteration drops no tree.",
			Status: Supported,
		},
		{
			Name: "xgboost_dart_mode", Type: Bool, Default: "false", OnlyWith: "boosting=dart",
			Text:   "Scale dropped trees as XGBoost does.",
			Status: Supported,
		},
		{
			Name: "uniform_drop", Type: Bool, Default: "false", OnlyWith: "boosting=dart",
			Text:   "Drop every tree with the same probability instead of by weight.",
			Status: Supported,
		},
		{
			Name: "drop_seed", Type: Int, Default: "4", OnlyWith: "boosting=dart",
			Text:   "Seed of dropping.",
			Status: Supported,
		},
		{
			Name: "top_rate", Type: Float, Default: "0.2", Bounds: zeroToOne(), OnlyWith: "data_sample_strategy=goss",
			Text:   "Part of the rows that is kept for its large gradients.",
			Status: Supported,
		},
		{
			Name: "other_rate", Type: Float, Default: "0.1", Bounds: zeroToOne(), OnlyWith: "data_sample_strategy=goss",
			Text:   "Part of the rows that is drawn from those with small gradients.",
			Status: Supported,
		},
		{
			Name: "min_data_per_group", Type: Int, Default: "100", Bounds: []Bound{above(0)},
			Text:   onlyCategorical + "fewest rows in a group of categories that are moved to one side together.",
			Status: Supported,
		},
		{
			Name: "max_cat_threshold", Type: Int, Default: "32", Bounds: []Bound{above(0)},
			Text:   onlyCategorical + "most categories on the smaller side of a split.",
			Status: Supported,
		},
		{
			Name: "cat_l2", Type: Float, Default: "10.0", Bounds: []Bound{atLeast(0)},
			Text:   onlyCategorical + "L2 penalty that is added in a split of many against many.",
			Status: Supported,
		},
		{
			Name: "cat_smooth", Type: Float, Default: "10.0", Bounds: []Bound{atLeast(0)},
			Text:   onlyCategorical + "smooths the order of categories, which matters for rare ones.",
			Status: Supported,
		},
		{
			Name: "max_cat_to_onehot", Type: Int, Default: "4", Bounds: []Bound{above(0)},
			Text:   onlyCategorical + "a feature with at most so many categories is split one against the rest.",
			Status: Supported,
		},
		{
			Name: "top_k", Aliases: []string{"topk"}, Type: Int, Default: "20", Bounds: []Bound{above(0)},
			Text:   "Features that each machine proposes with tree_learner=voting.",
			Status: Accepted, Reason: oneMachine,
		},
	}
}

// constraints declares what restricts or changes the choice of splits.
func constraints() []Parameter {
	return []Parameter{
		{
			Name: "monotone_constraints", Aliases: []string{"mc", "monotone_constraint", "monotonic_cst"},
			Type: Int8s, Bounds: []Bound{atLeast(-1), atMost(1)}, Neutral: neutral("==", 0),
			Text:   "One number a feature: 1 for predictions that rise with it, -1 for falling, 0 for free.",
			Status: Supported,
		},
		{
			Name: "monotone_constraints_method", Aliases: []string{"monotone_constraining_method", "mc_method"},
			Type: Enum, Default: "basic", OnlyWith: "monotone_constraints",
			Values: []Value{
				{Name: "basic", Text: "quick, restricts more than needed"},
				{Name: "intermediate", Text: "slower, restricts less"},
				{Name: "advanced", Text: "slowest, restricts least"},
			},
			Text:   "How monotone_constraints are kept.",
			Status: Supported,
		},
		{
			Name: "monotone_penalty", Aliases: []string{"monotone_splits_penalty", "ms_penalty", "mc_penalty"},
			Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)}, OnlyWith: "monotone_constraints",
			Text:   "Makes splits on constrained features less likely near the root.",
			Status: Supported,
		},
		{
			Name: "feature_contri", Aliases: []string{"feature_contrib", "fc", "fp", "feature_penalty"},
			Type: Floats, Neutral: neutral("==", 1),
			Text:   "One factor a feature on the gain of its splits.",
			Status: Supported,
		},
		{
			Name:    "forcedsplits_filename",
			Aliases: []string{"fs", "forced_splits_filename", "forced_splits_file", "forced_splits"},
			Type:    String,
			Text:    "JSON file with the splits that every tree starts with.",
			Status:  Supported,
		},
		{
			Name: "refit_decay_rate", Type: Float, Default: "0.9", Bounds: zeroToOne(), OnlyWith: "task=refit",
			Text:   "Weight of the old leaf value when leaves are fitted to new data.",
			Status: Supported,
		},
		{
			Name: "cegb_tradeoff", Type: Float, Default: "1.0", Bounds: []Bound{atLeast(0)},
			Text:   "Cost-effective boosting: factor on all its penalties.",
			Status: Supported,
		},
		{
			Name: "cegb_penalty_split", Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)},
			Text:   "Cost-effective boosting: penalty of a split.",
			Status: Supported,
		},
		{
			Name: "cegb_penalty_feature_lazy", Type: Floats, Neutral: neutral("==", 0),
			Text:   "Cost-effective boosting: penalty of each feature for every row that uses it first.",
			Status: Supported,
		},
		{
			Name: "cegb_penalty_feature_coupled", Type: Floats, Neutral: neutral("==", 0),
			Text:   "Cost-effective boosting: penalty of each feature for its first use in the model.",
			Status: Supported,
		},
		{
			Name: "path_smooth", Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)},
			Text:   "Pulls the value of a node with few rows to its parent's.",
			Status: Supported,
		},
		{
			Name: "interaction_constraints", Type: IntLists,
			Text:   "Groups of features, as in [0,1,2],[2,3]; a path from root to leaf uses features of one group only.",
			Status: Supported,
		},
	}
}

// files declares the model files, the log and quantized training.
func files() []Parameter {
	return []Parameter{
		{
			Name: "verbosity", Aliases: []string{"verbose"}, Type: Int, Default: "1",
			Text:   "How much is logged: below 0 only fatal errors, 0 warnings too, 1 information too, above 1 everything.",
			Status: Supported,
		},
		{
			Name: "input_model", Aliases: []string{"model_input", "model_in"}, Type: String, Unsaved: true,
			Text:   "Model to predict with or, with task=train, to go on from.",
			Status: Supported,
		},
		{
			Name: "output_model", Aliases: []string{"model_output", "model_out"},
			Type: String, Default: "LightGBM_model.txt", Unsaved: true,
			Text:   "File that the trained model is written to.",
			Status: Supported,
		},
		{
			Name: "saved_feature_importance_type", Type: Int, Default: "0", Bounds: []Bound{atLeast(0), atMost(1)},
			Text:   "Importance of features in the model file: 0 for numbers of splits, 1 for sums of gains.",
			Status: Supported,
		},
		{
			Name: "snapshot_freq", Aliases: []string{"save_period"}, Type: Int, Default: "-1", Unsaved: true,
			Neutral: neutral("<=", 0),
			Text:    "Iterations between copies of the model, output_model with .snapshot_iter_N added, written during training; 0 or less for none.",
			Status:  Supported,
		},
		{
			Name: "use_quantized_grad", Type: Bool, Default: "false",
			Text:   "Round gradients to a few levels.",
			Status: Supported,
		},
		{
			Name: "num_grad_quant_bins", Type: Int, Default: "4", OnlyWith: "use_quantized_grad=true",
			Text:   "Levels to which gradients are rounded, 2 to 127: half of them for each sign.",
			Status: Supported,
		},
		{
			Name: "quant_train_renew_leaf", Type: Bool, Default: "false", OnlyWith: "use_quantized_grad=true",
			Text:   "Compute leaf values from the exact gradients; monotone constraints of the methods intermediate and advanced keep the rounded ones.",
			Status: Supported,
		},
		{
			Name: "stochastic_rounding", Type: Bool, Default: "true", OnlyWith: "use_quantized_grad=true",
			Text:   "Round gradients up or down at random, by seed; false rounds to the nearest level.",
			Status: Supported,
		},
	}
}
