"""What leakage costs, measured: one model trained on naive, event-time and as-known features.

    print(backtest(runtime, flights, "delay_model", timestamp="at", label="delayed"))

Each model learns from the earlier part of the spine and meets the later part twice: with features
made the way it was trained (what it promises) and with what serving would have had then (what it
keeps). The difference is the leakage, in points of the score.

- ``naive-latest``: for each entity its newest values over all history, as a join on the key gives;
- ``event_time``: point-in-time by event time, as if everything were known when it happened;
- ``known``: what was known at the time, as serving has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from skewless.clock import iso
from skewless.engines.given_spine import spine_times
from skewless.errors import InputError, MissingColumn
from skewless.online.runtime import Runtime
from skewless.plan.results import TrainingSet, differing
from skewless.plan.selection import Features
from skewless.stores.offline.as_table import as_table
from skewless.training.models import Learner, Task, encoded
from skewless.training.naive_join import newest_values
from skewless.training.training_set import training_set

Ints = npt.NDArray[np.int64]
Columns = Mapping[str, pa.Array]
NAIVE = "naive-latest"
KINDS = (NAIVE, "event_time", "known")


@dataclass(frozen=True)
class BacktestScore:
    """How a model trained on one kind of features did on the holdout.

    Attributes:
        kind: of its features.
        unlike: share of the holdout's values that are not those serving would have had.
        promised: score by name, evaluated on features of its own kind.
        served: score by name, evaluated on the features serving would have had.
        gap: by how much each score is worse in serving than promised; negative: it is better.
    """

    kind: str
    unlike: float
    promised: Mapping[str, float]
    served: Mapping[str, float]
    gap: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain data."""
        parts = {"promised": self.promised, "served": self.served, "gap": self.gap}
        return {"kind": self.kind, "unlike": self.unlike} | {k: dict(v) for k, v in parts.items()}


