"""Statistics of a view's features over all entities, now: counts, nulls, range, quantiles.

    print(statistics(runtime, "FabRolling"))

Every number is exact: values are those of a training set whose spine is every entity at this
moment, mean and standard deviation come from exact sums, distinct values are counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from skewless.clock import iso
from skewless.codec import to_json
from skewless.definitions import Entity
from skewless.definitions.references import split_view
from skewless.errors import InputError
from skewless.explain.entity_rows import every_key
from skewless.explain.store_view import StoreView
from skewless.formatting import Drawn, aligned, html_table, shown
from skewless.plan.retrieval import plan_retrieval
from skewless.plan.selection import Output, Selection, select
from skewless.types import DType

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TOP_VALUES = 10
_BINS = 32
_FEW = 300


@dataclass(frozen=True)
class Histogram:
    """How many values lie between neighbouring edges, each with its lower edge, the last with both.

    Attributes:
        edges: ascending, one more than ``counts``: from the least to the greatest of few values,
            from about the 1 % to about the 99 % quantile of many.
        counts: of values between two edges.
        below, above: of values outside.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    below: int = 0
    above: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the histogram as plain data."""
        both = {"edges": list(self.edges), "counts": list(self.counts)}
        return {**both, "below": self.below, "above": self.above}


@dataclass(frozen=True)
class FeatureStatistics:
    """The distribution of one feature over all entities.

    Attributes:
        name: of the feature.
        dtype: its type.
        count: how many entities have a value.
        nulls: how many have none.
        distinct: number of different values; None for lists and other nested values.
        minimum, maximum: of values that have an order; None without values.
        mean, std: of finite numbers (population, correctly rounded sums); None for other types.
        quantiles: of numbers: share to value, linearly interpolated.
        top: of text, flags and dates: the most frequent values with their counts.
        histogram: of numbers.
    """

    name: str
    dtype: DType
    count: int
    nulls: int
    distinct: int | None = None
    minimum: Any = None
    maximum: Any = None
    mean: float | None = None
    std: float | None = None
    quantiles: Mapping[float, float] = field(default_factory=dict)
    top: tuple[tuple[Any, int], ...] = ()
    histogram: Histogram | None = None

    @property
    def null_share(self) -> float:
        """The share of entities without a value; 0 when there are no entities."""
        entities = self.count + self.nulls
        return self.nulls / entities if entities else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as plain data."""
        return {
            "name": self.name,
            "type": repr(self.dtype),
            "count": self.count,
            "null_share": self.null_share,
            "distinct": self.distinct,
            "min": to_json(self.minimum),
            "max": to_json(self.maximum),
            "mean": to_json(self.mean),
            "std": to_json(self.std),
            "quantiles": {f"{share:g}": to_json(value) for share, value in self.quantiles.items()},
            "top": [[to_json(value), count] for value, count in self.top],
            "histogram": None if self.histogram is None else self.histogram.to_dict(),
        }


