"""The rows of one entity, out of the whole history of a source, for the reference engine.

    rows = entity_rows(runtime.history(source), entity, {"card_id": "c1"})
    explain_rows(aggregate, view, rows, t, k)

Keys are scanned first, alone; the other columns are read of the entity's rows only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from skewless.clock import ALWAYS
from skewless.definitions import Entity, FeatureView
from skewless.engines.local.spine import KeyIndex
from skewless.engines.reference import HistoryRow
from skewless.errors import InputError, MissingColumn
from skewless.types import DType, python_values

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.engines.history import SourceHistory

    Ints = npt.NDArray[np.int64]

_ELSEWHERE = "\0elsewhere"
"""Tells, in the values of a row that takes away, a row of another entity from a true deletion."""


def key_of(view: FeatureView, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the join keys of the entity that a view is asked for, in canonical form.

    They are named as the columns of the source are (`FeatureView.row_entity`).

    Raises:
        MissingColumn: a join key is missing.
        InputError: a join key is null or of another type.
    """
    where = f"the key of entity {view.entity.name!r}"
    key, given = {}, {**given, **view.constants}
    names = view.row_entity.key_names
    for row_name, (name, dtype) in zip(names, view.asked_entity.join_keys, strict=True):
        if name not in given:
            raise MissingColumn.of(name, given, where=where)
        try:
            key[row_name] = dtype.coerce(given[name])
        except ValueError as problem:
            raise InputError(f"join key {name!r}: {problem}", where=where) from None
        if key[row_name] is None:
            raise InputError(f"join key {name!r} is null", where=where)
    return key


def entity_rows(history: SourceHistory, entity: Entity, key: Mapping[str, Any]) -> list[HistoryRow]:
    """Return every version of every row of one entity, in row order; see `rows_of_entities`."""
    import pyarrow as pa

    keys = {name: pa.array([key[name]], dtype.arrow()) for name, dtype in entity.join_keys}
    return rows_of_entities(history, entity, keys)[0]


def rows_of_entities(
    history: SourceHistory, entity: Entity, keys: Mapping[str, pa.Array]
) -> list[list[HistoryRow]]:
    """Return every version of every row of some entities, in row order, a list for each entity.

    Versions of their row ids that belong to other entities, and deletions, come along as rows that
    take away (``deleted``), so that a list tells the whole story alone.

    Args:
        history: of the source.
        entity: whose keys they are.
        keys: distinct join keys, columns of canonical type without nulls.
    """
    import numpy as np

    count = len(next(iter(keys.values()), "1"))  # there is one entity without keys
    wanted = KeyIndex([keys[name] for name in entity.key_names], count)
    parts = [_matching(chunk, entity, wanted) for chunk in history.chunks(list(entity.key_names))]
    if not parts:
        return [[] for _ in wanted.codes]
    event, known, tiebreak, late, number, code = (
        np.concatenate([part[at] for part in parts]) for at in range(6)
    )
    order = np.argsort(number)
    found = _Found(*(array[order] for array in (event, known, tiebreak, late, number)))
    rows = _history_rows(history, found)
    grouped: dict[int, list[HistoryRow]] = {place: [] for place in wanted.codes.tolist()}
    for row, place in zip(rows, code[order].tolist(), strict=True):
        grouped[place].append(row)
    elsewhere = _other_versions(history, rows, found)
    for place, group in grouped.items():
        if elsewhere:
            grouped[place] = [*group, *_taken_away(group, elsewhere)]
    groups = (grouped[place] for place in wanted.codes.tolist())
    return [sorted(group, key=lambda row: row.order) for group in groups]


@dataclass(frozen=True, eq=False)
class _Found:
    """Rows of a history; numbers ascend."""

    event: Ints
    known: Ints
    tiebreak: Ints
    late: npt.NDArray[np.bool_]
    number: Ints


def _history_rows(
    history: SourceHistory, found: _Found, deleted: npt.NDArray[np.bool_] | None = None
) -> list[HistoryRow]:
    """Return rows as the reference engine takes them."""
    source = history.source
    values = _values(history.take(found.number, list(source.columns)), source.columns)
    tiebreak = _with_hashes(history, found.tiebreak, found.number)
    gone = [False] * len(values) if deleted is None else deleted.tolist()
    arrays = (found.event, found.known, tiebreak, found.late)
    return [
        HistoryRow(
            row,
            None if event == ALWAYS else event,
            known,
            place,
            late=late,
            row_id=_id_of(row, source.row_id),
            deleted=takes,
            known_column=source.known_time,
        )
        for row, event, known, place, late, takes in zip(
            values, *(array.tolist() for array in arrays), gone, strict=True
        )
    ]


