"""Whether the pages of an LMDB file hang together: looked at before LMDB follows them.

    check("repo/.skewless/online/data.mdb")          # CorruptData where something is wrong

LMDB trusts its file, which it maps into memory: a damaged page leads it to memory that is not
there, and the system ends the process (SIGSEGV, SIGBUS). So the file is read as a file, and every
page that a read or a write can come to is looked at: it is where it says it is, its rows lie within
it and in order, it is used once, and the free pages are used nowhere. Counts of pages and rows are
those that the last transaction wrote, and the two meta pages are of neighbouring transactions: a
flipped bit cannot bring the transaction before the last one back.

What the bytes of a row say is not looked at here: rows have seals (`stores.online.sealing`).
"""

from __future__ import annotations

import itertools
import os
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from skewless.compiled import compiled
from skewless.errors import CorruptData
from skewless.stores.online.lmdb.tree import RESTORE

_in_c = compiled("skewless.stores.online.lmdb._pages")

# LMDB 0.9 of a machine with 64 bits, in its order of bytes: see mdb.c, "Page Header" and below.
HAS_FORMAT = sys.maxsize > 1 << 32
_HEAD = struct.Struct("=QHHHH")
_START = struct.Struct("=IIQQ")
_TREE = struct.Struct("=IHHQQQQQ")
_END = struct.Struct("=QQ")
_NODE = struct.Struct("=HHHH")
_NUMBER = struct.Struct("=Q")
_META_BYTES = _HEAD.size + _START.size + 2 * _TREE.size + _END.size
_MAGIC, _VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, OVERFLOW, _META = 1, 2, 4, 8
_INTEGER_KEYS = 8
_IN_OVERFLOW = 1
_LONGEST_KEY = 511
_NONE = (1 << 64) - 1
_SIZES = (4096, 8192, 16384, 32768)
_WINDOW = 1 << 20
_ATTEMPTS = 10


class Flaw(Exception):
    """What is wrong with a page.

    Args:
        got: says it.
        what: says it of the whole file.
    """

    def __init__(self, got: str, what: str = "the file of the online store is damaged") -> None:
        super().__init__(got)
        self.what = what


class Tree(NamedTuple):
    """What a meta page says of a tree: of the free pages, or of the rows."""

    pad: int
    flags: int
    depth: int
    branch_pages: int
    leaf_pages: int
    overflow_pages: int
    entries: int
    root: int


class Meta(NamedTuple):
    """A meta page: the file as one transaction left it."""

    size: int
    free: Tree
    rows: Tree
    last: int
    transaction: int


def check(path: str) -> None:
    """Read a file's pages; others may write to it meanwhile.

    Args:
        path: of the file, ``data.mdb``.

    Raises:
        CorruptData: it is damaged, was cut short, or the disk does not give it.
    """
    _look_at(path, lambda file, meta: _Check(file, meta).run())


def check_end(path: str) -> None:
    """Look whether the pages beyond the end of a file are free: LMDB need not have written those.

    Args:
        path: of the file, ``data.mdb``.

    Raises:
        CorruptData: it was cut short.
    """
    _look_at(path, lambda file, meta: _Check(file, meta).end())


def _look_at(path: str, look: Callable[[int, Meta], None]) -> None:
    """Look at a file as one transaction left it, again where another one has begun meanwhile."""
    with open(path, "rb", buffering=0) as file:
        for attempt in itertools.count(1):
            before = None
            try:
                before = newest(file.fileno())
                look(file.fileno(), before)
                return
            except Flaw as flaw:
                if attempt < _ATTEMPTS and before and _moved(file.fileno(), before):
                    continue  # its pages were given to a later transaction
                raise corrupt(path, flaw) from None
            except OSError as error:
                raise CorruptData(
                    "the file of the online store cannot be read",
                    got=error.strerror,
                    where=path,
                    hint="The disk may be failing. " + RESTORE,
                ) from error


def _moved(file: int, before: Meta) -> bool:
    try:
        return newest(file).transaction != before.transaction
    except Flaw:
        return False


def newest(file: int) -> Meta:
    """Return the meta page that counts; `Flaw` unless the other is of the transaction before."""
    first = _meta(os.pread(file, _META_BYTES, 0), 0)
    second = _meta(os.pread(file, _META_BYTES, first.size), 1)
    older, newer = sorted((first, second), key=lambda meta: meta.transaction)
    if second.size != first.size:
        raise Flaw(f"meta pages for pages of {first.size} and {second.size} bytes")
    begun = first.transaction == second.transaction == 0
    wanted = (first, second)[newer.transaction % 2]
    if not begun and (newer.transaction != older.transaction + 1 or newer is not wanted):
        raise Flaw(f"meta pages of transactions {first.transaction} and {second.transaction}")
    return first if begun else newer


