"""The stream worker: rows of a stream into the log and the online states, exactly once.

    worker = StreamWorker(fs.runtime, "wafer_tests")
    with until_signalled(worker):
        worker.run()                     # until SIGTERM or SIGINT
    print(worker.metrics.to_dict())

Several may share a stream that has partitions (``share=True``): see `skewless.online.lease`.

It takes what is there, up to a number of rows, keeps it, and only then reads on: that is all its
back-pressure. Rows, states and the position behind them change in one transaction, so that a kill
at any instant and a replay of anything neither lose a row nor count one twice. (Where the online
store has no transactions, the log and the position do, and the states follow, see `ingest.push`.)
"""

from __future__ import annotations

import contextlib
import math
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from skewless.codec import row_text
from skewless.errors import Conflict, RowsKept, SkewlessError, StoreUnavailable
from skewless.ingest.deletion import delete
from skewless.ingest.push import PushResult, ingest, validated
from skewless.ingest.stream.metrics import StreamMetrics
from skewless.ingest.stream.positions import StreamPositions
from skewless.ingest.stream.status import stream_reader
from skewless.online.dedup import Rejected, ValidRows
from skewless.online.lease import LEASE_SECONDS, POSITIONS, Fenced, Lease, PositionMoved
from skewless.online.runtime import Runtime
from skewless.streams.base import EARLIEST, Batch, Start, Tombstone
from skewless.streams.keys import row_id_of

