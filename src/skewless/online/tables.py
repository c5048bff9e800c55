"""Which tables of states the online store keeps, and which of them answer for which views.

The journal has a record of every table. Whoever pushes writes to every *active* one of its source,
found in the journal and not worked out of the definitions that a process remembers; so a table is
complete for as long as it is active, once it was built from all of history. A table that nothing
needs any more is stopped in the transaction that sees so (`StateTables.reconcile`), and dropped a
little later. The same layout coming back is a new generation: a table of another name, of which
nothing is noted yet.

    tables = StateTables.load(journal, registry.state())
    by = tables.serving()["Spend", 2]      # by.layout, by.complete
    names = tables.serving().current       # {"Spend": 1}: what the bare name stands for meanwhile
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from skewless.definitions import Entity, FeatureView, Source
from skewless.definitions.fingerprint import fingerprint
from skewless.definitions.source import closing
from skewless.forks import cached_property
from skewless.online.log_generations import LogGenerations
from skewless.online.table_changes import note_change
from skewless.plan.apply.registry_state import RegistryState, ViewVersion
from skewless.plan.lookup import ServedBy
from skewless.state.layout import StateLayout
from skewless.stores.online.base import KeyValues

TABLES = "skewless.states"
GRACE = 2_000_000
"""How long a table outlives its use, microseconds: twice what plans of other processes are old."""
_GENERATIONS = "skewless.generations"


@dataclass(frozen=True)
class StateTable:
    """The record of a table of states.

    Attributes:
        layout: how states are packed, and of which generation the table is.
        complete: whether it holds all of history: it was built, and pushes kept it up since.
        since: the row of the log after which pushes write to it.
        built: the row of the log up to which it was built from history; None while it is building.
        stopped: since when nothing needs it, microseconds; None while it is active.
        table: the mark of the source's table that it was begun over (`table_mark`): over another
            table there is another history, and another table of states.
        log: which logs it was begun over (`LogGenerations.of`): a source that was removed and is
            defined again has another one, and what was noted of this table is void.
    """

    layout: StateLayout
    complete: bool = False
    since: int = 0
    built: int | None = None
    stopped: int | None = None
    table: str = ""
    log: str = "0"

    @property
    def active(self) -> bool:
        """Whether rows are written to it."""
        return self.stopped is None

    def to_json(self) -> bytes:
        """Return the record as it stands in the store."""
        data = {
            "layout": self.layout.to_dict(),
            "complete": self.complete,
            "since": self.since,
            "built": self.built,
            "stopped": self.stopped,
            "table": self.table,
            "log": self.log,
        }
        return json.dumps(data).encode()

    @classmethod
    def from_json(cls, text: bytes) -> StateTable:
        """Return the record that `to_json` wrote; one of an older form is building."""
        data = json.loads(text)
        layout = StateLayout.from_dict(data["layout"])
        complete, since = data.get("complete", False), data.get("since", 0)
        over = data.get("table", ""), data.get("log", "0")
        return cls(layout, complete, since, data.get("built"), data.get("stopped"), *over)


class Serving(Mapping[ViewVersion, ServedBy]):
    """What answers for each view version, and what bare names stand for.

    Attributes:
        current: name of each view, on-demand or not, to the version that reads without a version
            get: the current one if it is complete, else the newest one that is; where none is,
            the current one, which is building.
    """

    def __init__(self, by: Mapping[ViewVersion, ServedBy], state: RegistryState) -> None:
        self._by = by
        self._state = state

    @cached_property
    def current(self) -> dict[str, int]:
        """The version that each bare name stands for."""
        found, others = {}, list[str]()
        for name, now in self._state.current.items():
            found[name] = now
            if not self.is_complete((name, now)):
                others.append(name)
        for name, version in sorted((*self._state.views, *self._state.on_demand)) if others else ():
            if name in others and self.is_complete((name, version)):
                found[name] = version  # the newest of them comes last
        return found

    @property
    def building(self) -> tuple[str, ...]:
        """The view versions that no complete table answers for, as ``Spend@v2``."""
        return tuple(f"{name}@v{v}" for (name, v), by in self._by.items() if not by.complete)

    def is_complete(self, key: ViewVersion) -> bool:
        """Return whether a version of a view, with all that it is computed from, is complete."""
        if key in self._by:
            return self._by[key].complete
        view = self._state.on_demand.get(key)
        if view is None:
            return False
        return all(self.is_complete((ref.view, ref.version or 0)) for ref in view.refs)

    def without(self, tables: Collection[str]) -> Serving:
        """Return the same with some tables not complete; bare names stand for what they did."""
        found = Serving(
            {
                key: replace(by, complete=by.complete and by.layout.table not in tables)
                for key, by in self._by.items()
            },
            self._state,
        )
        vars(found)["current"] = self.current
        return found

    def __getitem__(self, key: ViewVersion) -> ServedBy:
        return self._by[key]

    def __iter__(self) -> Iterator[ViewVersion]:
        return iter(self._by)

    def __len__(self) -> int:
        return len(self._by)


def layouts_of(state: RegistryState) -> dict[ViewVersion, StateLayout]:
    """Return the layout that each served view version wants, by name and version.

    Versions share one as long as they are about the same rows of the same entity. It takes the
    source as it is now, with the columns it has got since a view was applied; versions from before
    a column went or got another type keep a layout of their own, which sees rows as they did.
    """
    groups: dict[str, list[tuple[ViewVersion, FeatureView]]] = {}
    for key, view in state.views.items():
        rows = StateLayout(view.row_entity, view.source, {}, ()).rows_of
        mark = fingerprint([rows, _otherwise_typed(state, view.source)])
        groups.setdefault(mark, []).append((key, view))
    wanted = {}
    for members in groups.values():
        newest = max(members, key=lambda member: member[0][1])[1]
        source = _source_now(state, newest.entity, newest.source)
        layout = StateLayout.of(newest.row_entity, source, [view for _, view in members])
        wanted.update({key: layout for key, _ in members})
    return wanted


def _otherwise_typed(state: RegistryState, then: Source) -> dict[str, Any]:
    """Return the columns that a source no longer has as they were known then."""
    now = state.sources[state.name_of_stored(then)].columns
    return {name: d.to_dict() for name, d in then.columns.items() if now.get(name) != d}


def _source_now(state: RegistryState, entity: Entity, then: Source) -> Source:
    """Return a source as it is now, unless it is no more, or its rows are others by now."""
    name = state.name_of_stored(then)
    if name not in state.sources:
        return then
    source = closing(state.sources[name], then.closed)
    rows = [StateLayout(entity, each, {}, ()).rows_of for each in (source, then)]
    return source if rows[0] == rows[1] and not _otherwise_typed(state, then) else then


class StateTables:
    """The tables there are, and which of them answer for which views.

    Args:
        tables: the records, by name of the table.
        state: of the registry.
        behind: tables that lack the newest rows of their log, see `online.lag`.
        logs: which log each source has now.

    Attributes:
        pushed_keys: the columns of a source that are keys, once `ingest.push` has looked.
    """

    def __init__(
        self,
        tables: Mapping[str, StateTable],
        state: RegistryState,
        behind: Collection[str] = (),
        logs: LogGenerations | None = None,
    ) -> None:
        self.tables = dict(tables)
        self._state = state
        self._logs = logs or LogGenerations()
        self._behind = behind
        self._wanted = layouts_of(state)
        self._of_source: dict[str, list[StateTable]] = {}
        self.pushed_keys: dict[str, list[str]] = {}
        self._adopt()

    @classmethod
    def load(
        cls, store: KeyValues, state: RegistryState, behind: Collection[str] = ()
    ) -> StateTables:
        """Read the records of all tables."""
        found = {key.decode(): StateTable.from_json(value) for key, value in store.scan(TABLES)}
        return cls(found, state, behind, LogGenerations.load(store))

    def of_now(self, name: str) -> StateTable | None:
        """Return a table by name; None if there is none, or it is of a log that was set apart."""
        found = self.tables.get(name)
        return found if found is not None and self._is_of_now(found) else None

    def _is_of_now(self, table: StateTable) -> bool:
        return table.log == self._log_of(table.layout.source)

    def _log_of(self, source: Source) -> str:
        """Return which logs a source has, its own and that of what it is derived of."""
        made_of = (each.stored for each in self._state.made_of(source))
        return self._logs.of([source.stored, *made_of])

    def _adopt(self) -> None:
        """Find the tables that are wanted, and take the sources of now.

        Where a source's table lies may have changed.
        """
        self._own = {}
        used = {name: t for name, t in self.tables.items() if t.active and self._is_of_now(t)}
        active = {_kind(t.layout, t.table): name for name, t in used.items()}
        for layout in self._distinct():
            name = active.get(_kind(layout, table_mark(layout.source)))
            if name is not None:
                table = self.tables[name]
                own = layout.of_generation(table.layout.generation)
                self.tables[name] = replace(table, layout=own)
                self._own[id(layout)] = name
        for name in set(active.values()) - set(self._own.values()):
            layout = self.tables[name].layout
            now = _source_now(self._state, layout.entity, layout.source)
            self.tables[name] = replace(self.tables[name], layout=layout.over(now))
        self._of_source.clear()
        self.__dict__.pop("_serving", None)

    def _distinct(self) -> Iterable[StateLayout]:
        return {id(each): each for each in self._wanted.values()}.values()

    def wanted(self) -> dict[str, StateTable]:
        """Return the active tables that the registry's views want, by name."""
        return {name: self.tables[name] for name in self._own.values()}

    def own(self, key: ViewVersion) -> StateTable | None:
        """Return the active table that is kept for a view version; None: there is none yet."""
        name = self._own.get(id(self._wanted[key]))
        return None if name is None else self.tables[name]

    def serving(self) -> Serving:
        """Return what answers for each view version: its own table, else a complete one."""
        return self._serving

    @cached_property
    def _serving(self) -> Serving:
        found = Serving({key: self._served_by(key) for key in self._wanted}, self._state)
        return found.without(self._behind) if self._behind else found

    def _served_by(self, key: ViewVersion) -> ServedBy:
        own = self.own(key)
        if own is not None and own.complete:
            return ServedBy(own.layout)
        view = self._state.views[key]
        needed = StateLayout.of(view.row_entity, view.source, [view])
        covering = [t.layout for t in self.complete() if t.layout.covers(needed)]
        if covering:
            return ServedBy(min(covering, key=lambda other: len(other.slots)))
        return ServedBy(self._wanted[key] if own is None else own.layout, complete=False)

    def complete(self) -> Iterator[StateTable]:
        """Yield the tables that answer: active ones with all of their history."""
        for table in self.tables.values():
            if table.active and table.complete and self._is_of_now(table):
                yield table

    def of_source(self, source: str, now: int | None = None) -> list[StateTable]:
        """Return the active tables of a source.

        Args:
            source: its name.
            now: the present, microseconds: those stopped a moment ago are among them, which other
                processes may read still; so rows are written to all of these.
        """
        if source not in self._of_source:
            stored = self._state.stored_name(source)
            named = sorted(self.tables.items())
            its = (t for _, t in named if t.layout.source.stored == stored)
            self._of_source[source] = [table for table in its if self._is_of_now(table)]
        return [
            table for table in self._of_source[source]
            if table.stopped is None or (now is not None and now - table.stopped < GRACE)
        ]  # fmt: skip

    def unused(self, now: int) -> list[str]:
        """Return the tables that were stopped long enough ago to be dropped."""
        stopped = ((name, table.stopped) for name, table in self.tables.items())
        return sorted(n for n, since in stopped if since is not None and now - since >= GRACE)

    def reconcile(
        self,
        transaction: KeyValues,
        last_sequence: Callable[[Source], int],
        *,
        now: int,
        exactly: bool = False,
    ) -> bool:
        """Make the records what the registry wants; return whether anything changed.

        A table that is wanted and not there is begun; over a source without any history it is
        complete at once, else it is building. Tables that nothing needs are stopped.

        Args:
            transaction: of the journal, which keeps pushes out.
            last_sequence: returns the newest row of a source's log, seen in the transaction.
            now: the present, microseconds.
            exactly: whether a table is begun also where a complete one answers for all of it, and
                more than is wanted: after a version was retired, for instance.
        """
        found: dict[str, StateTable] = {}
        for layout in self._distinct():
            if id(layout) in self._own or (not exactly and self._covered(layout)):
                continue
            last = last_sequence(layout.source)
            nothing = self._is_without_history(layout.source, last_sequence)
            again = layout.of_generation(_next_generation(transaction, layout))
            over = table_mark(layout.source), self._log_of(layout.source)
            table = StateTable(again, nothing, last, 0 if nothing else None, None, *over)
            found[again.table] = table
        self.tables |= found
        self._adopt()
        used = {by.layout.table for by in self.serving().values()} | set(self._own.values())
        for name, table in self.tables.items():
            if table.active and name not in used:
                found[name] = replace(table, stopped=now)
        if found:
            self.save(transaction, found.values())
        return bool(found)

    def _is_without_history(self, source: Source, last_sequence: Callable[[Source], int]) -> bool:
        """Return whether a source has no rows, nor rows that any of its own are made of."""
        its = (source, *self._state.made_of(source))
        return not any(each.table is not None or last_sequence(each) for each in its)

    def _covered(self, layout: StateLayout) -> bool:
        """Return whether a complete table has all that a layout wants."""
        over = table_mark(layout.source)
        return any(t.table == over and t.layout.covers(layout) for t in self.complete())

    def save(self, store: KeyValues, tables: Iterable[StateTable]) -> None:
        """Write the records of some tables, in a transaction of the journal."""
        changed = {table.layout.table: table for table in tables}
        self.tables |= changed
        self._adopt()
        store.write(TABLES, [(name.encode(), t.to_json()) for name, t in changed.items()])
        note_change(store)


def record_of(journal: KeyValues, name: str) -> StateTable | None:
    """Return the record of a table as it is in the journal; None: there is none."""
    found = journal.read_one(TABLES, name.encode())
    return None if found is None else StateTable.from_json(found)


def forget_table(transaction: KeyValues, name: str, notes: Iterable[str]) -> None:
    """Delete the record of a table that was dropped, and what is noted of it in some tables."""
    for table in (TABLES, *notes):
        transaction.delete(table, [name.encode()])
    note_change(transaction)


def table_mark(source: Source) -> str:
    """Return a hash of which table a source has: where its history lies, beside its log."""
    return fingerprint(None if source.table is None else source.table.to_dict())


def _kind(layout: StateLayout, table: str) -> tuple[str, str, str, str]:
    """Return what says that two tables hold the same, whatever their generation."""
    return layout.source.stored, layout.entity.stored, layout.fingerprint, table


def _next_generation(transaction: KeyValues, layout: StateLayout) -> int:
    """Return the generation of the next table of a layout, and count it."""
    key = layout.of_generation(1).table.encode()
    last = int(transaction.read_one(_GENERATIONS, key) or b"0")
    transaction.write(_GENERATIONS, [(key, b"%d" % (last + 1))])
    return last + 1
