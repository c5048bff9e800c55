"""What features cost, what nobody uses, and what there is twice."""

from __future__ import annotations

from typing import Any

from skewless.ui.page import Page
from skewless.ui.site import Site

_SHOWN = 200
"""Features that the page has lines for; the data has all."""


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the cost of every feature, the dearest first.

    Raises:
        ConfigError: ``[prices]`` is wrong.
        StoreUnavailable: the online store cannot be reached.
    """
    del given
    report = site.cost()
    prices = [each.price for each in report.features if each.price is not None]
    data: dict[str, Any] = {**report.to_dict(), "price": sum(prices) if prices else None}
    return Page("cost.html", "Cost", data, {"shown": _SHOWN}, "cost")
