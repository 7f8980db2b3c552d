"""Writes the fixture lightgbm-4.7.0-parameters.tsv; see README.md.

Usage: python extract.py LIGHTGBM_SOURCE > lightgbm-4.7.0-parameters.tsv
"""

import pathlib
import re
import sys

source = pathlib.Path(sys.argv[1])
header = (source / "include/LightGBM/config.h").read_text()
auto = (source / "src/io/config_auto.cpp").read_text()

aliases_part = auto[auto.index("Config::parameter2aliases()"):auto.index("Config::ParameterTypes()")]
aliases = {
    name: re.findall(r'"(\w+)"', listed)
    for name, listed in re.findall(r'\{"(\w+)", \{(.*?)\}\}', aliases_part)
}
saved = re.findall(r'"\[(\w+): ', auto[auto.index("Config::SaveMembersToString()"):])
checks = {}
for operator, name, limit in re.findall(r"CHECK_(G[ET]|L[ET])\((\w+),\s*([-\d.]+)\)", auto):
    sign = {"GT": ">", "GE": ">=", "LT": "<", "LE": "<="}[operator]
    checks.setdefault(name, []).append(f"{sign} {float(limit):g}")

constants = {"kDefaultNumLeaves": "31", "TaskType::kTrain": "train"}
members = {}
region = header[header.index("#pragma region Core Parameters"):header.index("file_load_progress_interval_bytes")]
for kind, name, default in re.findall(r"^  ([\w:<>]+) (\w+)(?: = (.*?))?;$", region, re.MULTILINE):
    default = constants.get(default, default).strip('"')
    members[name] = (kind, default)

print("name", "type", "default", "saved", "checks", "aliases", sep="\t")
for name, (kind, default) in members.items():
    print(name, kind, default, int(name in saved), ", ".join(checks.get(name, [])), ",".join(aliases.pop(name)), sep="\t")
assert not aliases, aliases
