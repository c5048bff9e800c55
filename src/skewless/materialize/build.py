"""Building what an apply adds or changes: at once where that is cheap, else it is said how.

for waiting in pending(runtime):
    print(waiting)              # Spend@v2: 1,200,000 rows of history to read
complete(runtime)  # reads and pushes go on; after a kill it goes on where it stopped
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from skewless.definitions import Source
from skewless.errors import SkewlessError
from skewless.materialize.materialize import MaterializeResult
from skewless.materialize.verbs import is_complete, materialize
from skewless.online.runtime import Runtime

Progress = Callable[[str, float], None]
AT_ONCE = 5_000_000
"""How many rows of history an apply reads by itself, unless it is told to build or not to."""
ROWS_A_SECOND = 150_000
"""How fast states are built, at least, on one core; for estimates."""


@dataclass(frozen=True)
class Pending:
    """A table of states that is building.

    Attributes:
        table: its name.
        views: the view versions that wait for it, as ``Spend@v2``; those that another table
            answers for meanwhile only if there are no others.
        rows: of the history it is built from; None: that cannot be told.
    """

    table: str
    views: tuple[str, ...]
    rows: int | None

    def __str__(self) -> str:
        views = ", ".join(self.views)
        if self.rows is None:
            return f"{views}: history of unknown length to read"
        seconds = max(1, round(self.rows / ROWS_A_SECOND))
        return f"{views}: {self.rows:,} rows of history to read, about {seconds:,} s"


@dataclass(frozen=True)
class Built:
    """What became of the tables that were not complete.

    Attributes:
        tables: what was built.
        waiting: the tables that are not complete still; `materialize` builds them.
        problem: why they could not be built, where that was tried.
    """

    tables: list[MaterializeResult] = field(default_factory=list)
    waiting: list[Pending] = field(default_factory=list)
    problem: SkewlessError | None = None

    def __str__(self) -> str:
        lines = [f"Not built yet: {each}" for each in self.waiting]
        if self.problem is not None:
            lines.append(f"That failed: {self.problem}")
        if lines:
            lines.append("Until then reads say building. Run: skewless materialize")
        return "\n".join(lines)


def pending(runtime: Runtime) -> list[Pending]:
    """Return the tables that are not complete, with what there is to read for each."""
    waiting: dict[str, list[tuple[str, int]]] = {}
    tables = runtime.tables()
    serving = tables.serving()
    for key in runtime.state().views:
        own = tables.own(key)
        if own is not None and not own.complete:
            waiting.setdefault(own.layout.table, []).append(key)
    found = []
    for table, keys in waiting.items():
        building = [key for key in keys if not serving[key].complete] or keys
        views = [f"{name}@v{version}" for name, version in building]
        try:
            rows = _rows_of(runtime, tables.tables[table].layout.source)
        except SkewlessError:  # building says why
            rows = None
        found.append(Pending(table, tuple(views), rows))
    return found


def _rows_of(runtime: Runtime, source: Source) -> int:
    """Return how many rows there are to read: of a derived source also those it is made of."""
    found = (source, *runtime.state().made_of(source))
    return sum(runtime.history(each, kept=True).row_count() for each in found)


def builds_at_once(runtime: Runtime, waiting: list[Pending]) -> bool:
    """Return whether an apply builds by itself: the store is embedded, the history not large."""
    rows = sum(each.rows or 0 for each in waiting)
    return "://" not in runtime.online.where and rows <= AT_ONCE


def complete(runtime: Runtime, *, progress: Progress | None = None) -> list[MaterializeResult]:
    """Build every table that is not complete from all of history."""
    waiting = [
        f"{name}@v{version}"
        for name, version in runtime.state(fresh=True).views
        if not is_complete(runtime, (name, version))
    ]
    return materialize(runtime, waiting, None, None, progress=progress) if waiting else []


def build_pending(
    runtime: Runtime, build: bool | None, *, progress: Progress | None = None
) -> Built:
    """Build what is not complete, where it is asked for or cheap, and return what was done.

    Args:
        runtime: the open parts.
        build: whether to; None: where `builds_at_once` says so, and a history that cannot be read
            is then no error: the definitions are applied all the same.
        progress: called with a text and the finished fraction.

    Raises:
        SkewlessError: history cannot be read, and ``build`` is True.
    """
    waiting = pending(runtime)
    if not waiting or build is False or not (build or builds_at_once(runtime, waiting)):
        return Built(waiting=waiting)
    try:
        return Built(complete(runtime, progress=progress))
    except SkewlessError as problem:
        if build:
            raise
        return Built(waiting=pending(runtime), problem=problem)
