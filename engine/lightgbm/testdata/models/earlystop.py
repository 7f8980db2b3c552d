"""Makes earlystop/scores.json: LightGBM's raw scores with pred_early_stop.

Run in an environment with lightgbm 4.7.0, after make.py:

    python earlystop.py

For each model, pair of pred_early_stop_freq and pred_early_stop_margin, and
range of iterations: the raw scores of the rows of NAME.json.
"""

import json
import pathlib

import lightgbm as lgb
import numpy as np

HERE = pathlib.Path(__file__).parent
NAMES = ["binary", "dart", "multiclass", "multiclassova", "lambdarank", "rank_xendcg", "regression", "cross_entropy", "custom"]


def main():
    cases = []
    for name in NAMES:
        booster = lgb.Booster(model_file=str(HERE / f"{name}.txt"))
        rows = json.loads((HERE / f"{name}.json").read_text())["rows"]
        rows = np.array([[np.nan if v is None else v for v in row] for row in rows])
        for freq, margin, start in [(1, 0.5, 0), (1, 2.0, 1), (2, 1.5, 0), (2, 0.0, 0), (3, 1.0, 0), (50, 0.0, 0)]:
            raw = booster.predict(
                rows, raw_score=True, start_iteration=start, pred_early_stop=True,
                pred_early_stop_freq=freq, pred_early_stop_margin=margin,
            )
            cases.append(
                {
                    "model": name, "freq": freq, "margin": margin, "start": start,
                    "raw": np.asarray(raw).reshape(len(rows), -1).tolist(),
                }
            )
    with open(HERE / "earlystop" / "scores.json", "w") as f:
        json.dump(cases, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    (HERE / "earlystop").mkdir(exist_ok=True)
    main()