MAX_ROWS = 10_000
_PATIENCE = 0.2
"""Seconds a read waits for a first row; a stop is noticed after as long."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_LAG_SECONDS = 1.0
_BALANCE_SHARE = 0.1
"""How often workers that share a stream look at their shares, as a part of a lease."""
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class IngestedBatch:
    """A batch that is durable and readable online since ``at`` (UTC microseconds).

    Attributes:
        result: what became of its rows.
        events: event time of each row taken in, UTC microseconds.
    """

    result: PushResult
    events: npt.NDArray[np.int64]
    at: int


class StreamWorker:
    """Takes the stream of one source in.

    Args:
        runtime: the open parts of a repo.
        source: name of a source with a stream.
        max_rows: how many rows a batch has at most.
        start: where a stream that was never read begins: ``earliest``, ``latest``, or UTC
            microseconds.
        give_up: seconds after which it gives up waiting for a store; None: it never does.
        lease_seconds: how long after its death another worker waits.
        share: whether to share the partitions with other workers that do; else it waits until
            nobody is at work on the stream.

    Raises:
        UnknownName: no such source, or no reader of its stream's kind.
        InputError: the source has no stream, or one that is read as one and cannot be shared.
    """

    def __init__(
        self,
        runtime: Runtime,
        source: str,
        *,
        max_rows: int = MAX_ROWS,
        start: Start = EARLIEST,
        give_up: float | None = None,
        lease_seconds: float = LEASE_SECONDS,
        share: bool = False,
    ) -> None:
        self._runtime = runtime
        self._source = runtime.source(source)
        self._max_rows = max_rows
        self._start = start
        self._give_up = give_up
        self._stopped = threading.Event()
        self._at: dict[str, bytes] = {}
        """Position of each partition that is read, as the journal has it."""
        self._held: frozenset[str] = frozenset()
        self._balanced_at = -math.inf
        self._unkept: Batch | None = None
        self._open = False
        self._lag_at = 0.0
        self.reader = stream_reader(runtime, self._source)
        self.metrics = StreamMetrics(source, lag_unit=self.reader.lag_unit)
        self.lease = Lease(
            runtime.journal, self._source.stored, self.metrics.to_dict, lease_seconds, shared=share
        )
        self._places = StreamPositions(runtime.journal, self._source, self.reader)
        if share:
            self.reader.only([])

    def run(
        self, *, once: bool = False, tell: Callable[[StreamMetrics], None] | None = None
    ) -> StreamMetrics:
        """Work until `stop`, or with ``once`` until nothing is left; return what was counted.

        Args:
            once: whether to end when nothing is left.
            tell: called after each step.

        Raises:
            Conflict: another worker went on with the stream.
            CorruptData: the stream lost rows that were not read yet.
            StoreUnavailable: a store could not be reached for longer than ``give_up``.
        """
        with self:
            while not self._stopped.is_set():
                kept = self.step()
                if tell is not None:
                    tell(self.metrics)
                if kept is None and once and self._is_done():
                    break
        return self.metrics

    def stop(self) -> None:
        """Let `run` end once the batch at hand is kept."""
        self._stopped.set()

    def __enter__(self) -> Self:
        """Wait for the lease and open the stream where it was left."""
        if self._patiently(lambda: self.lease.acquire(self._stopped)):
            try:
                if self.lease.shared:
                    self._begin_shared()
                else:
                    self._reopen()
            except BaseException:
                self.close()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the stream and give the lease back."""
        try:
            if self._open:
                self._open = False
                self.metrics.lag = self.reader.lag()
        except (SkewlessError, OSError):  # whatever it is, a read has told it or will
            self.metrics.lag = None
        finally:
            self.reader.close()
            self.lease.release()

    def step(self, patience: float = _PATIENCE) -> IngestedBatch | None:
        """Read one batch and keep it; None if nothing was there.

        Args:
            patience: seconds to wait for a first row.
        """
        if not self.lease.is_held:
            return None
        if not self.lease.shared:
            return self._step(patience)
        try:
            self._balance()
            return self._step(patience)
        except PositionMoved:  # others took this worker for dead, and have its batch
            self._close_stream()
            return None

    # ------------------------------------------------------------------------------------ private

    def _step(self, patience: float) -> IngestedBatch | None:
        if self.lease.lost.is_set():
            raise Conflict("another worker took the stream over", where=self._places.stream)
        if not self._open:  # a share of nothing, for now
            self._stopped.wait(patience)
            return None
        self._refresh()
        batch = self._unkept or self._patiently(lambda: self.reader.read(self._max_rows, patience))
        if time.monotonic() - self._lag_at > _LAG_SECONDS:
            self._lag_at = time.monotonic()
            self.metrics.lag = self.reader.lag()
        moved = self._moved(batch.position)
        if not moved:
            return None
        self._unkept = batch
        deleted, unmatched = self._delete(batch, moved)
        admitted = self._admit(batch)
        result = self._keep(admitted, moved)
        for part, position in moved.items():
            if position is None:
                del self._at[part]
            else:
                self._at[part] = position
        self._unkept = None
        self.reader.commit(batch.position)
        kept = IngestedBatch(result, admitted.event, time.time_ns() // 1000)
        self._count(batch, kept, deleted=deleted, unmatched=unmatched)
        return kept

    def _moved(self, position: bytes) -> dict[str, bytes | None]:
        """Return the partitions that a batch moves, and to where; None: it is forgotten."""
        reached = self.reader.split(position)
        moved: dict[str, bytes | None] = dict.fromkeys(self._at.keys() - reached.keys())
        return moved | {part: at for part, at in reached.items() if at != self._at.get(part)}

    def _begin_shared(self) -> None:
        """Keep where a stream begins that was never read, before any worker reads a part of it."""
        while not self._patiently(self._places.read) and not self._stopped.is_set():
            self.reader.only(None)
            self._reopen()
            try:
                self._step(0)
            except PositionMoved:  # another worker did
                self._unkept = None
        self._close_stream()

    def _balance(self) -> None:
        """See from time to time which partitions are this worker's, and go on with those."""
        if time.monotonic() - self._balanced_at < self.lease.seconds * _BALANCE_SHARE:
            return
        parts = self._patiently(self.reader.parts) or []
        held, _ = self._patiently(lambda: self.lease.balance(parts))
        if held != self._held:
            self._close_stream()
            if held:
                self.reader.only(held)
                self._held = held
                self._reopen()
        self._balanced_at = time.monotonic()

    def _reopen(self) -> None:
        """Open the stream, or what is this worker's of it, where it was left."""
        stored = self._patiently(self._places.read)
        if "" in stored and self.reader.parts() is not None:
            stored = self._patiently(lambda: self._taken_apart(stored[""]))
        mine = self._held if self.lease.shared and stored else stored.keys()
        self._at = {part: position for part, position in stored.items() if part in mine}
        # A partition that is new to a stream that was read before begins at its beginning.
        start = EARLIEST if stored else self._start
        position = self.reader.join(self._at)
        self._patiently(lambda: self.reader.open(position, start=start))
        self._open = True

    def _taken_apart(self, whole: bytes) -> dict[str, bytes]:
        """Give each partition a position of its own, where one position was kept of all."""
        names = self._places.names({"": whole})
        apart = self.reader.split(whole)
        journal = self._fenced({"": whole}).journal
        with journal.transaction() as rows:
            rows.delete(POSITIONS, [name.encode() for name in names])
            named = self._places.names(apart).items()
            rows.write(POSITIONS, [(name.encode(), position) for name, position in named])
        return apart

    def _close_stream(self) -> None:
        self._open, self._unkept, self._held = False, None, frozenset()
        self._balanced_at = -math.inf
        self.reader.close()

    def _is_done(self) -> bool:
        """Say whether nothing is left to read, by this worker or by those it shares with."""
        if self.lease.shared:
            parts = self._patiently(self.reader.parts) or []
            held, complete = self._patiently(lambda: self.lease.balance(parts))
            if held != self._held or not complete:
                self._balanced_at = -math.inf
                return False
            if not held:
                return True
        return self.reader.lag() == 0

    def _refresh(self) -> None:
        """Take over a definition that was applied meanwhile."""
        now = self._runtime.state().name_of_stored(self._source)
        source = self._runtime.source(now)  # which may be renamed
        if source is self._source:
            return
        if source.stream != self._source.stream:
            raise Conflict(
                f"the stream of source {source.name!r} was defined again",
                hint="Start the worker again.",
            )
        if source.columns != self._source.columns:
            self.reader.typed(source.columns)
        self._source = source

    def _admit(self, batch: Batch) -> ValidRows:
        source = self._source
        rows = batch.rows
        if not len(rows):
            rows = pa.schema([(n, t.arrow()) for n, t in source.columns.items()]).empty_table()
        fit = validated(self._runtime, source, rows, backdate=False)
        rejected = [
            replace(row, reason=f"{row.reason} ({batch.origin(row.row)})") for row in fit.rejected
        ]
        for poison in batch.poison:
            text = poison.raw.decode(errors="backslashreplace")[:2000]
            rejected.append(Rejected(-1, f"{poison.reason} ({poison.origin})", text))
        for grave in batch.tombstones:
            if self._id_of(grave) is None:
                why = grave.problem or f"a deletion without a row id of {source.name!r}"
                rejected.append(Rejected(-1, f"{why} ({grave.origin})", row_text(grave.key)))
        return replace(fit, rejected=rejected)

    def _id_of(self, grave: Tombstone) -> Any:
        types = {name: self._source.columns[name] for name in self._source.row_id}
        if grave.problem:
            return None
        return row_id_of(grave.key if grave.named is None else grave.named, types)

    def _delete(self, batch: Batch, moved: Mapping[str, bytes | None]) -> tuple[int, int]:
        """Delete the rows of tombstones; done twice it does no more than once.

        Returns:
            How many rows are deleted, and how many deletions name none that is there.
        """
        found = [self._id_of(grave) for grave in batch.tombstones]
        ids = list(dict.fromkeys(value for value in found if value is not None))
        if not ids:
            return 0, 0
        tries = 0

        def attempt() -> PushResult:
            nonlocal tries
            tries += 1
            return delete(self._fenced(self._before(moved)), self._source.name, ids)

        result = self._patiently(attempt)
        # After an outage rows may be gone by the attempt before: none is said to be missing.
        return result.accepted, len(ids) - result.accepted if tries == 1 else 0

    def _fenced(self, expected: Mapping[str, bytes | None]) -> Runtime:
        return Fenced.of(self._runtime, self._places.names(expected))

    def _before(self, moved: Mapping[str, bytes | None]) -> dict[str, bytes | None]:
        return {part: self._at.get(part) for part in moved}

    def _keep(self, admitted: ValidRows, moved: Mapping[str, bytes | None]) -> PushResult:
        """Keep rows and positions as one; after an outage look first whether they already are."""
        before, named, tried = self._before(moved), self._places.names(moved), False

        def attempt() -> PushResult:
            nonlocal tried
            again, tried = tried, True
            stored = self._places.read() if again else {}
            if not again or any(stored.get(part) != at for part, at in moved.items()):
                return ingest(self._fenced(before), self._source, admitted, positions=named)
            # The journal has them, the states perhaps not yet: they catch up with nothing new.
            none = np.empty(0, np.int64)
            nothing = ValidRows(admitted.batch.slice(0, 0), none, none, [])
            result = ingest(self._fenced(moved), self._source, nothing, positions=named)
            bad = tuple(admitted.rejected)
            return replace(result, accepted=len(admitted.event), quarantined=bad)

        return self._patiently(attempt)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do something again until the stores it needs can be reached."""
        began, pause = time.monotonic(), _FIRST_PAUSE
        while True:
            try:
                return work()
            except (StoreUnavailable, RowsKept):
                waited = time.monotonic() - began
                out_of_time = self._give_up is not None and waited >= self._give_up
                if out_of_time or self._stopped.is_set():
                    raise
                self.metrics.retries += 1
                self._stopped.wait(random.uniform(pause / 2, pause))
                pause = min(2 * pause, _LONGEST_PAUSE)

    def _count(self, batch: Batch, kept: IngestedBatch, **deletions: int) -> None:
        result, events = kept.result, kept.events
        self.metrics.add(
            waited_ms=None if batch.arrived is None else max(kept.at - batch.arrived, 0) / 1e3,
            newest_event=int(events.max()) if len(events) else None,
            rows=result.accepted,
            corrections=result.corrections,
            duplicates=result.duplicates,
            late=result.late,
            quarantined=len(result.quarantined),
            ignored=batch.ignored,
            **deletions,
        )


@contextlib.contextmanager
def until_signalled(worker: StreamWorker) -> Iterator[None]:
    """Stop a worker on SIGTERM and SIGINT; only in the main thread of a process."""
    before = {
        number: signal.signal(number, lambda *_: worker.stop())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
