"""What the demo prints: numbered steps, what they found, and how long they took.

with report.step("Apply") as say:
    say("nine views")
"""

from __future__ import annotations

import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Say = Callable[[str], None]
_WIDTH = 96


class Report:
    """Prints steps to standard output and keeps their times.

    Args:
        quiet: print nothing.

    Attributes:
        seconds: how long each step took, by title.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.seconds: dict[str, float] = {}
        self._bold = not quiet and sys.stdout.isatty()

    def heading(self, text: str) -> None:
        """Print what the demo is."""
        self._line(self._strong(text))

    @contextmanager
    def step(self, title: str) -> Iterator[Say]:
        """Print a title, hand out a function that prints below it, print the time taken."""
        self._line("")
        self._line(self._strong(f"{len(self.seconds) + 1}. {title}"))
        began = time.perf_counter()
        yield self._paragraph
        taken = time.perf_counter() - began
        self.seconds[title] = round(taken, 3)
        self._line(f"   {taken:.1f} s".rjust(_WIDTH))

    def _paragraph(self, text: str) -> None:
        """Print a text: a paragraph is wrapped, lines that are indented stay as they are."""
        for line in text.splitlines():
            if line.startswith(" ") or not line:
                self._line(f"   {line}".rstrip())
            else:
                for part in textwrap.wrap(line, _WIDTH - 3, break_long_words=False):
                    self._line(f"   {part}")

    def _strong(self, text: str) -> str:
        return f"\033[1m{text}\033[0m" if self._bold else text

    def _line(self, text: str) -> None:
        if not self.quiet:
            print(text, flush=True)
