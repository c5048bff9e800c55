"""The first hour: from nothing to a training set and a vector, by the commands of each quickstart.

Counted are what a newcomer types and waits for: commands, seconds, warnings on the screen, lines of
the files that `init` makes one's own. Both start in an empty folder with the package installed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Line, Options, found, lines, run_all
from benchmarks.peers.feast_env import VERSION, feast_python

HEADINGS = {
    "commands": "commands", "wall_s": "s", "slowest_s": "slowest s", "warnings": "warnings",
    "lines": "lines of files", "values": "values read",
}  # fmt: skip
_OURS = (
    "skewless init shop",
    "cd shop",
    "skewless apply --yes",
    "skewless push payments data/payments.csv --backdate",
    "skewless historical data/labels.csv fraud_model --timestamp at --out training.parquet",
    "skewless get fraud_model card_id=c1",
)
_FEASTS = (
    "feast init shop",
    "cd shop/feature_repo",
    "feast apply",
    "python train.py",
    "feast materialize-incremental {now}",
    "python read.py",
)
_TRAIN = """
from datetime import datetime
import pandas as pd
from feast import FeatureStore

store = FeatureStore(repo_path=".")
entities = pd.DataFrame({
    "driver_id": [1001, 1002, 1003],
    "event_timestamp": [
        datetime(2021, 4, 12, 10, 59, 42), datetime(2021, 4, 12, 8, 12, 10),
        datetime(2021, 4, 12, 16, 40, 26),
    ],
    "label_driver_reported_satisfaction": [1, 5, 3],
    "val_to_add": [1, 2, 3],
    "val_to_add_2": [10, 20, 30],
})
print(store.get_historical_features(entity_df=entities, features=[
    "driver_hourly_stats:conv_rate", "driver_hourly_stats:acc_rate",
    "driver_hourly_stats:avg_daily_trips",
    "transformed_conv_rate:conv_rate_plus_val1", "transformed_conv_rate:conv_rate_plus_val2",
]).to_df().head())
"""
_READ = """
from feast import FeatureStore

store = FeatureStore(repo_path=".")
found = store.get_online_features(
    features=[
        "driver_hourly_stats:conv_rate", "driver_hourly_stats:acc_rate",
        "driver_hourly_stats:avg_daily_trips",
    ],
    entity_rows=[{"driver_id": 1001}],
).to_dict()
for name, values in found.items():
    print(name, values[0])
"""
"""Two steps of Feast's quickstart, which are Python there; their lines count as files."""
_WARNING = re.compile(r"\b\w*Warning\b|\bWARNING\b")


def run(options: Options) -> Figures:
    """Walk both paths in one run."""
    task = "benchmarks.newcomer:walk"
    contenders = [
        Contender("skewless", task, {"tool": "skewless"}),
        Contender(
            "Feast",
            task,
            {"tool": "feast"},
            feast_python(options.install),
            about=f"Feast {VERSION}, its quickstart: two of the steps are Python files",
        ),
    ]
    results = run_all(contenders, options)
    return {"title": "The first hour, by the commands of the quickstarts", "contenders": results}


def walk(clock: Clock, tool: str) -> dict[str, Any]:
    """Type every command of a quickstart in an empty folder, and count."""
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONWARNINGS"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    taken: list[float] = []
    said: list[str] = []
    printed = ""
    with tempfile.TemporaryDirectory() as start:
        folder = Path(start)
        with clock:
            for command in _OURS if tool == "skewless" else _FEASTS:
                words = command.format(now=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S")).split()
                if words[0] == "cd":
                    folder /= words[1]
                    continue
                _write_scripts(folder, words)
                began = time.perf_counter()
                done = subprocess.run(
                    words, cwd=folder, env=environment, capture_output=True, text=True, check=False
                )
                taken.append(time.perf_counter() - began)
                if done.returncode:
                    raise RuntimeError(f"{command}: {done.stderr[-2000:]}")
                said += [each for each in (done.stdout + done.stderr).splitlines() if each.strip()]
                printed = done.stdout
        owned = _lines_of(folder)
    values = [each for each in printed.splitlines() if re.search(r"\d", each)]
    if not values:
        raise RuntimeError(f"the last command read no value: {printed!r}")
    return {
        "commands": len(_OURS if tool == "skewless" else _FEASTS),
        "slowest_s": round(max(taken), 3),
        "warnings": sum(bool(_WARNING.search(each)) for each in said),
        "lines": owned,
        "values": len(values),
    }


def _write_scripts(folder: Path, words: list[str]) -> None:
    """Write the Python that the quickstart has its reader paste."""
    scripts = {"train.py": _TRAIN, "read.py": _READ}
    if words[-1] in scripts:
        (folder / words[-1]).write_text(scripts[words[-1]], encoding="utf-8")


def _lines_of(folder: Path) -> int:
    """Return the lines of definitions, settings and scripts: no blank ones, no comments."""
    files = [path for kind in ("*.py", "*.toml", "*.yaml") for path in folder.glob(kind)]
    text = [each.strip() for path in files for each in path.read_text().splitlines()]
    return sum(bool(each) and not each.startswith("#") for each in text)


def summary(result: Figures) -> list[Line]:
    """Return lines for the table of the README."""
    own, peer = (found(result["contenders"], name) for name in ("skewless", "Feast"))
    return [
        *lines("first hour, seconds of commands", own, peer, "wall_s"),
        *lines("first hour, lines of files", own, peer, "lines"),
    ]
