"""The stream worker: rows of a stream into the log and the online states, exactly once.

    worker = StreamWorker(fs.runtime, "wafer_tests")
    with until_signalled(worker):
        worker.run()                     # until SIGTERM or SIGINT
    print(worker.metrics.to_dict())

It takes what is there, up to a number of rows, keeps it, and only then reads on: that is all its
back-pressure. Rows, states and the position behind them change in one transaction, so that a kill
at any instant and a replay of anything neither lose a row nor count one twice. (Where the online
store has no transactions, the log and the position do, and the states follow, see `ingest.push`.)
"""

from __future__ import annotations

import contextlib
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
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
from skewless.ingest.stream.status import position_name, stream_reader
from skewless.online.dedup import Rejected, ValidRows
from skewless.online.lease import LEASE_SECONDS, POSITIONS, Fenced, Lease
from skewless.online.runtime import Runtime
from skewless.streams.base import EARLIEST, Batch, Start, Tombstone
from skewless.streams.keys import row_id_of

MAX_ROWS = 10_000
_PATIENCE = 0.2
"""Seconds a read waits for a first row; a stop is noticed after as long."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 10.0
_LAG_SECONDS = 1.0
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

    Raises:
        UnknownName: no such source, or no reader of its stream's kind.
        InputError: the source has no stream.
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
    ) -> None:
        self._runtime = runtime
        self._source = runtime.source(source)
        self._max_rows = max_rows
        self._start = start
        self._give_up = give_up
        self._stopped = threading.Event()
        self._position: bytes | None = None
        self._unkept: Batch | None = None
        self._open = False
        self._lag_at = 0.0
        self.reader = stream_reader(runtime, self._source)
        self.metrics = StreamMetrics(source, lag_unit=self.reader.lag_unit)
        self.lease = Lease(runtime.journal, source, self.metrics.to_dict, lease_seconds)
        self.name = position_name(self._source, self.reader)

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
                if kept is None and once and self.reader.lag() == 0:
                    break
        return self.metrics

    def stop(self) -> None:
        """Let `run` end once the batch at hand is kept."""
        self._stopped.set()

    def __enter__(self) -> Self:
        """Wait for the lease and open the stream where it was left."""
        if self._patiently(lambda: self.lease.acquire(self._stopped)):
            try:
                self._position = self._patiently(self._stored)
                self._patiently(lambda: self.reader.open(self._position, start=self._start))
            except BaseException:
                self.close()
                raise
            self._open = True
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
        if not self._open:
            return None
        if self.lease.lost.is_set():
            raise Conflict("another worker took the stream over", where=self.name)
        self._refresh()
        batch = self._unkept or self._patiently(lambda: self.reader.read(self._max_rows, patience))
        if time.monotonic() - self._lag_at > _LAG_SECONDS:
            self._lag_at = time.monotonic()
            self.metrics.lag = self.reader.lag()
        if batch.position == self._position:
            return None
        self._unkept = batch
        deleted, unmatched = self._delete(batch)
        admitted = self._admit(batch)
        result = self._keep(admitted, batch.position)
        self._position, self._unkept = batch.position, None
        self.reader.commit(batch.position)
        kept = IngestedBatch(result, admitted.event, time.time_ns() // 1000)
        self._count(batch, kept, deleted=deleted, unmatched=unmatched)
        return kept

    # ------------------------------------------------------------------------------------ private

    def _refresh(self) -> None:
        """Take over a definition that was applied meanwhile."""
        source = self._runtime.source(self._source.name)
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

    def _delete(self, batch: Batch) -> tuple[int, int]:
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
            return delete(self._fenced(self._position), self._source.name, ids)

        result = self._patiently(attempt)
        # After an outage rows may be gone by the attempt before: none is said to be missing.
        return result.accepted, len(ids) - result.accepted if tries == 1 else 0

    def _fenced(self, expected: bytes | None) -> Runtime:
        return Fenced.of(self._runtime, self.name, expected)

    def _stored(self) -> bytes | None:
        return self._runtime.journal.read_one(POSITIONS, self.name.encode())

    def _keep(self, admitted: ValidRows, position: bytes) -> PushResult:
        """Keep rows and position as one; after an outage look first whether they already are."""
        moved, tried = (self.name, position), False

        def attempt() -> PushResult:
            nonlocal tried
            again, tried = tried, True
            if not again or self._stored() != position:
                return ingest(self._fenced(self._position), self._source, admitted, position=moved)
            # The journal has them, the states perhaps not yet: they catch up with nothing new.
            none = np.empty(0, np.int64)
            nothing = ValidRows(admitted.batch.slice(0, 0), none, none, [])
            result = ingest(self._fenced(position), self._source, nothing, position=moved)
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
