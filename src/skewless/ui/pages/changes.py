"""What was changed in the registry, by whom and when."""

from __future__ import annotations

from typing import Any

from skewless.clock import iso
from skewless.registry.base import Revision
from skewless.ui.page import Page
from skewless.ui.render import count
from skewless.ui.site import Site

_MOST = 100


def page(site: Site, given: dict[str, str]) -> Page:
    """Return the newest changes, each with its steps."""
    del given
    found = [change_of(each) for each in site.runtime.registry.history(_MOST)]
    return Page("changes.html", "Changes", {"changes": found}, {}, "changes")


def change_of(revision: Revision) -> dict[str, Any]:
    """Return a change of the registry as plain data: its steps without what stayed as it was."""
    steps = [step for step in revision.plan.get("steps", ()) if step.get("action") != "unchanged"]
    return {
        "revision": revision.number,
        "at": iso(revision.at),
        "who": revision.who,
        "summary": revision.summary,
        "headline": _headline(steps) or revision.summary,
        "steps": [
            {
                "action": step["action"],
                "kind": step["kind"],
                "name": step["name"],
                "changes": [str(change) for change in step.get("changes", ())],
            }
            for step in steps
        ],
    }


def _headline(steps: list[dict[str, Any]]) -> str:
    """Return what was done, by kind: names where they are few, how many where not."""
    by: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        by.setdefault((step["action"], step["kind"]), []).append(step["name"])
    return ", ".join(
        f"{action} {kind} {names[0]}" if len(names) == 1 else f"{action} {count(len(names), kind)}"
        for (action, kind), names in by.items()
    )
