"""Makes the model fixtures of this directory with real LightGBM.

Run in an environment with lightgbm 4.7.0, numpy, pandas and scikit-learn:

    python make.py

Each NAME.txt is a model as LightGBM wrote it; NAME.json has rows (null is
NaN) and what LightGBM predicts for them: raw scores, outputs, leaf indices
and contributions.
"""

import json
import pathlib

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

HERE = pathlib.Path(__file__).parent
BASE = {
    "verbose": -1,
    "num_threads": 1,
    "deterministic": True,
    "force_row_wise": True,
    "seed": 7,
    "num_leaves": 15,
    "min_data_in_leaf": 5,
    "learning_rate": 0.2,
}


def finite(a):
    return [[None if np.isnan(v) else float(v) for v in row] for row in np.atleast_2d(a)]


def save(name, booster, rows, contrib=True, importance="split", resave=False):
    path = HERE / f"{name}.txt"
    booster.save_model(str(path), importance_type=importance)
    loaded = lgb.Booster(model_file=str(path))
    if resave:
        loaded.save_model(str(path))
    rows = np.asarray(rows, dtype=np.float64)

    def columns(a):
        return np.asarray(a, dtype=np.float64).reshape(len(rows), -1)

    out = {
        "rows": finite(rows),
        "raw": finite(columns(loaded.predict(rows, raw_score=True))),
        "output": finite(columns(loaded.predict(rows))),
        "leaf": columns(loaded.predict(rows, pred_leaf=True)).astype(int).tolist(),
    }
    if contrib:
        out["contrib"] = finite(columns(loaded.predict(rows, pred_contrib=True)))
    with open(HERE / f"{name}.json", "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


def train(params, x, y, rounds, categorical="auto", **more):
    data = lgb.Dataset(x, y, categorical_feature=categorical, params={"verbose": -1}, **more)
    return lgb.train({**BASE, **params}, data, rounds, keep_training_booster=True)


def holes(x, rng, share, value=np.nan):
    x = x.copy()
    x[rng.random(x.shape) < share] = value
    return x


def sample(x, n, rng):
    """n rows of x, some of their values replaced by awkward ones."""
    rows = np.array(x[rng.choice(len(x), n, replace=False)], dtype=np.float64)
    awkward = [np.nan, 0.0, -0.0, 1e-36, -1e-36, 1e-34, 1e300, -1e300]
    for row in rows[: n // 2]:
        for j in rng.choice(rows.shape[1], max(1, rows.shape[1] // 3), replace=False):
            row[j] = awkward[rng.integers(len(awkward))]
    return rows


def with_categories(rng, n):
    """Two categorical columns (one of 3, one of 150 values) and two numbers."""
    few = rng.integers(0, 3, n).astype(float)
    many = np.minimum(rng.integers(0, 150, n), rng.integers(0, 150, n)).astype(float)
    a, b = rng.normal(size=n), rng.normal(size=n)
    effect = rng.normal(size=150)
    y = effect[many.astype(int)] + np.where(few == 1, a, -0.5 * b) + 0.3 * rng.normal(size=n)
    many[rng.random(n) < 0.03] = np.nan
    return np.column_stack([few, many, a, b]), y


def category_rows(x, rng):
    rows = sample(x, 24, rng)
    odd = [np.nan, -1, -0.5, 0.9, 1.5, 149, 150, 1000, 3e9, -3e9, 1e300, 31.999, 32]
    extra = np.array(x[: len(odd)], dtype=np.float64)
    extra[:, 1] = odd
    extra[:, 0] = odd[::-1]
    return np.vstack([rows, extra])


def main():
    rng = np.random.default_rng(4)
    cancer = load_breast_cancer()
    cx, cy = cancer.data[:, :12], cancer.target
    cnames = [n.replace(" ", "_") for n in cancer.feature_names[:12]]
    dx, dy = load_diabetes(return_X_y=True, scaled=False)
    ix, iy = load_iris(return_X_y=True)

    nan = holes(cx, rng, 0.1)
    save("binary", train({"objective": "binary"}, nan, cy, 6, feature_name=cnames), sample(nan, 20, rng))
    save(
        "binary_resaved",
        train({"objective": "binary", "sigmoid": 0.7, "num_leaves": 6}, cx, cy, 3),
        sample(cx, 8, rng),
        resave=True,
    )
    save("multiclass", train({"objective": "multiclass", "num_class": 3, "num_leaves": 7}, ix, iy, 4), sample(ix, 16, rng))
    save(
        "multiclassova",
        train({"objective": "multiclassova", "num_class": 3, "num_leaves": 5, "sigmoid": 1.3}, ix, iy, 2),
        sample(ix, 8, rng),
    )
    zero = holes(dx, rng, 0.2, 0.0)
    save("zero_missing", train({"objective": "regression", "zero_as_missing": True}, zero, dy, 5), sample(zero, 24, rng))
    save(
        "regression",
        train(
            {"objective": "regression", "monotone_constraints": [0, 0, 1, 1, 0, 0, -1, 0, 0, 0], "bagging_fraction": 0.7, "bagging_freq": 1},
            dx,
            dy,
            5,
        ),
        sample(dx, 16, rng),
        importance="gain",
    )
    x, y = with_categories(rng, 1500)
    save(
        "categorical",
        train({"objective": "regression", "min_data_per_group": 10, "cat_smooth": 2}, x, y, 6, categorical=[0, 1]),
        category_rows(x, rng),
    )
    frame = pd.DataFrame(x[:600], columns=["few", "many", "a", "b"])
    frame["few"] = pd.Categorical(frame["few"].map({0: "red", 1: 'gr"een', 2: "blé"}))
    frame["many"] = pd.Categorical((frame["many"] % 20).astype("Int64"))
    codes = frame.copy()
    for c in ("few", "many"):
        codes[c] = codes[c].cat.codes.replace(-1, np.nan)
    save(
        "pandas",
        train({"objective": "regression_l1", "num_leaves": 8, "min_data_per_group": 10}, frame, y[:600], 4),
        category_rows(codes.to_numpy(dtype=float), rng),
    )
    save("linear", train({"objective": "regression", "linear_tree": True, "num_leaves": 6}, nan, cy, 4), sample(nan, 24, rng), contrib=False)
    save(
        "linear_categorical",
        train({"objective": "regression", "linear_tree": True, "num_leaves": 6}, x, y, 3, categorical=[0, 1]),
        category_rows(x, rng),
        contrib=False,
    )
    relevance = np.digitize(dy, [80, 130, 200])
    save(
        "lambdarank",
        train({"objective": "lambdarank", "num_leaves": 6}, dx, relevance, 4, group=[17] * 26),
        sample(dx, 12, rng),
    )
    save(
        "rf",
        train({"objective": "binary", "boosting": "rf", "bagging_fraction": 0.6, "bagging_freq": 1, "num_leaves": 6}, nan, cy, 4),
        sample(nan, 12, rng),
    )
    save(
        "dart",
        train({"objective": "binary", "boosting": "dart", "num_leaves": 5, "drop_rate": 0.5}, cx, cy, 5),
        sample(cx, 8, rng),
    )
    save("poisson", train({"objective": "poisson", "num_leaves": 5}, dx, dy, 2), sample(dx, 6, rng))
    save("gamma", train({"objective": "gamma", "num_leaves": 5}, dx, dy, 2), sample(dx, 6, rng))
    save("tweedie", train({"objective": "tweedie", "num_leaves": 5}, dx, dy, 2), sample(dx, 6, rng))
    save("sqrt", train({"objective": "regression", "reg_sqrt": True, "num_leaves": 5}, dx, dy - 100, 2), sample(dx, 6, rng))
    save("cross_entropy", train({"objective": "cross_entropy", "num_leaves": 5}, dx, dy / 400, 2), sample(dx, 6, rng))
    save("cross_entropy_lambda", train({"objective": "cross_entropy_lambda", "num_leaves": 5}, dx, dy / 400, 2), sample(dx, 6, rng))
    for objective in ("huber", "fair", "quantile", "mape"):
        save(objective, train({"objective": objective, "num_leaves": 4}, dx, dy, 1), sample(dx, 4, rng))
    save(
        "rank_xendcg",
        train({"objective": "rank_xendcg", "num_leaves": 4}, dx, relevance, 1, group=[17] * 26),
        sample(dx, 4, rng),
    )

    def custom(score, data):
        return score - data.get_label(), np.ones_like(score)

    save("custom", train({"objective": custom, "num_leaves": 4}, dx, dy, 2), sample(dx, 4, rng))
    save("stump", train({"objective": "regression", "min_data_in_leaf": 400}, dx, dy, 3), sample(dx, 3, rng))
    save("stump_resaved", train({"objective": "regression", "min_data_in_leaf": 400}, dx, dy, 3), sample(dx, 3, rng), resave=True)
    one_class = np.where(iy == 2, 1, iy)
    save(
        "missing_class",
        train({"objective": "multiclass", "num_class": 3, "num_leaves": 4}, ix, one_class, 2),
        sample(ix, 6, rng),
    )
    wide = np.zeros((300, 4))
    wide[:, 2] = rng.normal(size=300)
    save("unused_features", train({"objective": "regression", "num_leaves": 4}, wide, wide[:, 2] ** 3, 2), sample(wide, 6, rng))


if __name__ == "__main__":
    main()
