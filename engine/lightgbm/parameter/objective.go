package parameter

// objective declares the options of objectives.
func objective() []Parameter {
	return []Parameter{
		{
			Name: "objective_seed", Type: Int, Default: "5",
			Text:   "Seed of objectives that draw random numbers: rank_xendcg.",
			Status: Supported,
		},
		{
			Name: "num_class", Aliases: []string{"num_classes"}, Type: Int, Default: "1", Bounds: []Bound{above(0)},
			Text:   "Number of classes, for multiclass and multiclassova.",
			Status: Supported,
		},
		{
			Name: "is_unbalance", Aliases: []string{"unbalance", "unbalanced_sets"}, Type: Bool, Default: "false",
			Text:   "Weight the rarer class up, for binary and multiclassova; probabilities become poor estimates. Excludes scale_pos_weight.",
			Status: Supported,
		},
		{
			Name: "scale_pos_weight", Type: Float, Default: "1.0", Bounds: []Bound{above(0)},
			Text:   "Weight of positive rows, for binary and multiclassova. Excludes is_unbalance.",
			Status: Supported,
		},
		{
			Name: "sigmoid", Type: Float, Default: "1.0", Bounds: []Bound{above(0)},
			Text:   "Slope of the sigmoid, for binary, multiclassova and lambdarank.",
			Status: Supported,
		},
		{
			Name: "boost_from_average", Type: Bool, Default: "true",
			Text:   "Start from the best constant instead of 0.",
			Status: Supported,
		},
		{
			Name: "reg_sqrt", Type: Bool, Default: "false",
			Text:   "Fit the square root of the label and square the predictions, for regression.",
			Status: Supported,
		},
		{
			Name: "alpha", Type: Float, Default: "0.9", Bounds: []Bound{above(0)},
			Text:   "Where huber goes over from square to absolute error; the quantile of quantile.",
			Status: Supported,
		},
		{
			Name: "fair_c", Type: Float, Default: "1.0", Bounds: []Bound{above(0)},
			Text:   "Scale of fair.",
			Status: Supported,
		},
		{
			Name: "poisson_max_delta_step", Type: Float, Default: "0.7", Bounds: []Bound{above(0)},
			Text:   "Safeguard on the second derivative of poisson.",
			Status: Supported,
		},
		{
			Name: "tweedie_variance_power", Type: Float, Default: "1.5", Bounds: []Bound{atLeast(1), below(2)},
			Text:   "Variance power of tweedie: near 1 like Poisson, near 2 like Gamma.",
			Status: Supported,
		},
		{
			Name: "lambdarank_truncation_level", Type: Int, Default: "30", Bounds: []Bound{above(0)},
			Text:   "Pairs count for lambdarank if one of the two is ranked so high; choose a little more than the k of NDCG@k.",
			Status: Supported,
		},
		{
			Name: "lambdarank_norm", Type: Bool, Default: "true",
			Text:   "Give queries of different size and spread comparable gradients, for lambdarank.",
			Status: Supported,
		},
		{
			Name: "label_gain", Type: Floats, DefaultText: "0,1,3,7,15,31,63,...,2^30-1",
			Text:   "Gain of each label 0, 1, 2, … of a ranking.",
			Status: Supported,
		},
		{
			Name: "lambdarank_position_bias_regularization", Type: Float, Default: "0.0", Bounds: []Bound{atLeast(0)},
			Text:   "Pulls the position bias that lambdarank learns to nothing.",
			Status: Supported,
		},
	}
}