def _id_of(values: Mapping[str, Any], names: Sequence[str]) -> tuple[Any, ...] | None:
    """Return the row id, None where there is none or it is null in part."""
    found = tuple(values[name] for name in names)
    return None if None in found or not found else found


def _other_versions(
    history: SourceHistory, rows: list[HistoryRow], found: _Found
) -> dict[tuple[Any, ...], list[HistoryRow]]:
    """Return every version of the ids of some rows, by id; nothing where none has a second one."""
    import numpy as np
    import pyarrow as pa

    names = list(history.source.row_id)
    if not names or not len(history.superseded()):
        return {}
    source = history.source
    ids = {row.row_id for row in rows if row.row_id is not None}
    if not ids:
        return {}
    index = KeyIndex(
        [
            pa.array(column, source.columns[name].arrow())
            for name, column in zip(names, zip(*ids, strict=True), strict=True)
        ],
        len(ids),
    )
    parts: list[tuple[Any, ...]] = []
    for chunk in history.versions(names):
        mask = index.find([chunk.table[name] for name in names], len(chunk.row)) >= 0
        gone = np.zeros(len(mask), bool) if chunk.deleted is None else chunk.deleted
        mask &= (chunk.event != ALWAYS) | gone
        arrays = (chunk.event, chunk.known, chunk.tiebreak, chunk.late, chunk.row, gone)
        parts.append(tuple(array[mask] for array in arrays))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[4])
    *own, gone = (column[order] for column in columns)
    given = dict(zip(found.number.tolist(), rows, strict=True))
    every = _Found(*own)
    by_id: dict[tuple[Any, ...], list[HistoryRow]] = {}
    for number, row in zip(every.number.tolist(), _history_rows(history, every, gone), strict=True):
        if row.row_id is not None:
            by_id.setdefault(row.row_id, []).append(given.get(number, row))
    return by_id


def _taken_away(
    group: list[HistoryRow], versions: Mapping[tuple[Any, ...], list[HistoryRow]]
) -> list[HistoryRow]:
    """Return the versions of the rows' ids that are no rows of their entity, as deletions."""
    own = {id(row) for row in group}
    ids = dict.fromkeys(row.row_id for row in group if row.row_id is not None)
    return [
        replace(row, deleted=True, values={**row.values, _ELSEWHERE: not row.deleted})
        for row_id in ids
        for row in versions[row_id]
        if id(row) not in own
    ]


def every_key(entity: Entity, histories: list[SourceHistory]) -> pa.Table:
    """Return the distinct join keys, without nulls, that occur in some histories.

    Of an entity without keys that is a table of no columns: one row, or none without history.
    """
    import pyarrow as pa

    names = list(entity.key_names)
    schema = pa.schema([(name, dtype.arrow()) for name, dtype in entity.join_keys])
    keys = schema.empty_table()
    if not names:
        seen = any(len(chunk.row) for history in histories for chunk in history.chunks(names))
        return pa.table({"seen": pa.nulls(int(seen))}).select([])
    for history in histories:
        for chunk in history.chunks(names):
            distinct = chunk.table.select(names).group_by(names).aggregate([]).cast(schema)
            keys = pa.concat_tables([keys, distinct]).group_by(names).aggregate([])
    return keys.select(names).drop_null()


def _matching(chunk: Any, entity: Entity, wanted: KeyIndex) -> tuple[Ints, ...]:
    """Return times, tiebreaks, lateness, numbers and key codes of a chunk's rows of some keys."""
    names = entity.key_names
    codes = wanted.find([chunk.table[name] for name in names], len(chunk.row))
    mask = codes >= 0
    arrays = (chunk.event, chunk.known, chunk.tiebreak, chunk.late, chunk.row, codes)
    return tuple(array[mask] for array in arrays)


def _with_hashes(history: SourceHistory, tiebreak: Ints, number: Ints) -> Ints:
    """Return tiebreaks with those of table rows computed from their content."""
    import numpy as np

    of_table = tiebreak == 0
    if of_table.any():
        hashes = history.content_hash(number[of_table]) >> np.uint64(1)
        tiebreak = tiebreak.copy()
        tiebreak[of_table] = ALWAYS + hashes.astype(np.int64)
    return tiebreak


def _values(table: pa.Table, columns: Mapping[str, DType]) -> list[dict[str, Any]]:
    typed = {
        name: [columns[name].coerce(value) for value in python_values(table[name])]
        for name in columns
    }
    names = list(typed)
    return [dict(zip(names, row, strict=True)) for row in zip(*typed.values(), strict=True)]
