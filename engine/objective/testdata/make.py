"""Makes lightgbm.json with LightGBM 4.7.0 (PyPI); see README.md."""

import json
import pathlib

import lightgbm as lgb
import numpy as np

ROWS = 60
BASE = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 1, "min_data_in_bin": 1,
        "min_sum_hessian_in_leaf": 0, "learning_rate": 1, "boost_from_average": False,
        "max_bin": 1000, "feature_pre_filter": False, "deterministic": True}


def tree_numbers(text, key):
    return [[float(x) for x in line.split("=")[1].split()]
            for line in text.splitlines() if line.startswith(key + "=")]


def case(name, params, label, weight=None, group=None, models=1):
    rng = np.random.default_rng(len(name) + sum(map(ord, name)))
    scores = np.round(rng.normal(size=ROWS * models), 3)
    x = rng.permutation(ROWS).astype(float).reshape(-1, 1)

    def train(extra, init, data):
        train_set = lgb.Dataset(data, label, weight=weight, group=group, init_score=init, params=BASE | params | extra)
        return lgb.train(BASE | params | extra, train_set, 1)

    def init_scores():
        return scores.copy() if models == 1 else scores.reshape(models, ROWS).T.copy()

    out = {"name": name, "params": params, "label": label, "weight": weight, "models": models,
           "group": group, "scores": scores.tolist()}
    # LightGBM guesses the rows of a leaf from its hessians; where they differ
    # much, small leaves fail.
    for size in (1, 2, 3, 5, 8):
        try:
            text = train({"num_leaves": ROWS, "min_data_in_leaf": size}, init_scores(), x)
            break
        except lgb.basic.LightGBMError:
            continue
    out["leaf"] = np.asarray(text.predict(x, pred_leaf=True)).reshape(ROWS, models).T.astype(int).tolist()
    out["value"] = tree_numbers(text.model_to_string(), "leaf_value")
    out["hessian"] = tree_numbers(text.model_to_string(), "leaf_weight")
    out["line"] = next(line for line in text.model_to_string().splitlines() if line.startswith("objective="))[10:]
    few = train({"num_leaves": 5, "min_data_in_leaf": 7}, init_scores(), x)
    out["few_leaf"] = np.asarray(few.predict(x, pred_leaf=True)).reshape(ROWS, models).T.astype(int).tolist()
    out["few_value"] = tree_numbers(few.model_to_string(), "leaf_value")
    start = train({"boost_from_average": True, "min_data_in_leaf": ROWS}, None, x)
    out["start"] = np.asarray(start.predict(x[:1], raw_score=True)).reshape(-1).tolist()
    out["raw"] = np.asarray(text.predict(x[:5], raw_score=True)).reshape(5, models).tolist()
    out["prediction"] = np.asarray(text.predict(x[:5])).reshape(5, models).tolist()
    return out


def main():
    rng = np.random.default_rng(7)
    weight = [float(np.float32(w)) for w in rng.uniform(0.2, 3, ROWS)]
    real = np.round(rng.normal(size=ROWS) * 5, 2)
    counts = rng.poisson(2, ROWS).astype(float)
    positive = np.round(rng.gamma(2, size=ROWS) + 0.01, 3)
    binary = (rng.uniform(size=ROWS) < 0.3).astype(float)
    classes = rng.integers(0, 4, ROWS).astype(float)
    shares = np.round(rng.uniform(size=ROWS), 3)
    shares[:4] = [0, 1, 0, 1]
    relevance = rng.integers(0, 5, ROWS).astype(float)
    group = [1, 9, 20, 5, 25]
    plain = [
        ("regression", {"objective": "regression"}, real),
        ("regression sqrt", {"objective": "regression", "reg_sqrt": True}, real),
        ("regression_l1", {"objective": "regression_l1"}, real),
        ("regression_l1 sqrt", {"objective": "regression_l1", "reg_sqrt": True}, real),
        ("huber", {"objective": "huber", "alpha": 1.3}, real),
        ("fair", {"objective": "fair", "fair_c": 1.7}, real),
        ("quantile", {"objective": "quantile", "alpha": 0.8}, real),
        ("quantile low", {"objective": "quantile", "alpha": 0.15}, real),
        ("mape", {"objective": "mape"}, real),
        ("poisson", {"objective": "poisson", "poisson_max_delta_step": 0.6}, counts),
        ("gamma", {"objective": "gamma"}, positive),
        ("tweedie", {"objective": "tweedie", "tweedie_variance_power": 1.3}, counts),
        ("binary", {"objective": "binary"}, binary),
        ("binary sigmoid", {"objective": "binary", "sigmoid": 0.123456789}, binary),
        ("binary unbalance", {"objective": "binary", "is_unbalance": True, "sigmoid": 1.5}, binary),
        ("binary scale", {"objective": "binary", "scale_pos_weight": 2.5}, binary),
        ("multiclass", {"objective": "multiclass", "num_class": 4}, classes),
        ("multiclassova", {"objective": "multiclassova", "num_class": 4, "sigmoid": 2}, classes),
        ("cross_entropy", {"objective": "cross_entropy"}, shares),
        ("cross_entropy_lambda", {"objective": "cross_entropy_lambda"}, shares),
        ("lambdarank", {"objective": "lambdarank"}, relevance),
        ("lambdarank truncated", {"objective": "lambdarank", "lambdarank_truncation_level": 3, "sigmoid": 2}, relevance),
        ("lambdarank gains", {"objective": "lambdarank", "lambdarank_norm": False, "label_gain": "0,1,3,4,11"}, relevance),
        ("rank_xendcg", {"objective": "rank_xendcg", "objective_seed": 11}, relevance),
    ]
    cases = []
    for name, params, label in plain:
        models = params.get("num_class", 1)
        query = group if "rank" in name else None
        for weights in (None, weight):
            cases.append(case(name + (" weighted" if weights else ""), params, label.tolist(), weights, query, models))
    path = pathlib.Path(__file__).with_name("lightgbm.json")
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
