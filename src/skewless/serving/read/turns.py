"""Turns of large reads: one slice of them at a time, and between two the small ones are answered.

    with turns.admitted() as turn:          # refused where it could not be done in time
        await turn.begin()                  # ... until it is this read's turn
        ...                                 # a slice of work: milliseconds
        await turn.begin()                  # the next slice; others had their turn meanwhile

A small read is answered where it is read off its connection. A large one is cut into slices of
`SLICE` seconds, and all large ones of a process share its turns: after a slice the event loop looks
at its connections, answers what is small, and only then the next slice begins. So a small read
waits for one slice, however many large reads there are.

Whose slice is next is told by when each read is due: when it came, plus a multiple of what it
costs. A lesser one overtakes greater ones, and none waits for ever. What a read costs is measured,
not guessed: seconds of CPU per entity of the same list of features before.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable
from types import TracebackType

from skewless.errors import StoreUnavailable
from skewless.request_errors import Overloaded

SLICE = 0.002
"""Seconds of CPU that a slice should take."""
LARGE = 0.004
"""Seconds of CPU from which on a read is large."""
_STRETCH = 8.0
"""How much later a read is due for each second that it costs."""
_SLOWEST = 20.0
_LEARNT = 0.05


class Turns:
    """Gives large reads their turns.

    Args:
        seconds: a read may take.
        waiting: reads that may be under way at once.
        places: slices that may be under way at once; more than one only where they wait for a
            network.
        clock: what slices are measured with: CPU, or time where they wait for a network.
        refused: called when a read is refused.

    Attributes:
        seconds: a read may take.
        reads: those under way.
    """

    def __init__(
        self,
        seconds: float,
        waiting: int,
        places: int = 1,
        clock: Callable[[], float] = time.thread_time,
        refused: Callable[[], None] = lambda: None,
    ) -> None:
        self.seconds = seconds
        self.reads: set[Turn] = set()
        self._waiting = waiting
        self._free = self._places = places
        self._refused = refused
        self._line: list[tuple[float, int, asyncio.Future[None]]] = []
        self._numbers = itertools.count()
        self._armed = False
        self._slowness = 1.0
        self._since: float | None = None
        self.clock = clock

    def admitted(self, cost: float = 0.0) -> Turn:
        """Return the turns of a new read.

        Args:
            cost: seconds of CPU that it is thought to take at least.

        Raises:
            Overloaded: there is more to do than can be done in time.
        """
        if len(self.reads) >= self._waiting:
            raise self.overloaded(f"{len(self.reads)} large reads are under way")
        turn = Turn(self)
        turn.expect(cost)
        self.reads.add(turn)
        return turn

    def overloaded(self, got: str) -> Overloaded:
        """Return the error for a read that could not be done in time, and count it."""
        self._refused()
        return Overloaded(
            "too much is asked for at once",
            got=got,
            hint="Nothing was done. Try again later, or ask for fewer entities at once.",
        )

    def ahead(self, due: float, but: Turn) -> float:
        """Return the seconds that pass until what is due earlier is done."""
        # A second of the turns takes longer where small reads, other threads and programs run too.
        left = sum(read.left for read in self.reads if read.due <= due and read is not but)
        return left * self._slowness / self._places

    def stand_in_line(self, due: float) -> asyncio.Future[None]:
        """Return what is done when the turn has come."""
        future = asyncio.get_running_loop().create_future()
        heapq.heappush(self._line, (due, next(self._numbers), future))
        self._arm()
        return future

    def _arm(self) -> None:
        if not self._armed and self._free and self._line:
            self._armed = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """Let the next one go; the event loop has looked at its connections since the last."""
        self._armed = False
        while self._free and self._line:
            future = heapq.heappop(self._line)[2]
            if not future.done():
                self._free -= 1
                future.set_result(None)

    def give_back(self, cpu: float) -> None:
        """End a slice that took so much CPU: the next one may begin."""
        now = time.monotonic()
        if self._since is not None and cpu > 0:  # somebody waited meanwhile: nothing was idle
            seen = min((now - self._since) * self._places / cpu, _SLOWEST)
            self._slowness += _LEARNT * (seen - self._slowness)
        self._since = now if self._line else None
        self._free += 1
        self._arm()


class Turn:
    """The turns of one read.

    Attributes:
        due: tells whose slice is next.
        left: seconds of CPU it still needs, as far as is known.
    """

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._came = time.monotonic()
        self._until = self._came + turns.seconds
        self._began: float | None = None
        self.due = self._came
        self.left = 0.0

    def expect(self, cost: float) -> None:
        """Note how much CPU the read will take.

        Raises:
            Overloaded: it cannot be done in time, because of those that are due earlier.
        """
        self.left = cost
        self.due = self._came + _STRETCH * cost
        ahead = self._turns.ahead(self.due, self)
        if ahead and time.monotonic() + ahead + cost > self._until:
            raise self._turns.overloaded(f"{ahead:.1f} seconds of work before this read")

    async def begin(self, done: str = "") -> None:
        """Wait for the next turn; the one at hand ends.

        Args:
            done: how far the read is, for the error.

        Raises:
            StoreUnavailable: the read took too long.
        """
        self.end()
        future = self._turns.stand_in_line(self.due)
        try:
            async with asyncio.timeout(max(0.0, self._until - time.monotonic())):
                await future
        except BaseException as problem:
            if future.done() and not future.cancelled():
                self._turns.give_back(0.0)
            future.cancel()
            if isinstance(problem, TimeoutError):
                raise self.too_long(done) from None
            raise
        self._began = self._turns.clock()
        if time.monotonic() > self._until:
            self.end()
            raise self.too_long(done)

    def too_long(self, done: str) -> StoreUnavailable:
        """Return the error for a read that took too long."""
        return StoreUnavailable(
            "the read took too long",
            got=done or None,
            expected=f"{self._turns.seconds:g} seconds at most",
            hint="Ask for fewer entities at once, or raise --timeout.",
        )

    @property
    def remaining(self) -> float:
        """Seconds until the deadline."""
        return max(0.0, self._until - time.monotonic())

    def end(self) -> float:
        """End the turn at hand and return the seconds of CPU that it took."""
        if self._began is None:
            return 0.0
        cpu, self._began = self._turns.clock() - self._began, None
        self._turns.give_back(cpu)
        return cpu

    def __enter__(self) -> Turn:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        self._turns.reads.discard(self)
