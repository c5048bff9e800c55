"""What each check found last, and whether it held day by day: by the ledger."""

from __future__ import annotations

from typing import Any

from skewless.clock import iso
from skewless.ledger.ledger import Ledger
from skewless.training.checked import KIND

DAY = 86_400_000_000


def results(ledger: Ledger, since: int) -> dict[tuple[str, str, str], dict[str, Any]]:
    """Return for each check what it found last since a moment, and whether it held on each day.

    Args:
        ledger: of the repo.
        since: UTC microseconds.

    Returns:
        By source or view, point, and the words of the check: what the ledger says of the newest
        result, with ``at``, ``point`` and ``days``: the day of UTC to whether it held all day. A
        push that holds says nothing of all of history, so that each point is a result of its own.
    """
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for record in ledger.records(kinds=[KIND], since=since):
        for result in record.data["results"]:
            key = (record.data["of"], record.data["point"], result["check"])
            days = found.get(key, {}).get("days", {})
            day = record.at // DAY
            days[day] = days.get(day, True) and result["ok"]
            found[key] = {
                **result, "of": key[0], "at": iso(record.at), "point": key[1],
                "days": days, "never": False,
            }  # fmt: skip
    return found
