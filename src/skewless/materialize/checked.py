"""Checks over the history of a source, and materializations that they refuse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from skewless.checks.results import CheckResult, blocked
from skewless.checks.tallies import Tally
from skewless.definitions import Source
from skewless.definitions.checks import Check
from skewless.online.runtime import Runtime


def history_checked(
    runtime: Runtime, source: Source, checks: Sequence[Check], *, before: int | None = None
) -> list[CheckResult]:
    """Carry checks out over all rows of a source's table and log; memory does not follow them.

    Args:
        runtime: the open repo.
        source: whose rows.
        checks: what is expected of them.
        before: how many rows the check before has seen.
    """
    tally = Tally(checks, of=source.name, now=runtime.clock.now(), before=before)
    columns = dict.fromkeys(column for each in checks for column in each.columns)
    columns.setdefault(source.event_time)
    for chunk in runtime.history(source).chunks(list(columns)):
        tally.add(chunk.table, chunk.event)
    return tally.results()


def refuse_unchecked(runtime: Runtime, sources: Iterable[Source]) -> None:
    """Refuse to build states from rows of which a check that blocks fails.

    Raises:
        CheckFailed: there is one.
    """
    for source in sources:
        blocking = [check for check in source.checks if check.action == "block"]
        if blocking:
            results = history_checked(runtime, source, blocking)
            blocked(results, f"the materialization of source {source.name!r}")
