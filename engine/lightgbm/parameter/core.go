package parameter

// oneMachine is why the parameters of LightGBM's own network do nothing here.
const oneMachine = "used only by distributed learning, and Cloister's engine trains on one machine"

// core declares the parameters of the task, the data and the boosting.
func core() []Parameter {
	return []Parameter{
		{
			Name: "config", Aliases: []string{"config_file"}, Type: String, Unsaved: true,
			Text:   "Configuration file to read. Settings on the command line go over those of the file.",
			Status: Supported,
		},
		{
			Name: "task", Aliases: []string{"task_type"}, Type: Enum, Default: "train", Unsaved: true,
			Values: []Value{
				{Name: "train", Aliases: []string{"training"}, Text: "learn a model"},
				{Name: "predict", Aliases: []string{"prediction", "test"}, Text: "apply a model to data"},
				{Name: "convert_model", Text: "turn a model into source code"},
				{Name: "refit", Aliases: []string{"refit_tree"}, Text: "fit the leaves of a model to new data"},
				{Name: "save_binary", Text: "store binned data for later runs"},
			},
			Text:   "What to do.",
			Status: Supported,
		},
		{
			Name: "objective", Aliases: []string{"objective_type", "app", "application", "loss"},
			Type: Enum, Default: "regression", Unsaved: true, Values: objectives(),
			Text:   "Loss that training makes small; it also decides how raw scores become predictions.",
			Status: Supported,
		},
		{
			Name: "boosting", Aliases: []string{"boosting_type", "boost"}, Type: Enum, Default: "gbdt", Unsaved: true,
			Values: []Value{
				{Name: "gbdt", Aliases: []string{"gbrt"}, Text: "gradient boosted trees"},
				{Name: "rf", Aliases: []string{"random_forest"}, Text: "random forest"},
				{Name: "dart", Text: "boosting with dropped trees"},
				{Name: "goss", Text: "old way to write data_sample_strategy=goss"},
			},
			Text:   "How trees are combined.",
			Status: Supported,
		},
		{
			Name: "data_sample_strategy", Type: Enum, Default: "bagging",
			Values: []Value{
				{Name: "bagging", Text: "a random part of the rows, see bagging_freq"},
				{Name: "goss", Text: "all rows with a large gradient and some of the others"},
			},
			Text:   "How rows are chosen for a tree.",
			Status: Supported,
		},
		{
			Name: "data", Aliases: []string{"train", "train_data", "train_data_file", "data_filename"}, Type: String,
			Text:   "File to train on or, with task=predict, to predict for; - is standard input. Several files, separated by commas, make one table.",
			Status: Supported,
		},
		{
			Name:    "valid",
			Aliases: []string{"test", "valid_data", "valid_data_file", "test_data", "test_data_file", "valid_filenames"},
			Type:    Strings,
			Text:    "Validation files, separated by commas; metrics are computed on each. The training file itself may stand here: that sets is_provide_training_metric.",
			Status:  Supported,
		},
		{
			Name: "num_iterations",
			Aliases: []string{
				"num_iteration", "n_iter", "num_tree", "num_trees", "num_round", "num_rounds",
				"nrounds", "num_boost_round", "n_estimators", "max_iter",
			},
			Type: Int, Default: "100", Bounds: []Bound{atLeast(0)},
			Text:   "Boosting iterations. Each grows one tree, or one tree a class with several classes.",
			Status: Supported,
		},
		{
			Name: "learning_rate", Aliases: []string{"shrinkage_rate", "eta"}, Type: Float, Default: "0.1",
			Bounds: []Bound{above(0)},
			Text:   "Factor on every leaf value.",
			Status: Supported,
		},
		{
			Name: "num_leaves", Aliases: []string{"num_leaf", "max_leaves", "max_leaf", "max_leaf_nodes"},
			Type: Int, Default: "31", Bounds: []Bound{above(1), atMost(131072)},
			Text:   "Most leaves that a tree may have.",
			Status: Supported,
		},
		{
			Name: "tree_learner", Aliases: []string{"tree", "tree_type", "tree_learner_type"},
			Type: Enum, Default: "serial", Unsaved: true,
			Values: []Value{
				{Name: "serial", Text: "one machine"},
				{
					Name: "feature", Aliases: []string{"feature_parallel"}, Text: "machines share out the features",
					Status: Accepted, Reason: oneMachine,
				},
				{
					Name: "data", Aliases: []string{"data_parallel"}, Text: "machines share out the rows",
					Status: Accepted, Reason: oneMachine,
				},
				{
					Name: "voting", Aliases: []string{"voting_parallel"}, Text: "as data, with fewer messages",
					Status: Accepted, Reason: oneMachine,
				},
			},
			Text:   "How several machines share the work; with one machine always serial.",
			Status: Supported,
		},
		{
			Name: "num_threads", Aliases: []string{"num_thread", "nthread", "nthreads", "n_jobs"},
			Type: Int, Default: "0",
			Text:   "Threads to use; 0 or less means one for each processor. The model does not depend on it.",
			Status: Supported,
		},
		{
			Name: "device_type", Aliases: []string{"device"}, Type: Enum, Default: "cpu", Unsaved: true,
			Values: []Value{
				{Name: "cpu", Text: "the processor"},
				{Name: "gpu", Text: "OpenCL", Status: Refused, Reason: noGPU, Instead: "use device_type=cpu"},
				{Name: "cuda", Text: "CUDA or ROCm", Status: Refused, Reason: noGPU, Instead: "use device_type=cpu"},
			},
			Text:   "Device that learns.",
			Status: Supported,
		},
		{
			Name: "seed", Aliases: []string{"random_seed", "random_state"}, Type: Int, DefaultText: "not set",
			Text:   "Seed from which data_random_seed, bagging_seed, drop_seed, feature_fraction_seed, objective_seed and extra_seed are derived; a seed that is set itself keeps its value.",
			Status: Supported,
		},
		{
			Name: "deterministic", Type: Bool, Default: "false",
			Text:   "Ask for the same model on any number of threads.",
			Status: Accepted, Reason: "the same data, configuration and seed always give the same model",
		},
	}
}

