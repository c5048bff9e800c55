"""Whether a model still predicts as well: delayed labels joined to logged predictions.

    report = fs.decay("fraud", prediction="scores.score", label="chargebacks.fraud", within="60d")
    print(report)

Predictions and labels are rows of sources. A prediction has the first label of its keys that
happened at its moment or after it, within a span; only labels that are known by now count. A
prediction whose span is not over waits; one whose span is over without a label has ``otherwise``.
Each period has AUC (labels of two values) or RMSE, with an interval by a bootstrap over entities.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from skewless.clock import iso
from skewless.definitions import Source
from skewless.drift.sketches import Floats
from skewless.durations import format_duration
from skewless.errors import InputError, UnknownName
from skewless.formatting import Drawn, aligned, html_table
from skewless.ledger.runs import recorded
from skewless.online.runtime import Runtime

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "decay"
AUC, RMSE = "AUC", "RMSE"
RESAMPLES = 200
FEW = 50
_HEAD = ("from", "predictions", "labelled", "waiting", "", "95 %", "")
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Period:
    """How well was predicted in a period.

    Attributes:
        start: UTC microseconds.
        predictions: how many there were.
        labelled: how many of these have a label.
        waiting: how many may still get one.
        value: AUC or RMSE; None: too few labels, or of one value only.
        low, high: the interval that holds it in 95 of 100 cases.
        worse: whether it is worse than the first period, by more than chance.
    """

    start: int
    predictions: int
    labelled: int
    waiting: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    worse: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self) | {"start": iso(self.start)}


@dataclass(frozen=True)
class DecayReport(Drawn):
    """How well a model predicted, period by period.

    Attributes:
        service: the feature service of the model.
        metric: ``AUC`` or ``RMSE``.
        prediction, label: ``source.column``.
        periods: oldest first.
        every: length of a period, microseconds.
    """

    service: str
    metric: str
    prediction: str
    label: str
    periods: tuple[Period, ...]
    every: int

    @property
    def ok(self) -> bool:
        """Whether the newest period that can be judged is as good as the first."""
        known = [each for each in self.periods if each.value is not None]
        return not known or not known[-1].worse

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "service": self.service, "metric": self.metric, "prediction": self.prediction,
            "label": self.label, "ok": self.ok, "every": format_duration(self.every),
            "periods": [each.to_dict() for each in self.periods],
        }  # fmt: skip

    def __str__(self) -> str:
        if not self.periods:
            return f"No predictions in {self.prediction}."
        return "\n".join([self._title(), "", aligned([_HEAD, *self._rows()], indent=2)])

    def _repr_html_(self) -> str:
        return html_table(_HEAD, self._rows(), self._title())

    def _title(self) -> str:
        return f"{self.metric} of {self.prediction} against {self.label} ({self.service})"

    def _rows(self) -> list[tuple[Any, ...]]:
        return [
            (
                iso(each.start)[:10],
                each.predictions,
                each.labelled,
                each.waiting,
                "-" if each.value is None else f"{each.value:.4f}",
                "-" if each.low is None else f"{each.low:.4f} to {each.high:.4f}",
                "worse" if each.worse else "",
            )
            for each in self.periods
        ]


def _said(report: DecayReport) -> dict[str, Any]:
    return {"periods": len(report.periods), "ok": report.ok}


@recorded("decay", "service", "prediction", "label", result=_said)
def decay(
    runtime: Runtime,
    service: str,
    *,
    prediction: str,
    label: str,
    on: Sequence[str] | None = None,
    within: int,
    every: int,
    otherwise: float | None = None,
) -> DecayReport:
    """Join labels to predictions and say how good these were; see `FeatureStore.decay`."""
    state = runtime.state(fresh=True)
    if service not in state.services:
        raise UnknownName.of("feature service", service, state.services, where=state.place)
    predicted, score = _column(runtime, prediction)
    labelled, outcome = _column(runtime, label)
    keys = _keys(predicted, labelled, on, {score, outcome})
    made = _rows(runtime, predicted, score, keys)
    known = _rows(runtime, labelled, outcome, keys)
    now = runtime.clock.now()
    found, there = _labels(made, known, within)
    if otherwise is not None:
        over = ~there & (made.event + within <= now)
        found[over], there = otherwise, there | over
    two = len(np.unique(found[there])) <= 2
    units = _units(made, [n for n in keys if n not in predicted.row_id] or keys)
    periods = tuple(
        _judged(Period(int(start), len(rows), int(there[rows].sum()),
                       int((~there[rows] & (made.event[rows] + within > now)).sum())),
                made.values[rows[there[rows]]], found[rows[there[rows]]], units[rows[there[rows]]],
                two=two)
        for start, rows in _by_period(made.event, every)
    )  # fmt: skip
    report = DecayReport(
        service, AUC if two else RMSE, prediction, label, _against_first(periods, two=two), every
    )
    runtime.ledger.record(KIND, report.to_dict())
    return report


# ------------------------------------------------------------------------------------------- rows


@dataclass
class _Rows:
    """Rows of a source: keys, event times, numbers; those without a number are left out."""

    keys: pa.Table
    event: Ints
    values: Floats


def _column(runtime: Runtime, name: str) -> tuple[Source, str]:
    """Return source and column of ``source.column``.

    Raises:
        UnknownName: there is no such source or column.
        InputError: no column is named.
    """
    source_name, dot, column = name.partition(".")
    if not dot:
        raise InputError("no column of a source", got=name, expected="source.column")
    source = runtime.source(source_name)
    if column not in source.columns:
        raise UnknownName.of("column", column, source.columns, where=f"source {source_name!r}")
    dtype = source.columns[column]
    if not dtype.is_numeric and dtype.kind != "bool":
        raise InputError(f"{name} is neither a number nor a flag", got=repr(dtype))
    return source, column


def _keys(one: Source, other: Source, on: Sequence[str] | None, values: set[str]) -> list[str]:
    """Return the columns that predictions and labels are joined by."""
    shared = [name for name in one.columns if name in other.columns and name not in values]
    shared = [name for name in shared if name not in (one.event_time, one.known_time)]
    wanted = shared if on is None else list(on)
    for name in wanted:
        if name not in shared:
            raise UnknownName.of("key", name, shared, where=f"both {one.name} and {other.name}")
    if not wanted:
        hint = "Name columns that both have: on=['transaction_id']."
        raise InputError(f"{one.name} and {other.name} share no column", hint=hint)
    return wanted


def _rows(runtime: Runtime, source: Source, column: str, keys: list[str]) -> _Rows:
    import pyarrow as pa
    import pyarrow.compute as pc

    now = runtime.clock.now()
    tables, events = [], []
    for chunk in runtime.history(source).chunks([*keys, column]):
        counts = (chunk.known <= now) & ~chunk.late
        counts &= np.asarray(pc.is_valid(chunk.table[column]))
        tables.append(chunk.table.select([*keys, column]).filter(pa.array(counts)))
        events.append(chunk.event[counts])
    if not tables:
        return _Rows(
            pa.table({name: pa.array([], pa.string()) for name in keys}), _NONE, np.zeros(0)
        )
    table = pa.concat_tables(tables)
    values = np.asarray(table[column].cast(pa.float64(), safe=False).to_numpy())
    return _Rows(table.select(keys), np.concatenate(events), values)


_NONE: Ints = np.zeros(0, np.int64)


def _labels(made: _Rows, known: _Rows, within: int) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return for each prediction the first label at its moment or later, and whether there is one.

    Codes of keys and times are sorted together: a label is searched for by (code, time).
    """
    import pyarrow as pa

    found, there = np.full(len(made.event), np.nan), np.zeros(len(made.event), bool)
    if not len(made.event) or not len(known.event):
        return found, there
    both = pa.concat_tables([made.keys, known.keys.cast(made.keys.schema)]).combine_chunks()
    codes = _codes(both)
    mine, theirs = codes[: len(made.event)], codes[len(made.event) :]
    order = np.lexsort((known.event, theirs))
    code, event, value = theirs[order], known.event[order], known.values[order]
    starts = np.searchsorted(code, mine, "left")
    ends = np.searchsorted(code, mine, "right")
    for row in np.flatnonzero(ends > starts).tolist():
        at = starts[row] + np.searchsorted(event[starts[row] : ends[row]], made.event[row])
        if at < ends[row] and event[at] - made.event[row] <= within:
            found[row], there[row] = value[at], True
    return found, there


