"""Writes train.csv and test.csv from the table in scikit-learn.

    python make.py [FOLDER]

The numbers are copied as they are written in the table. The label comes first
and is turned round: 1 is malignant. Every fourth row is held out.
"""

import csv
import importlib.resources
import pathlib
import sys

MEASURES = [
    "radius", "texture", "perimeter", "area", "smoothness", "compactness",
    "concavity", "concave_points", "symmetry", "fractal_dimension",
]
HEADER = ["malignant"] + [f"{m}_{kind}" for kind in ("mean", "se", "worst") for m in MEASURES]


def main(folder):
    source = importlib.resources.files("sklearn.datasets.data") / "breast_cancer.csv"
    with source.open(newline="") as file:
        rows = csv.reader(file)
        first = next(rows)
        if first != ["569", "30", "malignant", "benign"]:
            sys.exit(f"another table than expected: {first}")
        table = [[{"0": "1", "1": "0"}[row[-1]]] + row[:-1] for row in rows]
    if len(table) != 569 or any(len(row) != len(HEADER) for row in table):
        sys.exit("another number of rows or columns than expected")

    held_out = [i % 4 == 3 for i in range(len(table))]
    for name, want in ("train.csv", False), ("test.csv", True):
        with open(folder / name, "w", newline="") as file:
            out = csv.writer(file, lineterminator="\n")
            out.writerow(HEADER)
            out.writerows(row for row, test in zip(table, held_out) if test == want)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
