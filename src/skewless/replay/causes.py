"""Why a value that was served is not what history gives, or gives by now: one word, one sentence.

    cause = cause_of(inquiry, number, output, then=..., since=...)
    cause.name, cause.why, cause.rows

The rows come from history and the verdict from the reference engine, as in `explain`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from skewless.definitions import Aggregate, FeatureView
from skewless.engines.reference import HistoryRow, explain_rows
from skewless.explain.report import ExplainedRow
from skewless.formatting import count_of, same_bits
from skewless.parity.compare import GRACE, Inquiry
from skewless.parity.diagnose import COUNTS_UNKNOWN, LACKS_NEWEST, LACKS_ONE, explained
from skewless.plan.selection import Output
from skewless.state.status import Status

SAME = "none"
LATE = "late data"
CORRECTED = "corrected since"
STALE = "stale online"
IN_FLIGHT = "in flight"
AHEAD = "ahead of history"
BUILDING = "building"
MASKED = "masked"
CHANGED = "definition changed"
UNEXPLAINED = "unexplained"
RIGHT = (SAME, LATE, CORRECTED, CHANGED, MASKED)
"""Causes for which the answer was right when it was given."""
SAYS = {
    SAME: "What was served is what history gave, and gives.",
    LATE: "The answer was right; rows of before its moment became known after it.",
    CORRECTED: "The answer was right; rows that it counted were corrected or deleted since.",
    STALE: "The online store lacked rows that were known: it was behind its history.",
    IN_FLIGHT: "Rows had become known within seconds of the read, and were on their way.",
    AHEAD: "The online store counted rows that history knows from later on.",
    BUILDING: "Its states were not built from all of history yet, so no value was given.",
    MASKED: "Who asked was shown a mask in place of the value.",
    CHANGED: "The answer was right; the definition of now gives another value.",
    UNEXPLAINED: "No row left out or added gives what was served.",
}
"""Cause to what it means."""

CHANGED_SINCE, WAS_WRONG = "changed since", "wrong when served"
FAULTS = {
    LATE: CHANGED_SINCE, CORRECTED: CHANGED_SINCE, BUILDING: BUILDING,
    STALE: WAS_WRONG, IN_FLIGHT: WAS_WRONG, AHEAD: WAS_WRONG, UNEXPLAINED: WAS_WRONG,
}  # fmt: skip
"""Cause to the fault by which others are looked for: what can be said of many answers at once."""


@dataclass(frozen=True)
class Cause:
    """Why values differ.

    Attributes:
        name: one of the words above.
        why: a sentence for this value.
        rows: those responsible.
    """

    name: str
    why: str
    rows: tuple[ExplainedRow, ...] = ()


Behind = Sequence[tuple[FeatureView, str]]
"""The features of feature views that a value is made of."""


def cause_of(
    inquiry: Inquiry, number: int, output: Output, behind: Behind, *, then: Any, since: Any
) -> Cause:
    """Return why an answer is not what history gives.

    Args:
        inquiry: knows the answers; the rows of this one were fetched.
        number: of the answer.
        output: the feature.
        behind: what it is made of; a feature of a feature view of itself.
        then: what history gives, of what was known at its moment.
        since: likewise, of what is known by now.
    """
    place = inquiry.selection.outputs.index(output)
    served = inquiry.answers.values[number][place]
    if inquiry.answers.statuses[number][place] == Status.BUILDING:
        return Cause(BUILDING, SAYS[BUILDING])
    if inquiry.answers.statuses[number][place] == Status.MASKED:
        return Cause(MASKED, SAYS[MASKED])
    if not same_bits(served, then):
        return _not_as_known(inquiry, number, output)
    if same_bits(then, since):
        return Cause(SAME, SAYS[SAME])
    return changed_since(inquiry, number, behind)


def changed_since(inquiry: Inquiry, number: int, behind: Behind) -> Cause:
    """Return which rows changed a value after its moment."""
    t = inquiry.answers.times[number]
    gone: list[ExplainedRow] = []
    came: list[ExplainedRow] = []
    for view, feature in behind:
        lost, new = _changes(view, feature, inquiry.rows_for(view, number), t)
        gone += lost
        came += new
    if gone:
        why = f"It counted {count_of(len(gone), 'row')} that no longer holds."
        return Cause(CORRECTED, why, (*gone, *came))
    why = f"It could not know {count_of(len(came), 'row')}."
    return Cause(LATE, why, tuple(came))


def _not_as_known(inquiry: Inquiry, number: int, output: Output) -> Cause:
    """Return why the online path gave something else than history has for that moment."""
    verdict = inquiry.verdict(number, output)
    t = inquiry.answers.times[number]
    if verdict.why in (LACKS_NEWEST, LACKS_ONE) or verdict.in_flight:
        near = bool(verdict.rows) and all(row.known > t - GRACE for row in verdict.rows)
        name = IN_FLIGHT if near and verdict.in_flight else STALE
        return Cause(name, SAYS[name], verdict.rows)
    if verdict.why == COUNTS_UNKNOWN:
        return Cause(AHEAD, SAYS[AHEAD], verdict.rows)
    return Cause(UNEXPLAINED, f"{SAYS[UNEXPLAINED]} {verdict.why}", verdict.rows)


def _changes(
    view: FeatureView, feature: str, rows: Sequence[HistoryRow], t: int
) -> tuple[list[ExplainedRow], list[ExplainedRow]]:
    """Return rows that counted at ``t`` and were taken back since, and those that came since."""
    gone: dict[int, ExplainedRow] = {}
    came: dict[int, ExplainedRow] = {}
    for leaf in view.expressions[feature].leaves():
        if not isinstance(leaf, Aggregate):
            continue
        before = {id(row): verdict for row, verdict in explain_rows(leaf, view, rows, t, t)}
        for row, after in explain_rows(leaf, view, rows, t, None):
            was = before[id(row)]
            if was == "counted" and after == "superseded by a correction":
                gone.setdefault(id(row), explained(leaf, row, after))
            elif was == "not yet known" and after == "counted":
                came.setdefault(id(row), explained(leaf, row, after))
    return list(gone.values()), list(came.values())