// metric declares the metrics and their options.
func metric() []Parameter {
	return []Parameter{
		{
			Name: "metric", Aliases: []string{"metrics", "metric_types"}, Type: Enums,
			DefaultText: "the objective's own", Unsaved: true, Values: metrics(),
			Text:   "Metrics to compute, separated by commas; None for none.",
			Status: Supported,
		},
		{
			Name: "metric_freq", Aliases: []string{"output_freq"},
			Type: Int, Default: "1", Bounds: []Bound{above(0)}, Unsaved: true,
			Text:   "Iterations between lines of metrics in the log.",
			Status: Supported,
		},
		{
			Name:    "is_provide_training_metric",
			Aliases: []string{"training_metric", "is_training_metric", "train_metric"},
			Type:    Bool, Default: "false", Unsaved: true,
			Text:   "Compute metrics on the training data too.",
			Status: Supported,
		},
		{
			Name: "eval_at", Aliases: []string{"ndcg_eval_at", "ndcg_at", "map_eval_at", "map_at"},
			Type: Ints, DefaultText: "1,2,3,4,5", Bounds: []Bound{above(0)},
			Text:   "Positions k of NDCG@k and MAP@k.",
			Status: Supported,
		},
		{
			Name: "multi_error_top_k", Type: Int, Default: "1", Bounds: []Bound{above(0)},
			Text:   "multi_error counts a row as right if its class is among so many best.",
			Status: Supported,
		},
		{
			Name: "auc_mu_weights", Type: Floats,
			Text:   "Costs of errors for auc_mu, num_class × num_class numbers row by row; all alike by default.",
			Status: Supported,
		},
	}
}

// metrics lists the values of metric.
func metrics() []Value {
	return []Value{
		{Name: "l1", Aliases: []string{"mean_absolute_error", "mae", "regression_l1"}, Text: "absolute error"},
		{Name: "l2", Aliases: []string{"mean_squared_error", "mse", "regression_l2", "regression"}, Text: "squared error"},
		{Name: "rmse", Aliases: []string{"root_mean_squared_error", "l2_root"}, Text: "root of the mean squared error"},
		{Name: "quantile", Text: "loss of objective=quantile"},
		{Name: "mape", Aliases: []string{"mean_absolute_percentage_error"}, Text: "absolute error relative to the label"},
		{Name: "huber", Text: "Huber loss"},
		{Name: "fair", Text: "Fair loss"},
		{Name: "poisson", Text: "negative log-likelihood of the Poisson distribution"},
		{Name: "gamma", Text: "negative log-likelihood of the Gamma distribution"},
		{Name: "gamma_deviance", Text: "residual deviance of the Gamma distribution"},
		{Name: "tweedie", Text: "negative log-likelihood of the Tweedie distribution"},
		{
			Name:    "ndcg",
			Aliases: []string{"lambdarank", "rank_xendcg", "xendcg", "xe_ndcg", "xe_ndcg_mart", "xendcg_mart"},
			Text:    "normalised discounted cumulative gain",
		},
		{Name: "map", Aliases: []string{"mean_average_precision"}, Text: "mean average precision over queries"},
		{Name: "auc", Text: "area under the ROC curve"},
		{Name: "average_precision", Text: "average precision"},
		{Name: "r2", Text: "coefficient of determination"},
		{Name: "binary_logloss", Aliases: []string{"binary"}, Text: "log loss of two classes"},
		{Name: "binary_error", Text: "error rate of two classes"},
		{Name: "auc_mu", Text: "AUC-mu of several classes"},
		{
			Name:    "multi_logloss",
			Aliases: []string{"multiclass", "softmax", "multiclassova", "multiclass_ova", "ova", "ovr"},
			Text:    "log loss of several classes",
		},
		{Name: "multi_error", Text: "error rate of several classes"},
		{Name: "cross_entropy", Aliases: []string{"xentropy"}, Text: "cross entropy"},
		{Name: "cross_entropy_lambda", Aliases: []string{"xentlambda"}, Text: "cross entropy by intensity"},
		{Name: "kullback_leibler", Aliases: []string{"kldiv"}, Text: "Kullback-Leibler divergence"},
		{Name: "custom", Aliases: []string{"none", "null", "na"}, Text: "no metric"},
	}
}
