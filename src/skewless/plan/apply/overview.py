"""A plan of hundreds of definitions on a page: totals, what needs a person, and the names.

>>> from skewless.plan.apply.apply_plan import ApplyPlan, Break, Step
>>> two = ("+ a: x", "+ b: y")
>>> steps = [Step("feature view", f"V{n}", "added", None, 1, two) for n in range(9)]
>>> gone = Step("source", "old", "removed")
>>> breaks = Break("source", "old", "is read by a service")
>>> print(ApplyPlan(4, (*steps, gone), (breaks,)).explain(summary=True))
Plan: 9 to add, 0 to change, 1 to remove (registry revision 4).
<BLANKLINE>
                added  other values  otherwise changed  removed  features
  source            -             -                  -        1         -
  feature view      9             -                  -        -        18
<BLANKLINE>
Breaking:
  ! source old is read by a service.
<BLANKLINE>
Removed:
  source old
Added:
  feature view V0, V1, V2, V3, V4, V5, V6, V7 and 1 more
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from skewless.formatting import aligned

MOST_LINES = 200
"""A plan with more lines of changes is shown as an overview, where nobody asks for all."""
_FIRST, _NAMES = 10, 8
_ACTIONS = {
    "removed": "Removed",
    "changed values": "Other values (new versions; the old ones serve on)",
    "changed access": "Other grants",
    "renamed": "Renamed",
    "changed storage": "Other storage",
    "described only": "Other words",
    "added": "Added",
}
"""What needs a person most is first."""
_COUNTED = ("added", "changed values", "removed")
"""What has a column of its own in the totals; everything else is otherwise changed."""


class Change(Protocol):
    """What happens to one definition: a step of a plan."""

    @property
    def kind(self) -> str:
        """Of the definition."""

    @property
    def name(self) -> str:
        """Of the definition."""

    @property
    def action(self) -> str:
        """As a `Step` has it."""

    @property
    def changes(self) -> Sequence[str]:
        """What differs, a line each."""


def overview(
    headline: str,
    steps: Sequence[Change],
    owners: Sequence[str],
    urgent: Mapping[str, Sequence[str]],
    rest: Mapping[str, Sequence[str]],
) -> str:
    """Return a plan as totals and names: what breaks first, no line a feature.

    Args:
        headline: of the plan.
        steps: that change something.
        owners: who answers for each; empty: nobody.
        urgent: lines under titles, before the names.
        rest: lines under titles, after them.
    """
    blocks = [headline]
    if steps:
        blocks.append(aligned(_totals(steps), indent=2))
    if any(owners):
        found = Counter(owners)
        order = sorted(found, key=lambda each: (not each, -found[each], each))
        counts = [f"{each or 'nobody'} {found[each]:,}" for each in order]
        blocks.append(f"Owners: {', '.join(counts)}")
    blocks += [_block(title, lines) for title, lines in urgent.items() if lines]
    if steps:
        blocks.append("\n".join(_names(steps)))
    blocks += [_block(title, lines) for title, lines in rest.items() if lines]
    return "\n\n".join(blocks)


def _totals(steps: Iterable[Change]) -> list[list[str]]:
    counts: dict[str, Counter[str]] = {}
    for step in steps:
        found = counts.setdefault(step.kind, Counter())
        found[step.action if step.action in _COUNTED else ""] += 1
        found["features"] += sum(each[:2] in ("+ ", "~ ", "- ") for each in step.changes)
    columns = ("added", "changed values", "", "removed", "features")
    heads = ["", "added", "other values", "otherwise changed", "removed", "features"]
    return [
        heads,
        *([kind, *(f"{found[c]:,}" if found[c] else "-" for c in columns)]
          for kind, found in sorted(counts.items(), key=lambda item: item[0] == "feature view")),
    ]  # fmt: skip


def _names(steps: Sequence[Change]) -> Iterable[str]:
    """Yield the definitions by what happens to them, of each kind the first names."""
    for action, title in _ACTIONS.items():
        kinds: dict[str, list[str]] = {}
        for step in steps:
            if step.action == action:
                kinds.setdefault(step.kind, []).append(step.name)
        if kinds:
            yield f"{title}:"
        for kind, names in kinds.items():
            more = f" and {len(names) - _NAMES:,} more" if len(names) > _NAMES else ""
            yield f"  {kind} {', '.join(names[:_NAMES])}{more}"


def _block(title: str, lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - _FIRST:,} more"] if len(lines) > _FIRST else []
    return "\n".join([title, *(f"  {line}" for line in lines[:_FIRST]), *more])
