"""One file that grows: what is in it behind an offset, and whether it is still the same file.

An offset counts the bytes of complete lines of a text file, and the rows of a Parquet file, which
is written once and as a whole. With it goes a check: a hash of how the file begins and of what lies
just before the offset. A file that is shorter than its offset, or has something else there, was
truncated or replaced.
"""

from __future__ import annotations

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.errors import CorruptData
from skewless.parquet import open_parquet
from skewless.streams.decoding import Decoded, Header, csv_rows
from skewless.streams.envelopes import Place, json_rows
from skewless.types import DType

Mark = tuple[int, bytes]
"""An offset and its check."""
START: Mark = (0, b"")
LONGEST_LINE = 64 << 20
_CHECKED_BYTES = 256
_BLOCK = 64 << 10
_BOM = b"\xef\xbb\xbf"
_MAGIC = b"PAR1"


@dataclass(frozen=True, eq=False)
class FileBatch:
    """Rows of one file.

    Attributes:
        decoded: the rows, and what is none.
        raw: tells what the n-th of the values read was.
        origin: tells where it lies.
        mark: behind all of them.
    """

    decoded: Decoded
    raw: Callable[[int], bytes]
    origin: Callable[[int], str]
    mark: Mark


class Growing(ABC):
    """A file of a stream.

    Args:
        path: of the file.
        name: how positions and people call it.
        columns: names and types of the columns asked for.
    """

    lag_unit: str

    def __init__(self, path: Path, name: str, columns: Mapping[str, DType]) -> None:
        self.path = path
        self.name = name
        self.columns = dict(columns)

    @abstractmethod
    def take(self, mark: Mark, max_rows: int) -> FileBatch | None:
        """Return rows behind a mark, None where there is no complete one.

        Raises:
            CorruptData: it is not the file that the mark was made in, or it is damaged.
        """

    @abstractmethod
    def left(self, mark: Mark, size: int) -> int:
        """Return how much a file of so many bytes has behind a mark, in `lag_unit`."""

    @abstractmethod
    def end(self) -> Mark:
        """Return the mark behind everything that is there."""

    def replaced(self, got: str, expected: str) -> CorruptData:
        """Return the error for a file that is not what it was."""
        return CorruptData(
            "a file of the stream was truncated or replaced after rows of it were read",
            got=got,
            expected=expected,
            where=str(self.path),
            hint="Restore it, or write new rows to a file of another name.",
        )


