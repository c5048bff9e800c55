"""Files as a stream: one file or a folder of them that others append to or add files to.

    landing/
      2026-01-31.jsonl      append whole lines
      2026-02-01.jsonl
      late/extra.jsonl      folders inside count too

Lines of a text file (JSON, CSV) are read once they end in a line break; a half-written last line
waits. Files are read in the order of their names, one after the other. A Parquet file is read once
its last bytes are there; write it under a name that begins with a dot and rename it when it is
whole. Names that begin with a dot or an underscore are skipped.
"""

from __future__ import annotations

import contextlib
import os
import time
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import msgspec

from skewless.errors import CorruptData, InputError
from skewless.streams._growing import (
    START,
    FileBatch,
    Growing,
    GrowingCsv,
    GrowingJson,
    GrowingParquet,
    Mark,
)
from skewless.streams.base import EARLIEST, LATEST, Batch, Poison, Start, StreamReader
from skewless.streams.envelopes import paths_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skewless.definitions.tables import Located
    from skewless.types import DType

_FORMATS: dict[str, tuple[type[Growing], tuple[str, ...]]] = {
    "json": (GrowingJson, (".jsonl", ".ndjson", ".json")),
    "csv": (GrowingCsv, (".csv", ".tsv")),
    "parquet": (GrowingParquet, (".parquet", ".pq")),
}
_SHORTEST_WAIT, _LONGEST_WAIT = 0.002, 0.1


class _Stat(NamedTuple):
    """What tells that a file may not be what it was."""

    size: int
    inode: int
    changed: int

    @classmethod
    def of(cls, found: os.stat_result) -> Self:
        return cls(found.st_size, found.st_ino, found.st_mtime_ns)


_Found = dict[str, tuple[Path, _Stat]]


