"""What a plan says of grants, and what it does not let them be: for what is not there.

A grant that forbids a view under a name that the view no longer has would forbid nothing. So every
grant, whether the plan writes it or not, names what is there after it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from skewless.definitions.grant import EVERY
from skewless.definitions.repo import Definitions, View
from skewless.errors import UnknownName
from skewless.plan.apply.registry_state import Kind, RegistryState


class Planned(Protocol):
    """What is known of the time after the plan."""

    wanted: Definitions
    removals: list[tuple[Kind, str]]
    versions: dict[str, int]

    def view(self, name: str, version: int) -> View:
        """Return a view as it is after the plan."""


def check_grants(current: RegistryState, planned: Planned) -> None:
    """Raise `UnknownName` for a grant of a view or feature that is not there after a plan.

    Args:
        current: what the registry holds.
        planned: the plan.
    """
    for name, grant in ({**current.grants, **planned.wanted.grants}).items():
        if ("grant", name) in planned.removals:
            continue
        for read in grant.read:
            view, _, feature = read.partition(":")
            if read == EVERY:
                continue
            where = f"the repo, which grant {name!r} names,"
            if view not in planned.versions:
                raise UnknownName.of("view", view, planned.versions, where=where)
            if feature:
                numbers = {n for known, n in current.fingerprints if known == view}
                numbers.add(planned.versions[view])
                known = {f for n in numbers for f in planned.view(view, n).features}
                if feature not in known:
                    of = f"view {view!r}, which grant {name!r} names,"
                    raise UnknownName.of("feature", feature, known, where=of)


def grant_lines(body: Mapping[str, Any]) -> list[str]:
    """Return what a new grant says, a line each."""
    lines = [f"to: {', '.join(body['to'])}"]
    lines.append(f"{'forbids' if body['forbid'] else 'reads'}: {', '.join(body['read'])}")
    if body["personal"]:
        lines.append(f"personal: {', '.join(body['personal'])}")
    if "mask" in body:
        lines.append(f"mask: {body['mask']}")
    return lines
