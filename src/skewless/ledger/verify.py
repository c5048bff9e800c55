"""Is a chain what was written? Every byte is hashed; the first record that is wrong is named.

    report = verify_chain(chain.folder, head)
    report.ok, report.records, report.problems, report.gaps

What a chain shows: an edit, a deletion, an insertion, another order, of anything that was sealed;
and, by the head that the registry keeps, that the newest was removed. What it cannot show: that
somebody who may write to both wrote all of it anew.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from skewless.ledger.chain import Head
from skewless.ledger.lines import (
    FORMAT,
    GENESIS,
    HEADER_START,
    SEAL_START,
    Cut,
    Header,
    parse_header,
    parse_record,
    parse_seal,
    said_by,
    seal_of,
)


@dataclass(frozen=True)
class Damage:
    """Something in a ledger that is not as it was written.

    Attributes:
        chain: its name.
        file: name of the file; empty where a whole file is missing.
        line: number of the first line that is wrong, from 1.
        n: number of the first record that is wrong.
        what: is wrong.
    """

    chain: str
    file: str
    line: int
    n: int
    what: str

    def __str__(self) -> str:
        place = f" {self.file} line {self.line}" if self.file else ""
        return f"{self.chain}{place}, record {self.n}: {self.what}"


@dataclass
class ChainReport:
    """What was found in a chain.

    Attributes:
        chain: its name.
        records: that are sealed, and as they were written.
        segments: likewise.
        problems: what was altered or removed.
        gaps: what writes that were cut off (a kill, a full disk) have left; nobody's doing.
    """

    chain: str
    records: int = 0
    segments: int = 0
    problems: list[Damage] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether all that was sealed is there."""
        return not self.problems


def verify_chain(folder: Path, *heads: Head | None) -> ChainReport:
    """Return what is wrong with the chain in a folder.

    Args:
        folder: of the chain's files.
        heads: seals that were the newest once, kept elsewhere; None: there is none.
    """
    checker = _Checker(folder, [head for head in heads if head is not None])
    files = sorted(folder.glob("[0-9]*.jsonl"))
    for place, file in enumerate(files):
        checker.file(file, place + 1, is_last=place == len(files) - 1)
    checker.end()
    return checker.report


class _Checker:
    """Walks a chain, file by file and segment by segment."""

    def __init__(self, folder: Path, heads: Sequence[Head]) -> None:
        self.report = ChainReport(folder.name)
        self._missing = {head.seal: head for head in heads if head.seal != GENESIS}
        self._prev = GENESIS
        self._n = 0
        self._cuts: list[Cut] = []
        self._wrong = False

    def file(self, file: Path, expected: int, *, is_last: bool) -> None:
        data = file.read_bytes()
        if int(file.stem) != expected:
            self._problem(file, 1, f"file {expected:08d}.jsonl is missing")
        cuts, self._cuts = self._cuts, []
        start = line = 0
        if not data.startswith(SEAL_START) and (end := data.find(b"\n")) >= 0:
            self._header(file, data[: end + 1], expected, cuts)
        at = 0
        while (found := data.find(b"\n" + SEAL_START, at)) >= 0:
            stop = data.find(b"\n", found + 1) + 1
            if not stop:
                break
            segment, said = memoryview(data)[start : found + 1], data[found + 1 : stop]
            line += self._segment(file, line, segment, said)
            start, at = stop, stop - 1
        if start < len(data) or not start:
            rest = data[start:]
            cut = Cut(int(file.stem), start, len(rest), hashlib.sha256(rest).hexdigest())
            self._cuts = [*(cuts if not start else ()), cut]
            if is_last:
                whole = sum(parse_record(each) is not None for each in rest.splitlines(True))
                self.report.gaps.append(
                    f"{self.report.chain} {file.name}: a write was cut off after record {self._n}"
                    f" ({len(rest):,} bytes, {whole:,} records that were not sealed)"
                )

    def _header(self, file: Path, line: bytes, number: int, cuts: list[Cut]) -> None:
        """Check the first line of a file against the files before it."""
        header = parse_header(line)
        if header is None:
            self._problem(file, 1, "the first line of the file is not as it was written")
            return
        wanted = Header(FORMAT, self.report.chain, number, self._n, self._prev, tuple(cuts))
        if (header.chain, header.file) != (wanted.chain, wanted.file):
            self._problem(file, 1, f"this was file {header.file} of chain {header.chain}")
        elif (header.after, header.prev) != (wanted.after, wanted.prev):
            self._problem(file, 1, f"it follows record {header.after}, not what is before it now")
            self._prev, self._n = header.prev, header.after
        elif header.cuts != wanted.cuts:
            self._problem(file, 1, "what a write that was cut off had left is not there as it was")
        for cut in header.cuts:
            self.report.gaps.append(
                f"{self.report.chain} {cut.file:08d}.jsonl: a write was cut off after record"
                f" {header.after} ({cut.bytes:,} bytes)"
            )

    def _segment(self, file: Path, line: int, segment: memoryview, sealing: bytes) -> int:
        """Check a segment; return how many lines it has."""
        lines = bytes(segment).count(b"\n") + 1
        seal = parse_seal(sealing)
        fits = seal is not None and seal_of(self._prev, segment, said_by(sealing)) == seal.seal
        if seal is None or not fits or seal.n != self._n + seal.records:
            self._name_first(file, line, bytes(segment))
            if seal is None:
                return lines
        else:
            self.report.records += seal.records
            self.report.segments += 1
        self._wrong = False
        self._prev, self._n = seal.seal, seal.n
        self._missing.pop(seal.seal, None)
        return lines

    def _name_first(self, file: Path, line: int, segment: bytes) -> None:
        """Note the first record of a segment that is not as it was written."""
        n = self._n
        for number, text in enumerate(segment.splitlines(True), line + 1):
            if number == 1 and text.startswith(HEADER_START):
                continue
            record = parse_record(text)
            if record is None:
                what = "this line is not as it was written"
            elif record.n != n + 1:
                what = f"record {record.n} stands here"
            else:
                n += 1
                continue
            self._problem(file, number, what, n + 1)
            return
        what = "what is sealed here was altered, or a record or seal is missing"
        self._problem(file, line + 1, what, self._n + 1)

    def _problem(self, file: Path, line: int, what: str, n: int | None = None) -> None:
        place = self._n + 1 if n is None else n
        self.report.problems.append(Damage(self.report.chain, file.name, line, place, what))

    def end(self) -> None:
        """Compare the chain with the heads that were kept: the first that it lacks is named."""
        if not self._missing:
            return
        head = min(self._missing.values(), key=lambda each: each.n)
        what = f"the chain had {head.n:,} records: the newest are gone"
        if self._n >= head.n:
            what = f"record {head.n:,} is not the one that was sealed"
        place = min(self._n, head.n - 1) + 1
        self.report.problems.append(Damage(self.report.chain, "", 0, place, what))
