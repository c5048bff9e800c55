"""The row ids of sources' tables as pushes look them up; see `stores.offline.table_ids`.

An index is built when states are built from the table, before them, and belongs to the snapshot of
the table that they are built from; while nothing was ever pushed to the source and it has no
stream, that waits for the first push. The journal names the file of each, so that all processes
look into the same one; a process that does not find it (a journal shared by machines) builds its
own. Before a table is indexed nothing is looked up: then its states are not complete either, and
are built from all of history, which knows what corrects what.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from skewless.definitions import Source
from skewless.definitions.fingerprint import fingerprint
from skewless.errors import CorruptData
from skewless.online.row_ids import ids_table
from skewless.online.table_changes import note_change
from skewless.stores.offline.history import History
from skewless.stores.offline.table_ids import TableIds, build, checksum
from skewless.stores.online.base import KeyValues, OnlineStore

RECORDS = "skewless.table_ids"
_VERIFIED: set[Path] = set()
"""Files whose checksum this process has looked at, or that it wrote."""


def is_indexed(source: Source) -> bool:
    """Return whether a source has a table whose rows have ids."""
    return bool(source.row_id) and source.table is not None


class TableIndexes:
    """The indexes of a repo's tables.

    Args:
        journal: names the files.
        folder: of the offline store: the files are below it.
        history: gives the history of a source.
    """

    def __init__(
        self, journal: OnlineStore, folder: Path, history: Callable[[Source], History]
    ) -> None:
        self._journal = journal
        self._folder = folder / "row_ids"
        self._history = history
        self._opened: dict[str, TableIds] = {}

    def of(self, source: Source) -> TableIds | None:
        """Return the index of a source's table; None where there is none, or not yet.

        Raises:
            CorruptData: the file is damaged.
        """
        if not is_indexed(source):
            return None
        name = ids_table(source)
        if name not in self._opened:
            record = _record(self._journal, source)
            if not record.get("file"):
                return None
            self._opened[name] = self._open(source, record)
        return self._opened[name]

    def prepare(self, source: Source) -> None:
        """Index a table that states were built from before any row was pushed to its source."""
        if not is_indexed(source) or ids_table(source) in self._opened:
            return
        record = _record(self._journal, source)
        if record and not record["file"]:
            self._build(source, self._history(source), record["keys"])

    def _open(self, source: Source, record: dict[str, Any]) -> TableIds:
        path = self._folder / str(record["file"])
        if not path.exists():
            build(self._history(source), path, record["keys"])
        elif path not in _VERIFIED and checksum(path) != record["checksum"]:
            raise CorruptData(
                "an index of row ids is damaged",
                where=str(path),
                hint="Delete the file: it is created again.",
            )
        _VERIFIED.add(path)
        return TableIds(path, source.row_id)

    def is_current(self, source: Source, history: History) -> bool:
        """Return whether the index of a table is that of the table as a history has it."""
        return bool(_record(self._journal, source).get("parts") == _parts(history))

    def ensure(self, source: Source, history: History, keys: Iterable[str], *, later: bool) -> bool:
        """Index a table as a history has it, unless it is; return whether it was before.

        Args:
            source: whose table.
            history: what states are about to be built from.
            keys: names of the join keys of all entities with states of the source.
            later: whether the first push may do it (`prepare`): nothing was pushed yet.
        """
        if not is_indexed(source):
            return True
        record, parts = _record(self._journal, source), _parts(history)
        kept = sorted({*record.get("keys", ()), *keys})
        file = record.get("file")
        if (record.get("parts"), record.get("keys")) == (parts, kept) and (
            later if file is None else (self._folder / str(file)).exists()
        ):
            return True
        if later and file is None:
            self._note(source, {"parts": parts, "keys": kept, "file": None})
            return True
        self._build(source, history, kept)
        return bool(record)

    def _build(self, source: Source, history: History, keys: list[str]) -> None:
        wanted: dict[str, Any] = {"parts": _parts(history), "keys": keys}
        mark = hashlib.blake2b(json.dumps(wanted).encode(), digest_size=8).hexdigest()
        name = f"{ids_table(source)}.{mark}.arrow"
        path = self._folder / name
        rows = build(history, path, keys)
        _VERIFIED.add(path)
        self._note(source, wanted | {"file": name, "rows": rows, "checksum": checksum(path)})
        for stale in self._folder.glob(f"{ids_table(source)}.*.arrow"):
            if stale.name != name:
                stale.unlink(missing_ok=True)  # whoever has it mapped keeps it
        self._opened.clear()

    def _note(self, source: Source, record: dict[str, Any]) -> None:
        note = json.dumps(record).encode()
        with self._journal.transaction() as transaction:
            transaction.write(RECORDS, [(ids_table(source).encode(), note)])
            note_change(transaction)


def _parts(history: History) -> list[list[str]]:
    """Return the parts of a table, and how times and columns are read where that is not plain."""
    source = history.source
    options = {} if source.table is None else source.table.to_dict()
    read = [options.get("timezone"), options.get("ambiguous"), *sorted(source.epochs.items())]
    read += sorted(options.get("columns", {}).items())
    how = [["", fingerprint(read)]] if any(read) else []
    return [*([part.name, part.version] for part in history.parts()), *how]


def _record(journal: KeyValues, source: Source) -> dict[str, Any]:
    note = journal.read_one(RECORDS, ids_table(source).encode())
    found: dict[str, Any] = {} if note is None else json.loads(note)
    return found
