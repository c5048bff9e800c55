"""Push: rows of a source into its event log and the online states, exactly once per row id.

Where the online store has transactions, log and states change in one of them. Elsewhere the log
is first, which makes the rows durable, and the states follow, one writer at a time; what a crash
left undone is done with the next push, because the journal knows the last row the states hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from skewless.checks.results import CheckResult
from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.errors import InputError, RowsKept, StoreError
from skewless.ingest.checked import kept_out, rows_checked
from skewless.ingest.quarantine import set_aside
from skewless.ingest.validation import validate, without_long_keys
from skewless.materialize.repair import catch_up, rebuild_marked, rebuilt_with
from skewless.materialize.verbs import build_anew
from skewless.online.clocks import present
from skewless.online.dedup import Arrivals, Rejected, ValidRows, arrivals_of, seen_under
from skewless.online.derive import all_derived_of, base_of, derive, derived_of
from skewless.online.dirty_keys import any_marked
from skewless.online.lease import POSITIONS
from skewless.online.loss_detection import (
    applied,
    logger,
    note_applied,
    note_held,
    note_refused,
    standings,
)
from skewless.online.row_ids import (
    bring_up_to_date,
    definitions_of,
    ids_table,
    mark_of,
)
from skewless.online.runtime import Runtime
from skewless.online.tables import StateTable
from skewless.online.update import Places, update
from skewless.stores.offline.log.journal import Push, State, event_range
from skewless.stores.online.base import Transaction
from skewless.stores.online.compare_and_set import Overtaken

ATTEMPTS = 4


@dataclass(frozen=True)
class PushResult:
    """What became of the rows handed in.

    Attributes:
        accepted: new rows, corrections and late ones among them.
        corrections: of these, rows that replace an earlier one of their row id.
        duplicates: rows that were there already.
        late: accepted rows beyond the source's lateness: kept, but not counted.
        quarantined: rows that do not fit the source, with reasons; and of the accepted ones those
            that a check sets aside: no feature counts them.
        sequence: of the newest row in the event log.
        ignored: fields that the source does not have, which were left out.
        failed: checks of the source that do not hold for these rows, which came in all the same.
    """

    accepted: int
    corrections: int
    duplicates: int
    late: int
    quarantined: tuple[Rejected, ...]
    sequence: int
    ignored: tuple[str, ...] = ()
    failed: tuple[CheckResult, ...] = ()


def push(
    runtime: Runtime,
    source_name: str,
    rows: Any,
    *,
    backdate: bool,
    refused: Sequence[Rejected] = (),
) -> PushResult:
    """Hand rows of a source to the store; see `FeatureStore.push`.

    Args:
        runtime: the open parts.
        source_name: whose rows they are.
        rows: those that come in.
        backdate: whether known time is event time + delay.
        refused: rows of the same push that somebody else has found bad: they go to quarantine
            with the others, in the same transaction.
    """
    source = runtime.source(source_name)
    refuse_derived(source)
    admitted = validated(runtime, source, rows, backdate=backdate)
    if refused:
        admitted = replace(admitted, rejected=[*admitted.rejected, *refused])
    failed = rows_checked(runtime, source, admitted)
    return ingest(runtime, source, admitted, failed=failed)


def refuse_derived(source: Source) -> None:
    """Raise `InputError` for rows of a source that makes its own."""
    if source.derivation is not None:
        raise InputError(
            f"rows of {source.name!r} are derived",
            hint=f"Push, correct or delete rows of {source.derivation.source!r}.",
        )


def validated(runtime: Runtime, source: Source, rows: Any, *, backdate: bool) -> ValidRows:
    """Return the rows that fit a source at the present moment, and those that do not."""
    now = runtime.now(source.future)
    reached = lambda: runtime.log(source).state().stamped  # noqa: E731
    found = validate(source, rows, now=now, backdate=backdate, reached=reached)
    return without_long_keys(found, _keys_of(runtime, source))


def _keys_of(runtime: Runtime, source: Source) -> list[str]:
    """Return the columns of a source that are join keys, row ids or name derived rows."""
    tables = runtime.tables()
    keys = tables.pushed_keys.get(source.name)
    if keys is None:
        names = {*source.row_id}
        for table in tables.of_source(source.name):
            names.update(table.layout.entity.key_names)
        for each in derived_of(runtime, source):
            names.update(base_of(runtime, each)[0].by)
        keys = tables.pushed_keys[source.name] = sorted(names)
    return keys


def ingest(
    runtime: Runtime,
    source: Source,
    admitted: ValidRows,
    *,
    positions: Mapping[str, bytes | None] | None = None,
    failed: tuple[CheckResult, ...] = (),
) -> PushResult:
    """Append admitted rows to the log and bring the states up to date.

    Args:
        runtime: the open parts.
        source: whose rows they are.
        admitted: the rows.
        positions: of the stream they came from, by name, kept with them or not at all; None of a
            name: it is forgotten.
        failed: checks of the source that do not hold for them.

    Raises:
        RowsKept: they are in the log, but the online store could not be brought up to date.
    """
    work = _Push(runtime, source, admitted, positions or {})
    stale = False
    while True:
        if stale:
            _look_again(runtime, source)
        work.prepare()
        try:
            if runtime.one_store:
                own, *derived = runtime.commits.run(work)
            else:
                with runtime.journal.transaction() as transaction:
                    own, *derived = work(transaction, False)
            break
        except _Stale:
            stale = True
    arrivals, first = own.arrivals, own.first
    with _keeping(runtime, source, [own, *derived], len(arrivals.event)):
        for each in (own, *derived):
            if not runtime.one_store:
                _follow(runtime, each)
            if each.marked or not runtime.one_store:
                rebuild_marked(runtime, each.tables)
    return PushResult(
        accepted=len(arrivals.event) - arrivals.known_before,
        corrections=arrivals.corrections,
        duplicates=arrivals.duplicates + arrivals.known_before,
        late=arrivals.late_ones,
        quarantined=(*admitted.rejected, *own.kept_out),
        sequence=first + len(arrivals.event) - 1,
        ignored=admitted.ignored,
        failed=failed,
    )


@contextmanager
def _keeping(
    runtime: Runtime, source: Source, appended: Sequence[_Appended], rows: int
) -> Iterator[None]:
    """Say of what the online store refuses that the log has it, to the caller and to readers."""
    try:
        yield
    except StoreError as problem:
        names = [table.layout.table for each in appended for table in each.tables]
        runtime.lag.note(names)
        with suppress(StoreError), runtime.journal.transaction() as transaction:
            note_refused(transaction, names)
        raise RowsKept.of(source.name, rows, problem) from problem


@dataclass(frozen=True)
class _Appended:
    """Rows in the log of a source.

    Attributes:
        source: whose rows they are: that of the push, or one that is derived of it.
        tables: of states that take them.
        arrivals: the rows.
        first: sequence of the first.
        seen: the rows as each definition of the row id has them.
        kept_out: those that no feature counts, for a check sets them aside.
        marked: whether states were marked, to be built anew, when they came.
    """

    source: Source
    tables: Sequence[StateTable]
    arrivals: Arrivals
    first: int
    seen: dict[str, Arrivals]
    kept_out: list[Rejected]
    marked: bool = False

    def seen_by(self, table: StateTable) -> Arrivals:
        """Return the rows as a table of states has them."""
        return self.seen[_definition(table.layout.source)]


class _Stale(Exception):
    """The tables of states have changed since a push looked at them."""


class _Apart(Exception):
    """A push needs what is kept of history, and others have written before it."""


def _apart(*_: Any) -> dict[bytes, bytes]:
    raise _Apart


@dataclass
class _Push:
    """What a push does inside a transaction of the journal; see `ingest`."""

    runtime: Runtime
    source: Source
    admitted: ValidRows
    positions: Mapping[str, bytes | None]
    tables: dict[str, Sequence[StateTable]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Look, before the transaction, at the tables of states that take the rows."""
        runtime, self.tables = self.runtime, {}
        for source in (self.source, *all_derived_of(runtime, self.source)):
            runtime.check_writer(source)
            tables = runtime.tables().of_source(source.name, runtime.clock.now())
            for each in (source, *(table.layout.source for table in tables)):
                runtime.table_indexes.prepare(each)
            self.tables[source.name] = tables

    def __call__(self, transaction: Transaction, shared: bool) -> list[_Appended]:
        """Append the rows and what is derived of them; update states of the same store.

        Returns the rows, and then those of each derived source.

        Raises:
            _Stale: the tables are others by now.
            _Apart: it needs a transaction of its own, and has a ``shared`` one.
        """
        runtime, source = self.runtime, self.source
        if not runtime.knows_tables(transaction):
            raise _Stale
        own = self._appended(transaction, source, self.admitted, shared)
        if self.positions:
            moved = {name.encode(): at for name, at in self.positions.items()}
            reached = [(name, at) for name, at in moved.items() if at is not None]
            transaction.write(POSITIONS, reached)
            transaction.delete(POSITIONS, [name for name, at in moved.items() if at is None])
        set_aside(transaction, source, self.admitted.rejected, runtime.clock.now())
        return [own, *self._derived(transaction, own, shared)]

    def _derived(
        self, transaction: Transaction, base: _Appended, shared: bool
    ) -> Iterator[_Appended]:
        """Append what is derived of rows that were just appended, and what is derived of that."""
        runtime = self.runtime
        for source in derived_of(runtime, base.source):
            if source.name not in self.tables:
                raise _Stale
            _index_ids(runtime, transaction, source, self.tables[source.name])
            found = derive(runtime, transaction, source, (base.first, base.arrivals))
            set_aside(transaction, source, found.rejected, runtime.clock.now())
            # A table apart that was lost, or lacks rows, is seen to by a push that makes none too.
            if len(found.event) or not runtime.one_store:
                stamped = runtime.log(base.source).state(transaction).stamped
                appended = self._appended(transaction, source, found, shared, stamped)
                yield appended
                yield from self._derived(transaction, appended, shared)

    def _appended(
        self,
        transaction: Transaction,
        source: Source,
        rows: ValidRows,
        shared: bool,
        stamped: int | None = None,
    ) -> _Appended:
        """Append rows to a log, and bring states of the same store up to date."""
        runtime, tables = self.runtime, self.tables[source.name]
        arrivals, first = _append(runtime, transaction, source, rows, tables, stamped=stamped)
        seen = _seen_by(runtime, transaction, source, tables, arrivals, first=first)
        aside = kept_out(source, arrivals)
        set_aside(transaction, source, aside, runtime.clock.now())
        marked = any_marked(transaction)
        appended = _Appended(source, tables, arrivals, first, seen, aside, marked)
        for table in tables:
            if runtime.one_store:
                places, own = Places(transaction, transaction), appended.seen_by(table)
                rebuild = _apart if shared else partial(rebuilt_with, runtime)
                update(runtime, places, table.layout, own, first, rebuild=rebuild)
            elif applied(transaction, table.layout.table) is None:
                note_applied(transaction, table.layout.table, first - 1)
        return appended


