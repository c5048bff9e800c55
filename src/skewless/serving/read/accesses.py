"""Puts reads of a server on record: who asked, for what, which features of whom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextvars import ContextVar

from skewless.audit.audit import Audit
from skewless.audit.events import OK, READ, REFUSED, Access, FeatureList
from skewless.plan.selection import Selection
from skewless.request_errors import Forbidden
from skewless.serving.operate.keys import Caller
from skewless.serving.read.plans import ReadPlan, Row
from skewless.serving.read.served_log import REQUEST

PURPOSE = b"x-purpose"
"""The header that says what a read is for."""
MOST_PURPOSE = 200
NOBODY = "anybody"
"""Who acts where no key is needed, or one that names nobody."""
_purpose: ContextVar[str] = ContextVar("purpose", default="")


def begin(headers: Mapping[bytes, bytes], request_id: bytes) -> None:
    """Remember what is said of a request beside its body."""
    REQUEST.set(request_id)
    said = headers.get(PURPOSE)
    _purpose.set("" if said is None else said[:MOST_PURPOSE].decode("utf-8", "replace"))


def note_read(audit: Audit, caller: Caller, plan: ReadPlan, entities: Sequence[Row]) -> None:
    """Note a read that is answered."""
    features, subjects = audit.about(plan.lookup)
    about = None if plan.masks is None else {"masked": len(plan.masks.places)}
    who, purpose, request = caller.who or NOBODY, _purpose.get(), REQUEST.get().decode("latin-1")
    count = len(entities)
    audit.note(
        Access(READ, who, features, subjects, entities, count, OK, purpose, request, 0, about)
    )


def note_refused(audit: Audit, caller: Caller, selection: Selection, problem: Forbidden) -> None:
    """Note a read that grants refuse."""
    access = Access(READ, caller.who or NOBODY, FeatureList.of_selection(selection))
    access.outcome = f"{REFUSED}: {problem.got or problem.what}"
    access.purpose, access.request = _purpose.get(), REQUEST.get().decode("latin-1")
    audit.note(access)
