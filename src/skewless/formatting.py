"""Values and tables as people read them.

>>> print(aligned([("name", "share"), ("amount", 0.25), ("city", 1.0)]))
name    share
amount   0.25
city      1.0
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from html import escape
from typing import Any

from skewless.codec import to_json
from skewless.durations import format_duration

_LONGEST = 60
_NUMBER = re.compile(r"-|null|[+-]?[\d,]*\.?\d+(e[+-]?\d+)?%?|[+-]?inf")


def shown(value: Any) -> str:
    """Return a value as a person reads it, on one line and not too long."""
    match value:
        case None:
            return "null"
        case str():
            text = value if value.isprintable() and value else repr(value)
        case datetime() | date():
            text = str(to_json(value))
        case _:
            text = repr(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."


def ago(micros: int) -> str:
    """Return an age in its two largest units: ``3d4h``, ``12m5s``, ``0.25s``."""
    if abs(micros) < 1_000_000:
        return f"{micros / 1_000_000:g}s"
    for unit, below in ((86_400_000_000, 3_600_000_000), (3_600_000_000, 60_000_000)):
        if micros >= unit:
            return format_duration(micros // below * below)
    return format_duration(micros // 1_000_000 * 1_000_000)


def aligned(rows: Sequence[Sequence[Any]], *, indent: int = 0) -> str:
    """Return rows as a table; the first is the heading, those of numbers go to the right."""
    texts = [[cell if isinstance(cell, str) else shown(cell) for cell in row] for row in rows]
    widths = [max(len(row[at]) for row in texts) for at in range(len(texts[0]))]
    right = [
        len(rows) > 1 and all(_NUMBER.fullmatch(row[at]) for row in texts[1:])
        for at in range(len(widths))
    ]
    lines = []
    for row in texts:
        cells = [
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(row, widths, right, strict=True)
        ]
        lines.append(" " * indent + "  ".join(cells).rstrip())
    return "\n".join(lines)


COLOURS = {
    "present": "#1a7f37", "ok": "#1a7f37", "counted": "#1a7f37", "+": "#1a7f37",
    "null": "#6e7781", "empty": "#6e7781", "unknown": "#9a6700", "~": "#9a6700",
    "building": "#8250df", "never": "#9a6700", "masked": "#6e7781",
    "expired": "#bc4c00", "stale": "#cf222e", "-": "#cf222e", "!": "#cf222e",
}  # fmt: skip
"""Colour of a status, a verdict or the sign of a line, where results draw themselves."""
_CELL = "padding:2px 8px;text-align:"


def painted(text: str, word: str) -> str:
    """Return text as HTML in the colour of a status, a verdict or a sign.

    >>> painted("1 < 2", "present")
    '<span style="color:#1a7f37">1 &lt; 2</span>'
    """
    colour = COLOURS.get(word)
    return escape(text) if colour is None else f'<span style="color:{colour}">{escape(text)}</span>'


def html_table(headings: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> str:
    """Return rows as a table of HTML; a cell may be a pair of a value and its status.

    >>> html_table(["a"], [[("<x>", "present")]], "one row")[:25]
    '<div><div>one row</div><t'
    """
    lines = [f"<div><div>{escape(caption)}</div>" if caption else "<div>"]
    lines.append('<table style="border-collapse:collapse"><thead><tr>')
    lines += [f'<th style="{_CELL}left">{escape(heading)}</th>' for heading in headings]
    lines.append("</tr></thead><tbody>")
    for row in rows:
        lines.append("<tr>")
        for cell in row:
            value, word = cell if isinstance(cell, tuple) else (cell, "")
            side = "right" if isinstance(value, (int, float)) and value is not True else "left"
            title = f' title="{escape(word)}"' if word else ""
            text = value if isinstance(value, str) else shown(value)
            lines.append(f'<td style="{_CELL}{side}"{title}>{painted(text, word)}</td>')
        lines.append("</tr>")
    lines.append("</tbody></table></div>")
    return "".join(lines)


def html_text(text: str) -> str:
    """Return text as HTML; lines that begin with a sign (``+ ~ - !``) have its colour."""
    lines = [
        painted(line, stripped[0]) if (stripped := line.strip())[1:2] == " " else escape(line)
        for line in text.splitlines()
    ]
    return f"<pre>{chr(10).join(lines)}</pre>"


class Drawn:
    """What draws itself in notebooks: as its text, unless it knows better."""

    def _repr_html_(self) -> str:
        return html_text(str(self))


def same_bits(one: Any, other: Any) -> bool:
    """Return whether two values are one value, to the last bit: -0.0 is not 0.0, nor 1 1.0."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_bits, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_bits(one[k], other[k]) for k in one)
    return bool(one == other)


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 row``, ``1,204 rows``, ``2 entities``."""
    return f"1 {noun}" if number == 1 else f"{number:,} {plural(noun)}"


def plural(noun: str) -> str:
    """Return a noun for several: ``views``, ``entities``, ``days``.

    >>> plural("view"), plural("entity"), plural("day")
    ('views', 'entities', 'days')
    """
    return f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2] not in "aeou" else f"{noun}s"
