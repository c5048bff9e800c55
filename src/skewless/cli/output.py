"""What commands print: tables and JSON on stdout; notes, errors and progress on stderr.

>>> print(table(["feature", "value"], [["vdd_mean", 0.5], ["tests", 12]]))
feature   value
vdd_mean    0.5
tests        12
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import IO, Any

import click

from skewless.cli.wording import in_shell
from skewless.codec import to_json
from skewless.errors import SkewlessError
from skewless.formatting import aligned

Progress = Callable[[str, float], None]
_LONGEST = 60


def say(text: str) -> None:
    """Print the answer for people, on stdout; what it has no signs for is escaped, as in JSON."""
    known = getattr(sys.stdout, "encoding", None) or "utf-8"
    click.echo(text.encode(known, "backslashreplace").decode(known))


def note(text: str) -> None:
    """Print what is said beside the answer, on stderr."""
    click.echo(text, err=True)


def emit(data: Any) -> None:
    """Print the answer for machines: one JSON document on stdout.

    Values have the form that `skewless.codec` says: the one of the HTTP API.
    """
    to_dict = getattr(data, "to_dict", None)
    shown_data = to_json(to_dict() if callable(to_dict) else data)
    say(json.dumps(shown_data, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def table(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return rows under headers in aligned columns; columns of numbers stand on the right."""
    return aligned([headers, *rows])


def short(text: str) -> str:
    """Return a text in a line of at most 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 3] + "..."


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
            text = in_shell(str(value)).replace("\n", "\n" + " " * 12)
            lines.append(f"  {name + ':':<9} {text}")
    return "\n".join(lines)


@contextmanager
def counting(noun: str) -> Iterator[Callable[[int], object]]:
    """Yield what is told how many more are done: a running count on a terminal, else nothing."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(unit=f" {noun}", leave=False) as counter:
        yield counter.update


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
                bar.set_description_str(text)
            bar.update(max(min(fraction, 1.0) - bar.n, 0.0))

        yield report