@dataclass(frozen=True)
class BacktestReport:
    """What leakage costs a model, measured on a later holdout.

    Attributes:
        label: what is predicted.
        model: the name of the estimator's class.
        features: how many there are.
        trained, evaluated: rows of each part.
        cut: rows from this moment on (UTC microseconds) are the holdout.
        scores: one entry for each kind of features.
        notes: what a reader should know: rows and columns left out.
    """

    label: str
    model: str
    features: int
    trained: int
    evaluated: int
    cut: int
    scores: tuple[BacktestScore, ...]
    notes: tuple[str, ...] = ()

    def score(self, kind: str) -> BacktestScore:
        """Return the scores of ``naive-latest``, ``event_time`` or ``known`` features."""
        return next(score for score in self.scores if score.kind == kind)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        head = {name: value for name, value in self.__dict__.items() if name != "scores"}
        return head | {
            "cut": iso(self.cut),
            "scores": [score.to_dict() for score in self.scores],
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        lines = [
            f"{self.model} predicts {self.label!r} from {self.features} features: trained on"
            f" {self.trained:,} rows before {iso(self.cut)}, evaluated on the {self.evaluated:,}"
            " after.",
            "",
        ]
        names = list(self.scores[0].promised)
        head = f"  {'trained on':<12}  {'unlike serving':>14}"
        lines.append(head + "".join(f"  {n + ' promised':>17}  {'served':>8}  {'gap':>8}"
                                    for n in names))  # fmt: skip
        for s in self.scores:
            lines.append(f"  {s.kind:<12}  {s.unlike:>14.1%}" + "".join(
                f"  {s.promised[n]:>17.4f}  {s.served[n]:>8.4f}  {s.gap[n]:>+8.4f}"
                for n in names))  # fmt: skip
        naive, honest, main = self.score(NAIVE), self.score("known"), names[0]
        lines += [
            "",
            f"Naive features promise {main} {naive.promised[main]:.4f} and keep"
            f" {naive.served[main]:.4f}; features as known keep {honest.served[main]:.4f}.",
            *self.notes,
        ]
        return "\n".join(lines)


def backtest(
    runtime: Runtime,
    spine: Any,
    features: Features,
    *,
    timestamp: str,
    label: str,
    holdout: float = 0.25,
    model: Any = None,
    seed: int = 0,
) -> BacktestReport:
    """Train one model on three kinds of features and compare them on a later holdout.

    Args:
        runtime: the open repo.
        spine: as for a training set, with the label.
        features: likewise.
        timestamp: the spine's time column.
        label: the spine's column to predict: flags, text and two values make a classification
            (AUC of two classes, else accuracy; log loss), other numbers a regression (RMSE, R2).
        holdout: share of the rows, the latest ones, to evaluate on.
        model: a scikit-learn estimator, used as given for each kind; None: gradient boosting.
        seed: of the default model.

    Raises:
        MissingColumn, InputError: the spine is wrong, or too small to learn from.
        MissingDependency: scikit-learn is not installed.
    """
    if not 0 < holdout < 1:
        raise InputError("a holdout", got=holdout, expected="a share between 0 and 1")
    table = as_table(spine)
    for name in (timestamp, label):
        if name not in table.column_names:
            raise MissingColumn.of(name, table.column_names, where="the spine")
    table, notes = _with_label(table, label)
    times = spine_times(table, timestamp)
    cut = _cut(times, holdout)
    task = Task.of(table[label].combine_chunks(), times < cut, model)
    as_of = {kind: _made(runtime, table, features, timestamp, kind) for kind in KINDS[1:]}
    selection = as_of["known"].plan.selection
    sets: dict[str, Columns] = {NAIVE: newest_values(runtime, selection, table, timestamp)}
    for kind, made in as_of.items():
        found = made.to_arrow()
        sets[kind] = {name: found[name].combine_chunks() for name in made.features}
    learner = Learner.of(model, task, seed)
    scores = tuple(_score(kind, sets, task, learner) for kind in KINDS)
    left_out = [o.name for o in selection.outputs if encoded(sets["known"][o.name]) is None]
    if left_out:
        notes.append(f"Left out, being no numbers or text: {', '.join(left_out)}.")
    return BacktestReport(
        label,
        learner.name,
        len(selection.outputs) - len(left_out),
        int(task.train.sum()),
        int(task.test.sum()),
        cut,
        scores,
        tuple(notes + task.notes),
    )


def _made(
    runtime: Runtime, table: pa.Table, features: Features, timestamp: str, as_of: str
) -> TrainingSet:
    return training_set(
        runtime,
        table,
        features,
        timestamp=timestamp,
        as_of=as_of,
        full_names=False,
        progress=None,
    )


def _with_label(table: pa.Table, label: str) -> tuple[pa.Table, list[str]]:
    """Return the rows that have a label, and what to say of the others."""
    known = pc.is_valid(table[label])
    if pa.types.is_floating(table[label].type):
        known = pc.and_(known, pc.invert(pc.fill_null(pc.is_nan(table[label]), True)))
    kept = table.filter(known)
    missing = table.num_rows - kept.num_rows
    return kept, [f"{missing:,} rows without a label were left out."] if missing else []


def _cut(times: Ints, holdout: float) -> int:
    """Return the moment that parts the rows: those of one moment stay together."""
    ordered = np.sort(times)
    if not len(ordered) or ordered[0] == ordered[-1]:
        raise InputError("a spine of one moment cannot be parted into earlier and later")
    cut = int(ordered[min(int(len(ordered) * (1 - holdout)), len(ordered) - 1)])
    return cut if cut > ordered[0] else int(ordered[ordered > ordered[0]][0])


def _score(kind: str, sets: Mapping[str, Columns], task: Task, learner: Learner) -> BacktestScore:
    promised, served = learner.scores(sets[kind], sets["known"], task)
    gap = {name: task.worse(name, promised[name], served[name]) for name in promised}
    return BacktestScore(kind, _unlike(sets[kind], sets["known"], task.test), promised, served, gap)


def _unlike(mine: Columns, served: Columns, test: npt.NDArray[np.bool_]) -> float:
    """Return the share of the holdout's values that differ; null equals null."""
    rows = pa.array(test)
    different = total = 0
    for name, column in served.items():
        one, other = mine[name].filter(rows), column.filter(rows)
        different += differing(one, other)
        total += len(other)
    return different / total if total else 0.0