def _look_again(runtime: Runtime, source: Source) -> None:
    """Look at the registry again, for it may be the source that has changed, or a copy was made.

    Raises:
        UnknownName: it is gone.
    """
    runtime.outdate_copy()
    runtime.state(fresh=True)
    runtime.source(source.name)


def _index_ids(
    runtime: Runtime, transaction: Transaction, source: Source, tables: Sequence[StateTable]
) -> State:
    """Index the rows of a log by the row ids in use, where they are not; return its state.

    Before anybody asks for the newest version of one: another log of the name may have had it.
    """
    log = runtime.log(source)
    state = log.state(transaction)
    in_use = definitions_of([source, *(table.layout.source for table in tables)])
    if state.ids != mark_of(in_use.values()):
        bring_up_to_date(transaction, log, in_use)
        state = log.state(transaction)
    return state


def _append(
    runtime: Runtime,
    transaction: Transaction,
    source: Source,
    admitted: ValidRows,
    tables: Sequence[StateTable],
    *,
    stamped: int | None,
) -> tuple[Arrivals, int]:
    """Append rows to the log, duplicates left out; return them and the sequence of the first.

    Args:
        runtime: the open parts.
        transaction: of the journal.
        source: whose rows they are.
        admitted: the rows.
        tables: of states that take them.
        stamped: greatest known time that a clock gave to what they are made of; None: they are
            made of nothing.
    """
    log = runtime.log(source)
    state = _index_ids(runtime, transaction, source, tables)
    newest = None if state.newest_event == ALWAYS else state.newest_event
    stamped = ALWAYS if stamped is None else stamped
    if admitted.now is not None and len(admitted.known):
        # No clock that was turned back makes a row known before one that was there already.
        stamped = max(state.stamped, admitted.now)
        if stamped > admitted.now:
            admitted = replace(admitted, known=np.maximum(admitted.known, stamped))
    first = state.next_sequence
    index = runtime.table_indexes.of(source)
    arrivals = arrivals_of(transaction, source, admitted, (first, newest), index=index)
    log.append(
        transaction,
        arrivals.batch,
        arrivals.known,
        event=arrivals.event,
        late=arrivals.late if arrivals.late_ones else None,
        deleted=arrivals.deleted,
        supersedes=arrivals.supersedes if arrivals.corrections else None,
        push=Push(stamped, mark_of([source] if source.row_id else [])),
    )
    _, newest_event = event_range(admitted.event)
    arrivals.present = present(runtime.clock.now(), state, newest_event)
    return arrivals, first


