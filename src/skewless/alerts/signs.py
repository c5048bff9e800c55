"""What the ledger says of drift and skew, for the metrics of a server: read when it has grown."""

from __future__ import annotations

from collections import Counter

from skewless.drift.drift import drifting
from skewless.ledger.ledger import Ledger
from skewless.ledger.runs import runs

Levels = dict[tuple[str, ...], float]


class Signs:
    """Reads what was found last.

    Args:
        ledger: of the repo.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._size = -1
        self._found: tuple[Levels, bool] = {}, False

    def now(self) -> tuple[Levels, bool]:
        """Return how many features drifted, by view and level, and whether verify found skew."""
        size = self._ledger.size()
        if size != self._size:
            counts = Counter((each["view"], each["level"]) for each in drifting(self._ledger))
            last = runs(self._ledger, job="verify")[:1]
            skewed = any(run.result.get("ok") is False for run in last)
            self._found = {key: float(count) for key, count in counts.items()}, skewed
            self._size = size
        return self._found
