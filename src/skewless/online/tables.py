"""Which states the online store keeps, and bringing them up to date with rows of a source.

Each layout has a table of its own. A layout that is new, while its source already has history,
is not ready before it was materialized; until then the views it serves are answered by an older
ready layout that covers them, and pushes go to both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.definitions import FeatureView
from skewless.expressions.evaluate import evaluate
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.lookup import ServedBy
from skewless.state.keys import KeyCodec
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.stores.online.base import Rows as KeyValues

Ints = npt.NDArray[np.int64]
TABLES = "skewless.states"
_CHANGES = ("skewless.state_changes", b"count")


@dataclass(frozen=True)
class StateTable:
    """A table of states and whether it holds the whole history yet.

    Attributes:
        layout: how states are packed.
        ready: whether reads may use it.
        until: end of the newest materialized interval, microseconds; None before the first.
        unused: since when nothing needs it, microseconds; None while something does.
    """

    layout: StateLayout
    ready: bool
    until: int | None = None
    unused: int | None = None

    def to_json(self) -> bytes:
        """Return the record as it stands in the store."""
        data = {
            "layout": self.layout.to_dict(),
            "ready": self.ready,
            "until": self.until,
            "unused": self.unused,
        }
        return json.dumps(data).encode()

    @classmethod
    def from_json(cls, text: bytes) -> StateTable:
        """Return the record that `to_json` wrote."""
        data = json.loads(text)
        layout = StateLayout.from_dict(data["layout"])
        return cls(layout, data["ready"], data["until"], data["unused"])


def layouts_of(state: RegistryState) -> dict[tuple[str, int], StateLayout]:
    """Return the layout that each served view version wants, by name and version.

    Versions share one as long as they are about the same rows of the same entity.
    """
    groups: dict[str, list[tuple[tuple[str, int], FeatureView]]] = {}
    for key, view in state.views.items():
        place = repr(StateLayout(view.entity, view.source, {}, ()).rows_of)
        groups.setdefault(place, []).append((key, view))
    wanted = {}
    for members in groups.values():
        newest = max(members, key=lambda member: member[0][1])[1]
        layout = StateLayout.of(newest.entity, newest.source, [view for _, view in members])
        wanted.update({key: layout for key, _ in members})
    return wanted


def changes_of(store: KeyValues) -> int:
    """Return how often the records of tables were changed, by any process."""
    return int(store.read_one(*_CHANGES) or b"0")


def note_change(transaction: KeyValues) -> None:
    """Tell every process, inside a transaction, that the tables in use may be others now."""
    table, key = _CHANGES
    transaction.write(table, [(key, b"%d" % (changes_of(transaction) + 1))])


class StateTables:
    """The tables there are, and which of them answer for which views."""

    def __init__(self, tables: Mapping[str, StateTable], state: RegistryState) -> None:
        self.tables = dict(tables)
        self._of_source: dict[str, list[StateTable]] = {}
        self._views = state.views
        self._wanted = layouts_of(state)
        for layout in self._wanted.values():
            known = self.tables.get(layout.table, StateTable(layout, ready=False))
            # The layout of now: where the source's table lies may have changed.
            self.tables[layout.table] = replace(known, layout=layout)

    @classmethod
    def load(cls, store: KeyValues, state: RegistryState) -> StateTables:
        """Read the records of all tables."""
        found = {key.decode(): StateTable.from_json(value) for key, value in store.scan(TABLES)}
        return cls(found, state)

    def wanted(self) -> dict[str, StateTable]:
        """Return the tables that the registry's views want, by name."""
        return {x.table: self.tables[x.table] for x in self._wanted.values()}

    def serving(self) -> dict[tuple[str, int], ServedBy]:
        """Return what answers for each view version: its own table, else a complete one."""
        return {key: self._serving(key, layout) for key, layout in self._wanted.items()}

    def _serving(self, key: tuple[str, int], layout: StateLayout) -> ServedBy:
        if self.tables[layout.table].ready:
            return ServedBy(layout)
        view = self._views[key]
        own = StateLayout.of(view.entity, view.source, [view])
        covering = [t.layout for t in self.tables.values() if t.ready and t.layout.covers(own)]
        if not covering:
            return ServedBy(layout, complete=False)
        return ServedBy(min(covering, key=lambda other: len(other.slots)))

    def of_source(self, source: str) -> list[StateTable]:
        """Return the tables that rows of a source go to: wanted ones and those still serving."""
        if source not in self._of_source:
            used = {by.layout.table for by in self.serving().values()} | set(self.wanted())
            found = (self.tables[name] for name in sorted(used))
            self._of_source[source] = [t for t in found if t.layout.source.name == source]
        return self._of_source[source]

    def unused(self) -> list[str]:
        """Return the tables that nothing needs any more."""
        used = {by.layout.table for by in self.serving().values()} | set(self.wanted())
        return sorted(set(self.tables) - used)

    def save(self, store: KeyValues, table: StateTable) -> None:
        """Write the record of a table."""
        self.tables[table.layout.table] = table
        self._of_source.clear()
        store.write(TABLES, [(table.layout.table.encode(), table.to_json())])
        note_change(store)

    def mark_ready(self, store: KeyValues, name: str, until: int | None) -> None:
        """Note that a table holds the history up to a moment."""
        self.save(store, replace(self.tables[name], ready=True, until=until, unused=None))


