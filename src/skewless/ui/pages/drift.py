"""What drifted: the alerts of the newest run over each view, and a feature beside its reference."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from skewless.clock import iso
from skewless.drift.drift import KIND, drifting
from skewless.drift.profiles import newest, stored
from skewless.drift.references import References, accepted
from skewless.ui.page import Page
from skewless.ui.site import Site

_DAYS = 30 * 86_400_000_000
_POINTS = ("served", "online")


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the alerts, and with ``of`` (a feature) its distribution beside the reference."""
    ledger = site.runtime.ledger
    alerts = sorted(
        drifting(ledger), key=lambda a: (a["level"] != "page", -abs(a["effect"]), a["of"])
    )
    runs = [
        {"at": iso(record.at), **{k: record.data[k] for k in ("day", "point", "tests")},
         "views": len(record.data["views"]), "alerts": len(record.data["alerts"])}
        for record in ledger.records(kinds=[KIND], since=site.now() - _DAYS)
    ]  # fmt: skip
    of = given.get("of", "") or (alerts[0]["of"] if alerts else "")
    found = _compared(site, of) if of else None
    data: dict[str, Any] = {
        "alerts": alerts,
        "runs": runs[::-1][:14],
        "accepted": [each.to_dict() for each in accepted(ledger).values()],
        "of": of,
        "compared": None if found is None else found["data"],
    }
    shown = {"curves": None if found is None else found["curves"]}
    return Page(
        "drift.html", f"Drift of {of}" if given.get("of") else "Drift", data, shown, "drift"
    )


def _compared(site: Site, of: str) -> Mapping[str, Any] | None:
    """Return the newest profile of a feature and its reference; None where one is not there."""
    ledger = site.runtime.ledger
    for point in _POINTS:
        current = newest(stored(ledger, points=[point], of=[of])).get(of)
        reference = None if current is None else References(ledger, [of]).of(current, None)
        if current is None or reference is None:
            continue
        curves = [list(map(float, each.curves.get("", ()))) for each in (reference, current)]
        return {
            "data": {
                "reference": reference.name,
                "current": current.name,
                "point": point,
                "entities": [reference.entities, current.entities],
                "missing": [reference.missing_share, current.missing_share],
                "median": [each[len(each) // 2] if each else None for each in curves],
            },
            "curves": curves,
        }
    return None
