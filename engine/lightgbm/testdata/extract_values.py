"""Writes the fixture lightgbm-4.7.0-values.tsv; see README.md.

Usage: python extract_values.py LIGHTGBM_SOURCE > lightgbm-4.7.0-values.tsv
"""

import pathlib
import re
import sys

header = (pathlib.Path(sys.argv[1]) / "include/LightGBM/config.h").read_text()

print("parameter", "spelling", "canonical", sep="\t")
for parameter, function in (("objective", "ParseObjectiveAlias"), ("metric", "ParseMetricAlias")):
    body = header[header.index(f"inline std::string {function}"):]
    body = body[:body.index("\n}\n")]
    listed = {}
    for condition, canonical in re.findall(r'if \((.*?)\) \{\s*return "(\w+)";', body, re.DOTALL):
        for spelling in re.findall(r'std::string\("(\w+)"\)', condition):
            listed[spelling] = canonical
    if parameter == "objective":
        options = re.search(r"options = (regression, .*)", header).group(1).split(", ")
    else:
        documented = header[header.index("// alias = metrics, metric_types"):header.index("std::vector<std::string> metric;")]
        options = [name for name in re.findall(r"descl2 = ``(\w+)``", documented)]
    for name in options:
        listed.setdefault(name, name)
    for spelling, canonical in listed.items():
        print(parameter, spelling, canonical, sep="\t")