class GrowingText(Growing):
    """JSON lines or CSV."""

    lag_unit = "bytes"

    def __init__(self, path: Path, name: str, columns: Mapping[str, DType]) -> None:
        super().__init__(path, name, columns)
        self._bytes_per_row = 200

    def take(self, mark: Mark, max_rows: int) -> FileBatch | None:
        with self.path.open("rb", buffering=0) as file:
            header = self._header(file.fileno())
            if header is None:
                return None
            offset, check = mark
            size = os.fstat(file.fileno()).st_size
            if size < offset:
                raise self.replaced(f"{size:,} bytes", f"at least {offset:,} bytes")
            offset = max(offset, header)
            back = min(_CHECKED_BYTES, mark[0])
            wanted = max(_BLOCK, max_rows * self._bytes_per_row * 5 // 4)
            before = back + offset - mark[0]
            head = os.pread(file.fileno(), back, 0)
            while True:
                block = os.pread(file.fileno(), before + wanted, mark[0] - back)
                if check and _hash(head, block[:back]) != check:
                    raise self.replaced("other bytes", f"those that were read up to {mark[0]:,}")
                end = block.rfind(b"\n", before) + 1
                if end or len(block) < before + wanted:
                    break
                if wanted > LONGEST_LINE:
                    raise CorruptData(
                        "a line that does not end",
                        got=f"more than {LONGEST_LINE >> 20} MB from byte {offset:,} on",
                        where=str(self.path),
                    )
                wanted *= 4
            if not end:
                return None
            if mark[0] < _CHECKED_BYTES:
                head = os.pread(file.fileno(), _CHECKED_BYTES, 0)
        return self._piece(block[:end], before, offset, max_rows, head)

    def _piece(
        self, block: bytes, before: int, offset: int, max_rows: int, head: bytes
    ) -> FileBatch:
        """Return the rows of the first lines of a block, after bytes that were read before.

        Args:
            block: of the file.
            before: how many bytes of it were read before.
            offset: of the file, behind these.
            max_rows: how many lines at most.
            head: how the file begins.
        """
        lines = block[before:].split(b"\n", max_rows)
        del lines[-1]  # what follows the last line break
        length = sum(map(len, lines)) + len(lines)
        self._bytes_per_row = length // len(lines) + 1
        numbers = [number for number, line in enumerate(lines) if line.strip()]
        kept = lines if len(numbers) == len(lines) else [lines[number] for number in numbers]

        def origin(number: int) -> str:
            before = numbers[number]
            return f"{self.name}, byte {offset + sum(map(len, lines[:before])) + before:,}"

        end = before + length
        size = min(_CHECKED_BYTES, offset + length)
        check = _hash(head[:size], block[max(end - size, 0) : end])
        return FileBatch(self._decode(kept), kept.__getitem__, origin, (offset + length, check))

    def left(self, mark: Mark, size: int) -> int:
        return max(size - mark[0], 0)

    def end(self) -> Mark:
        size = self.path.stat().st_size
        with self.path.open("rb", buffering=0) as file:
            while size:
                low = max(size - LONGEST_LINE, 0)
                block = os.pread(file.fileno(), size - low, low)
                end = block.rfind(b"\n") + 1
                if end:
                    checked = min(_CHECKED_BYTES, low + end)
                    head = os.pread(file.fileno(), checked, 0)
                    return low + end, _hash(head, block[max(end - checked, 0) : end])
                size = low
        return START

    @abstractmethod
    def _header(self, descriptor: int) -> int | None:
        """Return the bytes before the first row, None while they are not complete."""

    @abstractmethod
    def _decode(self, lines: list[bytes]) -> Decoded:
        """Return the rows of lines."""


class GrowingJson(GrowingText):
    """JSON lines.

    Args:
        path: of the file.
        name: how positions and people call it.
        columns: names and types of the columns asked for.
        paths: of those that do not lie at the top under their own name.
    """

    def __init__(
        self, path: Path, name: str, columns: Mapping[str, DType], paths: Mapping[str, Place]
    ) -> None:
        super().__init__(path, name, columns)
        self._rows = json_rows(columns, paths)

    def _header(self, descriptor: int) -> int | None:
        return len(_BOM) if os.pread(descriptor, len(_BOM), 0) == _BOM else 0

    def _decode(self, lines: list[bytes]) -> Decoded:
        return self._rows.decode(lines)


class GrowingCsv(GrowingText):
    """CSV with a header line; cells hold no line breaks."""

    def __init__(self, path: Path, name: str, columns: Mapping[str, DType]) -> None:
        super().__init__(path, name, columns)
        self._names = Header()

    def _header(self, descriptor: int) -> int | None:
        first, newline, _ = os.pread(descriptor, _BLOCK, 0).partition(b"\n")
        if not newline:
            return None
        self._names = Header.of(first.removeprefix(_BOM).decode(errors="replace").rstrip("\r"))
        return len(first) + 1

    def _decode(self, lines: list[bytes]) -> Decoded:
        try:
            texts = [line.decode().rstrip("\r") for line in lines]
        except UnicodeDecodeError:
            good = [number for number, line in enumerate(lines) if _is_utf8(line)]
            bad = [(number, "not text in UTF-8") for number in {*range(len(lines))} - {*good}]
            made = self._decode([lines[number] for number in good])
            poison = sorted(bad + [(good[number], reason) for number, reason in made.poison])
            taken = [good[number] for number in made.taken]
            return Decoded(made.rows, taken, poison, made.ignored)
        return csv_rows(self.columns, self._names, texts)


class GrowingParquet(Growing):
    """A Parquet file, which appears when its last bytes are written."""

    lag_unit = "rows"

    def __init__(self, path: Path, name: str, columns: Mapping[str, DType]) -> None:
        super().__init__(path, name, columns)
        self._footer: tuple[bytes, list[int]] | None = None
        self._group: tuple[int, Any] | None = None
        self._has_more = False

    def take(self, mark: Mark, max_rows: int) -> FileBatch | None:
        ends = self._ends(mark)
        if ends is None or mark[0] >= ends[1][-1]:
            return None
        check, group_ends = ends
        group = next(n for n, end in enumerate(group_ends) if mark[0] < end)
        start = mark[0] - (group_ends[group - 1] if group else 0)
        table = self._read(group).slice(start, max_rows)
        ignored = table.num_rows if self._has_more else 0
        return FileBatch(
            Decoded(table, range(table.num_rows), [], ignored),
            lambda number: repr(table.slice(number, 1).to_pylist()[0]).encode(),
            lambda number: f"{self.name}, row {mark[0] + number:,}",
            (mark[0] + table.num_rows, check),
        )

    def left(self, mark: Mark, size: int) -> int:
        ends = self._ends(mark)
        return 0 if ends is None else ends[1][-1] - mark[0]

    def end(self) -> Mark:
        ends = self._ends(START)
        return START if ends is None else (ends[1][-1], ends[0])

    def _ends(self, mark: Mark) -> tuple[bytes, list[int]] | None:
        """Return the hash of the footer and where row groups end; None while it is not there."""
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            file.seek(max(size - (4 << 10), 0))
            tail = file.read()
        if size < 2 * len(_MAGIC) or not tail.endswith(_MAGIC):
            if mark[0]:
                raise self.replaced("no whole Parquet file", "the one that was read")
            return None
        check = _hash(tail)
        if mark[1] and check != mark[1]:
            raise self.replaced("another footer", "the one that was read")
        if self._footer is None or self._footer[0] != check:
            meta = self._open().metadata
            ends, rows = [0] if not meta.num_row_groups else [], 0
            for group in range(meta.num_row_groups):
                rows += meta.row_group(group).num_rows
                ends.append(rows)
            self._footer, self._group = (check, ends), None
        return self._footer

    def _open(self) -> Any:
        import pyarrow as pa

        try:
            return open_parquet(self.path)
        except pa.ArrowException as problem:
            got = str(problem).splitlines()[0][:300]
            raise CorruptData("a damaged Parquet file", got=got, where=str(self.path)) from None

    def _read(self, group: int) -> Any:
        import pyarrow as pa

        if self._group is None or self._group[0] != group:
            opened = self._open()
            names = [name for name in self.columns if name in opened.schema_arrow.names]
            self._has_more = not self.columns.keys() >= set(opened.schema_arrow.names)
            try:
                self._group = group, opened.read_row_group(group, columns=names)
            except pa.ArrowException as problem:
                got = str(problem).splitlines()[0][:300]
                raise CorruptData("a damaged Parquet file", got=got, where=str(self.path)) from None
        return self._group[1]


def _hash(*parts: bytes) -> bytes:
    return hashlib.blake2b(b"".join(parts), digest_size=8).digest()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
