"""What every reader of a stream promises: rows in batches, each with the position behind it.

    reader = FilesReader(sl.Files("landing/"), base)
    reader.typed(source.columns)
    reader.open(position)                        # None: it was never read
    batch = reader.read(10_000, timeout=0.5)     # what is there, perhaps nothing
    ...                                          # keep its rows and batch.position as one
    reader.commit(batch.position)

A reader knows neither stores nor features. Its position is a few bytes that only it understands;
whoever reads keeps them, with the rows they follow or not at all, and so no crash loses or
doubles a row.

**Every reader guarantees**

- Replay: opened at any position that `read` gave it, it goes on with exactly the next row.
- Parts: a stream with `parts` has a position for each, which `split` and `join` take apart and put
  together, so that several workers may share it: each partition counts by its own position.
- Order: rows of one partition (a file, a partition of a topic) come in the order they were
  written.
- Nothing is skipped in silence: what cannot be decoded comes as poison, with a reason; rows that
  are gone before they were read (a truncated file, a topic's retention) are an error.
- `read` takes what is there and does not wait for more.

**No reader guarantees**

- an order between partitions,
- that batches of a second reading are cut where those of the first were,
- that a row comes only once: whoever writes to a stream may write it twice. Sources with a row id
  count it once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from skewless.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.definitions.tables import Located
    from skewless.types import DType

EARLIEST, LATEST = "earliest", "latest"
Start = str | int
"""Where to begin what was never read: ``earliest``, ``latest``, or UTC microseconds."""


@dataclass(frozen=True)
class Poison:
    """Something in a stream that is no row.

    Attributes:
        raw: what it is.
        reason: why it is none.
        origin: where it lies, such as ``wafer-tests[0]@17``.
    """

    raw: bytes
    reason: str
    origin: str


@dataclass(frozen=True)
class Tombstone:
    """A message that says that the row with a key is no more.

    Attributes:
        key: of the message; None where it has none.
        origin: where it lies.
        named: what the key says where its format was decoded: columns by name, or one value.
        problem: why the key cannot be read; empty where it can.
    """

    key: bytes | None
    origin: str
    named: Any = None
    problem: str = ""


@dataclass(frozen=True, eq=False)
class Batch:
    """What was read, in order: either rows, or tombstones.

    Attributes:
        rows: an Arrow table or dicts, of columns asked for by `StreamReader.typed`. Times may be
            texts; checking values is the work of whoever takes them in.
        position: behind everything in the batch.
        origin: tells where a row lies, by its number in ``rows``.
        poison: what is no row.
        tombstones: rows deleted by the stream; a batch with some has no rows.
        arrived: when the oldest of it came to the stream, UTC microseconds, as far as known.
        ignored: how many of the rows had fields that were not asked for, as far as known.
    """

    rows: pa.Table | list[dict[str, Any]]
    position: bytes
    origin: Callable[[int], str]
    poison: tuple[Poison, ...] = ()
    tombstones: tuple[Tombstone, ...] = ()
    arrived: int | None = None
    ignored: int = 0


class StreamReader(ABC):
    """Reads one stream. See the module for what it guarantees.

    Args:
        stream: such as ``sl.Files("landing/")``.
        base: where relative paths start.
        consumer: name of who reads, where the stream wants to know one.
    """

    lag_unit: str
    """What `lag` counts: ``messages``, ``bytes``, ``rows``, or ``milliseconds`` behind the end."""

    def __init__(self, stream: Located, base: Path | None = None, *, consumer: str = "") -> None:
        self.stream = stream
        self.base = base or Path()
        self.consumer = consumer
        self.columns: dict[str, DType] = {}

    @property
    @abstractmethod
    def name(self) -> str:
        """Which stream this is, so that a position is never used for another one."""

    def typed(self, columns: Mapping[str, DType]) -> None:
        """Ask for these columns: others are left out, missing ones are null."""
        self.columns = dict(columns)

    def parts(self) -> list[str] | None:
        """Return the names of the partitions that there are, sorted; None: it is read as one.

        Raises:
            StoreUnavailable: it cannot be reached.
        """
        return None

    def only(self, parts: Collection[str] | None) -> None:
        """Read these partitions alone from the next `open` on; None: all of them.

        Raises:
            InputError: it is read as one.
        """
        if parts is not None:
            raise InputError(
                "a stream that is read as one cannot be shared by workers", where=self.name
            )

    def split(self, position: bytes) -> dict[str, bytes]:
        """Return the position of each partition; of a stream read as one, under no name."""
        return {"": position}

    def join(self, positions: Mapping[str, bytes]) -> bytes | None:
        """Return partitions' positions as that of the whole; None where there are none."""
        return positions.get("")

    @abstractmethod
    def open(self, position: bytes | None, *, start: Start = EARLIEST) -> None:
        """Begin behind ``position``, or where there is none yet, at ``start``.

        Raises:
            InputError: there is no such stream, or it cannot start there.
            CorruptData: it no longer has what follows the position.
            StoreUnavailable: it cannot be reached.
        """

    @abstractmethod
    def read(self, max_rows: int, timeout: float) -> Batch:
        """Return what is there, up to ``max_rows``; if nothing, wait up to ``timeout`` seconds.

        A batch whose position is that of the one before brings nothing. A batch may bring nothing
        but a position, which is worth keeping all the same.

        Raises:
            CorruptData: rows are gone before they were read, or a file is damaged.
            StoreUnavailable: the stream cannot be reached; a later call goes on.
        """

    @abstractmethod
    def lag(self) -> int | None:
        """Return how much is there that was not read yet, in `lag_unit`; None: not known yet."""

    @abstractmethod
    def describe(self, position: bytes) -> dict[str, int]:
        """Return a position as plain data: partition to how far it was read."""

    def commit(self, position: bytes) -> None:  # noqa: B027 - most have nothing to tell
        """Tell the stream, as a hint for its own tools, that everything before is kept."""

    @abstractmethod
    def close(self) -> None:
        """Release files and connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
