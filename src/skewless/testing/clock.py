"""A clock that tests set."""

from __future__ import annotations


class SettableClock:
    """A clock that stands still until it is set.

    >>> clock = SettableClock(5)
    >>> clock.time = 7
    >>> clock.now()
    7
    """

    def __init__(self, time: int = 0) -> None:
        self.time = time

    def now(self) -> int:
        """Return the time it was set to, UTC microseconds."""
        return self.time
