"""A training set held against history: rows that are the label's own event, values from the past.

Both go back to the rows themselves and past the engine that made the training set.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from skewless.clock import NEVER
from skewless.definitions import Aggregate, FeatureView, Source
from skewless.definitions.source import exclusive_of
from skewless.engines.local.scan import as_mask
from skewless.engines.local.spine import KeyIndex
from skewless.engines.reference import view_values, visible
from skewless.explain.describe import columns_used
from skewless.explain.entity_rows import rows_of_entities
from skewless.expressions.evaluate import evaluate
from skewless.formatting import same_bits
from skewless.leakage.label_similarity import likeness
from skewless.plan.selection import NeededView
from skewless.state.layout import filter_of
from skewless.stores.offline.cast import cast_column
from skewless.types import DType, python_values

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.engines.history import SourceHistory

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
SAMPLE_ROWS = 25
_MOST_ROWS = 5_000


@dataclass(frozen=True)
class OwnRow:
    """A column that a feature reads of the very row that the label belongs to.

    Attributes:
        reference: of the feature that counts the row and reads the column.
        column: of the source; empty where the row is only counted.
        rows: in how many rows of the training set.
        is_label: whether the column is the label, by its name or by what it tells of it.
        measure: how that was found.
    """

    reference: str
    column: str
    rows: int
    is_label: bool
    measure: str


@dataclass(frozen=True, eq=False)
class TrainingRows:
    """The rows of a training set.

    Attributes:
        table: with the join keys.
        times: of each row, UTC microseconds.
        label: column of what is predicted; None: not told.
        as_known: whether known time counted.
    """

    table: pa.Table
    times: Ints
    label: str | None
    as_known: bool

    def keys(self, view: FeatureView) -> dict[str, pa.Array]:
        """Return the join keys of a view in canonical types, named as its source's columns are."""
        import pyarrow as pa

        found = {}
        pairs = zip(view.row_entity.key_names, view.asked_entity.join_keys, strict=True)
        for row_name, (name, dtype) in pairs:
            if name in view.constants:
                value = pa.scalar(view.constants[name], dtype.arrow())
                found[row_name] = pa.repeat(value, self.table.num_rows)
            else:
                found[row_name] = _canonical(self.table[name], dtype, name)
        return found


def own_rows(
    history_of: Callable[[Source], SourceHistory], views: Sequence[NeededView], asked: TrainingRows
) -> Iterator[OwnRow]:
    """Yield what features read of rows that happened at the very moment of the training row.

    Args:
        history_of: gives the history of a source.
        views: and their features that the training set has.
        asked: the training set.
    """
    for need in views:
        view = need.view
        readers: dict[tuple[str, str], list[Aggregate]] = {}
        if exclusive_of(view.source):
            continue
        for feature in need.features:
            for leaf in view.expressions[feature].leaves():
                if isinstance(leaf, Aggregate) and _reaches_now(leaf):
                    for column in columns_used(leaf, view) or ("",):
                        readers.setdefault((feature, column), []).append(leaf)
        if readers:
            yield from _own_rows_of(history_of(view.source), need, readers, asked)


def _reaches_now(aggregate: Aggregate) -> bool:
    """Return whether a row of the very moment asked about may count."""
    return aggregate.window.offset == 0 and not aggregate.window.ends_before


def _own_rows_of(
    history: SourceHistory,
    need: NeededView,
    readers: Mapping[tuple[str, str], list[Aggregate]],
    asked: TrainingRows,
) -> Iterator[OwnRow]:
    places, numbers = own_places(history, need.view, asked)
    if not len(places):
        return
    names = list(dict.fromkeys(column for _, column in readers if column))
    ascending, back = np.unique(numbers, return_inverse=True)
    found = history.take(ascending, names)
    table = {name: found[name].combine_chunks().take(back) for name in names}
    told = {name: _tells(name, table[name], places, asked) for name in names}
    for (feature, column), aggregates in readers.items():
        counted = np.zeros(len(places), bool)
        for aggregate in aggregates:
            where = filter_of(need.view, aggregate)
            passing = None if where is None else as_mask(evaluate(where, table, len(places)))
            counted |= True if passing is None else passing
        if counted.any():
            rows = len(np.unique(places[counted]))
            yield OwnRow(need.reference(feature), column, rows, *told.get(column, (False, "")))


