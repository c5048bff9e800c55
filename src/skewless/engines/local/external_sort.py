"""Rows for windows within a budget of memory: beyond it they go to disk, sorted by key.

Rows are read once. While they fit half the budget they stay in memory (sorting them takes the other
half). Else they go, a quarter at a time and each sorted by key, into Arrow files of a temporary
folder; afterwards the keys are taken in runs of a third, each a slice of every file. (An external
merge sort whose merge is a slice, as the number of rows of each key is known by then.) A key never
falls into two runs, so a run holds at least the rows of its largest key. The folder is that of
``TMPDIR``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np
import pyarrow as pa

from skewless.definitions import Expression
from skewless.engines.local.buffers import Block, Filter, sorted_by_key
from skewless.engines.local.scan import Scan, ScannedRows
from skewless.engines.local.sorted_rows import SortedRows, hold
from skewless.engines.local.spine import Ints, KeyIndex
from skewless.engines.local.windows import expressions_of
from skewless.errors import StoreError
from skewless.plan.retrieval import WindowStep

_BATCH = 1 << 14
Run = tuple[int, int, SortedRows]
"""The first code, that after the last, and the rows of the keys between."""


class WindowRows:
    """The rows that windows are computed over: taken as they are read, given back by key.

    A context: in the end what was spilled is removed.

    Args:
        scan: reads the source.
        step: whose rows: its entity, the aggregates wanted.
        keys: that are asked for.
        only: codes of the keys that are wanted; None for all.
        start: rows before it do not matter, microseconds; None: all do.
        memory: about how many bytes the rows and their sorting may take.
    """

    where: Expression | None = None

    def __init__(
        self,
        scan: Scan,
        step: WindowStep,
        keys: KeyIndex,
        *,
        only: Ints | None = None,
        start: int | None = None,
        memory: int,
    ) -> None:
        self.step, self.entity, self.keys = step, step.entity, keys
        self.expressions: Sequence[Expression] = expressions_of(step.wanted)
        self._scan, self._memory = scan, memory
        self._filter = Filter(scan, keys.size, only, start)
        self._blocks: list[Block] = []
        self._held = 0
        self._spilled: Spilled | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self._blocks.clear()
        self._stack.close()

    def add(self, rows: ScannedRows) -> None:
        """Take a chunk.

        Raises:
            StoreError: the disk is full.
        """
        block = self._filter.block(rows)
        if block is None:
            return
        self._blocks.append(block)
        self._held += block.nbytes
        limit = self._memory // 2
        if self._held > (limit if self._spilled is None else limit // 2):
            if self._spilled is None:
                self._spilled = self._stack.enter_context(Spilled(self.keys.size))
            self._spilled.add_all(self._blocks, self.expressions, limit // 2)
            self._held = 0

    def runs(self) -> Iterator[Run]:
        """Yield the rows of all keys, in runs of keys, once."""
        keys, spilled = self.keys.size, self._spilled
        if spilled is None:
            yield 0, keys, hold(self._scan, (0, keys), self._blocks, self.expressions)
            return
        spilled.add_all(self._blocks, self.expressions, self._memory // 4)
        for first, last in spilled.runs(self._memory // 3):
            part = spilled.read(first, last)
            yield first, last, hold(self._scan, (first, last), part, self.expressions)


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
