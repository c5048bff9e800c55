"""Rows for windows within a budget of memory: beyond it they go to disk, sorted by key.

Rows are read once. While they fit half the budget they stay in memory (sorting them takes the other
half). Else they go, a quarter at a time and each sorted by key, into Arrow files of a temporary
folder; afterwards the keys are taken in runs of a third, each a slice of every file. (An external
merge sort whose merge is a slice, as the number of rows of each key is known by then.) A key never
falls into two runs, so a run holds at least the rows of its largest key. The folder is that of
``TMPDIR``.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import pyarrow as pa

from skewless.definitions import Expression
from skewless.engines.local.buffers import Block, read_blocks, sorted_by_key
from skewless.engines.local.scan import Scan
from skewless.engines.local.sorted_rows import HeldRows, hold
from skewless.engines.local.spine import Ints, KeyIndex
from skewless.errors import StoreError

_BATCH = 1 << 14
Run = tuple[int, int, HeldRows]
"""The first code, that after the last, and the rows of the keys between."""


def held_runs(
    scan: Scan,
    keys: KeyIndex,
    expressions: Sequence[Expression],
    only: Ints | None,
    memory: int,
) -> Generator[Run]:
    """Yield the rows of all indexed keys, in runs of keys; close it to remove what was spilled.

    Args:
        scan: reads the source.
        keys: whose rows are wanted.
        expressions: evaluated for every row.
        only: codes of the keys that are wanted; None for all.
        memory: about how many bytes the rows and their sorting may take.

    Raises:
        StoreError: the disk is full.
    """
    blocks: list[Block] = []
    held, spilled, limit = 0, None, memory // 2
    with ExitStack() as stack:
        for block in read_blocks(scan, keys, expressions, only):
            blocks.append(block)
            held += block.nbytes
            if held > (limit if spilled is None else limit // 2):
                spilled = spilled or stack.enter_context(Spilled(keys.size))
                spilled.add_all(blocks, expressions, limit // 2)
                held = 0
        if spilled is None:
            yield 0, keys.size, hold(scan, (0, keys.size), blocks, expressions)
            return
        spilled.add_all(blocks, expressions, limit // 2)
        for first, last in spilled.runs(memory // 3):
            part = spilled.read(first, last)
            yield first, last, hold(scan, (first, last), part, expressions)


class Spilled:
    """Rows on disk, in files sorted by key: a context that removes them in the end.

    Args:
        keys: how many there are.
    """

    def __init__(self, keys: int) -> None:
        self._files: list[tuple[Path, Ints, Ints]] = []
        self._rows = np.zeros(keys, np.int64)
        self._bytes = 0
        try:
            self._folder = TemporaryDirectory(prefix="skewless-", ignore_cleanup_errors=True)
        except OSError as problem:
            raise _no_room(problem, "a temporary folder") from problem

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._folder.cleanup()

    def add_all(self, blocks: list[Block], expressions: Sequence[Expression], size: int) -> None:
        """Write rows in files of about this many bytes; the list is emptied.

        Raises:
            StoreError: the disk is full.
        """
        part: list[Block] = []
        while blocks:
            part.append(blocks.pop(0))
            if not blocks or sum(block.nbytes for block in part) > size:
                self.add(sorted_by_key(part, expressions))

    def add(self, block: Block) -> None:
        """Write rows that are sorted by key.

        Raises:
            StoreError: the disk is full.
        """
        codes = np.asarray(block.column("code"))
        self._rows += np.bincount(codes, minlength=len(self._rows))
        self._bytes += block.nbytes
        path = Path(self._folder.name) / f"{len(self._files)}.arrow"
        begins = np.arange(0, len(codes), _BATCH)
        ends = np.minimum(begins + _BATCH, len(codes))
        self._files.append((path, codes[begins], codes[ends - 1]))
        try:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, block.schema) as writer:
                for begin in begins.tolist():
                    writer.write_batch(block.slice(begin, _BATCH))
        except OSError as problem:
            raise _no_room(problem, str(path)) from problem

    def runs(self, memory: int) -> Iterator[tuple[int, int]]:
        """Yield the first key and that after the last, of runs whose rows fit into memory."""
        size = self._bytes / max(int(self._rows.sum()), 1)
        total = np.cumsum(self._rows)
        first, before, keys = 0, 0, len(self._rows)
        while first < keys:
            last = int(np.searchsorted(total, before + memory / size, "right"))
            last = min(max(last, first + 1), keys)
            yield first, last
            first, before = last, int(total[last - 1])

    def read(self, first: int, last: int) -> list[Block]:
        """Return the rows of keys from first up to last."""
        found = []
        for path, lowest, highest in self._files:
            begin = int(np.searchsorted(highest, first))
            end = int(np.searchsorted(lowest, last))
            if begin >= end:
                continue
            # Not memory-mapped: mapped pages count as memory of the process.
            with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as reader:
                for number in range(begin, end):
                    block = reader.get_batch(number)
                    codes = np.asarray(block.column("code"))
                    low, high = np.searchsorted(codes, [first, last])
                    found.append(block.slice(low, high - low))
        return found


def _no_room(problem: OSError, where: str) -> StoreError:
    return StoreError(
        "rows for windows could not be spilled to disk",
        got=str(problem),
        where=where,
        hint="Make room, or set TMPDIR to a folder on a larger disk.",
    )
