"""The steps that the examples have in common; each example adds this folder to `sys.path`.

A repo in a temporary folder, a model, the comparison of what was served with what is trained on,
the time of a read, and headings.
"""

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a small model: threads would only wait

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import skewless as sl
from skewless.clock import SettableClock, to_micros
from skewless.formatting import same_bits

Row = dict[str, Any]
COLOURS = ("#0b7285", "#e8590c", "#5f3dc4", "#2b8a3e", "#b8860b", "#b8c1cc")
"""Of pictures: they are told apart by people who do not see red or green, the last is grey."""


@dataclass(frozen=True)
class Asked:
    """One read: what was asked, when, and the vector that was served."""

    keys: Row
    at: datetime
    vector: Row


@dataclass(frozen=True)
class Trained:
    """A model, the features it takes in their order, and the table of the rows after the cut."""

    model: Any
    names: list[str]
    holdout: pa.Table
    training: sl.TrainingSet

    def score(self, vectors: Sequence[Row]) -> Any:
        """Return the probability of the label for each vector."""
        return self.model.predict_proba(matrix(vectors, self.names))[:, 1]


def picture_of(script: str | None, name: str) -> Path:
    """Return where the picture is to be, from the arguments of the script."""
    parser = argparse.ArgumentParser(description=(script or "").splitlines()[0])
    parser.add_argument("--picture", type=Path, default=Path(name))
    return parser.parse_args().picture


@contextmanager
def repo(
    here: Path, now: datetime, settings: str = "", **tables: Sequence[Row] | pa.Table
) -> Iterator[tuple[sl.FeatureStore, SettableClock]]:
    """Open a repo with the example's features and tables in a temporary folder, at a moment."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for table, rows in tables.items():
            (folder / "data" / table).mkdir(parents=True)
            data = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(list(rows))
            pq.write_table(data, folder / "data" / table / "a.parquet")
        for file in set(here.glob("*.py")) - {here / "run.py", here / "generate.py"}:
            shutil.copy(file, folder)
        if settings:
            (folder / "skewless.toml").write_text(settings)
        clock = SettableClock(to_micros(now))
        with sl.FeatureStore(folder, clock=clock) as fs:
            yield fs, clock


def train(
    fs: sl.FeatureStore,
    spine: Any,
    service: str,
    *,
    timestamp: str,
    label: str,
    leak: str,
    **options: Any,
) -> Trained:
    """Train on what was known at each row; say what worse joins would have promised, and why.

    Spines are in order of time: the model learns from the first three quarters.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.metrics import roc_auc_score

    heading(f"Training set, as known at '{timestamp}'")
    training = fs.get_historical_features(spine, service, timestamp=timestamp)
    print(training)
    print(fs.leakage(training, timestamp=timestamp, label=label))
    heading(f"What leakage would have cost: {leak}")
    print(fs.backtest(spine, service, timestamp=timestamp, label=label))
    table = training.to_arrow()
    given = set(spine.column_names if isinstance(spine, pa.Table) else spine[0])
    names = [
        name
        for name, dtype in zip(table.column_names, table.schema.types, strict=True)
        if name not in given and (is_number(dtype) or pa.types.is_boolean(dtype))
    ]
    x, y = matrix(table.select(names).to_pylist(), names), np.asarray(table[label])
    cut = len(y) * 3 // 4
    model = HistGradientBoostingClassifier(random_state=0, **options).fit(x[:cut], y[:cut])
    score = roc_auc_score(y[cut:], model.predict_proba(x[cut:])[:, 1])
    print(f"\n  {len(names)} features of the model; AUC of the latest quarter {score:.3f}")
    return Trained(model, names, table.slice(cut), training)


def is_number(dtype: pa.DataType) -> bool:
    """Return whether values of an Arrow type are numbers a model takes."""
    return bool(pa.types.is_floating(dtype) or pa.types.is_integer(dtype))


def prove(fs: sl.FeatureStore, service: str, asked: Sequence[Asked]) -> None:
    """Build a training set of the same moments, and compare every bit with what was served."""
    heading("Served and trained: the same to the bit")
    spine = [each.keys | {"asked_at": each.at} for each in asked]
    training = fs.get_historical_features(spine, service, timestamp="asked_at").to_arrow()
    values = differing = 0
    for trained, each in zip(training.to_pylist(), asked, strict=True):
        for name, served in each.vector.items():
            values += 1
            differing += not same_bits(served, trained[name])
    print(f"  {values} values of {len(asked)} vectors; {differing} differ")
    if differing:
        raise SystemExit("They differ.")


def measure(fs: sl.FeatureStore, service: str, asked: Sequence[Any], reads: int = 1_000) -> None:
    """Time reads in this process; each of `asked` is the keys of one read, or a list of them."""
    many = len(asked[0]) if isinstance(asked[0], list) else 1
    heading(f"Latency of {many} vectors at once" if many > 1 else "Latency of one vector")
    times = []
    for number in range(reads):
        begin = time.perf_counter()
        fs.get_online_features(service, asked[number % len(asked)])
        times.append((time.perf_counter() - begin) * 1e6)
    p50, p99 = np.percentile(times, [50, 99])
    print(f"  {reads} reads in process: half within {p50:.0f} us, 99 % within {p99:.0f} us")


def matrix(rows: Sequence[Row], names: Sequence[str]) -> Any:
    """Return features as numbers, null as NaN."""
    numbers = [[np.nan if row[n] is None else float(row[n]) for n in names] for row in rows]
    return np.array(numbers, np.float64)


def drawing(rows: int = 1, columns: int = 1, **options: Any) -> tuple[Any, Any]:
    """Return a figure and its axes, drawn to a file, without the upper and right edge."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    with plt.rc_context({"axes.spines.top": False, "axes.spines.right": False}):
        return plt.subplots(rows, columns, layout="constrained", **options)


def save(figure: Any, path: Path) -> None:
    """Write the picture."""
    figure.savefig(path, dpi=120, facecolor="white")
    print(f"\nThe picture is {path}.")


def heading(text: str) -> None:
    """Print the title of a step."""
    print(f"\n== {text}", flush=True)
