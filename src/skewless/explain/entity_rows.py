"""The rows of one entity, out of the whole history of a source, for the reference engine.

    rows = entity_rows(runtime.history(source), entity, {"card_id": "c1"})
    explain_rows(aggregate, view, rows, t, k)

Keys are scanned first, alone; the other columns are read of the entity's rows only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Entity
from skewless.engines.local.spine import KeyIndex
from skewless.engines.reference import HistoryRow
from skewless.errors import InputError, MissingColumn
from skewless.types import DType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.engines.history import SourceHistory

    Ints = npt.NDArray[np.int64]


def key_of(entity: Entity, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the join keys of an entity in canonical form.

    Raises:
        MissingColumn: a join key is missing.
        InputError: a join key is null or of another type.
    """
    where = f"the key of entity {entity.name!r}"
    key = {}
    for name, dtype in entity.join_keys:
        if name not in given:
            raise MissingColumn.of(name, given, where=where)
        try:
            key[name] = dtype.coerce(given[name])
        except ValueError as problem:
            raise InputError(f"join key {name!r}: {problem}", where=where) from None
        if key[name] is None:
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

    Rows that a correction of another entity, or a deletion, takes away are accompanied by a row
    that says so (``deleted``, without event time), so that a list tells the whole story alone.

    Args:
        history: of the source.
        entity: whose keys they are.
        keys: distinct join keys, columns of canonical type without nulls.
    """
    import numpy as np

    wanted = KeyIndex([keys[name] for name in entity.key_names])
    parts = [_matching(chunk, entity, wanted) for chunk in history.chunks(list(entity.key_names))]
    if not parts:
        return [[] for _ in wanted.codes]
    event, known, tiebreak, late, number, code = (
        np.concatenate([part[at] for part in parts]) for at in range(6)
    )
    order = np.argsort(number)
    event, known, tiebreak, late, number, code = (
        array[order] for array in (event, known, tiebreak, late, number, code)
    )
    tiebreak = _with_hashes(history, tiebreak, number)
    columns = history.source.columns
    ids = history.source.row_id
    rows = [
        HistoryRow(row, e, k, b, late=beyond, row_id=tuple(row[name] for name in ids) or None)
        for row, e, k, b, beyond in zip(
            _values(history.take(number, list(columns)), columns),
            *(array.tolist() for array in (event, known, tiebreak, late)),
            strict=True,
        )
    ]
    until = history.superseded().of(number).tolist() if ids else [NEVER] * len(rows)
    grouped: dict[int, tuple[list[HistoryRow], list[int]]] = {}
    for row, moment, place in zip(rows, until, code.tolist(), strict=True):
        group = grouped.setdefault(place, ([], []))
        group[0].append(row)
        group[1].append(moment)
    found = (grouped.get(place, ([], [])) for place in wanted.codes.tolist())
    return [
        sorted([*group, *_taken_away(group, moments)], key=lambda row: row.order)
        for group, moments in found
    ]


def every_key(entity: Entity, histories: list[SourceHistory]) -> pa.Table:
    """Return the distinct join keys, without nulls, that occur in some histories."""
    import pyarrow as pa

    names = list(entity.key_names)
    schema = pa.schema([(name, dtype.arrow()) for name, dtype in entity.join_keys])
    keys = schema.empty_table()
    for history in histories:
        for chunk in history.chunks(names):
            distinct = chunk.table.select(names).group_by(names).aggregate([]).cast(schema)
            keys = pa.concat_tables([keys, distinct]).group_by(names).aggregate([])
    return keys.select(names).drop_null()


def _matching(chunk: Any, entity: Entity, wanted: KeyIndex) -> tuple[Ints, ...]:
    """Return times, tiebreaks, lateness, numbers and key codes of a chunk's rows of some keys."""
    codes = wanted.find([chunk.table[name] for name in entity.key_names])
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


def _taken_away(rows: list[HistoryRow], until: list[int]) -> list[HistoryRow]:
    """Return deletions for the rows whose replacement is not among ``rows``.

    A deletion stands right behind its row in the order of versions, and behind re-deliveries of it
    that came to be known with the deletion: of rows known at one moment, each may have been
    replaced by the next, the last by a row of another entity. What is identical to a row did not
    replace it: a row of another entity came in between.
    """
    counting: dict[tuple[Any, int], list[HistoryRow]] = {}
    again: dict[tuple[Any, int], int] = {}
    for row, moment in zip(rows, until, strict=True):
        place = (row.row_id, row.known)
        if moment == ALWAYS:
            again[place] = max(again.get(place, 0), row.tiebreak)
        elif not row.late:
            counting.setdefault(place, []).append(row)
    found = []
    for row, moment in zip(rows, until, strict=True):
        if moment in (NEVER, ALWAYS):
            continue
        after = _among_versions(row) if moment == row.known else ()
        place = (row.row_id, moment)
        later = [each for each in counting.get(place, ()) if _among_versions(each) > after]
        following = min(later, key=_among_versions, default=None)
        if following is None:
            number = max(row.tiebreak, again.get(place, 0), 0) + 1
        elif following.content == row.content:
            number = max(following.tiebreak - 1, 0)
        else:
            continue
        found.append(HistoryRow(row.values, None, moment, number, row_id=row.row_id, deleted=True))
    return found


def _among_versions(row: HistoryRow) -> tuple[Any, ...]:
    """Return the place of a row among the versions of its id that came to be known with it."""
    return (max(row.tiebreak, 0), row.order)


def _values(table: pa.Table, columns: Mapping[str, DType]) -> list[dict[str, Any]]:
    typed = {
        name: [columns[name].coerce(mapped(columns[name], v)) for v in table[name].to_pylist()]
        for name in columns
    }
    names = list(typed)
    return [dict(zip(names, row, strict=True)) for row in zip(*typed.values(), strict=True)]


def mapped(dtype: DType, value: Any) -> Any:
    """Return a value as Arrow gives it with maps as dicts, at any depth."""
    if value is None:
        return None
    match dtype.kind:
        case "map":
            return dict(value)
        case "list" if dtype.item is not None:
            return [mapped(dtype.item, item) for item in value]
        case "struct":
            return {name: mapped(field, value[name]) for name, field in dtype.fields}
    return value
