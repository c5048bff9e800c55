"""What is held of a subject: rows of sources, values now, what was set aside, served, trained on.

    report = subject(fs.runtime, fs.audit, {"card_id": "c1"})
    report.to_dict()["rows"]["pays"]

Rows are those of every source that a view has keyed by the entity, every version of each, deletions
among them. What else may name a person (free text, other columns, request fields, files elsewhere)
nobody can tell from a key: `NOT_LOOKED_AT` says so beside every report.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.audit.audit import Audit
from skewless.audit.events import subjects_named
from skewless.audit.search import Found, Search
from skewless.clock import ALWAYS, Now, iso
from skewless.codec import to_json
from skewless.definitions import Entity, FeatureView
from skewless.engines.reference import HistoryRow
from skewless.errors import InputError, UnknownName
from skewless.explain.entity_rows import entity_rows, key_of
from skewless.ingest.quarantine import MOST, quarantined
from skewless.online.runtime import Runtime
from skewless.parity.served import lines_of
from skewless.plan.apply.registry_state import RegistryState
from skewless.state.status import Status
from skewless.stores.offline.as_table import as_table
from skewless.training.records import TrainingSetRecord, training_sets

NOT_LOOKED_AT = (
    "backups, exports and copies of files",
    "models, and training sets that were written elsewhere",
    "spines of training sets that are not kept where they were",
    "columns that no view has as a join key, and free text",
    "rows that are kept of removed sources (skewless rows), older formats of states",
    "profiles and drift, which hold values without their entities",
    "what streams, warehouses and other sources hold themselves",
    "served logs and audits of other hosts",
)
"""What may name a subject and is not in a report."""


@dataclass(frozen=True)
class SubjectReport:
    """All that a repo holds of one entity.

    Attributes:
        entity: its name.
        key: its join keys.
        at: the moment, UTC microseconds.
        rows: by source, every version of each row: its columns, when known, whether it takes away.
        values: by feature, its value, status and event time online.
        quarantine: by source, rows that were set aside and name the subject.
        served: lines of the served log.
        training: training sets whose spine names the subject, by id; None: the spine is not there.
        accesses: what the audit has; None: there is none.
    """

    entity: str
    key: Mapping[str, Any]
    at: int
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    values: dict[str, dict[str, Any]] = field(default_factory=dict)
    quarantine: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    served: list[dict[str, Any]] = field(default_factory=list)
    training: dict[str, bool | None] = field(default_factory=dict)
    accesses: list[Found] | None = None

    @property
    def is_known(self) -> bool:
        """Whether anything was found, accesses apart."""
        held = [*self.rows.values(), *self.quarantine.values(), self.served]
        online = any(each["status"] != Status.UNKNOWN for each in self.values.values())
        return online or any(held) or any(self.training.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data, its values as JSON has them."""
        accesses = None if self.accesses is None else [each.to_dict() for each in self.accesses]
        return {
            "entity": self.entity,
            "key": to_json(dict(self.key)),
            "at": iso(self.at),
            "known": self.is_known,
            "rows": self.rows,
            "values": self.values,
            "quarantine": self.quarantine,
            "served": self.served,
            "training_sets": self.training,
            "accesses": accesses,
            "not_looked_at": list(NOT_LOOKED_AT),
        }

    def places(self) -> Iterator[tuple[str, str, str]]:
        """Yield what was looked at, how much of the subject is there, and what to know of it."""
        for source, rows in self.rows.items():
            times = [row["event_time"] for row in rows if row["event_time"]]
            span = f"{min(times)[:10]} to {max(times)[:10]}" if times else ""
            yield f"rows of source {source}", f"{len(rows):,}", span
        known = sum(each["status"] != "unknown" for each in self.values.values())
        yield "features online", f"{known:,}", f"of {len(self.values):,}"
        for source, aside in self.quarantine.items():
            yield f"quarantine of {source}", f"{len(aside):,}", ""
        yield "answers in the served log", f"{len(self.served):,}", ""
        named = sum(bool(has) for has in self.training.values())
        lost = sum(has is None for has in self.training.values())
        yield "training sets", f"{named:,}", f"{lost:,} whose spine is not there" if lost else ""
        if self.accesses is not None:
            actors = sorted({each.actor for each in self.accesses})
            yield "accesses on record", f"{len(self.accesses):,}", ", ".join(actors[:5])


def entity_of(state: RegistryState, key: Mapping[str, Any]) -> str:
    """Return the name of the entity that has some join keys.

    Raises:
        UnknownName: none has.
        InputError: several have.
    """
    found = [name for name, each in state.entities.items() if set(each.key_names) == set(key)]
    if not found:
        known = ["+".join(each.key_names) for each in state.entities.values()]
        raise UnknownName.of("join key", "+".join(key), known, where=state.place)
    if len(found) > 1:
        raise InputError("several entities have these join keys", got=", ".join(found),
                         hint="Name one: entity=, or --entity.")  # fmt: skip
    return found[0]


