"""States that lack the newest rows of their log: readers are told, and they are brought up to date.

Where states lie apart from the log, a push makes its rows durable first, and then brings the states
up to date. A process that is killed in between, or a store that refuses, leaves rows in the log
that no state has. Whoever reads compares once a second what states have got with where their log
ends. A table that is behind, and has got nothing since for `PATIENCE`, is brought up to date by a
thread, which keeps other writers out: once it may write it knows that no push is on its way to the
table, which is `building` from then on, until it is done. A large push that is still at work keeps
that thread waiting, and its table answers without rows that were not acknowledged yet.

A push that the store has refused makes its tables `building` at once, in its own process, and
leaves a note, so that others need no second look.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from skewless.errors import Conflict, SkewlessError
from skewless.forks import Lock
from skewless.online.loss_detection import Standing, logger

PATIENCE = 1.0
"""How long states may be behind their log, without a step, before that is seen to; seconds."""
WAIT = 0.25
"""How long a read waits for them to be brought up to date; seconds."""
LONGEST_PAUSE = 30.0


@dataclass
class _Behind:
    holds: int | None
    since: float


class Lag:
    """Which tables of states are behind their log, as far as this process knows.

    Args:
        changed: called when tables begin or cease to be `behind`.

    Attributes:
        behind: the tables that no push is on its way to: reads of them say `building`.
        patience, wait: see `PATIENCE` and `WAIT`.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self.behind: frozenset[str] = frozenset()
        self.patience, self.wait = PATIENCE, WAIT
        self._changed = changed
        self._seen: dict[str, _Behind] = {}
        self._thread: threading.Thread | None = None
        self._not_before, self._pause = 0.0, PATIENCE
        self._lock = Lock()

    def note(self, tables: Iterable[str]) -> None:
        """Note that tables are behind, and that no push is on its way to them."""
        with self._lock:
            names, now = set(tables), time.monotonic()
            for name in names:
                self._seen.setdefault(name, _Behind(None, now))
            self._set(self.behind | names)

    def forget(self, tables: Iterable[str]) -> None:
        """Note that tables are up to date."""
        with self._lock:
            names = self._seen.keys() & set(tables)
            for name in names:
                del self._seen[name]
            self._set(self.behind - names)

    def stuck(self, found: Mapping[str, Standing], ends: Mapping[str, int]) -> list[str]:
        """Return the tables that have been behind for long, without a step.

        Args:
            found: how far tables have come, looked at after their logs.
            ends: the last row of the log of each.
        """
        now, waiting = time.monotonic(), []
        self.forget(name for name, table in found.items() if not table.lacks(ends[name]))
        with self._lock:
            for name, table in found.items():
                if not table.lacks(ends[name]):
                    continue
                before = self._seen.get(name)
                if before is None or before.holds not in (None, table.holds):
                    before = self._seen[name] = _Behind(table.holds, now)
                if table.refused or now - before.since >= self.patience:
                    waiting.append(name)
        return waiting

    def see_to(self, tables: list[str], mend: Callable[[list[str]], None] | None) -> None:
        """Have tables brought up to date, in a thread; they are `behind` where that fails.

        Args:
            tables: that are stuck.
            mend: brings them up to date; None: nobody here may.
        """
        if mend is None:
            self.note(tables)
            return
        with self._lock:
            at_work = self._thread is not None and self._thread.is_alive()
            if not tables or at_work or time.monotonic() < self._not_before:
                return
            thread = self._thread = threading.Thread(
                target=self._mended, args=(tables, mend), name="skewless mends states", daemon=True
            )
            wait = self.wait if self._pause == PATIENCE else 0.0  # it has failed before
            thread.start()
        thread.join(wait)

    def _mended(self, tables: list[str], mend: Callable[[list[str]], None]) -> None:
        try:
            mend(tables)
        except SkewlessError as problem:
            with self._lock:
                self._not_before = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, LONGEST_PAUSE)
            if isinstance(problem, Conflict):
                return  # another writer was at work all the time that one is waited for
            logger.warning("states are behind their log: %s", problem)
            self.note(tables)
        else:
            self._pause = PATIENCE

    def _set(self, behind: frozenset[str]) -> None:
        if behind != self.behind:
            self.behind = behind
            self._changed()

    def close(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()