def _tells(column: str, values: pa.Array, places: Ints, asked: TrainingRows) -> tuple[bool, str]:
    """Return whether a column of the label's own row is the label, and how that is known."""
    if asked.label is None:
        return False, ""
    if column == asked.label:
        return True, "the label by name"
    found = likeness(values, asked.table[asked.label].combine_chunks().take(places))
    if found is None or not found.suspicious:
        return False, ""
    return True, f"{found.measure} with the label {found.score:.3f}"


def own_places(history: SourceHistory, view: FeatureView, asked: TrainingRows) -> tuple[Ints, Ints]:
    """Return training rows and numbers of the history's rows of the same key and moment.

    Only rows that were visible then: known, not late, not replaced.
    """
    entity = view.row_entity
    keys = asked.keys(view)
    index = KeyIndex([keys[name] for name in entity.key_names], len(asked.times))
    moments = np.unique(asked.times)
    pairs = np.where(index.codes < 0, -1, index.codes * len(moments)) + np.searchsorted(
        moments, asked.times
    )
    pairs = np.where(index.codes < 0, -1, pairs)
    order = np.argsort(pairs, kind="stable")
    ordered = pairs[order]
    replaced = history.superseded()
    places, numbers = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    if not len(moments):
        return places[0], numbers[0]
    span = {"start": int(moments[0]), "end": int(moments[-1]) + 1}
    for chunk in history.chunks(list(entity.key_names), **span):
        codes = index.find([chunk.table[name] for name in entity.key_names], len(chunk.row))
        rank = np.minimum(np.searchsorted(moments, chunk.event), len(moments) - 1)
        until = replaced.of(chunk.row)
        seen = (
            (chunk.known <= chunk.event) & (until > chunk.event)
            if asked.as_known
            else until == NEVER
        )
        match = np.flatnonzero((codes >= 0) & (moments[rank] == chunk.event) & ~chunk.late & seen)
        wanted = codes[match] * len(moments) + rank[match]
        low, high = (np.searchsorted(ordered, wanted, side) for side in ("left", "right"))
        repeats = high - low
        first = np.repeat(low - np.cumsum(repeats) + repeats, repeats)
        places.append(order[first + np.arange(int(repeats.sum()))])
        numbers.append(np.repeat(chunk.row[match], repeats))
    return np.concatenate(places), np.concatenate(numbers)


def from_the_past(
    history_of: Callable[[Source], SourceHistory],
    views: Sequence[NeededView],
    asked: TrainingRows,
    names: Mapping[str, str],
) -> tuple[int, dict[str, int]]:
    """Recompute values of a sample from rows up to their moment alone, by the reference engine.

    Args:
        history_of: gives the history of a source.
        views: and their features that the training set has.
        asked: the training set.
        names: full reference to column of the training set; others are skipped.

    Returns:
        How many values were recomputed, and per column how many came out different.
    """
    checked = 0
    different: dict[str, int] = {}
    rows = np.unique(np.linspace(0, asked.table.num_rows - 1, SAMPLE_ROWS).astype(np.int64))
    rows = rows if asked.table.num_rows else rows[:0]
    for need in views:
        wanted = [name for name in need.features if need.reference(name) in names]
        if not wanted:
            continue
        entity, names_asked = need.view.row_entity, need.view.asked_entity.key_names
        keys = {name: column.take(rows) for name, column in asked.keys(need.view).items()}
        histories = rows_of_entities(history_of(need.view.source), entity, keys)
        if not keys:  # every row is about the one entity there is
            histories = histories * len(rows)
        lists = {n: keys[row].to_pylist() for n, row in zip(names_asked, keys, strict=True)}
        for at, (row, history) in enumerate(zip(rows.tolist(), histories, strict=True)):
            if len(history) > _MOST_ROWS:
                continue
            t = int(asked.times[row])
            k = t if asked.as_known else None
            past = [r for r in visible(history, k) if r.event is not None and r.event <= t]
            key = {name: values[at] for name, values in lists.items()}
            answers = view_values(need.view, past, key, t, k, features=wanted)
            for name in wanted:
                column = names[need.reference(name)]
                dtype = need.view.dtypes[name]
                (found,) = python_values(asked.table[column].slice(row, 1))
                value = dtype.coerce(found)
                checked += 1
                if not same_bits(value, answers[name][0]):
                    different[column] = different.get(column, 0) + 1
    return checked, different


def _canonical(column: pa.ChunkedArray, dtype: DType, name: str) -> pa.Array:
    where = f"column {name!r} of the training set"
    return cast_column(column, dtype, where=where).combine_chunks()
