"""What an engine needs of the history of a source: chunks of typed, timed rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.definitions import Source

    Ints = npt.NDArray[np.int64]


class HistoryRows(Protocol):
    """Some rows of a source's history; all arrays are as long as the table."""

    @property
    def table(self) -> pa.Table:
        """The columns asked for, of the source's types."""

    @property
    def event(self) -> Ints:
        """Event times, microseconds."""

    @property
    def known(self) -> Ints:
        """Known times, microseconds."""

    @property
    def tiebreak(self) -> Ints:
        """The sequence of rows of the event log; 0 for rows of a table."""

    @property
    def late(self) -> npt.NDArray[np.bool_]:
        """Whether the row was beyond the source's lateness when it came."""

    @property
    def row(self) -> Ints:
        """Row numbers, ascending."""

    @property
    def deleted(self) -> npt.NDArray[np.bool_] | None:
        """Whether each takes the row of its id away; None: none does."""

    @property
    def dropped(self) -> int:
        """How many rows without an event time were left out before these."""


class ReplacedRows(Protocol):
    """The rows that corrections replaced, and when."""

    @property
    def rows(self) -> Ints:
        """Row numbers, ascending."""

    def of(self, rows: Ints) -> Ints:
        """Return for each row number when it was replaced; `clock.NEVER` for most."""

    def __len__(self) -> int: ...


class SourceHistory(Protocol):
    """The history of a source: its table and its event log as one."""

    @property
    def source(self) -> Source:
        """Whose rows."""

    def chunks(
        self, columns: Sequence[str], *, start: int | None = None, end: int | None = None
    ) -> Iterator[HistoryRows]:
        """Yield all rows in chunks; rows outside ``[start, end)`` may be left out."""

    def versions(self, columns: Sequence[str]) -> Iterator[HistoryRows]:
        """Yield every row, also deletions and those without an event time (`clock.ALWAYS`)."""

    def take(self, rows: Ints, columns: Sequence[str]) -> pa.Table:
        """Return the rows of these numbers, ascending, each once."""

    def content_hash(self, rows: Ints) -> npt.NDArray[np.uint64]:
        """Return the content hashes of the rows of these numbers, ascending, each once."""

    def superseded(self) -> ReplacedRows:
        """Return the rows that corrections replaced."""
