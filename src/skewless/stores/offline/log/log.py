"""The event log of a source: every row that was pushed or streamed, in the order it came.

    log = EventLog(source, store, Path("repo/.skewless"))
    with store.transaction() as rows:
        first = log.append(rows, batch, known)        # kept if, and only if, the transaction is
    log.settle()                                      # from the journal to Parquet files by date
    for chunk in log.reader().chunks(["fab_id", "vdd"]):
        chunk.rows, chunk.table                       # chunk.rows: the sequences

New rows wait in a **journal** in the key-value store, beside the online state that they change, so
that both are kept or neither. `settle` moves them to Parquet files under ``event_date=YYYY-MM-DD``
that any tool can read, and joins small files. A **manifest** in the key-value store says which
files count and up to which sequence rows are in files; a file that it does not name does not exist.
So a kill at any instant loses nothing and doubles nothing, and readers need no lock: a row never
changes, it only moves, and is found by its sequence wherever it is.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.clock import ALWAYS
from skewless.errors import InputError
from skewless.stores.offline.cast import to_micros_array
from skewless.stores.offline.log.journal import (
    INCLUDED_KEY,
    MANIFEST_KEY,
    STATE_KEY,
    Entry,
    Included,
    Push,
    State,
    encode_entry,
    event_range,
    journal_key,
    log_name,
    log_table,
    schema_key,
)
from skewless.stores.offline.log.lake import other_rows
from skewless.stores.offline.log.manifest import Manifest
from skewless.stores.offline.log.reader import LogReader
from skewless.stores.offline.log.settle import Settled, settle

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.definitions.source import Source
    from skewless.stores.offline.log.lake import LakeTable
    from skewless.stores.online.base import OnlineStore, Transaction

    Int64s = npt.NDArray[np.int64]
    Bools = npt.NDArray[np.bool_]


class EventLog:
    """The rows of one source that came one after another.

    Args:
        source: whose rows; its columns may have grown since older rows were written.
        store: with transactions; holds the journal and the manifest in a table of its own.
        folder: of the offline store: the log's files are below it, in ``log/<source>``.
        lake: a table of a lakehouse that rows settle into, in place of files in the folder.
        generation: of the log: a source that comes back under its name begins another.

    Raises:
        StoreError: a newer skewless wrote the log (from the first verb that reads it).
    """

    def __init__(
        self,
        source: Source,
        store: OnlineStore,
        folder: Path,
        lake: LakeTable | None = None,
        *,
        generation: int = 0,
    ) -> None:
        import pyarrow as pa

        self.source = source
        name = log_name(source.stored, generation)
        self.folder = Path(folder) / "log" / name
        self._store = store
        self._lake = lake
        self._table = log_table(name)
        self.schema = pa.schema([(name, dtype.arrow()) for name, dtype in source.columns.items()])
        """The columns that a batch has, in this order."""
        self._kept = source.as_stored()
        types = self._kept.columns.items()
        self._kept_schema = pa.schema([(name, dtype.arrow()) for name, dtype in types])
        self._schema_key = schema_key(self._kept_schema)

    def append(
        self,
        rows: Transaction,
        batch: pa.RecordBatch,
        known: Int64s,
        *,
        event: Int64s | None = None,
        late: Bools | None = None,
        deleted: Bools | None = None,
        supersedes: Int64s | None = None,
        push: Push = Push(),  # noqa: B008 - frozen
    ) -> int:
        """Add rows inside a transaction of the store; return the sequence of the first.

        Args:
            rows: the transaction; with its end the rows are kept, or not.
            batch: columns of `schema`.
            known: known time of each row, UTC microseconds.
            event: event time of each row, `clock.ALWAYS` for null, if the caller has them at hand.
            late: whether each row is beyond the source's lateness; None: none is.
            deleted: whether each row deletes the one of its id; None: none does.
            supersedes: sequence of the row that each corrects, 0 for none; None: none does.
            push: what the log's state notes of them.

        Raises:
            InputError: the columns are not those of `schema`, or the arrays differ in length.
        """
        self._check_columns(batch)
        if event is None:
            event = to_micros_array(batch.column(self.source.event_time))
        self._check_lengths(batch.num_rows, (known, event, late, deleted, supersedes))
        stored, known_schema = rows.read(self._table, (STATE_KEY, self._schema_key))
        state = State.decode(stored, self._where)
        if not batch.num_rows:
            return state.next_sequence
        low, high = event_range(event)
        entry = Entry(
            schema_hash=self._schema_key[1:],
            rows=batch.num_rows,
            low=low,
            high=high,
            known=known,
            late=late,
            deleted=deleted,
            supersedes=supersedes,
            payload=self._as_kept(batch).serialize(),
        )
        after = state.after(batch.num_rows, high, push)
        items = [
            (STATE_KEY, after.encode()),
            (journal_key(state.next_sequence), encode_entry(entry)),
        ]
        if known_schema is None:
            items.append((self._schema_key, bytes(self._kept_schema.serialize())))
        rows.write(self._table, items)
        return state.next_sequence

    def _as_kept(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return rows with their columns named as they are kept."""
        same = self._kept is self.source
        return batch if same else batch.rename_columns(self._kept_schema.names)

    def reached(self, rows: Transaction | None = None) -> tuple[int, int | None]:
        """Return the sequence of the next row, and `newest_event`."""
        state = self.state(rows)
        newest = None if state.newest_event == ALWAYS else state.newest_event
        return state.next_sequence, newest

    def last_sequence(self, rows: Transaction | None = None) -> int:
        """Return the sequence of the newest row, 0 if there is none: also the number of rows.

        Args:
            rows: a transaction to look in; None: what is kept.
        """
        return self.reached(rows)[0] - 1

    def newest_event(self, rows: Transaction | None = None) -> int | None:
        """Return the greatest event time of all rows, UTC microseconds, None if there is none."""
        return self.reached(rows)[1]

    def unsettled(self) -> int:
        """Return how many rows are in the journal."""
        state, manifest = self._store.read(self._table, (STATE_KEY, MANIFEST_KEY))
        settled = Manifest.decode(manifest, self._where).settled
        return State.decode(state, self._where).next_sequence - 1 - settled

    def include_late(self, now: int, rows: Transaction | None = None) -> tuple[int, int] | None:
        """Let the late rows there are count from ``now`` (UTC microseconds) on.

        Args:
            now: the present.
            rows: a transaction to do it in; None: one of its own.

        Returns:
            The sequence after which late rows were let in, and from when they count; None: there
            are no rows since the last time.
        """
        if rows is None:
            with self._store.transaction() as own:
                return self.include_late(now, own)
        stored, included = rows.read(self._table, (STATE_KEY, INCLUDED_KEY))
        last = State.decode(stored, self._where).next_sequence - 1
        steps = Included.decode(included).steps
        before, at = steps[-1] if steps else (0, now)
        if last <= before:
            return None
        at = max(now, at)
        rows.write(self._table, [(INCLUDED_KEY, Included((*steps, (last, at))).encode())])
        return before, at

    def included(self) -> int:
        """Return the sequence up to which late rows were let in; 0: none were."""
        steps = Included.decode(self._store.read_one(self._table, INCLUDED_KEY)).steps
        return steps[-1][0] if steps else 0

    def note_ids(self, rows: Transaction, ids: bytes) -> None:
        """Note inside a transaction under which definitions of the row id the rows are indexed."""
        state = dataclasses.replace(self.state(rows), ids=ids)
        rows.write(self._table, [(STATE_KEY, state.encode())])

    def reader(self, source: Source | None = None, rows: Transaction | None = None) -> LogReader:
        """Return a reader of the rows there are now, by default as the log's own source has them.

        Args:
            source: another version of it, for columns of its types.
            rows: a transaction to look in; None: what is kept.
        """
        store = self._store if rows is None else rows
        return LogReader(source or self.source, store, self.folder, self._lake)

    def refuse_unknown(self) -> None:
        """Refuse to go on where the lake has rows that the journal does not know.

        That is a journal that was restored from before they were settled, or a new one.

        Raises:
            StoreError: it has.
            StoreUnavailable: the lake cannot be reached.
        """
        if self._lake is None:
            return
        manifest = Manifest.decode(self._store.read_one(self._table, MANIFEST_KEY), self._where)
        reached = self._lake.reached(manifest.log)  # first: the journal has what it has
        last = self.last_sequence()
        if reached > last:
            raise other_rows(self._lake.where, reached, last, str(self.folder))

    def settle(self, *, at_least: int = 1) -> Settled:
        """Move the rows of the journal to files, and join files where a date has many small ones.

        With a lake rows go to its table. Appending and reading go on meanwhile. Of several
        processes that settle at once one works, the others return at once.

        Args:
            at_least: do nothing while the journal has fewer rows.

        Raises:
            StoreError: files cannot be written, a full disk for instance; all rows are where they
                were, and the next call tries again.
        """
        if self.unsettled() < at_least:
            return Settled()
        return settle(self._kept, self._store, self.folder, self._lake)

    def _check_columns(self, batch: pa.RecordBatch) -> None:
        if not batch.schema.equals(self.schema):
            raise InputError(
                "a batch whose columns are not those of its source",
                got=", ".join(f"{field.name}: {field.type}" for field in batch.schema),
                expected=", ".join(f"{field.name}: {field.type}" for field in self.schema),
                where=f"event log of source {self.source.name!r}",
            )

    def _check_lengths(self, rows: int, arrays: tuple[npt.NDArray[Any] | None, ...]) -> None:
        for array in arrays:
            if array is not None and len(array) != rows:
                raise InputError(
                    "an array of another length than the batch it goes with",
                    got=len(array),
                    expected=rows,
                    where=f"event log of source {self.source.name!r}",
                )

    @property
    def _where(self) -> str:
        return f"event log of source {self.source.name!r} in {self._store.where}"

    def state(self, rows: Transaction | None = None) -> State:
        """Return what the log knows of its rows.

        Args:
            rows: a transaction to look in; None: what is kept.
        """
        return State.decode((rows or self._store).read_one(self._table, STATE_KEY), self._where)