def _codes(keys: pa.Table) -> Ints:
    """Return a number for each row: the same for the same keys."""
    codes = np.zeros(keys.num_rows, np.int64)
    for name in keys.column_names:
        encoded = keys[name].combine_chunks().dictionary_encode()
        part = np.asarray(encoded.indices.fill_null(-1)).astype(np.int64)
        codes = np.unique(codes * (len(encoded.dictionary) + 1) + part + 1, return_inverse=True)[1]
    return codes


def _units(made: _Rows, keys: list[str]) -> Ints:
    return _codes(made.keys.select(keys)) if len(made.event) else _NONE


def _by_period(event: Ints, every: int) -> Iterator[tuple[int, Ints]]:
    """Yield the start of each period with the rows in it."""
    numbers = event // every
    for number in np.unique(numbers):
        yield number * every, np.flatnonzero(numbers == number)


# ------------------------------------------------------------------------------------------ metric


def _judged(period: Period, scores: Floats, labels: Floats, units: Ints, *, two: bool) -> Period:
    """Return a period with its metric and interval."""
    if len(labels) < FEW or (two and len(np.unique(labels)) < 2):
        return period
    chance = np.random.default_rng(0)
    _, unit = np.unique(units, return_inverse=True)
    values = [_metric(scores, labels, np.ones(len(labels)), two=two)]
    for _ in range(RESAMPLES):
        weights = chance.poisson(1.0, unit.max() + 1)[unit].astype(float)
        values.append(_metric(scores, labels, weights, two=two))
    spread = np.array(values[1:])
    low, high = np.quantile(spread[np.isfinite(spread)], [0.025, 0.975])
    return replace(period, value=values[0], low=float(low), high=float(high))


