"""Makes dump/NAME.json of every model here: what LightGBM's dump_model says.

Run in an environment with lightgbm 4.7.0, after make.py:

    python dump.py
"""

import json
import pathlib

import lightgbm as lgb

HERE = pathlib.Path(__file__).parent


def main():
    (HERE / "dump").mkdir(exist_ok=True)
    for model in sorted(HERE.glob("*.txt")):
        dump = lgb.Booster(model_file=str(model)).dump_model()
        with open(HERE / "dump" / f"{model.stem}.json", "w") as f:
            json.dump(dump, f, separators=(",", ":"))
            f.write("\n")


if __name__ == "__main__":
    main()
