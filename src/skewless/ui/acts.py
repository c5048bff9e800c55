"""What can be done in the catalogue: acknowledge, silence, deprecate, and take that back.

Each act is asked for once more before it is done, and stands in the ledger (kind ``act``) under the
name of who runs the catalogue. An act that was done is seen where it matters: a need that somebody
has acknowledged says by whom, one that is silenced lies apart until its time is over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from skewless.clock import iso
from skewless.durations import format_duration, parse_duration
from skewless.errors import InputError, UnknownName
from skewless.formatting import ago
from skewless.ledger.ledger import Ledger
from skewless.registry.base import caller
from skewless.ui.attention import Need
from skewless.ui.site import Site

KIND = "act"
MOST = parse_duration("30d")
"""The longest silence."""
HOLDS = parse_duration("1d")
"""So long an acknowledgement holds: what is still broken then wants somebody anew."""
MOST_WORDS = 500
Fields = Mapping[str, str]


@dataclass(frozen=True)
class Field:
    """One field of the form of an act.

    Attributes:
        name: of the field.
        words: what it asks.
        hint: how it is written.
        given: what it holds at first.
        required: whether it may not be empty.
    """

    name: str
    words: str
    hint: str = ""
    given: str = ""
    required: bool = False


@dataclass(frozen=True)
class Act:
    """Something that can be done.

    Attributes:
        title: what it is called, with ``{of}`` for what it is done to.
        says: what it does, in a sentence.
        fields: what is asked.
        button: the word on the button.
        carry_out: does it, and returns what the ledger says of it.
    """

    title: str
    says: str
    fields: tuple[Field, ...]
    button: str
    carry_out: Callable[[Site, Fields], dict[str, Any]]


@dataclass(frozen=True)
class Done:
    """An act that was done.

    Attributes:
        act: its name.
        of: what it was done to.
        kind: of a need: what was wrong.
        at: when, UTC microseconds.
        who: did it.
        note: why.
        until: when a silence ends, UTC microseconds; 0 of other acts.
    """

    act: str
    of: str
    kind: str
    at: int
    who: str
    note: str = ""
    until: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, times in ISO 8601."""
        return vars(self) | {"at": iso(self.at), "until": iso(self.until) if self.until else None}


def done(ledger: Ledger, since: int) -> list[Done]:
    """Return what was done since a moment, newest first."""
    found = [
        Done(at=record.at, **record.data) for record in ledger.records(kinds=[KIND], since=since)
    ]
    return found[::-1]


def marked(needs: Iterable[Need], acts: list[Done], now: int) -> list[Need]:
    """Return needs with who has acknowledged each, and until when it is silenced.

    Those that wait for somebody come first, those that are silenced last.
    """
    found = [_marked(need, acts, now) for need in needs]
    return sorted(found, key=lambda need: (bool(need.silenced_until), bool(need.acknowledged)))


def _marked(need: Need, acts: list[Done], now: int) -> Need:
    """Return a need with the newest act about it, where that still holds."""
    for act in acts:
        if (act.kind, act.of) != (need.kind, need.what) or act.at < need.since:
            continue
        if act.act == "silence" and act.until > now:
            return replace(need, silenced_until=iso(act.until), by=act.who, note=act.note)
        if act.act == "acknowledge" and now - act.at < HOLDS:
            told = f"{act.who}, {ago(now - act.at)} ago"
            return replace(need, acknowledged=told, by=act.who, note=act.note)
        break
    return need


def act_of(name: str) -> Act:
    """Return an act by its name.

    Raises:
        UnknownName: there is none of the name.
    """
    if name not in ACTS:
        raise UnknownName.of("act", name, ACTS, where="the catalogue")
    return ACTS[name]


def carry_out(site: Site, name: str, given: Fields) -> Done:
    """Do something, and put it into the ledger.

    Raises:
        InputError: a field is empty or wrong.
        StoreError: the registry or the ledger cannot be written.
    """
    act = act_of(name)
    for field in act.fields:
        text = given.get(field.name, "").strip()
        if len(text) > MOST_WORDS:
            raise InputError(f"{field.words}: too long", expected=f"{MOST_WORDS} characters")
        if field.required and not text:
            raise InputError(f"{field.words}: nothing was said", where=name)
    if not given.get("of"):
        raise InputError("what it is done to was not said", where=name)
    about: dict[str, Any] = {
        "act": name, "of": given["of"], "kind": given.get("kind", ""), "who": caller(),
        "note": given.get("note", "").strip(), "until": 0,
    }  # fmt: skip
    about |= act.carry_out(site, given)
    (record,) = site.runtime.ledger.append([(KIND, about)])
    return Done(at=record.at, **about)


def _acknowledge(site: Site, given: Fields) -> dict[str, Any]:
    del site, given
    return {}


def _silence(site: Site, given: Fields) -> dict[str, Any]:
    lasts = parse_duration(given["lasts"].strip())
    if not 0 < lasts <= MOST:
        raise InputError("a silence of this length", got=given["lasts"],
                         expected=f"at most {format_duration(MOST)}")  # fmt: skip
    return {"until": site.now() + lasts}


def _deprecate(site: Site, given: Fields) -> dict[str, Any]:
    sunset = given.get("sunset", "").strip()
    try:
        day = date.fromisoformat(sunset) if sunset else None
    except ValueError:
        raise InputError("no date", got=sunset, expected="2027-06-30") from None
    reason = given["note"].strip()
    site.runtime.registry.deprecate(given["of"], reason, sunset=day, who=caller())
    site.runtime.state(fresh=True)
    return {"note": f"{reason} (until {sunset})" if sunset else reason}


def _accept(site: Site, given: Fields) -> dict[str, Any]:
    reference = given["reference"].strip()
    site.store.accept_reference(given["of"], reference, who=caller(), why=given.get("note", ""))
    return {"note": f"{reference} {given.get('note', '').strip()}".strip()}


def _restore(site: Site, given: Fields) -> dict[str, Any]:
    site.runtime.registry.deprecate(given["of"], "", sunset=None, who=caller())
    site.runtime.state(fresh=True)
    return {}


_NOTE = Field("note", "Note", "for those who look after you")
ACTS: Mapping[str, Act] = {
    "acknowledge": Act(
        "Acknowledge {of}",
        "Others see that you look after it, for a day; it stays on the first page.",
        (_NOTE,), "Acknowledge", _acknowledge,
    ),
    "silence": Act(
        "Silence {of}",
        "It lies apart on the first page until the time is over. Nothing is repaired by that.",
        (Field("lasts", "For", "30m, 8h, 7d", "8h", required=True), _NOTE), "Silence", _silence,
    ),
    "deprecate": Act(
        "Deprecate {of}",
        "It is served as before. Who finds it, plans with it or serves it is told the reason, and"
        " search puts it below what the reason names. The registry goes on by one revision.",
        (
            Field("note", "Reason", "use Spend:total_24h", required=True),
            Field("sunset", "Last day", "2027-06-30, or empty"),
        ),
        "Deprecate", _deprecate,
    ),
    "accept": Act(
        "Accept another reference for {of}",
        "Its features are compared with this from the next run on. What drifted may be what they"
        " are by now, or a fault that is then no longer told: look before you accept.",
        (
            Field("reference", "Reference", "trailing, weekday, training:ID, day:2026-01-31",
                  "trailing", required=True),
            _NOTE,
        ),
        "Accept", _accept,
    ),
    "restore": Act(
        "No longer deprecate {of}",
        "The notice is taken back. The registry goes on by one revision.",
        (_NOTE,), "Take it back", _restore,
    ),
}  # fmt: skip
"""Name to what can be done."""
