"""What commands print: tables and JSON on stdout; notes, errors and progress on stderr.

>>> print(table(["feature", "value"], [["vdd_mean", 0.5], ["tests", 12]]))
feature   value
vdd_mean    0.5
tests        12
"""

from __future__ import annotations

import base64
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import IO, Any

import click

from skewless.errors import SkewlessError

Progress = Callable[[str, float], None]
_LONGEST_CELL = 60
_AGES = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def say(text: str) -> None:
    """Print the answer for people, on stdout."""
    click.echo(text)


def note(text: str) -> None:
    """Print what is said beside the answer, on stderr."""
    click.echo(text, err=True)


def emit(data: Any) -> None:
    """Print the answer for machines: one JSON document on stdout."""
    click.echo(json.dumps(plain(data), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """Return a value as JSON can hold it: times in UTC, bytes in base64, infinity as text.

    >>> plain({"at": datetime(2026, 1, 31, 10, tzinfo=UTC), "x": float("inf")})
    {'at': '2026-01-31T10:00:00Z', 'x': 'Infinity'}
    """
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            if math.isfinite(value):
                return value
            return None if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
        case Mapping():
            return {str(key): plain(inner) for key, inner in value.items()}
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case list() | tuple() | set() | frozenset():
            return [plain(inner) for inner in value]
    to_dict = getattr(value, "to_dict", None)
    return plain(to_dict()) if callable(to_dict) else str(value)


def table(headers: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return rows under headers in aligned columns; columns of numbers stand on the right."""
    texts = [[cell(value) for value in row] for row in rows]
    lines = [list(headers), *texts]
    widths = [max(len(line[at]) for line in lines) for at in range(len(headers))]
    right = [_is_number_column([row[at] for row in rows]) for at in range(len(headers))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if number else text.ljust(width)
            for text, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def cell(value: Any) -> str:
    """Return a value in a line of at most 60 characters; null is a dash."""
    if value is None:
        return "-"
    if isinstance(value, (list, dict, tuple)):
        value = json.dumps(plain(value), ensure_ascii=False)
    elif not isinstance(value, (str, float)):
        value = plain(value)
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST_CELL else text[: _LONGEST_CELL - 3] + "..."


def _is_number_column(values: Sequence[Any]) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(
        isinstance(value, (int, float, Decimal)) and not isinstance(value, bool) for value in found
    )


def age(micros: int | None) -> str | None:
    """Return a span of time by its two largest units, as people say ages.

    >>> age(90_061_000_000), age(250_000), age(None)
    ('1d1h', '0s', None)
    """
    if micros is None:
        return None
    seconds = abs(micros) // 1_000_000
    parts: list[str] = []
    for unit, size in _AGES:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count}{unit}" if count else "")
    text = "".join(parts[:2]) or "0s"
    return f"-{text}" if micros < 0 and text != "0s" else text


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 row``, ``1,204 rows``, ``2 entities``."""
    if number == 1:
        return f"1 {noun}"
    plural = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural}"


def paint(text: str, colour: str, stream: IO[Any] | None = None) -> str:
    """Return text in a colour where the stream is a terminal and NO_COLOR is not set."""
    shown = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR") or not shown.isatty():
        return text
    return click.style(text, fg=colour)


def error_text(problem: SkewlessError) -> str:
    """Return an error as a block: what happened, then what it got, expected, where, and a hint."""
    lines = [paint("Error:", "red", sys.stderr) + " " + problem.what.rstrip(".") + "."]
    for name in ("got", "expected", "where", "hint"):
        value = getattr(problem, name)
        if value is not None:
            text = str(value).replace("\n", "\n" + " " * 12)
            lines.append(f"  {name + ':':<9} {text}")
    return "\n".join(lines)


@contextmanager
def progress() -> Iterator[Progress | None]:
    """Yield what verbs report their progress to: a bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(
        total=1.0,
        leave=False,
        bar_format="{desc:<32.32} {percentage:3.0f}% |{bar}| {elapsed}<{remaining}",
    ) as bar:

        def report(text: str, fraction: float) -> None:
            if text != bar.desc:
                bar.reset(total=1.0)
            bar.set_description_str(text, refresh=False)
            bar.update(max(min(fraction, 1.0) - bar.n, 0.0))

        yield report
