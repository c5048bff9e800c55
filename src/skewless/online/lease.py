"""Who works on a stream: one worker a source, and what keeps two of them apart.

A lease in the journal says whose turn it is. It is renewed while its holder lives and runs out a
few seconds after a kill; a holder on this machine whose process is gone is not waited for. A lease
goes by clocks, so for a moment two workers may both think it theirs. Then the position decides: it
is compared in the very transaction that would move it, and the worker that finds it elsewhere
keeps nothing of its batch.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Self, cast

from skewless.errors import Conflict, StoreError
from skewless.online.group_commit import GroupCommit
from skewless.online.runtime import Runtime
from skewless.online.storage import LEASES
from skewless.stores.online.base import OnlineStore, Transaction

POSITIONS = "skewless.positions"
LEASE_SECONDS = 10.0


@dataclass(frozen=True)
class Holder:
    """What the journal says of the worker of a source.

    Attributes:
        owner: tells this worker from others; changes with each start.
        host, pid: where it runs.
        until: when its lease runs out, UTC microseconds; 0 once it was given back.
        since: when it began, UTC microseconds.
        metrics: what it counted when it last renewed.
    """

    owner: str
    host: str
    pid: int
    until: int
    since: int
    metrics: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, journal: OnlineStore | Transaction, source: str) -> Self | None:
        """Return what the journal says; None: nobody ever worked on the source."""
        found = journal.read_one(LEASES, source.encode())
        return None if found is None else cls(**json.loads(found))

    @property
    def alive(self) -> bool:
        """Whether it may still be at work."""
        if self.until <= _now():
            return False
        return self.host != socket.gethostname() or _runs(self.pid)


class Lease:
    """The right to work on a source, renewed in the background until it is given back.

    Args:
        journal: where it is kept.
        source: name of the source.
        metrics: returns what to note at each renewal.
        seconds: how long it lasts unless it is renewed.
    """

    def __init__(
        self,
        journal: OnlineStore,
        source: str,
        metrics: Callable[[], dict[str, Any]],
        seconds: float = LEASE_SECONDS,
    ) -> None:
        self.lost = threading.Event()
        self._journal = journal
        self._source = source
        self._metrics = metrics
        self._seconds = seconds
        self._mine = Holder(uuid.uuid4().hex, socket.gethostname(), os.getpid(), 0, _now())
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, stopped: threading.Event) -> bool:
        """Wait until nobody else works on the source; return False if ``stopped`` came first."""
        while not stopped.is_set():
            if self.take():
                return True
            stopped.wait(self._seconds / 20 * random.uniform(0.5, 1.5))
        return False

    def take(self) -> bool:
        """Take it where nobody else has it, without waiting; return whether it is this one's."""
        if not self._write(lambda holder: holder is None or not holder.alive):
            return False
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return True

    def release(self) -> None:
        """Give it back, so that another worker need not wait."""
        if self._thread is None:
            return
        self._end.set()
        self._thread.join()
        self._thread = None
        with contextlib.suppress(StoreError):  # then it runs out by itself
            self._write(self._is_mine, until=0)

    def _renew(self) -> None:
        while not self._end.wait(self._seconds / 3):
            with contextlib.suppress(StoreError):  # the next time, or it runs out
                if not self._write(self._is_mine):
                    self.lost.set()
                    return

    def _is_mine(self, holder: Holder | None) -> bool:
        return holder is not None and holder.owner == self._mine.owner

    def _write(self, allowed: Callable[[Holder | None], bool], until: int | None = None) -> bool:
        with self._journal.transaction() as rows:
            if not allowed(Holder.read(rows, self._source)):
                return False
            record = asdict(self._mine) | {"metrics": self._metrics()}
            record["until"] = _now() + int(self._seconds * 1e6) if until is None else until
            rows.write(LEASES, [(self._source.encode(), json.dumps(record).encode())])
        return True


class Fenced:
    """A runtime whose journal takes nothing unless a stream stands where its worker left it.

    Args:
        runtime: the open parts.
        name: of the position.
        expected: the position; None: there is none yet.
    """

    def __init__(self, runtime: Runtime, name: str, expected: bytes | None) -> None:
        self._runtime = runtime
        self.journal = _FencedJournal(runtime.journal, name, expected)
        self.commits = GroupCommit(self.journal.transaction)

    @classmethod
    def of(cls, runtime: Runtime, name: str, expected: bytes | None) -> Runtime:
        """Return the runtime; it has whatever the one given has."""
        return cast(Runtime, cls(runtime, name, expected))

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._runtime, attribute)


class _FencedJournal:
    """A store whose transactions begin with a look at a position."""

    def __init__(self, store: OnlineStore, name: str, expected: bytes | None) -> None:
        self._store = store
        self._name = name
        self._expected = expected

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._store.transaction() as rows:
            if rows.read_one(POSITIONS, self._name.encode()) != self._expected:
                raise Conflict(
                    "another worker went on with the stream",
                    where=f"position {self._name!r}",
                    hint="This one stops; nothing was lost or counted twice.",
                )
            yield rows

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._store, attribute)


def _now() -> int:
    return time.time_ns() // 1000


def _runs(pid: int) -> bool:
    """Return whether a process of this machine runs; when in doubt, that it does."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
