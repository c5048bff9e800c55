"""A clock that tests set."""

from skewless.clock import SettableClock

__all__ = ["SettableClock"]