@dataclass(frozen=True)
class ViewStatistics(Drawn):
    """The distributions of a view's features over all entities at one moment.

    Attributes:
        view: name and version.
        at: the moment, UTC microseconds.
        entities: how many there are.
        features: one entry each.
    """

    view: str
    at: int
    entities: int
    features: tuple[FeatureStatistics, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as plain data."""
        return {
            "view": self.view,
            "at": iso(self.at),
            "entities": self.entities,
            "features": [feature.to_dict() for feature in self.features],
        }

    def __str__(self) -> str:
        lines = [self._title()]
        for head, body in self._tables():
            lines += ["", aligned([head, *body], indent=2)]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        tables = [html_table(head, body) for head, body in self._tables()]
        return f"<div>{escape(self._title())}</div>{''.join(tables)}"

    def _title(self) -> str:
        return f"{self.view}: {self.entities:,} entities at {iso(self.at)}"

    def _tables(self) -> Iterator[tuple[tuple[str, ...], list[tuple[Any, ...]]]]:
        numbers = [f for f in self.features if f.dtype.is_numeric]
        others = [f for f in self.features if not f.dtype.is_numeric]
        if numbers:
            marks = (0.05, 0.5, 0.95)
            head = ("", "nulls", "distinct", "mean", "std", "min", "5 %", "50 %", "95 %", "max")
            body = [
                (
                    f.name, f"{f.null_share:.1%}", f.distinct, _short(f.mean), _short(f.std),
                    _short(f.minimum), *(_short(f.quantiles.get(m)) for m in marks),
                    _short(f.maximum),
                )
                for f in numbers
            ]  # fmt: skip
            yield head, body
        if others:
            body = [(f.name, f"{f.null_share:.1%}", f.distinct, _described(f)) for f in others]
            yield ("", "nulls", "distinct", "values"), body


def statistics(runtime: StoreView, view: str) -> ViewStatistics:
    """Return the distributions of a view's features over all entities, now.

    Args:
        runtime: the open repo.
        view: its name, or ``View@v2``.

    Raises:
        UnknownName: there is no such view.
        InputError: an on-demand view that needs request fields, or is of several entities.
    """
    label, table, outputs = values_now(runtime, view)
    features = [column_statistics(out.name, out.dtype, table[out.name]) for out in outputs]
    return ViewStatistics(label, runtime.clock.now(), table.num_rows, tuple(features))


def values_now(runtime: StoreView, view: str) -> tuple[str, pa.Table, tuple[Output, ...]]:
    """Return the values of a view's features now, of all entities, from history.

    Args:
        runtime: the open repo.
        view: its name, or ``View@v2``.

    Returns:
        The view with its version, a row for each entity, and what its columns are.

    Raises:
        UnknownName: there is no such view.
        InputError: an on-demand view that needs request fields, or is of several entities.
    """
    import pyarrow as pa

    state = runtime.state(fresh=True)
    name, version = split_view(view)
    found = state.view(name, version)
    label = f"{name}@v{version or state.current[name]}"
    selection = select(state, [f"{label}:{feature}" for feature in found.features])
    columns = columns_now(runtime, selection, keys_now(runtime, view, selection))
    named = {output.name: columns[output.name] for output in selection.outputs}
    return label, pa.table(named), selection.outputs


def keys_now(runtime: StoreView, view: str, selection: Selection) -> pa.Table:
    """Return the join keys of all entities of a view, named as whoever asks for it names them.

    Args:
        runtime: the open repo.
        view: its name.
        selection: features of it.

    Raises:
        InputError: an on-demand view that needs request fields, or is of several entities.
    """
    entity = _entity(view, selection)
    asked = selection.views[0].view.asked_entity.key_names
    steps = plan_retrieval(selection, timestamp="at", as_of="known").steps
    histories = {step.source.name: runtime.history(step.source) for step in steps}
    return every_key(entity, list(histories.values())).rename_columns(list(asked))


def columns_now(
    runtime: StoreView, selection: Selection, spine: pa.Table
) -> Mapping[str, pa.ChunkedArray]:
    """Return the values of features now, of some entities, from history: a column each.

    Args:
        runtime: the open repo.
        selection: the features.
        spine: join keys.
    """
    import numpy as np

    from skewless.engines.local import LocalEngine

    plan = plan_retrieval(selection, timestamp="at", as_of="known")
    histories = {step.source.name: runtime.history(step.source) for step in plan.steps}
    times = np.full(spine.num_rows, runtime.clock.now(), np.int64)
    return LocalEngine().retrieve(plan, spine, times, histories).columns


def _entity(view: str, selection: Selection) -> Entity:
    if selection.requests:
        raise InputError(
            f"{view!r} is computed from request fields, which history does not have",
            got=", ".join(request.name for request in selection.requests),
        )
    if len(selection.entities) != 1:
        got = ", ".join(entity.name for entity in selection.entities)
        raise InputError(f"{view!r} is of several entities", got=got, expected="one")
    return selection.views[0].view.row_entity


def column_statistics(name: str, dtype: DType, column: pa.Array) -> FeatureStatistics:
    """Return the distribution of the values of a feature.

    Args:
        name: of the feature.
        dtype: its type.
        column: its values, of the Arrow type of ``dtype``.
    """
    import pyarrow.compute as pc

    nulls = int(column.null_count)
    count = len(column) - nulls
    values = column.drop_null()
    if dtype.kind in ("list", "vector", "map", "struct"):
        return FeatureStatistics(name, dtype, count, nulls)
    distinct = int(pc.count_distinct(values).as_py())
    known: dict[str, Any] = {}
    if count and dtype.kind not in ("bool", "bytes", "json"):
        extremes = pc.min_max(values).as_py()
        known |= {"minimum": extremes["min"], "maximum": extremes["max"]}
    if count and dtype.is_numeric:
        known |= _moments(values)
    elif count and dtype.kind != "timestamp":
        counts = pc.value_counts(values).to_pylist()
        counts.sort(key=lambda pair: (-pair["counts"], str(pair["values"])))
        known["top"] = tuple((pair["values"], pair["counts"]) for pair in counts[:TOP_VALUES])
    return FeatureStatistics(name, dtype, count, nulls, distinct, **known)


def _moments(values: pa.Array) -> dict[str, Any]:
    """Return mean, standard deviation and quantiles of numbers; infinities are left out."""
    import numpy as np
    import pyarrow as pa

    from skewless.aggregations.kernels import Want, window_summary

    if pa.types.is_decimal(values.type):
        values = values.cast(pa.string())
    numbers = np.asarray(values.cast(pa.float64(), safe=False))
    finite = np.ascontiguousarray(numbers[np.isfinite(numbers)])
    if not len(finite):
        return {}
    summary = window_summary(finite, None, 0, len(finite), Want.MEAN | Want.VAR)
    found = np.quantile(finite, QUANTILES).tolist()
    return {
        "mean": summary[2],
        "std": float(np.sqrt(summary[3])),
        "quantiles": dict(zip(QUANTILES, found, strict=True)),
        "histogram": _histogram(finite, found[0], found[-1]),
    }


def _histogram(
    numbers: np.ndarray[Any, np.dtype[np.float64]], low: float, high: float
) -> Histogram | None:
    """Return a histogram between two quantiles, or of all values where they are few."""
    import numpy as np

    if len(numbers) < _FEW:
        low, high = float(numbers.min()), float(numbers.max())
    size = max(abs(low), abs(high))
    if high - low <= size * 1e-9:  # one value, or so near to it that bins have no width
        low, high = low - max(0.5, size * 1e-6), high + max(0.5, size * 1e-6)
    if not np.isfinite(high - low):
        return None
    counts, edges = np.histogram(numbers, _BINS, (low, high))
    below, above = int((numbers < low).sum()), int((numbers > high).sum())
    return Histogram(tuple(edges.tolist()), tuple(counts.tolist()), below, above)


def _short(value: Any) -> str:
    return "-" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value)


def _described(feature: FeatureStatistics) -> str:
    if feature.top:
        return ", ".join(f"{shown(value)} ({count:,})" for value, count in feature.top[:4])
    if feature.minimum is not None:
        return f"{shown(feature.minimum)} to {shown(feature.maximum)}"
    return f"{feature.count:,} of type {feature.dtype!r}"
