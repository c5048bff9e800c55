"""The history of a source: its table and its event log as one, typed and timed.

    history = History(source, reader, log)
    for chunk in history.chunks(["fab_id", "vdd"]):
        chunk.table, chunk.event, chunk.known, chunk.row

Times are UTC microseconds. Which of two rows counts, and when, is decided by others from what this
gives: event time, known time, tiebreak, and the moment a row was superseded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.definitions.source import Source
    from skewless.stores.offline.base import TableReader
    from skewless.stores.offline.log import EventLog

    Int64s = npt.NDArray[np.int64]
    UInt64s = npt.NDArray[np.uint64]
    Bools = npt.NDArray[np.bool_]

LOG_ROWS = 1 << 62
"""Row numbers of an event log's rows are this plus their sequence; those of a table are below."""


@dataclasses.dataclass(frozen=True, eq=False)
class HistoryChunk:
    """Some rows of a source's history; all arrays are as long as the table.

    Attributes:
        table: the columns asked for, of the source's types; NaN is null.
        event: event times, UTC microseconds.
        known: known times, UTC microseconds; the event time where the known column is null.
        tiebreak: the sequence for rows of the log; 0, not computed, for rows of the table: it is
            ``ALWAYS + (content_hash >> 1)`` (see `History.content_hash`).
        late: whether the row was beyond the source's lateness when it came.
        row: its number in the history: see `LOG_ROWS`.
        dropped: how many rows without an event time were left out before these.
    """

    table: pa.Table
    event: Int64s
    known: Int64s
    tiebreak: Int64s
    late: Bools
    row: Int64s
    dropped: int = 0


@dataclasses.dataclass(frozen=True, eq=False)
class Superseded:
    """The rows that a later version replaces, and when; all others never are.

    Attributes:
        rows: row numbers of the history, ascending.
        times: known time of the next version (UTC microseconds); ``clock.ALWAYS`` for a
            re-delivery, which never counts.
    """

    rows: Int64s
    times: Int64s

    def __len__(self) -> int:
        return len(self.rows)

    def of(self, rows: Int64s) -> Int64s:
        """Return for each row number when it was superseded, ``clock.NEVER`` for most."""
        raise NotImplementedError


class History:
    """The union of a source's table and its event log.

    Args:
        source: whose rows.
        reader: its table; None: it has none.
        log: its event log; None: it has none.
    """

    def __init__(
        self, source: Source, reader: TableReader | None = None, log: EventLog | None = None
    ) -> None: ...

    def chunks(
        self,
        columns: Sequence[str],
        *,
        start: int | None = None,
        end: int | None = None,
        parts: Sequence[str] | None = None,
        after: int = 0,
    ) -> Iterator[HistoryChunk]:
        """Yield all rows, those of the table first.

        Rows without an event time are left out and counted, rows that delete others are left out.
        Rows outside ``[start, end)`` of event time may be left out.

        Args:
            columns: names of the source's columns.
            start: UTC microseconds, inclusive.
            end: UTC microseconds, exclusive.
            parts: only these parts of the table.
            after: only rows of the log with a greater sequence.
        """
        raise NotImplementedError

    def take(self, rows: Int64s, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these numbers (ascending, each once), typed as in `chunks`."""
        raise NotImplementedError

    def content_hash(self, rows: Int64s) -> UInt64s:
        """Return 64 bits that say what all columns of these rows hold (ascending, each once)."""
        raise NotImplementedError

    def superseded(self, *, late: bool = False) -> Superseded:
        """Return which rows a later version of their row id replaces, and when.

        Args:
            late: whether rows beyond the source's lateness count as versions.
        """
        raise NotImplementedError
