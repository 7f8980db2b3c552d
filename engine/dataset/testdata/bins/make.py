"""Write lightgbm.json: the bins that LightGBM finds for generated features.

Run with Python 3 and lightgbm 4.7.0 installed: python make.py
"""

import ctypes
import json
import pathlib
import struct
import tempfile

import lightgbm as lgb
import numpy as np

MASK = (1 << 64) - 1


class Generator:
    """splitmix64; the Go test has the same."""

    def __init__(self, seed):
        self.state = seed

    def next(self):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return z ^ (z >> 31)

    def unit(self):
        return (self.next() >> 11) / 9007199254740992.0


def bell(g):
    total = 0.0
    for _ in range(12):
        total += g.unit()
    return total - 6.0


def value(kind, g):
    """One value of a feature; every branch draws its numbers in this order."""
    if kind == "uniform":
        return g.unit()
    if kind == "bell":
        return bell(g)
    if kind == "bell with gaps":
        u = g.unit()
        v = bell(g)
        return float("nan") if u < 0.1 else v
    if kind == "mostly zero":
        u = g.unit()
        v = bell(g)
        return v if u < 0.05 else 0.0
    if kind == "zero and gaps":
        u = g.unit()
        v = bell(g)
        return v if u < 0.3 else (0.0 if u < 0.6 else float("nan"))
    if kind == "negative":
        return -1.0 - g.unit()
    if kind == "counts":
        return float(int(g.unit() * g.unit() * 40.0))
    if kind == "signed counts":
        return float(int(g.unit() * g.unit() * 40.0)) - 3.0
    if kind == "spike":
        u = g.unit()
        v = bell(g)
        return 7.25 if u < 0.75 else v
    if kind == "spikes":
        u = g.unit()
        v = bell(g)
        return 0.5 if u < 0.2 else (0.75 if u < 0.4 else v)
    if kind == "constant":
        return 4.5
    if kind == "zero":
        return 0.0
    if kind == "missing":
        return float("nan")
    if kind == "neighbours":
        bits = struct.unpack("<Q", struct.pack("<d", 1.0))[0] + int(g.unit() * 9.0)
        return struct.unpack("<d", struct.pack("<Q", bits))[0]
    if kind == "tiny":
        bits = int(g.unit() * 16.0)
        return [0.0, -0.0, 5e-324, -5e-324, 1e-310, 1e-36, -1e-36, 1e-35,
                -1e-35, 1.1e-35, -1.1e-35, 1e-34, -1e-34, 1e-30, -1e-30, 1.0][bits]
    if kind == "huge":
        return bell(g) * 1e307
    if kind == "wide":
        return (g.unit() - 0.5) * (1 << int(g.unit() * 60.0))
    if kind == "binary":
        return 1.0 if g.unit() < 0.5 else 0.0
    if kind == "rare":
        return 1.0 if g.unit() < 0.012 else 0.0
    if kind == "plus minus":
        return 1.0 if g.unit() < 0.5 else -1.0
    if kind == "level":
        return float(int(g.unit() * g.unit() * g.unit() * 30.0))
    if kind == "many levels":
        return float(int(g.unit() * g.unit() * 900.0))
    if kind == "level with gaps":
        u = g.unit()
        v = float(int(g.unit() * g.unit() * 12.0))
        return float("nan") if u < 0.1 else v
    if kind == "level with negative":
        return float(int(g.unit() * g.unit() * 12.0)) - 2.0
    if kind == "level from one":
        return float(int(g.unit() * g.unit() * 6.0)) + 1.0
    if kind == "big levels":
        return float(int(g.unit() * g.unit() * 6.0)) * 100000.0 + 70000.0
    raise ValueError(kind)


NUMERICAL = ["uniform", "bell", "bell with gaps", "mostly zero", "zero and gaps", "negative",
             "counts", "signed counts", "spike", "spikes", "constant", "zero", "missing",
             "neighbours", "tiny", "huge", "wide", "binary", "rare", "plus minus"]
CATEGORICAL = ["level", "many levels", "level with gaps", "level with negative",
               "level from one", "big levels", "binary", "rare", "missing", "zero"]

CASES = [
    {"name": "defaults", "rows": 1000, "params": {}},
    {"name": "more values than bins", "rows": 5000, "params": {}},
    {"name": "one row", "rows": 1, "params": {"min_data_in_bin": 1, "feature_pre_filter": False}},
    {"name": "seven rows", "rows": 7, "params": {"min_data_in_bin": 1, "min_data_in_leaf": 1}},
    {"name": "filtered", "rows": 300, "params": {"min_data_in_leaf": 100}},
    {"name": "no missing", "rows": 1500, "params": {"use_missing": False}},
    {"name": "zero missing", "rows": 1500, "params": {"zero_as_missing": True}},
    {"name": "two bins", "rows": 800, "params": {"max_bin": 2}},
    {"name": "three bins", "rows": 800, "params": {"max_bin": 3}},
    {"name": "sixteen bins", "rows": 2000, "params": {"max_bin": 16}},
    {"name": "sixteen bins, zero missing", "rows": 2000,
     "params": {"max_bin": 16, "zero_as_missing": True, "min_data_in_bin": 1}},
    {"name": "four hundred bins", "rows": 1500, "params": {"max_bin": 400, "min_data_in_bin": 1}},
    {"name": "full bins", "rows": 1000, "params": {"min_data_in_bin": 40}},
    {"name": "forced bounds", "rows": 1200, "params": {"max_bin": 12},
     "forced": [-2.0, -0.25, 0.0, 0.5, 1.0, 3.0]},
    {"name": "forced bounds beyond the limit", "rows": 1200, "params": {"max_bin": 4},
     "forced": [-2.0, -0.25, 0.0, 0.5, 1.0, 3.0]},
    {"name": "limits by feature", "rows": 1600,
     "params": {"max_bin_by_feature": [2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 233, 377, 2, 4, 6, 610, 7, 2, 9, 300,
                                       2, 3, 4, 5, 6, 300, 2, 255, 3, 2]}},
    {"name": "limits by feature, zero missing", "rows": 1600,
     "params": {"zero_as_missing": True, "max_bin": 7, "min_data_in_bin": 1,
                "max_bin_by_feature": [40 - i for i in range(30)]}},
    {"name": "limits by feature and forced bounds", "rows": 1200,
     "params": {"max_bin_by_feature": [2 + i for i in range(30)]},
     "forced": [-2.0, -0.25, 0.0, 0.5, 1.0, 3.0]},
]


