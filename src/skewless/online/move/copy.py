"""Copying all that a repo keeps online to another store, while writers go on.

    result = copy_online(runtime, "next")          # [stores.next] of skewless.toml
    print(result.tables)

Rows are copied in pages, each while other writers are kept out for a moment, and the position is
noted with every page: a copy that was killed goes on there. Then both stores are read and compared,
row by row, by checksum; rows that differ (they changed meanwhile) are copied again, rows that the
other store has too many are removed. With the other store as `mirror`, nothing changes behind the
copy's back, so that when it returns both hold the same. Without, a copy during which something was
written is refused, and one after which something is written may not be taken any more
(`online.copies`).
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from skewless.clock import NEVER
from skewless.errors import InputError, StoreError, UnknownName
from skewless.ledger.runs import recorded
from skewless.online.copies import note_copied, writes_of
from skewless.online.history_folder import note_copy
from skewless.online.loss_detection import last_held, note_held, standings
from skewless.online.move.mirror import LOCAL, OUTBOX, copy_rows
from skewless.online.ownership import claim, mark_copy
from skewless.online.runtime import Runtime
from skewless.online.seen import is_seen, seen_table
from skewless.online.storage import StateAndJournal, is_states, journal_id, open_home
from skewless.online.tables import TABLES, record_of
from skewless.stores.online.base import KeyValues

COPIES = "skewless.copies"
PROBE = "skewless.owner"
"""Rows that tell whether two sections of the settings lead to one store."""
PAGE_ROWS, PAGE_BYTES = 2_000, 8 << 20
ATTEMPTS = 3
_DIGEST_BYTES = 16
Progress = Callable[[str, float], None]


@dataclass
class CopiedTable:
    """What was copied of one table.

    Attributes:
        table: its name.
        rows: how many it has.
        bytes: of their keys and values.
        copied: rows written by this run; the others are from a run that was stopped before.
        repaired: rows that differed when both stores were compared, and were copied again.
        removed: rows that only the other store had.
        checksum: of the rows, the same in both stores whatever the order.
    """

    table: str
    rows: int = 0
    bytes: int = 0
    copied: int = 0
    repaired: int = 0
    removed: int = 0
    checksum: str = ""


@dataclass(frozen=True)
class CopyResult:
    """What a copy did.

    Attributes:
        to: name of the other store in the settings.
        tables: what was copied.
        resumed: whether it went on where another run had stopped.
        mirrored: whether the other store takes all writes from now on.
    """

    to: str
    tables: list[CopiedTable] = field(default_factory=list)
    resumed: bool = False
    mirrored: bool = False


@recorded("copy online", "to", result=lambda copied: {"tables": len(copied.tables)})
def copy_online(runtime: Runtime, to: str, *, progress: Progress | None = None) -> CopyResult:
    """Copy everything to a store of the settings, then verify that both hold the same.

    Args:
        runtime: the open parts.
        to: name of the store, ``[stores.NAME]``.
        progress: called with a text and the finished fraction.

    Raises:
        UnknownName: the settings have no such store.
        InputError: it is the online store itself.
        StoreError: it belongs to another repo, a store fails, or somebody writes meanwhile while it
            is not the mirror.
    """
    config = runtime.config
    if to not in config.stores:
        raise UnknownName.of("store", to, config.stores, where=str(config.file or config.folder))
    source = runtime.home
    runtime.ownership.check()
    where = f"[stores.{to}] of {config.file or config.folder}"
    target = open_home(config.stores[to], runtime.folder, where, config)
    try:
        _claim(source, target, config.folder, where)
        copying = _Copying(source, target, to, progress)
        tables = copying.run(
            mirrored=config.mirror == to, lacking=partial(_lacking_states, runtime)
        )
        mark_copy(target, f"journal {journal_id(source.journal)}", config.folder)
    finally:
        target.close()
    if runtime.mirror is not None and config.mirror == to:
        runtime.mirror.settle()
    return CopyResult(to, tables, copying.resumed, config.mirror == to)


def _claim(source: StateAndJournal, target: StateAndJournal, folder: Path, where: str) -> None:
    """Make sure that the other store is another one, and nobody else's."""
    claim(source, target, folder)
    mine = f"journal {journal_id(source.journal)}"
    probe = mine.encode() + b" is asked for"
    target.states.write(PROBE, [(probe, b"")])
    same = source.states.read_one(PROBE, probe) is not None
    target.states.delete(PROBE, [probe])
    if same:
        raise InputError(
            "the store is the online store itself",
            where=f"{where} ({target.states.where})",
            hint="Two sections of the settings lead to one place.",
        )
    mark_copy(target, mine, folder, finished=False)