def _metric(scores: Floats, labels: Floats, weights: Floats, *, two: bool) -> float:
    return auc(scores, labels == labels.max(), weights) if two else rmse(scores, labels, weights)


def auc(scores: Floats, positive: npt.NDArray[np.bool_], weights: Floats) -> float:
    """Return the area under the ROC curve: the chance that a positive one scores higher.

    Args:
        scores: of the predictions.
        positive: whether each label is.
        weights: how often each counts.

    >>> auc(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]), np.ones(4))
    0.75
    """
    _, place = np.unique(scores, return_inverse=True)
    size = place.max() + 1
    good = np.bincount(place, weights * positive, size)
    bad = np.bincount(place, weights * ~positive, size)
    pairs = good.sum() * bad.sum()
    below = np.cumsum(bad) - bad
    return float((good * (below + bad / 2)).sum() / pairs) if pairs else float("nan")


def rmse(scores: Floats, labels: Floats, weights: Floats) -> float:
    """Return the root of the mean squared error."""
    total = weights.sum()
    return float(np.sqrt((weights * (scores - labels) ** 2).sum() / total)) if total else np.nan


def _against_first(periods: tuple[Period, ...], *, two: bool) -> tuple[Period, ...]:
    """Return the periods, those marked that are worse than the first by more than chance."""
    first = next((each for each in periods if each.value is not None), None)
    if first is None:
        return periods
    return tuple(
        replace(each, worse=_is_worse(each, first, two=two)) if each.value is not None else each
        for each in periods
    )


def _is_worse(each: Period, first: Period, *, two: bool) -> bool:
    if each.low is None or each.high is None or first.low is None or first.high is None:
        return False
    return each.high < first.low if two else each.low > first.high
