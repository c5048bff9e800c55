"""Checks of rows that are pushed: what fails is told, or the push is refused."""

from __future__ import annotations

from skewless.checks.results import CheckResult, blocked
from skewless.definitions import Source
from skewless.online.dedup import ValidRows

SINGLE_ROWS = ("not_null", "between", "in_set", "matches", "sums_to", "expr")
"""Kinds of checks that say something of a row alone, whatever was pushed before."""


def rows_checked(source: Source, admitted: ValidRows) -> tuple[CheckResult, ...]:
    """Return the checks of single rows that do not hold for rows that are pushed.

    Raises:
        CheckFailed: one whose action is ``block``: nothing is kept of the push.
    """
    checks = [each for each in source.checks if each.kind in SINGLE_ROWS]
    if not checks or not len(admitted.event):
        return ()
    import pyarrow as pa

    from skewless.checks.tallies import Tally

    tally = Tally(checks, of=source.name)
    tally.add(pa.Table.from_batches([admitted.batch]))
    results = tally.results()
    blocked(results, "the push")
    return tuple(each for each in results if not each.ok)
