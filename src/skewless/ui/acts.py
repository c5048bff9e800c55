"""What can be done in the catalogue: acknowledge, silence, deprecate, and take that back.

Each act is asked for once more before it is done, and stands in the ledger under the name of who
runs the catalogue. Acknowledging and silencing are those of alerts: what is silenced here is told
to nobody, and what ``skewless alert silence`` holds back lies apart here. Other acts are of kind
``act``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from skewless.access.actors import caller
from skewless.alerts.alerts import (
    ACKNOWLEDGED,
    HOLDS,
    SILENCE,
    acknowledgements,
    look_after,
    open_alerts,
    silences,
)
from skewless.clock import iso
from skewless.durations import format_duration, parse_duration
from skewless.errors import InputError, UnknownName
from skewless.formatting import ago
from skewless.ledger.ledger import Ledger
from skewless.ledger.lines import Record
from skewless.online.runtime import Runtime
from skewless.ui.attention import Need
from skewless.ui.site import Site

KIND = "act"
MOST = parse_duration("30d")
"""The longest silence."""
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
        carry_out: does it, and puts it into the ledger.
    """

    title: str
    says: str
    fields: tuple[Field, ...]
    button: str
    carry_out: Callable[[Site, Fields], None]


@dataclass(frozen=True)
class Done:
    """An act that was done.

    Attributes:
        act: its name.
        of: what it was done to; ``view/rule`` where that is an alert.
        at: when, UTC microseconds.
        who: did it.
        note: why.
        until: when a silence ends, UTC microseconds; 0 of other acts.
    """

    act: str
    of: str
    at: int
    who: str
    note: str = ""
    until: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data, times in ISO 8601."""
        return vars(self) | {"at": iso(self.at), "until": iso(self.until) if self.until else None}


def done(ledger: Ledger, since: int) -> list[Done]:
    """Return what was done since a moment, here or by commands, newest first."""
    records = ledger.records(kinds=[KIND, SILENCE, ACKNOWLEDGED], since=since)
    return [_done(record) for record in records][::-1]


def _done(record: Record) -> Done:
    said = record.data
    if record.kind == SILENCE:
        return Done("silence", said["of"], record.at, said["who"], said["why"], said["until"])
    if record.kind == ACKNOWLEDGED:
        of = said["key"].partition("/")[2]
        return Done("acknowledge", of, record.at, said["who"], said.get("why", ""))
    return Done(said["act"], said["of"], record.at, said["who"], said["note"])


def marked(runtime: Runtime, needs: Iterable[Need]) -> list[Need]:
    """Return needs with who has acknowledged each, and until when it is silenced.

    It is what alerts know (`skewless.alerts`): where an alert of it is open, an acknowledgement
    holds as long as that; else for a day. Those that wait for somebody come first, those that are
    silenced last.
    """
    now = runtime.clock.now()
    silent, known = silences(runtime.ledger, now), acknowledgements(runtime.ledger)
    opened = {each.key: each.heeded or each.opened for each in open_alerts(runtime)}

    def mark(need: Need) -> Need:
        key = f"{runtime.config.project}/{need.key}"
        quiet = [each for each in silent if each.covers(need.of, need.rule)]
        said = known.get(key)
        if quiet:
            last = max(quiet, key=lambda each: each.until)
            return replace(need, silenced_until=iso(last.until), by=last.who, note=last.why)
        if said and said.at >= opened.get(key, max(need.since, now - HOLDS + 1)):
            told = f"{said.who}, {ago(now - said.at)} ago"
            return replace(need, acknowledged=told, by=said.who, note=said.why)
        return need

    found = map(mark, needs)
    return sorted(found, key=lambda need: (bool(need.silenced_until), bool(need.acknowledged)))


def act_of(name: str) -> Act:
    """Return an act by its name.

    Raises:
        UnknownName: there is none of the name.
    """
    if name not in ACTS:
        raise UnknownName.of("act", name, ACTS, where="the catalogue")
    return ACTS[name]


def carry_out(site: Site, name: str, given: Fields) -> None:
    """Do something, which puts it into the ledger.

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
    act.carry_out(site, given)


def _acknowledge(site: Site, given: Fields) -> None:
    look_after(site.runtime, given["of"], who=caller(), why=_note_of(given))


def _silence(site: Site, given: Fields) -> None:
    lasts = given["lasts"].strip()
    if not 0 <= parse_duration(lasts) <= MOST:
        raise InputError("a silence of this length", got=given["lasts"],
                         expected=f"at most {format_duration(MOST)}")  # fmt: skip
    site.store.silence(given["of"], lasts, who=caller(), why=_note_of(given))


def _note_of(given: Fields) -> str:
    return given.get("note", "").strip()


def _record(site: Site, name: str, given: Fields, note: str) -> None:
    about = {"act": name, "of": given["of"], "who": caller(), "note": note}
    site.runtime.ledger.append([(KIND, about)])


def _deprecate(site: Site, given: Fields) -> None:
    sunset = given.get("sunset", "").strip()
    try:
        day = date.fromisoformat(sunset) if sunset else None
    except ValueError:
        raise InputError("no date", got=sunset, expected="2027-06-30") from None
    reason = given["note"].strip()
    site.runtime.registry.deprecate(given["of"], reason, sunset=day, who=caller())
    site.runtime.state(fresh=True)
    _record(site, "deprecate", given, f"{reason} (until {sunset})" if sunset else reason)


def _accept(site: Site, given: Fields) -> None:
    reference = given["reference"].strip()
    site.store.accept_reference(given["of"], reference, who=caller(), why=_note_of(given))
    _record(site, "accept", given, f"{reference} {_note_of(given)}".strip())


def _restore(site: Site, given: Fields) -> None:
    site.runtime.registry.deprecate(given["of"], "", sunset=None, who=caller())
    site.runtime.state(fresh=True)
    _record(site, "restore", given, _note_of(given))


_NOTE = Field("note", "Note", "for those who look after you")
ACTS: Mapping[str, Act] = {
    "acknowledge": Act(
        "Acknowledge {of}",
        "Others see that you look after it, and nobody is reminded of its alert. It stays on the"
        " first page.",
        (_NOTE,), "Acknowledge", _acknowledge,
    ),
    "silence": Act(
        "Silence {of}",
        "Nobody is told of it, and it lies apart on the first page, until the time is over. Nothing"
        " is repaired by that.",
        (Field("lasts", "For", "30m, 8h, 7d; 0s ends it", "8h", required=True), _NOTE),
        "Silence", _silence,
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
