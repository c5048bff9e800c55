"""What was done in the catalogue, and the form that asks before something is."""

from __future__ import annotations

from typing import Any

from skewless.ui.acts import MOST, act_of, done
from skewless.ui.page import Page
from skewless.ui.site import Site

_SHOWN = 200


def page(site: Site, given: dict[str, str]) -> Page:
    """Return what was done in the last 30 days, newest first."""
    del given
    found = done(site.runtime.ledger, site.now() - MOST)[:_SHOWN]
    return Page("acts.html", "Acts", {"acts": [each.to_dict() for each in found]}, {}, "acts")


def form(site: Site, given: dict[str, str]) -> Page:
    """Return the form of an act: what it will do, to what, and what has to be said.

    Raises:
        UnknownName: there is no such act.
    """
    del site
    act, of = act_of(given["act"]), given.get("of", "")
    data: dict[str, Any] = {
        "act": given["act"],
        "of": of,
        "says": act.says,
        "fields": [vars(field) for field in act.fields],
        "button": act.button,
        "problem": None,
    }
    return Page("act.html", act.title.format(of=of), data, {}, "acts")
