"""How rows of an event log lie in the key-value store before they are settled into files.

One table a log, with these keys:

| key | value |
|---|---|
| ``s`` | state: format, next sequence, newest event time |
| ``m`` | manifest: which files hold which sequences (see `_manifest`) |
| ``l`` | which late rows count all the same, and from when: see `Included` |
| ``t`` + 8 bytes | an Arrow schema, by its hash |
| ``j`` + sequence, 8 bytes, big-endian | an entry: rows as Arrow columns, from that sequence on |
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from typing import TYPE_CHECKING, Any

from skewless.clock import ALWAYS, NEVER
from skewless.errors import CorruptData, StoreError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Int64s = npt.NDArray[np.int64]

FORMAT = 1
LAKE_FORMAT = 2
"""Format of the manifest of a log that settles into a lakehouse."""
STATE_KEY = b"s"
MANIFEST_KEY = b"m"
INCLUDED_KEY = b"l"
JOURNAL = b"j"

KNOWN, SEQUENCE, LATE = "_known", "_sequence", "_late"
DELETED, SUPERSEDES = "_deleted", "_supersedes"

_STATE = struct.Struct("<Bqqq8s8sq")
_FIRST_STATE = struct.Struct("<Bqq")
_STEP = struct.Struct("<qq")
# Hash of the schema, rows, lowest and highest event time, which of the optional arrays follow;
# padded so that what follows is aligned.
_HEADER = struct.Struct("<8sIqqB3x")
_HAS_LATE, _HAS_DELETED, _HAS_SUPERSEDES = 1, 2, 4


def log_name(source: str, generation: int) -> str:
    """Return what a log is called: by its source, and its generation but for the first."""
    return f"{source}~{generation}" if generation else source


def log_table(name: str) -> str:
    """Return the name of the key-value table of a log."""
    return f"log.{name}"


def journal_key(sequence: int) -> bytes:
    """Return the key of the entry whose first row has this sequence."""
    return JOURNAL + sequence.to_bytes(8, "big")


def sequence_of(key: bytes) -> int:
    """Return the sequence of the first row of the entry at ``key``."""
    return int.from_bytes(key[1:], "big")


@dataclasses.dataclass(frozen=True)
class State:
    """What a log knows without looking at rows.

    Attributes:
        next_sequence: of the next row; sequences begin at 1.
        newest_event: greatest event time, UTC microseconds; `clock.ALWAYS` before the first row.
        stamped: greatest known time that a clock gave to rows of the log.
        ids: says which definitions of the row id the rows are indexed under; zeros: none.
        main: says under which of them it was decided what rows replace, since ``main_since``.
        main_since: a sequence.
    """

    next_sequence: int = 1
    newest_event: int = ALWAYS
    stamped: int = ALWAYS
    ids: bytes = bytes(8)
    main: bytes = bytes(8)
    main_since: int = 1

    def encode(self) -> bytes:
        own = (self.next_sequence, self.newest_event, self.stamped)
        return _STATE.pack(FORMAT, *own, self.ids, self.main, self.main_since)

    def after(self, rows: int, newest_event: int, push: Push) -> State:
        """Return the state with so many rows more."""
        return State(
            self.next_sequence + rows,
            max(self.newest_event, newest_event),
            max(self.stamped, push.stamped),
            self.ids,
            push.main,
            self.main_since if push.main == self.main else self.next_sequence,
        )

    @classmethod
    def decode(cls, value: bytes | None, where: str) -> State:
        """Read a state back.

        Raises:
            StoreError: a newer skewless wrote it.
        """
        if value is None:
            return cls()
        check_format(value[0], where)
        layout = _FIRST_STATE if len(value) == _FIRST_STATE.size else _STATE
        return cls(*layout.unpack(value)[1:])


@dataclasses.dataclass(frozen=True)
class Push:
    """What the state of a log notes of rows that are appended at once.

    Attributes:
        stamped: the greatest known time among them that a clock gave.
        main: says under which definition of the row id it was decided what they replace.
    """

    stamped: int = ALWAYS
    main: bytes = bytes(8)


@dataclasses.dataclass(frozen=True)
class Included:
    """The late rows that backfills have let in: they count from the backfill on.

    Attributes:
        steps: pairs of a sequence and a time, both ascending: late rows up to the sequence (and
            beyond that of the pair before) are known from that time (UTC microseconds) on.
    """

    steps: tuple[tuple[int, int], ...] = ()

    def encode(self) -> bytes:
        return b"".join(_STEP.pack(*step) for step in self.steps)

    @classmethod
    def decode(cls, value: bytes | None) -> Included:
        return cls(tuple(_STEP.iter_unpack(value or b"")))

    def apply(
        self, sequences: Int64s, known: Int64s, late: npt.NDArray[np.bool_]
    ) -> tuple[Int64s, npt.NDArray[np.bool_]]:
        """Return known times and lateness as they are with what was let in."""
        import numpy as np

        if not self.steps or not late.any():
            return known, late
        upto, times = np.array(self.steps, np.int64).T
        step = np.searchsorted(upto, sequences)
        inside = late & (step < len(upto))
        since = times[np.minimum(step, len(upto) - 1)]
        return np.where(inside, np.maximum(known, since), known), late & ~inside


def check_format(found: int, where: str) -> None:
    """Raise `StoreError` if a log has a format that this skewless does not know."""
    if found > LAKE_FORMAT:
        raise StoreError(
            "a newer skewless wrote this event log",
            got=f"format {found}",
            expected=f"at most {LAKE_FORMAT}",
            where=where,
            hint="Upgrade skewless.",
        )


def schema_key(schema: pa.Schema) -> bytes:
    """Return the key of a schema: the same for equal columns."""
    return b"t" + hashlib.blake2b(bytes(schema.serialize()), digest_size=8).digest()


@dataclasses.dataclass(frozen=True, eq=False)
class Entry:
    """Some rows of the journal.

    Attributes:
        rows: how many.
        low: least event time, UTC microseconds; `clock.NEVER` if no row has one.
        high: greatest event time; `clock.ALWAYS` if no row has one.
        known: known time of each row.
        late: whether each was beyond the source's lateness; None: none.
        deleted: whether each deletes the row of its id; None: none does.
        supersedes: sequence of the row that each corrects, 0 for none; None: none does.
    """

    schema_hash: bytes
    rows: int
    low: int
    high: int
    known: Int64s
    late: npt.NDArray[np.bool_] | None
    deleted: npt.NDArray[np.bool_] | None
    supersedes: Int64s | None
    payload: Any

    def batch(self, schema: pa.Schema) -> pa.RecordBatch:
        """Return the columns, as they were given."""
        import pyarrow as pa

        return pa.ipc.read_record_batch(pa.py_buffer(self.payload), schema)


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as bytes."""
    has, extra = 0, []
    if entry.supersedes is not None:
        has |= _HAS_SUPERSEDES
        extra.append(entry.supersedes.tobytes())
    for bit, flags in ((_HAS_LATE, entry.late), (_HAS_DELETED, entry.deleted)):
        if flags is not None:
            has |= bit
            extra.append(flags.tobytes().ljust(-len(flags) % 8 + len(flags), b"\0"))
    header = _HEADER.pack(entry.schema_hash, entry.rows, entry.low, entry.high, has)
    return b"".join((header, entry.known.tobytes(), *extra, entry.payload))


