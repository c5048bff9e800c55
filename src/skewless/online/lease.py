"""Who works on a stream: one worker a source, or several that share its partitions.

A row of the journal names the workers of a source, each with a lease that it renews while it lives
and that runs out a few seconds after a kill; one on this machine whose process is gone is not
waited for. Workers that share a stream also note there which partitions each has: whoever has more
than its share gives some up between two batches, whoever has fewer takes what nobody has. No worker
decides for others, and a transaction of the journal keeps two from taking the same.

A lease goes by clocks, so for a moment two workers may both think a partition theirs. Then its
position decides: it is compared in the very transaction that would move it, and the worker that
finds it elsewhere keeps nothing of its batch.
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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
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
    """What the journal says of a worker of a source.

    Attributes:
        owner: tells this worker from others; changes with each start.
        host, pid: where it runs.
        until: when its lease runs out, UTC microseconds; 0 once it was given back.
        since: when it began, UTC microseconds.
        metrics: what it counted when it last renewed.
        parts: the partitions it works on; None: all of the stream, whatever they are.
    """

    owner: str
    host: str
    pid: int
    until: int
    since: int
    metrics: dict[str, Any] = field(default_factory=dict)
    parts: list[str] | None = None

    @classmethod
    def read(cls, journal: OnlineStore | Transaction, source: str) -> list[Self]:
        """Return the workers that the journal names, oldest first; []: nobody ever worked on it."""
        found = json.loads(journal.read_one(LEASES, source.encode()) or b"[]")
        return [cls(**each) for each in ([found] if isinstance(found, dict) else found)]

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
        shared: whether others may have a lease at the same time; then `balance` says of what.
    """

    def __init__(
        self,
        journal: OnlineStore,
        source: str,
        metrics: Callable[[], dict[str, Any]],
        seconds: float = LEASE_SECONDS,
        *,
        shared: bool = False,
    ) -> None:
        self.lost = threading.Event()
        self.seconds = seconds
        self.shared = shared
        self._journal = journal
        self._source = source
        self._metrics = metrics
        parts: list[str] | None = [] if shared else None
        name = uuid.uuid4().hex
        self._mine = Holder(name, socket.gethostname(), os.getpid(), 0, _now(), parts=parts)
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self, stopped: threading.Event) -> bool:
        """Wait until nobody else is in the way; return False if ``stopped`` came first."""
        while not stopped.is_set():
            if self.take():
                return True
            stopped.wait(self.seconds / 20 * random.uniform(0.5, 1.5))
        return False

    def take(self) -> bool:
        """Take it where nobody is in the way, without waiting; return whether it is this one's."""

        def joined(_: Holder | None, others: list[Holder]) -> Holder | None:
            free = all(self.shared and each.parts is not None for each in others)
            return self._mine if free else None

        if not self._write(joined):
            return False
        self._thread = threading.Thread(target=self._renew, daemon=True)
        self._thread.start()
        return True

    @property
    def is_held(self) -> bool:
        """Whether it was taken and not given back yet."""
        return self._thread is not None

    def balance(self, parts: Sequence[str]) -> tuple[frozenset[str], bool]:
        """Take or give up partitions so that each worker has its share.

        Args:
            parts: all that there are, in an order that is the same for everybody.

        Returns:
            The partitions that are this worker's from now on; whether each of all is somebody's.
        """
        held: frozenset[str] = frozenset()
        complete = False

        def balanced(mine: Holder | None, others: list[Holder]) -> Holder | None:
            nonlocal held, complete
            if any(each.parts is None for each in others):  # which took this one for dead
                self.lost.set()
                return None
            # Forgotten by the others, which took it for dead: it begins with nothing.
            mine = mine or replace(self._mine, parts=[])
            held, complete = share_of(mine, others, parts)
            return replace(mine, parts=sorted(held, key=parts.index))

        self._write(balanced)
        return held, complete

    def release(self) -> None:
        """Give it back, so that another worker need not wait."""
        if self._thread is None:
            return
        self._end.set()
        self._thread.join()
        self._thread = None
        with contextlib.suppress(StoreError):  # then it runs out by itself
            self._write(lambda mine, _: mine, until=0)

    def _renew(self) -> None:
        while not self._end.wait(self.seconds / 3):
            with contextlib.suppress(StoreError):  # the next time, or it runs out
                # Of a shared stream, `balance` joins the others again.
                if not self._write(lambda mine, _: mine) and not self.shared:
                    self.lost.set()
                    return

    def _write(
        self,
        changed: Callable[[Holder | None, list[Holder]], Holder | None],
        until: int | None = None,
    ) -> bool:
        """Write this worker's record anew, unless ``changed`` returns None; drop the dead."""
        with self._journal.transaction() as rows:
            found = Holder.read(rows, self._source)
            mine = next((each for each in found if each.owner == self._mine.owner), None)
            others = [each for each in found if each.alive and each.owner != self._mine.owner]
            new = changed(mine, others)
            if new is None:
                return False
            end = _now() + int(self.seconds * 1e6) if until is None else until
            new = replace(new, metrics=self._metrics(), until=end)
            records = [asdict(each) for each in sorted([*others, new], key=_age)]
            rows.write(LEASES, [(self._source.encode(), json.dumps(records).encode())])
        return True