// objectives lists the values of objective.
func objectives() []Value {
	return []Value{
		{
			Name: "regression",
			Aliases: []string{
				"regression_l2", "l2", "mean_squared_error", "mse",
				"l2_root", "root_mean_squared_error", "rmse",
			},
			Text: "squared error",
		},
		{Name: "regression_l1", Aliases: []string{"l1", "mean_absolute_error", "mae"}, Text: "absolute error"},
		{Name: "huber", Text: "Huber loss, see alpha"},
		{Name: "fair", Text: "Fair loss, see fair_c"},
		{Name: "poisson", Text: "Poisson regression, log link"},
		{Name: "quantile", Text: "quantile regression, see alpha"},
		{Name: "mape", Aliases: []string{"mean_absolute_percentage_error"}, Text: "absolute error relative to the label"},
		{Name: "gamma", Text: "Gamma regression, log link"},
		{Name: "tweedie", Text: "Tweedie regression, log link, see tweedie_variance_power"},
		{Name: "binary", Text: "two classes, labels 0 and 1"},
		{Name: "multiclass", Aliases: []string{"softmax"}, Text: "num_class classes, softmax"},
		{Name: "multiclassova", Aliases: []string{"multiclass_ova", "ova", "ovr"}, Text: "num_class classes, one against the rest"},
		{Name: "cross_entropy", Aliases: []string{"xentropy"}, Text: "labels in [0, 1], logistic"},
		{Name: "cross_entropy_lambda", Aliases: []string{"xentlambda"}, Text: "labels in [0, 1], intensity"},
		{Name: "lambdarank", Text: "ranking within queries, LambdaMART"},
		{
			Name: "rank_xendcg", Aliases: []string{"xendcg", "xe_ndcg", "xe_ndcg_mart", "xendcg_mart"},
			Text: "ranking within queries, cross entropy surrogate of NDCG",
		},
		{
			Name: "custom", Aliases: []string{"none", "null", "na"}, Text: "gradients given by a program",
			Status: NotYet,
		},
	}
}
