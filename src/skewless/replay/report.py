"""What `FeatureStore.replay` gives back: answers with what history says of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from skewless.clock import iso
from skewless.codec import to_json
from skewless.explain.report import ExplainedRow
from skewless.formatting import Drawn, aligned, count_of, shown
from skewless.replay.causes import RIGHT, SAME, SAYS, Cause

_ROWS = 12
NOT_LOGGED = "not logged"
"""The status of a value of which nobody knows what was served."""


@dataclass(frozen=True)
class ReplayedValue:
    """One value: as it was served, and as history gives it.

    Attributes:
        feature: its full reference.
        served: what the served log has.
        status: likewise; `NOT_LOGGED` where the log has nothing.
        then: what history gives for the moment, of what was known then.
        since: what it gives for the moment, of what is known by now.
        cause: why they are not the same, or that they are.
        today: the reference of the version of now, where that is another, and what it gives.
    """

    feature: str
    served: Any
    status: str
    then: Any
    since: Any
    cause: Cause
    today: tuple[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the value as plain data."""
        return {
            "feature": self.feature,
            "served": to_json(self.served),
            "status": self.status,
            "known_then": to_json(self.then),
            "known_now": to_json(self.since),
            "cause": self.cause.name,
            "why": self.cause.why,
            "right_then": self.cause.name in RIGHT,
            "today": None
            if self.today is None
            else {"feature": self.today[0], "value": to_json(self.today[1])},
        }


@dataclass(frozen=True)
class Reason:
    """Why values are not what they were served as: those of one cause and the same rows.

    Attributes:
        cause: their cause.
        values: they.
    """

    cause: Cause
    values: tuple[ReplayedValue, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the reason as plain data; the newest rows come first."""
        meaning = SAYS[self.cause.name]
        return {
            "cause": self.cause.name,
            "right_then": self.cause.name in RIGHT,
            "means": meaning,
            "why": self.cause.why.removeprefix(meaning).strip(),
            "features": [value.feature for value in self.values],
            "today": [
                {"feature": value.today[0], "value": to_json(value.today[1])}
                for value in self.values
                if value.today is not None
            ],
            "rows": [row.to_dict() for row in self.rows],
        }

    @property
    def rows(self) -> list[ExplainedRow]:
        """The rows responsible, newest first."""
        return sorted(self.cause.rows, key=lambda row: (row.event, row.known), reverse=True)

    def lines(self) -> Iterator[str]:
        """Yield the reason as lines of text."""
        said = self.to_dict()
        yield f"  {', '.join(said['features'])}: {said['cause']}"
        yield f"    {said['means']} {said['why']}".rstrip()
        yield from (f"    {each['feature']} gives {each['value']}." for each in said["today"])
        if rows := self.rows:
            head = ("event time", "known time", "value", "by now")
            body = [(iso(row.event), iso(row.known), row.value, row.verdict) for row in rows]
            yield aligned([head, *body[:_ROWS]], indent=6)
            if len(rows) > _ROWS:
                yield f"      and {len(rows) - _ROWS} older rows"


@dataclass(frozen=True)
class ReplayedRead:
    """The answer for one entity.

    Attributes:
        request: the id of the request; empty where it is not known.
        at: the moment, UTC microseconds.
        entity: join keys and request fields.
        values: one for each feature.
    """

    request: str
    at: int
    entity: Mapping[str, Any]
    values: tuple[ReplayedValue, ...]

    @property
    def reasons(self) -> list[Reason]:
        """Why values are not what they were served as; values with the same rows together."""
        found: dict[Any, list[ReplayedValue]] = {}
        for value in self.values:
            if (cause := value.cause).name != SAME:
                rows = tuple((row.event, row.known, repr(row.values)) for row in cause.rows)
                found.setdefault((cause.name, cause.why, rows), []).append(value)
        return [Reason(values[0].cause, tuple(values)) for values in found.values()]

    def to_dict(self) -> dict[str, Any]:
        """Return the answer as plain data."""
        return {
            "request": self.request,
            "at": iso(self.at),
            "entity": to_json(dict(self.entity)),
            "values": [value.to_dict() for value in self.values],
            "reasons": [reason.to_dict() for reason in self.reasons],
        }


@dataclass(frozen=True)
class Affected:
    """Which other answers of the served log have the same fault.

    Attributes:
        fault: ``changed since``, ``wrong when served`` or ``building``.
        source: whose features they are.
        answers: how many.
        requests: of how many requests.
        entities: of how many entities.
        looked_at: how many answers with features of the source were computed again.
        examples: ids of some of the requests.
    """

    fault: str
    source: str
    answers: int
    requests: int
    entities: int
    looked_at: int
    examples: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = f"{self.fault}, of {self.source}: "
        if not self.answers:
            return f"{text}none of {count_of(self.looked_at, 'other answer')}"
        such = f", such as {', '.join(self.examples)}" if self.examples else ""
        return (
            f"{text}{count_of(self.answers, 'other answer')} of {self.looked_at:,}"
            f" ({count_of(self.requests, 'request')}, {self.entities:,} "
            f"{'entity' if self.entities == 1 else 'entities'}){such}"
        )


@dataclass(frozen=True)
class Replay(Drawn):
    """A request, computed again.

    Attributes:
        asked: the request id, or the entity and the time.
        reads: an answer for each entity of it.
        affected: what else has the same fault, within ``start`` and ``end``.
        start: the first moment of the served log that was looked at, UTC microseconds.
        end: the last.
        notes: what could not be looked at.
    """

    asked: str
    reads: tuple[ReplayedRead, ...]
    affected: tuple[Affected, ...] = ()
    start: int = 0
    end: int = 0
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every value was right when it was served."""
        return all(v.cause.name in RIGHT for read in self.reads for v in read.values)

    @property
    def causes(self) -> list[str]:
        """The causes that were found, but that all is the same."""
        found = (value.cause.name for read in self.reads for value in read.values)
        return [name for name in dict.fromkeys(found) if name != SAME]

    def to_dict(self) -> dict[str, Any]:
        """Return the replay as plain data."""
        return {
            "asked": self.asked,
            "ok": self.ok,
            "causes": self.causes,
            "reads": [read.to_dict() for read in self.reads],
            "affected": [vars(each) | {"examples": list(each.examples)} for each in self.affected],
            "looked_from": iso(self.start),
            "looked_until": iso(self.end),
            "notes": list(self.notes),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        yield self.asked
        for read in self.reads:
            key = ", ".join(f"{name} = {shown(value)}" for name, value in read.entity.items())
            yield ""
            yield f"{key} at {iso(read.at)}" + (f", request {read.request}" if read.request else "")
            yield ""
            head = ("feature", "served", "status", "known then", "known now", "cause")
            body = [(v.feature, v.served, v.status, v.then, v.since, v.cause.name)
                    for v in read.values]  # fmt: skip
            yield aligned([head, *body], indent=2)
            for reason in read.reasons:
                yield ""
                yield from reason.lines()
        if self.affected:
            yield ""
            yield f"Of what was served from {iso(self.start)} to {iso(self.end)}:"
            yield from (f"  {each}" for each in self.affected)
        yield from (f"Note: {note}" for note in self.notes)