def share_of(
    mine: Holder, others: Sequence[Holder], parts: Sequence[str]
) -> tuple[frozenset[str], bool]:
    """Return the partitions that a worker is to have, and whether each of all is somebody's then.

    Who has most gets the odd ones, so that no more move than must.

    >>> a, b = (Holder(name, "here", 1, 0, 0, parts=[]) for name in "ab")
    >>> a = replace(a, parts=["0", "1", "2"])
    >>> sorted(share_of(a, [b], ["0", "1", "2"])[0]), share_of(b, [a], ["0", "1", "2"])
    (['0', '1'], (frozenset(), True))
    >>> b_then = share_of(b, [replace(a, parts=["0", "1"])], ["0", "1", "2"])
    >>> b_then
    (frozenset({'2'}), True)
    """
    ranked = sorted([mine, *others], key=lambda each: (-len(each.parts or ()), each.owner))
    whole, odd = divmod(len(parts), len(ranked))
    share = whole + (ranked.index(mine) < odd)
    taken = {part for each in others for part in each.parts or ()}
    kept = [part for part in parts if part in (mine.parts or ()) and part not in taken]
    free = [part for part in parts if part not in taken and part not in kept]
    held = (kept + free)[:share]
    return frozenset(held), taken.union(held).issuperset(parts)


def _age(holder: Holder) -> tuple[int, str]:
    return holder.since, holder.owner


class PositionMoved(Conflict):
    """A position is not where a worker left it: its batch is another's by now."""


class Fenced:
    """A runtime whose journal takes nothing unless a stream stands where its worker left it.

    Args:
        runtime: the open parts.
        expected: positions by their names; None: there is none yet.
    """

    def __init__(self, runtime: Runtime, expected: Mapping[str, bytes | None]) -> None:
        self._runtime = runtime
        self.journal = _FencedJournal(runtime.journal, expected)
        self.commits = GroupCommit(self.journal.transaction)

    @classmethod
    def of(cls, runtime: Runtime, expected: Mapping[str, bytes | None]) -> Runtime:
        """Return the runtime; it has whatever the one given has."""
        return cast(Runtime, cls(runtime, expected))

    def __getattr__(self, attribute: str) -> Any:
        return getattr(self._runtime, attribute)


class _FencedJournal:
    """A store whose transactions begin with a look at positions."""

    def __init__(self, store: OnlineStore, expected: Mapping[str, bytes | None]) -> None:
        self._store = store
        self._names = [name.encode() for name in expected]
        self._expected = list(expected.values())

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Transaction]:
        with self._store.transaction() as rows:
            if rows.read(POSITIONS, self._names) != self._expected:
                raise PositionMoved(
                    "another worker went on with the stream",
                    where=f"position {self._names[0].decode()!r}",
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
