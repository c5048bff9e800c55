"""How often features were trained on: by the ledger, and kept until it says more.

Usage(ledger).counts()["Spend@v1:total"]
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from skewless.forks import Lock
from skewless.ledger.ledger import Ledger
from skewless.training.records import KIND


class Usage:
    """Counts training sets by feature.

    Args:
        ledger: of the repo.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._kept: tuple[int, Mapping[str, int]] = (-1, {})
        self._lock = Lock()

    def counts(self) -> Mapping[str, int]:
        """Return in how many training sets each feature is, by its full reference."""
        with self._lock:
            size = self._ledger.size()
            if self._kept[0] != size:
                sets = {
                    record.data["id"]: record.data["features"]
                    for record in self._ledger.records(kinds=[KIND])
                }
                counts = Counter(each for made in sets.values() for each in set(made.values()))
                self._kept = (size, counts)
            return self._kept[1]