def _meta(data: bytes, number: int) -> Meta:
    if len(data) < _META_BYTES:
        raise _not_lmdb(number)
    at, _, flags, _, _ = _HEAD.unpack_from(data)
    magic, version, _, map_size = _START.unpack_from(data, _HEAD.size)
    if (at, flags, magic, version) != (number, _META, _MAGIC, _VERSION):
        raise _not_lmdb(number)
    place = _HEAD.size + _START.size
    free, rows = (Tree._make(_TREE.unpack_from(data, place + i * _TREE.size)) for i in (0, 1))
    last, transaction = _END.unpack_from(data, place + 2 * _TREE.size)
    meta = Meta(free.pad, free, rows, last, transaction)
    if (
        meta.size not in _SIZES
        or (free.flags, rows.flags, rows.pad) != (_INTEGER_KEYS, 0, 0)
        or not 1 <= last < 1 << 48
        or (last + 1) * meta.size > map_size
    ):
        raise Flaw(f"meta page {number} says what LMDB never writes")
    return meta


def _not_lmdb(number: int) -> Flaw:
    return Flaw(f"no meta page {number}", "the online store's file is not an LMDB file")


def corrupt(path: str, flaw: Flaw) -> CorruptData:
    """Return the error for a file that has a flaw."""
    return CorruptData(flaw.what, got=str(flaw), where=path, hint=RESTORE)


def cut(number: int) -> Flaw:
    """Return the flaw of a file that ends before a page that is in use."""
    what = "the file of the online store was cut short"
    return Flaw(f"page {number} is beyond its end", what)


class _Seen:
    """What is seen of a tree.

    Attributes:
        integers: whether its keys are numbers: it is the tree of free pages.
        counts: branches, leaves, pages of values, rows.
        free: numbers of free pages.
    """

    def __init__(self, integers: bool) -> None:
        self.integers = integers
        self.counts = [0, 0, 0, 0]
        self.free: list[int] = []


class _Check:
    """One look at all pages of one transaction."""

    def __init__(self, file: int, meta: Meta) -> None:
        self._file = file
        self._size = meta.size
        self._meta = meta
        self._pages_in_file = os.fstat(file).st_size // meta.size
        self._used = bytearray((meta.last >> 3) + 1)

    def run(self) -> None:
        """Raise `Flaw` for the first thing that is wrong."""
        for number in (0, 1):
            self._take(number)
        self._walk(self._meta.rows, integers=False)
        for number in self._walk(self._meta.free, integers=True):
            self._take(number)

    def end(self) -> None:
        """Raise `Flaw` if a page beyond the end of the file is not free."""
        free = set(self._walk(self._meta.free, integers=True))
        for number in range(self._pages_in_file, self._meta.last + 1):
            if number not in free:
                raise cut(number)

    def _walk(self, tree: Tree, *, integers: bool) -> list[int]:
        """Look at all pages of a tree; return the free pages where it is the tree of these."""
        seen = _Seen(integers)
        if (tree.root == _NONE) != (tree.depth == 0):
            raise Flaw(f"a tree of depth {tree.depth} with root {tree.root}")
        if tree.depth:
            self._level([tree.root], tree.depth, seen)
        wrote = [tree.branch_pages, tree.leaf_pages, tree.overflow_pages, tree.entries]
        if seen.counts != wrote:
            raise Flaw(f"branches, leaves, pages of values, rows: {seen.counts} instead of {wrote}")
        return seen.free

    def _level(self, numbers: Sequence[int], depth: int, seen: _Seen) -> None:
        """Look at pages that are all so many levels above the rows, and at what is below them."""
        kind = BRANCH if depth > 1 else LEAF
        for number in numbers:
            self._take(number)
        for number, page in self._pages(sorted(numbers)):
            entries, led = look(page, number, kind, seen.integers)
            seen.counts[kind - 1] += 1
            if kind == BRANCH:
                self._level(led, depth - 1, seen)
                continue
            seen.counts[3] += entries
            runs = {at: (first, size) for at, first, size in zip(*[iter(led)] * 3, strict=True)}
            for first, size in runs.values():
                seen.counts[2] += self._run(first, size)
            if seen.integers:
                for at, data in enumerate(_values(page)):
                    seen.free += _free_pages(self._value(*runs[at]) if at in runs else data)

    def _take(self, number: int) -> None:
        """Note that a page is in use; `Flaw` if it is already, or is none of the file."""
        if number > self._meta.last:
            raise Flaw(f"page {number} of {self._meta.last + 1} pages")
        byte, bit = number >> 3, 1 << (number & 7)
        if self._used[byte] & bit:
            raise Flaw(f"page {number} is in use twice")
        self._used[byte] |= bit

    def _run(self, first: int, size: int) -> int:
        """Look at the pages of a value and return their number."""
        count = (_HEAD.size - 1 + size) // self._size + 1
        if first + count > self._pages_in_file:
            raise cut(first + count - 1)
        for taken in range(first, first + count):
            self._take(taken)
        number, _, flags, low, high = _HEAD.unpack(self._bytes(first, _HEAD.size))
        if (number, flags, low | high << 16) != (first, OVERFLOW, count):
            raise Flaw(f"page {first} does not begin a value of {size:,} bytes")
        return count

    def _value(self, first: int, size: int) -> memoryview:
        return memoryview(self._bytes(first, _HEAD.size + size))[_HEAD.size :]

    def _bytes(self, number: int, size: int) -> bytes:
        data = os.pread(self._file, size, number * self._size)
        if len(data) < size:
            raise cut(number)
        return data

    def _pages(self, numbers: Sequence[int]) -> Iterator[tuple[int, memoryview]]:
        """Yield pages; those near each other are read at once."""
        size, many = self._size, _WINDOW // self._size
        start = 0
        while start < len(numbers):
            first = numbers[start]
            end = start
            while end < len(numbers) and numbers[end] < first + many:
                end += 1
            data = memoryview(self._bytes(first, (numbers[end - 1] - first + 1) * size))
            for number in numbers[start:end]:
                yield number, data[(number - first) * size :][:size]
            start = end


