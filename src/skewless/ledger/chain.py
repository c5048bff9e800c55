"""One chain of sealed files in a folder: appended to by any number of processes of a host.

    chain = Chain(Path("repo/.skewless/ledger/chains/db1"))
    chain.append([("run", {"job": "compact"})], at=clock.now())

Whoever appends holds the lock of the folder. What is appended at once is one segment, on disk with
its seal when `append` returns. A process that is killed meanwhile leaves a part of it behind the
last seal: nothing is removed, the next one goes on in a new file whose first line names what was
left, with its hash. So a gap is told, and what lies in it cannot be altered any more either.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skewless.config import make_private
from skewless.errors import StoreError
from skewless.forks import Lock
from skewless.ledger.lines import (
    FORMAT,
    GENESIS,
    SEAL_START,
    Cut,
    Header,
    Record,
    Seal,
    header_line,
    parse_record,
    parse_seal,
    record_line,
    sealed,
)

FILE_BYTES = 64 << 20
_TAIL = 4096
_START = 160
"""Bytes within which a record has said its kind."""
Said = tuple[str, Mapping[str, Any]]
"""Kind and data of a record."""


@dataclass(frozen=True)
class Head:
    """The newest seal of a chain: kept elsewhere, it shows that nothing behind it was removed.

    Attributes:
        seal: the hash.
        n: number of the last record before it.
        file: number of the file it is in.
    """

    seal: str
    n: int
    file: int


@dataclass(frozen=True)
class _End:
    """Where a chain ends: its head, the size of that file, and what was cut off since."""

    head: Head
    size: int
    cuts: tuple[Cut, ...] = ()
    last: int = 0
    """Number of the newest file, which may have no seal."""


class Chain:
    """The files of one host.

    Args:
        folder: of the files; made at the first append.
        file_bytes: size at which a new file is begun.
    """

    def __init__(self, folder: Path, *, file_bytes: int = FILE_BYTES) -> None:
        self.folder = folder
        self.name = folder.name
        self._file_bytes = file_bytes
        self._end: _End | None = None
        self._lock = Lock()

    def append(
        self, said: Sequence[Said], *, at: int, keep: Callable[[Head], None] | None = None
    ) -> list[Record]:
        """Append records as one segment, on disk when it returns; return them.

        Args:
            said: kind and data of each.
            at: the moment, UTC microseconds.
            keep: told the new head while nobody else appends.

        Raises:
            StoreError: the disk is full, or the folder cannot be written; nothing was appended.
        """
        try:
            with self._locked():
                end = self._found_end()
                records = [
                    Record(end.head.n + number, at, kind, dict(data), self.name)
                    for number, (kind, data) in enumerate(said, 1)
                ]
                head = self._write(end, records, at)
                if keep is not None:
                    keep(head)
                return records
        except OSError as problem:
            raise StoreError(
                "the ledger cannot be written",
                got=problem.strerror or str(problem),
                where=str(self.folder),
            ) from None

    def records(
        self,
        kinds: Sequence[str] | None = None,
        since: int | None = None,
        containing: Sequence[bytes] = (),
    ) -> Iterator[Record]:
        """Yield what was sealed, oldest first; lines that are damaged are left out.

        Args:
            kinds: of these kinds alone; None: of all.
            since: files whose newest seal is older are not read, UTC microseconds.
            containing: only lines with one of these bytes are looked at; none: all.
        """
        marks = None if kinds is None else [b',"kind":"%s"' % kind.encode() for kind in kinds]
        for file in self.files():
            if since is not None and (seal := last_seal(file)[0]) and seal.at < since:
                continue
            waiting: list[Record] = []
            with file.open("rb") as lines:
                for line in lines:
                    if line.endswith(b"\n") and parse_seal(line) is not None:
                        yield from waiting
                        waiting = []
                        continue
                    wanted = marks is None or any(line.find(m, 0, _START) > 0 for m in marks)
                    wanted = wanted and (not containing or any(c in line for c in containing))
                    if wanted and (record := parse_record(line, self.name)) is not None:
                        waiting.append(record)

    def head(self) -> Head:
        """Return the newest seal."""
        return self._found_end().head

    def files(self) -> list[Path]:
        """Return the files, oldest first."""
        return sorted(self.folder.glob("[0-9]*.jsonl"))

    # ------------------------------------------------------------------------------------ private

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep other threads and processes from appending."""
        with self._lock:
            make_private(self.folder)
            lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX)
                yield
            finally:
                os.close(lock)

    def _file(self, number: int) -> Path:
        return self.folder / f"{number:08d}.jsonl"

    def _found_end(self) -> _End:
        """Return where the chain ends; what is known of it holds while the file has its size."""
        known = self._end
        if known is not None and not known.cuts and known.head.file:
            after = self._file(known.head.file + 1)
            with contextlib.suppress(FileNotFoundError):
                if self._file(known.head.file).stat().st_size == known.size and not after.exists():
                    return known
        return self._read_end()

    def _read_end(self) -> _End:
        """Find the newest seal, and what lies behind it."""
        cuts: list[Cut] = []
        files = self.files()
        last = int(files[-1].stem) if files else 0
        for file in reversed(files):
            number = int(file.stem)
            seal, end = last_seal(file)
            size = file.stat().st_size
            if end < size or seal is None:
                rest = _read_from(file, end)
                cuts.insert(0, Cut(number, end, len(rest), hashlib.sha256(rest).hexdigest()))
            if seal is not None:
                return _End(Head(seal.seal, seal.n, number), size, tuple(cuts), last)
        return _End(Head(GENESIS, 0, 0), 0, tuple(cuts), last)

    def _write(self, end: _End, records: Sequence[Record], at: int) -> Head:
        lines = [record_line(record.n, at, record.kind, record.data) for record in records]
        head = end.head
        new = bool(end.cuts) or not head.file or end.size >= self._file_bytes
        number = end.last + 1 if new else head.file
        if new:
            header = Header(FORMAT, self.name, number, head.n, head.seal, end.cuts)
            lines.insert(0, header_line(header))
        segment = b"".join(lines)
        seal, line = sealed(head.seal, segment, len(records), head.n + len(records), at)
        size = 0 if new else end.size
        self._end = None
        _write_whole(self._file(number), segment + line, size)
        made = Head(seal.seal, seal.n, number)
        self._end = _End(made, size + len(segment) + len(line), (), number)
        return made


def last_seal(file: Path) -> tuple[Seal | None, int]:
    """Return the newest seal in a file and where its line ends, bytes; None and 0 without one."""
    size = file.stat().st_size
    for start in (max(0, size - _TAIL), 0):
        data = _read_from(file, start)
        at = len(data)
        while (found := data.rfind(b"\n" + SEAL_START, 0, at)) >= 0:
            stop = data.find(b"\n", found + 1)
            seal = parse_seal(data[found + 1 : stop]) if stop >= 0 else None
            if seal is not None:
                return seal, start + stop + 1
            at = found
    return None, 0


def _read_from(file: Path, start: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(start)
        return opened.read()


def _write_whole(file: Path, data: bytes, size: int) -> None:
    """Append to a file that has a size, or make one of size 0; it is on disk then.

    What cannot be written whole is taken back.
    """
    flags = os.O_WRONLY | (os.O_APPEND if size else os.O_CREAT | os.O_EXCL)
    opened = os.open(file, flags, 0o600)
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(opened, left) :]
        os.fsync(opened)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(opened, size)
            if not size:
                file.unlink()
        raise
    finally:
        os.close(opened)
    if not size:
        folder = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
