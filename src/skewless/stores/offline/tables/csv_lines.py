"""Rows of CSV text as the standard library reads them, however large a cell or a line is.

A file without a line break, such as a few kilobytes of gzip that stand for gigabytes, is refused
before it is in memory.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import IO

from skewless.errors import InputError

MOST_LINE = 16 << 20
"""Characters of a line, and of a cell, which may go over lines."""


def lines(stream: IO[str], where: str) -> Iterator[str]:
    """Yield the lines of a text.

    Raises:
        InputError: one is longer than `MOST_LINE`.
    """
    for number in range(1, 1 << 62):
        line = stream.readline(MOST_LINE + 1)
        if len(line) > MOST_LINE:
            raise InputError(
                "a line that is too long",
                got=f"more than {MOST_LINE:,} characters in line {number}", where=where,
            )  # fmt: skip
        if not line:
            return
        yield line


def rows(text: Iterator[str], delimiter: str, where: str) -> Iterator[list[str]]:
    """Yield the cells of each row.

    Raises:
        InputError: a cell is longer than `MOST_LINE`, or the text is no CSV.
    """
    csv.field_size_limit(max(csv.field_size_limit(), MOST_LINE))
    reader = csv.reader(text, delimiter=delimiter)
    try:
        yield from reader
    except csv.Error as problem:
        raise InputError(
            "a row of CSV that cannot be read",
            got=str(problem), where=f"{where}, line {reader.line_num}",
        ) from None  # fmt: skip
