"""Writes modeltext/NAME.txt from modeltext/NAME.conf with LightGBM; see README.md.

Usage: python modeltext.py (needs lightgbm 4.7.0 and numpy)
"""

import pathlib

import lightgbm
import numpy

assert lightgbm.__version__ == "4.7.0"
folder = pathlib.Path(__file__).parent / "modeltext"
generator = numpy.random.default_rng(0)
features = generator.integers(0, 9, size=(200, 4)).astype(float)
label = (features[:, 0] > 4).astype(int)

for conf in sorted(folder.glob("*.conf")):
    parameters = {}
    for line in conf.read_text().splitlines():
        line = line.partition("#")[0].strip()
        if line:
            key, _, value = line.partition("=")
            key, value = key.strip(), value.strip()
            parameters[key] = int(value) if key in ("num_iterations", "n_iter") else value
    rows = lightgbm.Dataset(features, label, params=parameters)
    if parameters.get("objective") in ("lambdarank", "rank_xendcg"):
        rows.set_group([20] * 10)
    text = lightgbm.train(parameters, rows).model_to_string()
    section = text.split("\nparameters:\n")[1].split("\nend of parameters")[0]
    conf.with_suffix(".txt").write_text(section)
