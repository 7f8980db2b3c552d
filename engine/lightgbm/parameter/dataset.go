package parameter

const columnHelp = " An index counts the columns without the label; name:NAME uses the header."

// dataset declares how data is read and binned.
func dataset() []Parameter {
	return []Parameter{
		{
			Name: "linear_tree", Aliases: []string{"linear_trees"}, Type: Bool, Default: "false",
			Text:   "Fit a linear model of the numerical features on its path in every leaf.",
			Status: Supported,
		},
		{
			Name: "max_bin", Aliases: []string{"max_bins"}, Type: Int, Default: "255", Bounds: []Bound{above(1)},
			Text:   "Most intervals that the values of a feature are put into.",
			Status: Supported,
		},
		{
			Name: "max_bin_by_feature", Type: Ints, Bounds: []Bound{above(1)},
			Text:   "max_bin for each feature: one number for every column but the label's.",
			Status: Supported,
		},
		{
			Name: "min_data_in_bin", Type: Int, Default: "3", Bounds: []Bound{above(0)},
			Text:   "Fewest sampled rows in an interval.",
			Status: Supported,
		},
		{
			Name: "bin_construct_sample_cnt", Aliases: []string{"subsample_for_bin"},
			Type: Int, Default: "200000", Bounds: []Bound{above(0)},
			Text:   "Rows that are sampled to choose the intervals.",
			Status: Supported,
		},
		{
			Name: "data_random_seed", Aliases: []string{"data_seed"}, Type: Int, Default: "1",
			Text:   "Seed of that sample.",
			Status: Supported,
		},
		{
			Name: "is_enable_sparse", Aliases: []string{"is_sparse", "enable_sparse", "sparse"}, Type: Bool, Default: "true",
			Text:   "Store sparse columns compactly.",
			Status: Accepted, Reason: "only memory and speed depend on it, and Cloister chooses the layout itself",
		},
		{
			Name: "enable_bundle", Aliases: []string{"is_enable_bundle", "bundle"}, Type: Bool, Default: "true",
			Text:   "Store features that are almost never set in the same row as one, where that saves time. The model is the same.",
			Status: Supported,
		},
		{
			Name: "use_missing", Type: Bool, Default: "true",
			Text:   "Treat missing values on their own; false makes them zeros.",
			Status: Supported,
		},
		{
			Name: "zero_as_missing", Type: Bool, Default: "false",
			Text:   "Treat zeros, also those that sparse data leaves out, as missing.",
			Status: Supported,
		},
		{
			Name: "feature_pre_filter", Type: Bool, Default: "true",
			Text:   "Leave out features that min_data_in_leaf makes impossible to split.",
			Status: Supported,
		},
		{
			Name: "pre_partition", Aliases: []string{"is_pre_partition"}, Type: Bool, Default: "false",
			Text:   "Every machine has its own part of the rows.",
			Status: Accepted, Reason: oneMachine,
		},
		{
			Name: "two_round", Aliases: []string{"two_round_loading", "use_two_round_loading"}, Type: Bool, Default: "false",
			Text:   "Read the data twice to save memory.",
			Status: Accepted, Reason: "Cloister never holds the text, and reads tables with more rows than bin_construct_sample_cnt twice",
		},
		{
			Name: "header", Aliases: []string{"has_header"}, Type: Bool, Default: "false",
			Text:   "The first line has the names of the columns.",
			Status: Supported,
		},
		{
			Name: "label_column", Aliases: []string{"label"}, Type: Column, DefaultText: "the first column",
			Text:   "Column of the label: an index among all columns, or name:NAME from the header.",
			Status: Supported,
		},
		{
			Name: "weight_column", Aliases: []string{"weight"}, Type: Column, DefaultText: "none",
			Text:   "Column of the row weights." + columnHelp,
			Status: Supported,
		},
		{
			Name: "group_column", Aliases: []string{"group", "group_id", "query_column", "query", "query_id"},
			Type: Column, DefaultText: "none",
			Text:   "Column that tells which rows belong to one query." + columnHelp,
			Status: Supported,
		},
		{
			Name: "ignore_column", Aliases: []string{"ignore_feature", "blacklist"}, Type: Columns,
			Text:   "Columns that are not used, as in 0,1 or name:A,B." + columnHelp,
			Status: Supported,
		},
		{
			Name:    "categorical_feature",
			Aliases: []string{"cat_feature", "categorical_column", "cat_column", "categorical_features"},
			Type:    Columns,
			Text:    "Columns whose numbers name categories, as in 0,1 or name:A,B; negative ones are missing." + columnHelp,
			Status:  Supported,
		},
		{
			Name: "forcedbins_filename", Type: String,
			Text:   "JSON file with bin borders that are used in any case.",
			Status: Supported,
		},
		{
			Name: "save_binary", Aliases: []string{"is_save_binary", "is_save_binary_file"},
			Type: Bool, Default: "false", Unsaved: true,
			Text:   "Store the binned data beside each table, in a file called after it with .bin, for later runs: name that file in data. The format is Cloister's own.",
			Status: Supported,
		},
		{
			Name: "precise_float_parser", Type: Bool, Default: "false",
			Text:   "Read numbers to the nearest double.",
			Status: Accepted, Reason: "Cloister always reads numbers to the nearest double",
		},
		{
			Name: "parser_config_file", Type: String,
			Text:   "Configuration of a parser loaded from a shared library.",
			Status: Refused, Reason: "Cloister loads no foreign code to read data",
			Instead: "convert the data to CSV, TSV, LibSVM or Parquet first",
		},
	}
}