class Reader:
    """Reads LightGBM's serialized reference (Dataset::SerializeReference)."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt, aligned=True):
        size = struct.calcsize("<" + fmt)
        out = struct.unpack_from("<" + fmt, self.data, self.at)
        self.at += (size + 7) // 8 * 8 if aligned else size
        return out


def mappers(dataset):
    handle, length = ctypes.c_void_p(), ctypes.c_int32()
    lib = lgb.basic._LIB
    lgb.basic._safe_call(lib.LGBM_DatasetSerializeReferenceToBinary(
        dataset._handle, ctypes.byref(handle), ctypes.byref(length)))
    data = bytearray(length.value)
    byte = ctypes.c_uint8()
    for i in range(length.value):
        lgb.basic._safe_call(lib.LGBM_ByteBufferGetAt(handle, i, ctypes.byref(byte)))
        data[i] = byte.value
    lgb.basic._safe_call(lib.LGBM_ByteBufferFree(handle))

    r = Reader(bytes(data))
    token = b"______LightGBM_Binary_Serialized_Token______\n"
    assert data.startswith(token), data[:60]
    r.at = (len(token) + 7) // 8 * 8
    r.take("2s")
    (header,) = r.take("Q", aligned=False)
    start = r.at
    r.take("i")
    (features,) = r.take("i")
    (total,) = r.take("i")
    for fmt in "iiii??" + "?":
        r.take(fmt)
    used = r.take(f"{total}i")
    r.at = start + header
    found = []
    for _ in range(features):
        (size,) = r.take("Q", aligned=False)
        end = r.at + size
        for fmt in "???":
            r.take(fmt)
        (count,) = r.take("i")
        assert count == 1
        bins, missing, trivial = r.take("i")[0], r.take("i")[0], r.take("?")[0]
        assert not trivial
        rate = r.take("d")[0]
        categorical = r.take("i")[0]
        low, high = r.take("d")[0], r.take("d")[0]
        default, frequent = r.take("I")[0], r.take("I")[0]
        m = {"bins": bins, "missing": missing, "sparse_rate": rate.hex(), "min": low.hex(),
             "max": high.hex(), "default_bin": default, "most_freq_bin": frequent}
        if categorical:
            m["categories"] = list(r.take(f"{bins}i", aligned=False))
        else:
            m["upper_bound"] = [v.hex() for v in r.take(f"{bins}d", aligned=False)]
        r.at = end
        found.append(m)
    return [found[i] if i >= 0 else None for i in used]


def run(case, number):
    params = dict(case["params"], verbosity=-1, enable_bundle=False,
                  bin_construct_sample_cnt=1000000, num_threads=1)
    kinds = [(k, False) for k in NUMERICAL] + [(k, True) for k in CATEGORICAL]
    columns = []
    for i, (kind, _) in enumerate(kinds):
        g = Generator(1000 * number + i)
        columns.append([value(kind, g) for _ in range(case["rows"])])
    matrix = np.array(columns, dtype=np.float64).T.copy()
    with tempfile.TemporaryDirectory() as folder:
        if "forced" in case:
            path = pathlib.Path(folder, "forced.json")
            path.write_text(json.dumps([{"feature": i, "bin_upper_bound": case["forced"]}
                                        for i in range(len(NUMERICAL))]))
            params["forcedbins_filename"] = str(path)
        dataset = lgb.Dataset(matrix, label=np.arange(len(matrix)) % 2, params=params,
                              categorical_feature=list(range(len(NUMERICAL), len(kinds))),
                              free_raw_data=False).construct()
        booster = lgb.Booster(dict(params, objective="binary"), dataset)
        text = booster.model_to_string()
    infos = next(x for x in text.splitlines() if x.startswith("feature_infos="))
    infos = infos[len("feature_infos="):].split(" ")
    features = []
    for (kind, categorical), info, m in zip(kinds, infos, mappers(dataset), strict=True):
        features.append({"kind": kind, "categorical": categorical, "info": info, "mapper": m})
    return dict(case, number=number, features=features)


def main():
    assert lgb.__version__ == "4.7.0", lgb.__version__
    cases = [run(case, i) for i, case in enumerate(CASES)]
    path = pathlib.Path(__file__).with_name("lightgbm.json")
    path.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