def subject(runtime: Runtime, audit: Audit, given: Mapping[str, Any], name: str) -> SubjectReport:
    """Return what a repo holds of an entity.

    Args:
        runtime: the open repo.
        audit: of the repo.
        given: its join keys.
        name: of the entity.

    Raises:
        UnknownName: no such entity.
        MissingColumn, InputError: join keys are missing or of another type.
    """
    state = runtime.state(fresh=True)
    if name not in state.entities:
        raise UnknownName.of("entity", name, state.entities, where=state.place)
    entity = state.entities[name]
    key = _checked(entity, given)
    report = SubjectReport(name, key, runtime.clock.now())
    views = list(_views(state, entity))
    asked = {view.asked_entity.key_names for view in views} | {entity.key_names}
    columns: dict[str, set[tuple[str, ...]]] = {}
    for view in views:
        place = (view.source.name, view.row_entity.key_names)
        if place[1] not in columns.setdefault(place[0], set()):
            columns[place[0]].add(place[1])
            found = _rows(runtime, view, _as_asked(view, key))
            report.rows.setdefault(place[0], []).extend(map(_row, found))
    for source, names in columns.items():
        if aside := [each for n in names for each in _set_aside(runtime, source, n, key)]:
            report.quarantine[source] = aside
    report.values.update(_values(runtime, state, views, key))
    report.served.extend(_served(runtime, asked, key))
    for record in training_sets(runtime.ledger):
        report.training[record.id] = _trained_on(record, asked, key)
    if not audit.is_on:
        return report
    hashes = subjects_named([entity], key, audit.keyed)
    return _with_accesses(report, Search(audit).who_read(list(hashes.values())))


def _with_accesses(report: SubjectReport, found: list[Found]) -> SubjectReport:
    return SubjectReport(**{**vars(report), "accesses": found})


def _checked(entity: Entity, given: Mapping[str, Any]) -> dict[str, Any]:
    where = f"the key of entity {entity.name!r}"
    if set(given) != set(entity.key_names):
        raise InputError("not the join keys", got=", ".join(given) or "nothing",
                         expected=", ".join(entity.key_names), where=where)  # fmt: skip
    try:
        return {key: dtype.coerce(given[key]) for key, dtype in entity.join_keys}
    except ValueError as problem:
        raise InputError(f"a join key of another type: {problem}", where=where) from None


def _views(state: RegistryState, entity: Entity) -> Iterator[FeatureView]:
    """Yield the views that serve and describe an entity that is asked for, roles among them."""
    for view in state.views.values():
        if view.entity.stored == entity.stored and not view.constants:
            yield view


def _as_asked(view: FeatureView, key: Mapping[str, Any]) -> dict[str, Any]:
    return dict(zip(view.asked_entity.key_names, key.values(), strict=True))


def _rows(runtime: Runtime, view: FeatureView, asked: Mapping[str, Any]) -> list[HistoryRow]:
    history = runtime.history(view.source)
    return entity_rows(history, view.row_entity, key_of(view, asked))


def _row(row: HistoryRow) -> dict[str, Any]:
    return {
        "values": to_json(dict(row.values)),
        "event_time": None if row.event is None else iso(row.event),
        "known_time": None if row.known == ALWAYS else iso(row.known),
        "taken_away": row.deleted,
    }


def _values(
    runtime: Runtime, state: RegistryState, views: list[FeatureView], key: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return what is online of the current versions of views, by feature."""
    found: dict[str, dict[str, Any]] = {}
    for view in {view.name: view for view in views}.values():
        reader = runtime.reader
        references = [f"{view.name}:{feature}" for feature in state.view(view.name).features]
        lookup = reader.lookup(references, True)
        row, now = _as_asked(view, key), Now(runtime.clock.now())
        (values,), (statuses,), (events,) = reader.read(lookup, [row], now)
        for output, value, status, event in zip(
            lookup.selection.outputs, values, statuses, events, strict=True
        ):
            time = None if event is None else iso(event)
            found[output.reference] = {
                "value": to_json(value), "status": status.value, "event_time": time
            }  # fmt: skip
    return found


def _set_aside(
    runtime: Runtime, source: str, names: tuple[str, ...], key: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Yield quarantined rows that name the subject, by their columns or else by their text."""
    wanted = dict(zip(names, to_json(dict(key)).values(), strict=True))
    for each in quarantined(runtime, source, MOST):
        held: Any = None
        with suppress(ValueError):
            held = json.loads(each.values)
        if isinstance(held, dict):
            has = all(held.get(name) == value for name, value in wanted.items())
        else:  # cut off, or no JSON
            has = all(str(value) in each.values for value in wanted.values())
        if has:
            yield {"at": iso(each.at), "reason": each.reason, "values": each.values}


def _served(
    runtime: Runtime, asked: set[tuple[str, ...]], key: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    folder = runtime.config.folder / ".skewless" / "served"
    if not any(folder.glob("served-*.jsonl")):
        return
    values = list(to_json(dict(key)).values())
    wanted = [dict(zip(names, values, strict=True)) for names in asked]
    for _, line in lines_of(folder):
        entity = line["entity"]
        if any(all(entity.get(n) == v for n, v in each.items()) for each in wanted):
            yield line


def _trained_on(
    record: TrainingSetRecord, asked: set[tuple[str, ...]], key: Mapping[str, Any]
) -> bool | None:
    """Return whether the spine of a training set names the subject; None: it is not there."""
    if not record.spine or not Path(record.spine).exists():
        return None
    try:
        spine = as_table(record.spine, where="the spine")
    except InputError:
        return None
    for names in asked:
        if set(names) <= set(spine.column_names):
            columns = [spine[name].to_pylist() for name in names]
            if tuple(key.values()) in set(zip(*columns, strict=True)):
                return True
    return False
