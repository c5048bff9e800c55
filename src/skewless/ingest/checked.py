"""Checks of rows that are pushed: what fails is told, set aside, or the push is refused."""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from skewless.checks.results import CheckResult, blocked
from skewless.clock import ALWAYS, Clock
from skewless.codec import row_text
from skewless.definitions import Source
from skewless.definitions.screening import screen_of
from skewless.expressions.evaluate import evaluate
from skewless.forks import Lock
from skewless.ledger.ledger import Ledger
from skewless.online.dedup import Arrivals, Rejected, ValidRows
from skewless.online.runtime import Runtime

POINT = "push"
NOTED_EVERY = 60_000_000

SINGLE_ROWS = ("not_null", "between", "in_set", "matches", "sums_to", "expr")
"""Kinds of checks that say something of a row alone, whatever was pushed before."""


class PushedChecks:
    """What checks found among pushed rows: in the ledger, a record of a source a minute at most.

    The first push of a process is noted at once, what follows together: by the next push a minute
    later, or when the repo is closed.

    Args:
        ledger: takes it.
        clock: says when.
    """

    def __init__(self, ledger: Ledger, clock: Clock) -> None:
        self._ledger, self._clock = ledger, clock
        self._lock = Lock()
        self._noted: dict[str, int] = {}
        self._found: dict[str, list[CheckResult]] = {}

    @classmethod
    def of(cls, runtime: Runtime) -> PushedChecks:
        """Return that of an open repo."""
        found = _PUSHED.get(runtime)
        if found is None:
            found = _PUSHED.setdefault(runtime, cls(runtime.ledger, runtime.clock))
            runtime.at_close.append(found.flush)
        return found

    def add(self, results: list[CheckResult]) -> None:
        """Take what the checks of one source found in one push."""
        if not results:
            return
        name, now = results[0].of, self._clock.now()
        with self._lock:
            before = self._found.get(name)
            same = before is not None and [e.check for e in before] == [e.check for e in results]
            known = before if same and before is not None else []
            self._found[name] = list(map(_both, known, results)) if known else results
            due = not 0 <= now - self._noted.get(name, ALWAYS) < NOTED_EVERY
        if due:
            self.flush(name)

    def flush(self, name: str | None = None) -> None:
        """Note what was found of a source, or of all of them."""
        with self._lock:
            names = list(self._found) if name is None else [name]
            found = [self._found.pop(each) for each in names if each in self._found]
            self._noted |= dict.fromkeys(names, self._clock.now())
        if found:
            from skewless.training.checked import noted
        for results in found:
            noted(self._ledger, POINT, results)


_PUSHED: WeakKeyDictionary[Runtime, PushedChecks] = WeakKeyDictionary()


def _both(one: CheckResult, other: CheckResult) -> CheckResult:
    """Return what a check found in two pushes; it holds if it held in both."""
    examples = (one.examples or other.examples) if one.ok else one.examples
    return replace(
        other, ok=one.ok and other.ok, rows=one.rows + other.rows,
        failing=one.failing + other.failing, examples=examples,
    )  # fmt: skip


def rows_checked(runtime: Runtime, source: Source, admitted: ValidRows) -> tuple[CheckResult, ...]:
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
    PushedChecks.of(runtime).add(results)
    blocked(results, "the push")
    return tuple(each for each in results if not each.ok)


def kept_out(source: Source, arrivals: Arrivals) -> list[Rejected]:
    """Return the rows that no feature counts, for a check of the source sets them aside.

    They are in the log like all others: under another check they count. Rows that were there
    already and deletions are not among them.
    """
    conditions = screen_of(source).conditions
    if not conditions or not len(arrivals.event):
        return []
    batch = arrivals.batch
    columns = dict(zip(batch.schema.names, batch.columns, strict=True))
    new = np.ones(batch.num_rows, bool)
    for others in (arrivals.again, arrivals.deleted):
        if others is not None:
            new &= ~others
    reasons: dict[int, list[str]] = {}
    for check, condition in conditions.items():
        holds = evaluate(condition, columns, batch.num_rows)
        failing = new & ~np.asarray(holds.fill_null(False)).astype(bool)
        for row in np.flatnonzero(failing).tolist():
            reasons.setdefault(row, []).append(str(check))
    return [
        Rejected(
            -1,
            f"set aside by a check: {'; '.join(why)}",
            row_text(batch.slice(row, 1).to_pylist()[0]),
        )
        for row, why in sorted(reasons.items())
    ]
