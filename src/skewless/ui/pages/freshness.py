"""How old the newest event of each view is, against what was promised."""

from __future__ import annotations

from skewless.ui.page import Page
from skewless.ui.site import Site


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the freshness of all views, broken promises first."""
    del given
    report = site.freshness()
    return Page(
        "freshness.html", "Freshness", report.to_dict(), {"views_": report.views}, "freshness"
    )
