"""A request is replayed: what was served, what history gives, why they differ, and who else is hit.

    print(replay(runtime, request="5f1c0e7a9b21-7", served=folder))

What was served stands in the served log, under the id that the answer carried. History gives the
value twice, by the engine of training sets: of what was known at the moment, and of what is known
by now. Where these or the served value differ, the rows responsible are looked for
(`skewless.replay.causes`), and the answers about it in the served log are compared in the same way.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from skewless.codec import to_json
from skewless.definitions.references import split_reference
from skewless.durations import parse_duration
from skewless.errors import InputError, UnknownName
from skewless.explain.store_view import StoreView
from skewless.formatting import same_bits, shown
from skewless.parity.compare import Inquiry, recompute
from skewless.parity.report import ParityReport
from skewless.parity.served import Answers, read_log
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.selection import Selection, select
from skewless.replay.causes import (
    BUILDING,
    CHANGED,
    CHANGED_SINCE,
    FAULTS,
    SAME,
    SAYS,
    Behind,
    Cause,
    cause_of,
    changed_since,
)
from skewless.replay.report import NOT_LOGGED, Affected, Replay, ReplayedRead, ReplayedValue
from skewless.state.status import UNTOLD, Status

AROUND = parse_duration("1d")
"""So long before and after the moment the served log is looked at for others."""
MOST_ANSWERS = 200_000
_ALL = 1 << 60
_EXAMPLES = 5


def replay(
    runtime: StoreView,
    served: Path,
    *,
    request: str = "",
    entity: Mapping[str, Any] | None = None,
    at: int | None = None,
    features: Sequence[str] | None = None,
    around: int = AROUND,
) -> Replay:
    """Return what became of a request; see `FeatureStore.replay`.

    Args:
        runtime: the open repo.
        served: the folder, or a file, of the served log.
        request: its id; or, in place of it:
        entity: join keys and request fields.
        at: the moment, UTC microseconds: the newest answer at or before it; None: the newest.
        features: that are asked for where the served log has no answer for the entity.
        around: so long before and after the moment others are looked for, microseconds.
    """
    state = runtime.state(fresh=True)
    skipped: Counter[str] = Counter()
    if request:
        asked = f"Request {request}"
        pieces = _of_request(served, state, skipped, request)
    else:
        asked = f"The answer for {_words(entity or {})}"
        pieces = _of_entity(runtime, served, skipped, entity or {}, at=at, features=features)
    reads: list[ReplayedRead] = []
    faults: dict[str, set[str]] = defaultdict(set)
    for answers in pieces:
        reads += _replayed(runtime, state, answers, faults)
    moments = [read.at for read in reads]
    start, end = min(moments) - around, max(moments) + around
    notes = [f"{count:,} answers {reason} were left out" for reason, count in skipped.items()]
    affected: tuple[Affected, ...] = ()
    if faults and reads and reads[0].values and reads[0].values[0].status != NOT_LOGGED:
        own = {(read.request, read.at, _words(read.entity)) for read in reads}
        affected = _others(runtime, served, faults, own, (start, end))
        if sum(each.looked_at for each in affected) >= MOST_ANSWERS:
            notes.append(f"no more than {MOST_ANSWERS:,} other answers were looked at")
    return Replay(asked, tuple(reads), affected, start, end, tuple(notes))


# --------------------------------------------------------------------------- what was asked for


def _of_request(
    served: Path, state: RegistryState, skipped: Counter[str], request: str
) -> list[Answers]:
    found = list(read_log(served, state, skipped, wanted=lambda x: x.get("request") == request))
    if found:
        return found
    if skipped:
        raise UnknownName(
            f"request {request!r} was for features that are no longer served", where=str(served)
        )
    raise UnknownName(
        f"the served log has no request {request!r}",
        where=str(served),
        hint="Only a sample of entities is logged: skewless serve --served-log 1 logs all."
        " Or say whose value: skewless replay KEY=VALUE --at TIME",
    )


def _of_entity(
    runtime: StoreView,
    served: Path,
    skipped: Counter[str],
    entity: Mapping[str, Any],
    *,
    at: int | None,
    features: Sequence[str] | None,
) -> list[Answers]:
    """Return the newest answer for an entity; where there is none, what would be asked."""
    state = runtime.state()
    keys = {name: to_json(value) for name, value in entity.items()}
    wanted = None if features is None else set(_references(state, features))

    def fits(line: Mapping[str, Any]) -> bool:
        held = line["entity"]
        if at is not None and line["at"] > at:
            return False
        if wanted is not None and not wanted & set(line["features"]):
            return False
        return all(name in held and str(held[name]) == str(keys[name]) for name in keys)

    newest: Answers | None = None
    place = -1
    if served.exists():
        for answers in read_log(served, state, skipped, wanted=fits):
            last = max(range(len(answers)), key=answers.times.__getitem__)
            if newest is None or answers.times[last] >= newest.times[place]:
                newest, place = answers, last
    if newest is not None:
        return [_only(newest, [place])]
    if features is None:
        raise InputError(
            "the served log has no answer for this entity",
            got=_words(entity),
            where=str(served),
            hint="Say which features: --features SERVICE computes them from history.",
        )
    selection = select(state, list(features), full_names=True)
    references = tuple(output.reference for output in selection.outputs)
    moment = runtime.clock.now() if at is None else at
    nothing: Sequence[Any] = [None] * len(references)
    unknown = [NOT_LOGGED] * len(references)
    given = dict(selection.join_keys) | {field.name: field.dtype for field in selection.requests}
    if missing := [name for name in given if name not in entity]:
        raise InputError("a join key or request field is missing", got=_words(entity),
                         expected=", ".join(missing))  # fmt: skip
    try:
        row = {name: dtype.coerce(entity[name]) for name, dtype in given.items()}
    except ValueError as problem:
        raise InputError("a value of the entity", got=str(problem)) from None
    return [Answers(references, [row], [moment], [nothing], [unknown], [""])]


def _references(state: RegistryState, features: Sequence[str]) -> list[str]:
    return [output.reference for output in select(state, list(features), full_names=True).outputs]


def _only(answers: Answers, places: Iterable[int]) -> Answers:
    some = list(places)
    columns = ("entities", "times", "values", "statuses", "requests")
    kept = {name: [getattr(answers, name)[place] for place in some] for name in columns}
    return Answers(answers.features, **kept)


# ------------------------------------------------------------------------------ computed again


def _replayed(
    runtime: StoreView, state: RegistryState, answers: Answers, faults: dict[str, set[str]]
) -> list[ReplayedRead]:
    """Return answers with what history gives; note the sources of what is at fault, by fault."""
    then = recompute(runtime, answers)
    since = recompute(runtime, answers, as_of="event_time")
    selection = then.selection
    inquiry = Inquiry(selection, answers, then.of_rows, ParityReport(""), _ALL)
    inquiry.fetch(set(range(len(answers))))
    values: list[list[ReplayedValue]] = [[] for _ in answers.times]
    for place, output in enumerate(selection.outputs):
        own = select(state, [output.reference], full_names=True)
        behind = [(need.view, each) for need in own.views for each in need.features]
        today = _today(runtime, state, output.reference, answers)
        for number in range(len(answers)):
            one, other = then.values[place][number], since.values[place][number]
            served, status = answers.values[number][place], answers.statuses[number][place]
            if status == NOT_LOGGED:
                cause = _unserved(inquiry, number, behind, one, other)
            else:
                cause = cause_of(inquiry, number, output, behind, then=one, since=other)
            now = None if today is None else (today[0], today[1][number])
            if now is not None and cause.name == SAME and not same_bits(now[1], other):
                cause = Cause(CHANGED, SAYS[CHANGED])
            if (fault := FAULTS.get(cause.name)) is not None:
                faults[fault] |= {view.source.name for view, _ in behind}
            made = ReplayedValue(output.reference, served, status, one, other, cause, now)
            values[number].append(made)
    about = zip(answers.requests, answers.times, answers.entities, values, strict=True)
    return [ReplayedRead(name, t, entity, tuple(held)) for name, t, entity, held in about]


def _unserved(inquiry: Inquiry, number: int, behind: Behind, then: Any, since: Any) -> Cause:
    """Return why a value that nobody logged would be another by now."""
    return Cause(SAME, SAYS[SAME]) if same_bits(then, since) else changed_since(
        inquiry, number, behind
    )  # fmt: skip


def _today(
    runtime: StoreView, state: RegistryState, reference: str, answers: Answers
) -> tuple[str, Sequence[Any]] | None:
    """Return what the current version gives, of what is known by now; None: it is the same one."""
    view, version, feature = split_reference(reference)
    current = state.current.get(view)
    if current in (None, version) or feature not in state.view(view, current).features:
        return None
    name = f"{view}@v{current}:{feature}"
    asked = select(state, [name], full_names=True)
    needed = {*asked.join_keys, *(field.name for field in asked.requests)}
    if any(not needed <= set(entity) for entity in answers.entities):
        return None
    found = recompute(runtime, replace(answers, features=(name,)), as_of="event_time")
    return name, found.values[0]


# --------------------------------------------------------------------------------- who else


@dataclass
class _Count:
    looked_at: int = 0
    answers: int = 0
    requests: dict[str, None] = field(default_factory=dict)
    entities: set[str] = field(default_factory=set)


def _others(
    runtime: StoreView,
    served: Path,
    faults: Mapping[str, set[str]],
    own: set[tuple[str, int, str]],
    within: tuple[int, int],
) -> tuple[Affected, ...]:
    """Return which other answers have the same faults, of features of the same sources."""
    state = runtime.state()
    sources = set().union(*faults.values())
    of: dict[tuple[str, ...], bool] = {}

    def near(line: Mapping[str, Any]) -> bool:
        if not within[0] <= line["at"] <= within[1]:
            return False
        features = tuple(line["features"])
        if features not in of:
            of[features] = bool(sources & set(_sources_of(state, features).values()))
        return of[features]

    counts: dict[tuple[str, str], _Count] = defaultdict(_Count)
    left = MOST_ANSWERS
    for answers in read_log(served, state, Counter(), wanted=near):
        some = answers if len(answers) <= left else _only(answers, range(left))
        left -= len(some)
        if len(some):
            _count(runtime, some, faults, own, counts)
    every = [(fault, source) for fault, held in faults.items() for source in sorted(held)]
    return tuple(_affected(fault, source, counts[fault, source]) for fault, source in every)


def _affected(fault: str, source: str, count: _Count) -> Affected:
    names = [name for name in count.requests if name]
    return Affected(
        fault, source, count.answers, len(count.requests), len(count.entities), count.looked_at,
        tuple(names[:_EXAMPLES]),
    )  # fmt: skip


def _count(
    runtime: StoreView,
    answers: Answers,
    faults: Mapping[str, set[str]],
    own: set[tuple[str, int, str]],
    counts: dict[tuple[str, str], _Count],
) -> None:
    """Count the answers that have a fault, by fault and source."""
    then = recompute(runtime, answers)
    since = recompute(runtime, answers, as_of="event_time")
    sources = _sources_of(runtime.state(), answers.features)
    about = zip(answers.requests, answers.times, map(_words, answers.entities), strict=True)
    for number, key in enumerate(about):
        if key in own:
            continue
        for fault, of in faults.items():
            for source in of & set(sources.values()):
                count = counts[fault, source]
                count.looked_at += 1
                if any(
                    sources.get(output.reference) == source
                    and _has(
                        fault,
                        (answers.values[number][place], answers.statuses[number][place]),
                        then.values[place][number],
                        since.values[place][number],
                    )
                    for place, output in enumerate(then.selection.outputs)
                ):
                    count.answers += 1
                    count.requests[key[0]] = None
                    count.entities.add(key[2])


def _has(fault: str, served: tuple[Any, str], then: Any, since: Any) -> bool:
    """Return whether an answer has a fault, by what was served, known then and known by now."""
    if fault == CHANGED_SINCE:
        return not same_bits(then, since)
    if fault == BUILDING:
        return served[1] == Status.BUILDING
    return served[1] not in UNTOLD and not same_bits(served[0], then)


def _sources_of(state: RegistryState, features: Sequence[str]) -> dict[str, str]:
    """Return the source of each feature of a feature view; nothing of what is not served now."""
    try:
        selection: Selection = select(state, list(features), full_names=True)
    except UnknownName:
        return {}
    return {
        need.reference(each): need.view.source.name
        for need in selection.views
        for each in need.features
    }


def _words(entity: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} = {shown(value)}" for name, value in sorted(entity.items()))