def decode_entry(value: bytes, where: str) -> Entry:
    """Read an entry back, without copying what it holds.

    Raises:
        CorruptData: it is cut short.
    """
    import numpy as np

    try:
        schema_hash, rows, low, high, has = _HEADER.unpack_from(value)
        position = _HEADER.size

        def array(size: int, dtype: Any) -> Any:
            nonlocal position
            values = np.frombuffer(value, dtype, rows, position)
            position += size
            return values

        flags = -rows % 8 + rows
        known = array(8 * rows, np.int64)
        supersedes = array(8 * rows, np.int64) if has & _HAS_SUPERSEDES else None
        late = array(flags, np.bool_) if has & _HAS_LATE else None
        deleted = array(flags, np.bool_) if has & _HAS_DELETED else None
    except (struct.error, ValueError) as error:
        raise CorruptData("an entry of an event log is cut short", where=where) from error
    payload = memoryview(value)[position:]
    return Entry(schema_hash, rows, low, high, known, late, deleted, supersedes, payload)


def event_range(event: Int64s) -> tuple[int, int]:
    """Return the least and greatest event time; `NEVER` and `ALWAYS` if there is none."""
    if len(event) == 1 and event[0] != ALWAYS:
        return int(event[0]), int(event[0])
    present = event[event != ALWAYS]
    if not len(present):
        return NEVER, ALWAYS
    return int(present.min()), int(present.max())