class _Copying:
    """One run from ``source`` to ``target``."""

    def __init__(
        self, source: StateAndJournal, target: StateAndJournal, name: str, progress: Progress | None
    ) -> None:
        self._source = source
        self._target = target
        self._name = name.encode()
        self._progress = progress
        self.resumed = False

    def run(self, *, mirrored: bool, lacking: Callable[[], list[str]]) -> list[CopiedTable]:
        """Copy, then compare.

        Args:
            mirrored: whether the other store gets what is written meanwhile.
            lacking: returns the complete tables whose states the store lacks, or rows in them.

        Raises:
            StoreError: it does not, and was left behind.
        """
        moves = self._source.one_store or self._target.one_store  # else the journal stays
        left_out = {*LOCAL, PROBE, COPIES}
        tables = [
            CopiedTable(name)
            for name in self._source.tables()
            if name not in left_out and not is_seen(name) and (moves or is_states(name))
        ]
        if not moves:  # before any row: what is written meanwhile is not known to be copied
            self._copy_notes([table.table for table in tables])
        before = self._position()
        self.resumed = before is not None
        for number, table in enumerate(tables):
            self._tell(f"copying {table.table}", number / len(tables) / 2)
            if before is None or table.table >= before[0]:
                after = before[1] if before and before[0] == table.table else None
                self._copy(table, after)
        for _ in range(ATTEMPTS):
            written = writes_of(self._source.journal, self._source.journal)
            for number, table in enumerate(tables):
                self._tell(f"comparing {table.table}", 0.5 + number / len(tables) / 2)
                self._compare(table)
            self._remove_tables({table.table for table in tables}, moves)
            if moves:  # what the journal knew of these states does not
                lacks = {*lacking(), *filter(self._lacks_some, self._states(tables))}
                self._note_building(lacks)
            if self._finish(None if mirrored or not moves else written, moves=moves):
                return tables
        raise StoreError(
            "rows were written while they were copied, so that the copy is not whole",
            where=self._target.states.where,
            hint=f"Set mirror = {self._name.decode()!r} in [online] first and restart what writes,"
            " or stop what writes. Copying again is quick.",
        )

    def _finish(self, written: list[bytes | None] | None, *, moves: bool) -> bool:
        """Let the repo go on in the other store; return whether nothing was written since."""
        with self._source.journal.transaction() as journal:
            if written is not None and writes_of(self._source.journal, journal) != written:
                return False
            journal.delete(COPIES, [self._name])
            if moves:  # else the journal stays
                note_copied(journal, self._name.decode())
                note_copy(journal, self._target.journal)
        return True

    def _copy(self, table: CopiedTable, after: bytes | None) -> None:
        for keys in self._pages(table.table, after):
            note = json.dumps({"table": table.table, "key": keys[-1].hex()}).encode()
            with self._source.journal.transaction() as journal:
                rows = copy_rows(self._source, journal, self._target, table.table, keys)
                journal.write(COPIES, [(self._name, note)])
            table.copied += len(rows)

    def _pages(self, table: str, after: bytes | None = None) -> Iterator[list[bytes]]:
        """Yield the keys of a table, a page of rows at a time."""
        page: list[bytes] = []
        size = 0
        for key, value in self._source.store_of(table).scan(table, after=after):
            page.append(key)
            size += len(key) + len(value)
            if len(page) == PAGE_ROWS or size >= PAGE_BYTES:
                yield page
                page, size = [], 0
        if page:
            yield page

    def _position(self) -> tuple[str, bytes] | None:
        note = self._source.journal.read_one(COPIES, self._name)
        if note is None:
            return None
        data = json.loads(note)
        return data["table"], bytes.fromhex(data["key"])

    def _states(self, tables: Sequence[CopiedTable]) -> list[str]:
        return [table.table for table in tables if is_states(table.table)]

    def _lacks_some(self, table: str) -> bool:
        """Return whether states of a table have vanished."""
        journal = self._source.journal
        keys = (key for key, _ in journal.scan(seen_table(table)))
        while page := list(itertools.islice(keys, PAGE_ROWS)):
            if None in self._source.states.read(table, page):
                return True
        return False

    def _note_building(self, tables: Iterable[str]) -> None:
        """Have tables be rebuilt from history in the other store, and say so until they are."""
        with self._target.journal.transaction() as journal:
            for name in tables:
                record = record_of(journal, name)
                if record is not None:
                    unbuilt = replace(record, complete=False, built=None)
                    journal.write(TABLES, [(name.encode(), unbuilt.to_json())])

    # ------------------------------------------------------------------------------- comparing

    def _compare(self, table: CopiedTable) -> None:
        """Compare all rows of a table, and make those right that differ."""
        name, total = table.table, 0
        table.rows = table.bytes = 0
        theirs = self._target.store_of(name)
        for keys in self._pages(name):
            values = self._source.store_of(name).read(name, keys)
            if _digest(keys, values) != _digest(keys, theirs.read(name, keys)):
                table.repaired += self._repair(name, keys)
                values = theirs.read(name, keys)
            found = [(k, v) for k, v in zip(keys, values, strict=True) if v is not None]
            total += _digest([k for k, _ in found], [v for _, v in found])
            table.rows += len(found)
            table.bytes += sum(len(key) + len(value) for key, value in found)
        table.removed = self._remove_others(name)
        table.checksum = f"{total % (1 << 8 * _DIGEST_BYTES):0{2 * _DIGEST_BYTES}x}"

    def _repair(self, name: str, keys: Sequence[bytes]) -> int:
        """Copy the rows that differ while writers are kept out; return how many.

        Raises:
            StoreError: the other store does not keep what it is given.
        """
        theirs = self._target.store_of(name)
        with self._source.journal.transaction() as journal:
            of_journal = self._source.one_store or not is_states(name)
            ours: KeyValues = journal if of_journal else self._source.states
            before, after = ours.read(name, keys), theirs.read(name, keys)
            wrong = [k for k, a, b in zip(keys, before, after, strict=True) if a != b]
            copy_rows(self._source, journal, self._target, name, wrong)
            if ours.read(name, wrong) != theirs.read(name, wrong):
                raise StoreError(
                    "the other store does not return what was written to it",
                    got=f"{len(wrong)} rows of {name} that differ",
                    where=theirs.where,
                    hint="Several servers behind one address? Evictions?",
                )
        return len(wrong)

    def _remove_others(self, name: str) -> int:
        """Remove the rows that only the other store has; return how many."""
        theirs = self._target.store_of(name)
        scanned = (key for key, _ in theirs.scan(name))
        removed = 0
        while keys := list(itertools.islice(scanned, PAGE_ROWS)):
            ours = self._source.store_of(name).read(name, keys)
            extra = [key for key, value in zip(keys, ours, strict=True) if value is None]
            if extra:
                with self._source.journal.transaction() as journal:
                    kept = copy_rows(self._source, journal, self._target, name, extra)
                removed += len(extra) - len(kept)
        return removed

    def _remove_tables(self, wanted: set[str], moves: bool) -> None:
        """Remove what an earlier copy has left of tables that are no longer there."""
        kept = {*wanted, *LOCAL, PROBE, COPIES}
        for name in self._target.tables():
            if name not in kept and not is_seen(name) and (moves or is_states(name)):
                with self._source.journal.transaction():
                    gone = name not in self._source.tables()
                if gone:
                    self._target.store_of(name).drop(name)
        if self._target.one_store or self._source.one_store:
            self._target.journal.drop(OUTBOX)  # notes of a time when it was the first store

    def _copy_notes(self, tables: Sequence[str]) -> None:
        """Note in the other store what it holds, where the same journal expects that."""
        for name in tables:
            with self._source.journal.transaction() as journal:
                holds = last_held(self._source, journal, name, NEVER)
                if holds is not None and holds != NEVER:
                    note_held(self._target, journal, name, holds)

    def _tell(self, text: str, done: float) -> None:
        if self._progress is not None:
            self._progress(text, done)


def _lacking_states(runtime: Runtime) -> list[str]:
    """Return the complete tables whose states the store has lost, or that lack rows."""
    tables = {t.layout.table: t for t in runtime.tables().complete()}
    ends = {name: runtime.log(t.layout.source).last_sequence() for name, t in tables.items()}
    found = standings(runtime.home, tables) if not runtime.one_store else {}
    return [name for name, it in found.items() if it.lost or it.lacks(ends[name])]


def _digest(keys: Sequence[bytes], values: Sequence[bytes | None]) -> int:
    """Return the sum of the hashes of rows; a missing one counts differently from an empty one."""
    total = 0
    for key, value in zip(keys, values, strict=True):
        head = b"%d:%d:" % (len(key), -1 if value is None else len(value))
        row = hashlib.blake2b(head + key + (value or b""), digest_size=_DIGEST_BYTES)
        total += int.from_bytes(row.digest(), "big")
    return total