@dataclass(frozen=True, eq=False)
class KeyedRows:
    """Rows for the states of one layout.

    Attributes:
        keys: distinct keys, in order of first row; the number of a key is its rows' group.
        rows: their rows, unsorted.
        taken: positions of the given rows they are; rows without a key are left out.
    """

    keys: list[bytes]
    rows: RowSet
    taken: Ints


def keyed_rows(
    layout: StateLayout,
    table: pa.Table | pa.RecordBatch,
    order: tuple[Ints, Ints, Ints],
    superseded: Ints | None = None,
) -> KeyedRows:
    """Return rows of a source as a layout keeps them.

    Args:
        layout: says which expressions are kept.
        table: columns of the source, canonical types.
        order: event time, known time and tiebreak of each row.
        superseded: when each row was replaced; None for never.
    """
    names = layout.entity.key_names
    taken = np.arange(table.num_rows)
    if any(table[name].null_count for name in names):
        for name in names:
            taken = taken[np.asarray(table[name].is_valid())[taken]]
        table = table.take(pa.array(taken))
        order = (order[0][taken], order[1][taken], order[2][taken])
        superseded = None if superseded is None else superseded[taken]
    columns = {name: table[name] for name in table.schema.names}
    keys, group = _numbered(layout, {name: _one(columns[name]) for name in names})
    slots = [_one(evaluate(e, columns, table.num_rows)) for e in layout.expressions]
    rows = RowSet.build(layout.slots, slots, order, group, superseded)
    return KeyedRows(keys, rows, taken)


def _numbered(layout: StateLayout, columns: Mapping[str, pa.Array]) -> tuple[list[bytes], Ints]:
    """Return the distinct keys in order of first row, and the number of each row's key."""
    codec = KeyCodec(layout.entity)
    if len(columns) == 1:
        ((name, column),) = columns.items()
        numbered = column.dictionary_encode()
        keys = codec.encode_columns({name: numbered.dictionary})
    else:
        encoded = pa.array(codec.encode_columns(columns), pa.binary())
        numbered = encoded.dictionary_encode()
        keys = numbered.dictionary.to_pylist()
    return keys, np.asarray(numbered.indices).astype(np.int64)


def keys_of(layout: StateLayout, table: pa.Table, sequences: Ints) -> list[tuple[bytes, int]]:
    """Return the entity's key and the sequence of rows of a log; those without a key are left out.

    Args:
        layout: says which entity.
        table: its join keys.
        sequences: of the rows.
    """
    only = StateLayout(layout.entity, layout.source, {}, ())
    keyed = keyed_rows(only, table, (sequences, sequences, sequences))
    groups = keyed.rows.group.tolist()
    numbers = sequences[keyed.taken].tolist()
    return [(keyed.keys[group], number) for group, number in zip(groups, numbers, strict=True)]


def columns_needed(layouts: Iterable[StateLayout]) -> list[str]:
    """Return the source columns that keys and expressions of layouts use."""
    from skewless.definitions.expressions import Column

    found: dict[str, None] = {}
    for layout in layouts:
        found |= dict.fromkeys(layout.entity.key_names)
        for expression in layout.expressions:
            found |= {leaf.name: None for leaf in expression.leaves() if isinstance(leaf, Column)}
    return list(found)


def _one(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