// predict declares the options of task=predict.
func predict() []Parameter {
	return []Parameter{
		{
			Name: "start_iteration_predict", Type: Int, Default: "0", Unsaved: true, OnlyWith: "task=predict",
			Text:   "First iteration whose trees are used; 0 or less for the first of all.",
			Status: Supported,
		},
		{
			Name: "num_iteration_predict", Type: Int, Default: "-1", Unsaved: true, OnlyWith: "task=predict",
			Text:   "Iterations whose trees are used; 0 or less for all.",
			Status: Supported,
		},
		{
			Name: "predict_raw_score", Aliases: []string{"is_predict_raw_score", "predict_rawscore", "raw_score"},
			Type: Bool, Default: "false", Unsaved: true, OnlyWith: "task=predict",
			Text:   "Write raw scores, before the objective's transformation.",
			Status: Supported,
		},
		{
			Name: "predict_leaf_index", Aliases: []string{"is_predict_leaf_index", "leaf_index"},
			Type: Bool, Default: "false", Unsaved: true, OnlyWith: "task=predict",
			Text:   "Write the index of the leaf in every tree.",
			Status: Supported,
		},
		{
			Name: "predict_contrib", Aliases: []string{"is_predict_contrib", "contrib"},
			Type: Bool, Default: "false", Unsaved: true, OnlyWith: "task=predict",
			Text:   "Write each feature's contribution (SHAP value) and, last, the expected raw score.",
			Status: Supported,
		},
		{
			Name: "predict_disable_shape_check", Type: Bool, Default: "false", Unsaved: true, OnlyWith: "task=predict",
			Text:   "Predict even if the data has more or fewer features than the model.",
			Status: Supported,
		},
		{
			Name: "pred_early_stop", Type: Bool, Default: "false", Unsaved: true, OnlyWith: "task=predict",
			Text:   "Leave out later trees for rows whose class or rank is clear; predictions may change.",
			Status: Supported,
		},
		{
			Name: "pred_early_stop_freq", Type: Int, Default: "10", Unsaved: true, OnlyWith: "pred_early_stop=true",
			Text:   "Iterations between looks at the margin.",
			Status: Supported,
		},
		{
			Name: "pred_early_stop_margin", Type: Float, Default: "10.0", Unsaved: true, OnlyWith: "pred_early_stop=true",
			Text:   "Margin at which later trees are left out.",
			Status: Supported,
		},
		{
			Name: "output_result",
			Aliases: []string{
				"predict_result", "prediction_result", "predict_name",
				"prediction_name", "pred_name", "name_pred",
			},
			Type: String, Default: "LightGBM_predict_result.txt", Unsaved: true, OnlyWith: "task=predict",
			Text:   "File that predictions are written to.",
			Status: Supported,
		},
	}
}

// convert declares the options of task=convert_model.
func convert() []Parameter {
	return []Parameter{
		{
			Name: "convert_model_language", Type: String, Unsaved: true,
			Text:   "Language of the source code that a model is turned into: cpp (if not set) or go. If it is set, task=train writes the source code too.",
			Status: Supported,
		},
		{
			Name: "convert_model", Aliases: []string{"convert_model_file"},
			Type: String, Default: "gbdt_prediction.cpp", Unsaved: true,
			Text:   "File that the source code is written to; the default for Go ends in .go.",
			Status: Supported,
		},
	}
}
