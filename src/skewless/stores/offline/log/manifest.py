"""Which files hold the settled rows of an event log."""

from __future__ import annotations

import msgspec

from skewless.errors import CorruptData
from skewless.stores.offline.log.journal import FORMAT, LAKE_FORMAT, check_format


class LogFile(msgspec.Struct, frozen=True, array_like=True):
    """One Parquet file: all rows of one event date whose sequence lies in a range.

    Attributes:
        date: days since 1970 of the rows' event times.
        first: sequence of the first row.
        last: sequence of the last row.
        rows: how many there are.
        low: least event time, UTC microseconds.
        high: greatest event time.
        size: bytes.
        name: path relative to the folder of the log.
        schema: hash of the columns that its rows were written with.
        checksum: CRC-32 of the file; None for one of an older release, or of a lake.
    """

    date: int
    first: int
    last: int
    rows: int
    low: int
    high: int
    size: int
    name: str
    schema: bytes
    checksum: int | None = None


class Manifest(msgspec.Struct, frozen=True, array_like=True):
    """The files of a log at one moment.

    Attributes:
        format: of the log on disk.
        generation: grows by one with every change.
        settled: rows up to this sequence are in files, later ones in the journal.
        files: sorted by date and sequence.
        lake: table of a lakehouse that has the settled rows which no file of ``files`` has; "" if
            there is none.
        log: what the lake knows the log by.
    """

    format: int = FORMAT
    generation: int = 0
    settled: int = 0
    files: tuple[LogFile, ...] = ()
    lake: str = ""
    log: str = ""

    def encode(self) -> bytes:
        return msgspec.msgpack.encode(self)

    @classmethod
    def decode(cls, value: bytes | None, where: str) -> Manifest:
        """Read a manifest back.

        Raises:
            StoreError: a newer skewless wrote it.
            CorruptData: it cannot be read.
        """
        if value is None:
            return cls()
        try:
            # The format comes first, for readers that know no more than it.
            check_format(msgspec.msgpack.decode(value)[0], where)
            return msgspec.msgpack.decode(value, type=cls)
        except (msgspec.MsgspecError, IndexError, TypeError) as error:
            raise CorruptData(
                "the manifest of an event log cannot be read", got=str(error), where=where
            ) from error

    def changed(
        self, *, settled: int, added: list[LogFile], removed: frozenset[str] = frozenset()
    ) -> Manifest:
        """Return the manifest after files came and went."""
        kept = [file for file in self.files if file.name not in removed]
        files = sorted([*kept, *added], key=lambda file: (file.date, file.first))
        generation = self.generation + 1
        return msgspec.structs.replace(
            self, generation=generation, settled=settled, files=tuple(files)
        )

    def in_lake(self, lake: str, log: str) -> Manifest:
        """Return the manifest after the log was given a table of a lakehouse."""
        generation = self.generation + 1
        return msgspec.structs.replace(
            self, format=LAKE_FORMAT, generation=generation, lake=lake, log=log
        )