def _look(page: memoryview, number: int, kind: int, integers: bool) -> tuple[int, list[int]]:
    """Look at a page of a tree: the form in Python of what `look` does.

    Args:
        page: its bytes.
        number: where it lies.
        kind: `BRANCH` or `LEAF`.
        integers: whether its keys are numbers.

    Returns:
        How many rows it has; of a branch the pages below, of a leaf which rows have values with
        pages of their own, where these begin, and their bytes.

    Raises:
        Flaw: it is no such page.
    """
    at, _, flags, lower, upper = _HEAD.unpack_from(page)
    count = (lower - _HEAD.size) // 2
    least = 2 if kind == BRANCH and not integers else 1
    if (at, flags) != (number, kind):
        raise Flaw(f"page {number} is another one")
    if not _HEAD.size <= lower <= upper <= len(page) or lower % 2 or count < least:
        raise Flaw(f"page {number} has no room for its rows")
    led: list[int] = []
    last = None
    for place, offset in enumerate(struct.unpack_from(f"={count}H", page, _HEAD.size)):
        if offset < upper or offset % 2 or offset + _NODE.size > len(page):
            raise Flaw(f"row {place} of page {number} lies outside of it")
        low, high, flags, length = _NODE.unpack_from(page, offset)
        key_end = offset + _NODE.size + length
        if kind == BRANCH:
            led.append(low | high << 16 | flags << 32)
            end, wrong = key_end, False
        else:
            size = low | high << 16
            end = key_end + (_NUMBER.size if flags == _IN_OVERFLOW else size)
            wrong = flags not in (0, _IN_OVERFLOW) or length == 0
            if flags == _IN_OVERFLOW and end <= len(page):
                led += (place, _NUMBER.unpack_from(page, key_end)[0], size)
        bare = kind == BRANCH and place == 0  # the first key of a branch is not looked at
        if wrong or end > len(page) or length > _LONGEST_KEY:
            raise Flaw(f"row {place} of page {number} is not whole")
        if integers and not bare and length != _NUMBER.size:
            raise Flaw(f"row {place} of page {number} has no number for a key")
        if not bare:
            key = bytes(page[offset + _NODE.size : key_end])
            sort = _NUMBER.unpack(key)[0] if integers else key
            if last is not None and sort <= last:
                raise Flaw(f"row {place} of page {number} is out of order")
            last = sort
    return count, led


def look(page: memoryview, number: int, kind: int, integers: bool) -> tuple[int, list[int]]:
    """Look at a page of a tree; see `_look`."""
    if _in_c is None:
        return _look(page, number, kind, integers)
    try:
        found: tuple[int, list[int]] = _in_c.look(page, number, kind, integers)
    except ValueError as problem:
        raise Flaw(str(problem)) from None
    return found


def _values(page: memoryview) -> Iterator[memoryview]:
    """Yield the values in a leaf that was looked at."""
    count = (_HEAD.unpack_from(page)[3] - _HEAD.size) // 2
    for offset in struct.unpack_from(f"={count}H", page, _HEAD.size):
        low, high, _, length = _NODE.unpack_from(page, offset)
        yield page[offset + _NODE.size + length :][: low | high << 16]


def _free_pages(data: memoryview) -> Sequence[int]:
    """Return the numbers of free pages in a row of them."""
    words = len(data) // _NUMBER.size
    numbers = struct.unpack_from(f"={words}Q", data)
    if not words or len(data) % _NUMBER.size or numbers[0] >= words:
        raise Flaw("a list of free pages is not whole")
    listed = numbers[1 : numbers[0] + 1]
    if any(a <= b for a, b in itertools.pairwise(listed)):
        raise Flaw("a list of free pages is out of order")
    return listed


def stamp(path: str) -> str:
    """Return what tells a file from what it becomes by any write; empty where that is not known."""
    try:
        with open(path, "rb", buffering=0) as file:
            known = os.fstat(file.fileno())
            transaction = newest(file.fileno()).transaction
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except (OSError, Flaw):
        return ""
    return f"{transaction} {known.st_size} {known.st_mtime_ns} {known.st_ino} {boot}\n"
