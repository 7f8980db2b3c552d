"""Makes lightgbm.json with LightGBM 4.7.0 (PyPI); see README.md."""

import json
import pathlib

import lightgbm as lgb
import numpy as np

ROWS = 90
BASE = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 6, "deterministic": True}


def case(name, params, label, weight, group, models):
    rng = np.random.default_rng(sum(map(ord, name)))
    x = rng.normal(size=(ROWS, 3)) + 0.3 * np.asarray(label).reshape(-1, 1)
    options = BASE | params
    train = lgb.Dataset(x[::-1], label[::-1], group=None if group is None else group[::-1], params=options)
    valid = lgb.Dataset(x, label, weight=weight, group=group, reference=train, params=options)
    record = {}
    model = lgb.train(options, train, 4, valid_sets=[valid], callbacks=[lgb.record_evaluation(record)])
    raw = np.asarray(model.predict(x, raw_score=True)).reshape(ROWS, models).T.reshape(-1)
    return {"name": name, "params": params, "label": label.tolist(), "weight": weight,
            "group": None if group is None else group, "scores": raw.tolist(),
            "values": {k: v[-1] for k, v in record["valid_0"].items()}}


def main():
    rng = np.random.default_rng(3)
    weight = [float(np.float32(w)) for w in rng.uniform(0.2, 3, ROWS)]
    real = np.round(rng.normal(size=ROWS) * 3, 2)
    counts = rng.poisson(2, ROWS).astype(float)
    positive = np.round(rng.gamma(2, size=ROWS) + 0.01, 3)
    binary = (rng.uniform(size=ROWS) < 0.4).astype(float)
    classes = rng.integers(0, 4, ROWS).astype(float)
    shares = np.round(rng.uniform(size=ROWS), 3)
    shares[:4] = [0, 1, 0, 1]
    relevance = rng.integers(0, 5, ROWS).astype(float)
    group = [1, 9, 20, 10, 20, 25, 5]
    relevance[10:30] = 0
    relevance[85:] = 3
    errors = "l1,l2,rmse,quantile,huber,fair,mape,r2"
    costs = rng.uniform(0.5, 2, (4, 4))
    np.fill_diagonal(costs, 0)
    plain = [
        ("regression", {"objective": "regression", "metric": errors, "alpha": 0.7, "fair_c": 1.4}, real),
        ("sqrt", {"objective": "regression", "reg_sqrt": True, "metric": errors}, real),
        ("poisson", {"objective": "poisson", "metric": "poisson,l2,tweedie", "tweedie_variance_power": 1.2}, counts),
        ("gamma", {"objective": "gamma", "metric": "gamma,gamma_deviance,l2"}, positive),
        ("tweedie", {"objective": "tweedie", "metric": "tweedie,poisson"}, counts),
        ("binary", {"objective": "binary", "sigmoid": 1.7,
                    "metric": "binary_logloss,binary_error,auc,average_precision,l2"}, binary),
        ("cross_entropy", {"objective": "cross_entropy", "metric": "cross_entropy,kullback_leibler,auc"}, shares),
        ("cross_entropy_lambda", {"objective": "cross_entropy_lambda", "metric": "cross_entropy_lambda"}, shares),
        ("multiclass", {"objective": "multiclass", "num_class": 4, "metric": "multi_logloss,multi_error,auc_mu"}, classes),
        ("multiclass top", {"objective": "multiclass", "num_class": 4, "metric": "multi_error,auc_mu",
                            "multi_error_top_k": 2, "auc_mu_weights": ",".join(map(str, costs.ravel()))}, classes),
        ("multiclassova", {"objective": "multiclassova", "num_class": 4, "metric": "multi_logloss,multi_error"}, classes),
        ("lambdarank", {"objective": "lambdarank", "metric": "ndcg,map"}, relevance),
        ("lambdarank at", {"objective": "lambdarank", "metric": "ndcg,map", "eval_at": "10,3,1,100",
                           "label_gain": "0,1,4,5,12"}, relevance),
    ]
    cases = []
    for name, params, label in plain:
        for weights in (None, weight):
            cases.append(case(name + (" weighted" if weights else ""), params, label, weights,
                              group if "rank" in name else None, params.get("num_class", 1)))
    path = pathlib.Path(__file__).with_name("lightgbm.json")
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