class FilesReader(StreamReader):
    """Reads `skewless.Files`.

    Its position names every file that rows were read of, and how far: bytes of whole lines, or
    rows of a Parquet file. It costs some 40 bytes a file with each batch that is kept, so a folder
    should hold thousands of files, not millions. Files that were read may be removed; one that
    comes back under a name of old is not read again.
    """

    def __init__(self, stream: Located, base: Path | None = None, *, consumer: str = "") -> None:
        super().__init__(stream, base, consumer=consumer)
        self._path = self.base / Path(stream.options["path"]).expanduser()
        format = stream.options.get("format", "json")
        if format not in _FORMATS:
            raise InputError(
                "files of an unknown format", got=repr(format), expected=", ".join(_FORMATS)
            )
        self._kind, self._suffixes = _FORMATS[format]
        self.lag_unit = self._kind.lag_unit
        self._paths = paths_of(stream.options.get("columns") or {})
        self._marks: dict[str, Mark] = {}
        self._open_files: dict[str, Growing] = {}
        self._exhausted: dict[str, _Stat] = {}
        """How a file was when it had nothing more to take, and was the one that was read."""
        self._seen: dict[str, int] = {}
        """When something that is not read yet was first seen in a file."""
        self._arrived: int | None = None

    @property
    def name(self) -> str:
        return str(self.stream.options["path"])

    def typed(self, columns: Mapping[str, DType]) -> None:
        super().typed(columns)
        self._open_files, self._exhausted = {}, {}

    def open(self, position: bytes | None, *, start: Start = EARLIEST) -> None:
        if not self._path.exists() and (not self._path.suffix or not self._path.parent.is_dir()):
            raise InputError(
                "there is no such file or folder to stream from",
                got=str(self._path),
                hint="Make the folder before the first file comes.",
            )
        self._marks = {} if position is None else _decode(position, self.name)
        if position is None and start == LATEST:
            for name, (path, _) in self._files().items():
                self._marks[name] = self._file(name, path).end()
        elif position is None and start != EARLIEST:
            raise InputError(
                "files have no place that belongs to a time", expected=f"{EARLIEST} or {LATEST}"
            )

    def read(self, max_rows: int, timeout: float) -> Batch:
        until = time.monotonic() + timeout
        while True:
            began = time.monotonic()
            pieces = list(self._pieces(max_rows))
            now = time.monotonic()
            if pieces or now >= until:
                return self._batch(pieces)
            wait = min(max(20 * (now - began), _SHORTEST_WAIT), _LONGEST_WAIT)
            time.sleep(min(wait, until - now))

    def lag(self) -> int | None:
        total = 0
        for name, (path, stat) in self._files().items():
            if self._exhausted.get(name) != stat:
                with contextlib.suppress(FileNotFoundError):
                    total += self._file(name, path).left(self._mark(name), stat.size)
        return total

    def describe(self, position: bytes) -> dict[str, int]:
        return {name: offset for name, (offset, _) in _decode(position, self.name).items()}

    def close(self) -> None:
        self._open_files = {}

    # ------------------------------------------------------------------------------------ private

    def _files(self) -> _Found:
        """Return path and size of each file there is, in order of their names."""
        if not self._path.is_dir():
            try:
                return {self._path.name: (self._path, _Stat.of(self._path.stat()))}
            except FileNotFoundError:
                return {}
        found: _Found = {}
        folders = [(self._path, "")]
        while folders:
            folder, prefix = folders.pop()
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name[0] in "._":
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((folder / entry.name, f"{prefix}{entry.name}/"))
                    elif entry.name.lower().endswith(self._suffixes):
                        found[prefix + entry.name] = (folder / entry.name, _Stat.of(entry.stat()))
        return dict(sorted(found.items()))

    def _file(self, name: str, path: Path) -> Growing:
        if name not in self._open_files:
            if self._kind is GrowingJson:
                self._open_files[name] = GrowingJson(path, name, self.columns, self._paths)
            else:
                self._open_files[name] = self._kind(path, name, self.columns)
        return self._open_files[name]

    def _mark(self, name: str) -> Mark:
        return self._marks.get(name, START)

    def _pieces(self, max_rows: int) -> Iterator[FileBatch]:
        """Yield rows of one file after another, as long as they go into one table."""
        schema: Any = None
        for name, (path, stat) in self._files().items():
            while max_rows > 0 and self._exhausted.get(name) != stat:
                self._seen.setdefault(name, time.time_ns() // 1000)
                try:
                    piece = self._file(name, path).take(self._mark(name), max_rows)
                except FileNotFoundError:
                    break
                if piece is None:
                    self._exhausted[name] = stat
                    self._seen.pop(name, None)
                    break
                found = getattr(piece.decoded.rows, "schema", None)
                if schema is not None and found != schema:
                    return
                schema = found
                self._arrived = min(self._arrived or self._seen[name], self._seen[name])
                if self._kind is not GrowingParquet and piece.mark[0] >= stat.size:
                    del self._seen[name]
                    self._exhausted[name] = stat
                self._marks[name] = piece.mark
                max_rows -= len(piece.decoded.rows) + len(piece.decoded.poison)
                yield piece

    def _batch(self, pieces: list[FileBatch]) -> Batch:
        ends: list[int] = []
        for piece in pieces:
            ends.append((ends[-1] if ends else 0) + len(piece.decoded.rows))

        def origin(row: int) -> str:
            number = bisect_right(ends, row)
            piece = pieces[number]
            return piece.origin(piece.decoded.taken[row - (ends[number - 1] if number else 0)])

        arrived, self._arrived = self._arrived, None
        return Batch(
            _together([piece.decoded.rows for piece in pieces]),
            msgspec.msgpack.encode(self._marks),
            origin,
            tuple(
                Poison(piece.raw(number), reason, piece.origin(number))
                for piece in pieces
                for number, reason in piece.decoded.poison
            ),
            arrived=arrived,
            ignored=sum(piece.decoded.ignored for piece in pieces),
        )


def _together(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    if parts and not isinstance(parts[0], list):
        import pyarrow as pa

        return pa.concat_tables(parts)
    return [row for part in parts for row in part]


def _decode(position: bytes, name: str) -> dict[str, Mark]:
    try:
        return msgspec.msgpack.decode(position, type=dict[str, Mark])
    except msgspec.DecodeError as problem:
        raise CorruptData(
            "a position that is none", got=str(problem), where=f"stream {name}"
        ) from None