def _seen_by(
    runtime: Runtime,
    transaction: Transaction,
    source: Source,
    tables: Sequence[StateTable],
    arrivals: Arrivals,
    *,
    first: int,
) -> dict[str, Arrivals]:
    """Return arrivals as each definition of the row id in use has them, and note their versions."""
    seen = {_definition(source): arrivals}
    for table in tables:
        other = table.layout.source
        if _definition(other) not in seen:
            index = runtime.table_indexes.of(other)
            seen[_definition(other)] = seen_under(transaction, other, arrivals, first, index=index)
    for name, found in seen.items():
        if found.versions:
            transaction.write(name, found.versions)
    return seen


def _definition(source: Source) -> str:
    return ids_table(source) if source.row_id else ""


def _follow(runtime: Runtime, appended: _Appended) -> None:
    """Bring states in another store up to date with the log, in its order."""
    tables = appended.tables
    for attempt in range(1, ATTEMPTS + 1):
        try:
            lost = _followed(runtime, appended, again=attempt > 1)
            break
        except Overtaken:  # some states have the rows: from now on, from history
            if attempt == ATTEMPTS:
                raise
    runtime.lag.forget(table.layout.table for table in tables)
    for table in lost:
        logger.warning("%s has lost its rows: rebuilding them", runtime.home.states.where)
        build_anew(runtime, table)


def _followed(runtime: Runtime, appended: _Appended, *, again: bool) -> list[StateTable]:
    """Bring states up to date; return the tables whose states are gone."""
    home, lost = runtime.home, []
    tables, first = appended.tables, appended.first
    with runtime.writing() as (transaction, states):
        found = standings(home, [table.layout.table for table in tables], transaction)
        for table in tables:
            layout, arrivals = table.layout, appended.seen_by(table)
            last, holds = first + len(arrivals.event) - 1, found[layout.table].holds
            if found[layout.table].applied is None:
                continue  # dropped meanwhile
            if holds is None:
                lost.append(table)
                continue
            if holds == first - 1 and not again:
                places, rebuild = Places(transaction, states.rows), partial(rebuilt_with, runtime)
                update(runtime, places, layout, arrivals, first, rebuild=rebuild)
                reached = last
            elif holds < last:
                reached = catch_up(runtime, states, layout, holds)
            else:
                continue
            note_applied(transaction, layout.table, reached)
            note_held(home, transaction, layout.table, reached)
    return lost
