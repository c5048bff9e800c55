"""The oracle: what a feature's value is, in plain Python, slow and obvious.

Every other way to a value (kernels, online state, training sets, streams) is tested against this
one. It is also what `explain` shows: which rows counted, and why the others did not.

>>> from skewless.definitions import Entity, FeatureView, Source
>>> tests = Source("tests", schema={"fab": str, "vdd": float}, event_time="at")
>>> fab = Entity("fab", fab=str)
>>> view = FeatureView("Fab", entity=fab, source=tests, features={"n": tests.vdd.count("10us")})
>>> rows = [HistoryRow({"fab": "f1", "vdd": 1.0}, event, known, 0) for event, known in
...         [(0, 0), (5, 5), (6, 9), (99, 99)]]
>>> view_values(view, rows, {"fab": "f1"}, 7, 7)
{'n': (2, <Status.PRESENT: 'present'>)}
>>> [verdict for _, verdict in explain_rows(view.expressions["n"], view, rows, 7, 7)]
['counted', 'counted', 'not yet known', 'future']

Times are int64 microseconds of UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from skewless.aggregations.windows import Window
from skewless.clock import ALWAYS, NEVER, from_micros, to_micros
from skewless.definitions import Aggregate, FeatureView, Source
from skewless.definitions.derivation import LAST_ROW
from skewless.definitions.expressions import Expression
from skewless.definitions.source import exclusive_of
from skewless.errors import InputError
from skewless.expressions.groups import NoRow, columns_of, row_of_group
from skewless.expressions.scalar import evaluate_scalar, leaf_key
from skewless.state.status import Status

Answer = tuple[Any, Status]


@dataclass(frozen=True, eq=False)
class HistoryRow:
    """One version of one row of a source.

    Attributes:
        values: column name to value in canonical form, the time columns included.
        event: event time; None never counts.
        known: known time.
        tiebreak: sequence or content hash: the last word in the order of rows.
        late: whether it was beyond the source's lateness when it came.
        row_id: what makes it a correction of another row of the same id; None for no such.
        deleted: whether it takes the row of its id away.
        known_column: name of the column that says when it was known; no part of its content.
    """

    values: Mapping[str, Any]
    event: int | None
    known: int
    tiebreak: int
    late: bool = False
    row_id: tuple[Any, ...] | None = None
    deleted: bool = False
    known_column: str | None = None

    @property
    def order(self) -> tuple[int, int, int]:
        """The place among the rows of an entity."""
        return (0 if self.event is None else self.event, self.known, self.tiebreak)

    @property
    def content(self) -> str:
        """Equal for identical deliveries, and for them alone: -0.0 is not 0.0, nor 1 1.0."""
        held = sorted((n, v) for n, v in self.values.items() if n != self.known_column)
        return repr((held, self.event, self.deleted))


@dataclass(frozen=True, eq=False)
class Version:
    """A row with the known time of the correction that replaces it (``NEVER``: none).

    Attributes:
        row: the row.
        until: when it is replaced.
        duplicate: whether it is an identical re-delivery, which changes nothing.
    """

    row: HistoryRow
    until: int = NEVER
    duplicate: bool = False

    def is_visible(self, k: int | None) -> bool:
        """Return whether the row is what is known at ``k`` (None: at the end of time)."""
        if self.duplicate or self.row.late or self.row.deleted or self.row.event is None:
            return False
        return self.until == NEVER if k is None else self.row.known <= k < self.until


def versions(rows: Iterable[HistoryRow]) -> list[Version]:
    """Return every row with the moment a correction replaces it, in the order they are given.

    The versions of an id that are in the log go by sequence; those of the table stand among them
    by known time. A version that is identical to the one before it is a re-delivery; any other
    counts until one that comes after it is known. Rows beyond the lateness, and rows without an
    event time that are no deletions, correct nothing.
    """
    given = list(rows)
    found = {id(row): Version(row) for row in given}
    by_id: dict[tuple[Any, ...], list[HistoryRow]] = {}
    for row in given:
        counts = row.deleted or row.event is not None
        if row.row_id is not None and not row.late and counts:
            by_id.setdefault(row.row_id, []).append(row)
    for same in by_id.values():
        if len(same) == 1:
            continue
        distinct: list[HistoryRow] = []
        for row in _in_order(same):
            if distinct and row.content == distinct[-1].content:
                found[id(row)] = Version(row, duplicate=True)
            else:
                distinct.append(row)
        until = NEVER
        for row in reversed(distinct):
            found[id(row)] = Version(row, until)
            until = min(until, row.known)
    return [found[id(row)] for row in given]


def _in_order(same: Iterable[HistoryRow]) -> list[HistoryRow]:
    """Return the versions of one row id, the last of them being what holds in the end."""
    place: dict[int, int] = {}
    known = ALWAYS
    for row in sorted(same, key=lambda row: row.tiebreak):
        in_log = row.tiebreak > 0
        known = max(known, row.known) if in_log else ALWAYS
        place[id(row)] = known if in_log else row.known
    return sorted(same, key=lambda row: (place[id(row)], max(row.tiebreak, 0), row.order))


def visible(rows: Iterable[HistoryRow], k: int | None) -> list[HistoryRow]:
    """Return the rows known at ``k`` after all corrections known by then, in row order.

    Args:
        rows: of a source, every version.
        k: the knowledge; None knows everything, whenever it came.
    """
    seen = [version.row for version in versions(rows) if version.is_visible(k)]
    return sorted(seen, key=lambda row: row.order)


def derived_rows(source: Source, rows: Iterable[HistoryRow]) -> list[HistoryRow]:
    """Return every version of every row of a derived source, with its function at hand.

    After each row of the log the groups are looked at anew. One that has changed has a new row,
    known since the row of the log was, and never before what was known of the group already.

    Args:
        source: the derived one.
        rows: of the log that it is made of, every version.
    """
    by = source.derivation
    if by is None:
        raise InputError(f"source {source.name!r} is not derived")
    log = sorted(rows, key=lambda row: row.tiebreak)
    before: dict[tuple[Any, ...], list[HistoryRow]] = {}
    known: dict[tuple[Any, ...], int] = {}
    newest: dict[tuple[Any, ...], HistoryRow] = {}
    found: list[HistoryRow] = []
    for number, row in enumerate(log, 1):
        now: dict[tuple[Any, ...], list[HistoryRow]] = {}
        for each in visible(log[:number], None):
            group = tuple(each.values[name] for name in by.by)
            if None not in group:
                now.setdefault(group, []).append(each)
        own = tuple(row.values[name] for name in by.by)
        # What a row leaves first, then where it comes to.
        for group in sorted(dict.fromkeys([*before, *now]), key=lambda group: group == own):
            its = now.get(group, [])
            if its == before.get(group, []):
                continue
            known[group] = max(known.get(group, ALWAYS), row.known)
            values, event = _derived(source, group, its), max((e.order[0] for e in its), default=0)
            old = newest.get(group)
            if values is not None:
                at = {source.event_time: from_micros(event), LAST_ROW: row.tiebreak}
                made = HistoryRow(
                    {**values, **at}, event, known[group], len(found) + 1, row_id=group
                )
            elif old is not None and not old.deleted:
                made = replace(old, known=known[group], tiebreak=len(found) + 1, deleted=True)
            else:
                continue
            newest[group] = made
            found.append(made)
        before = now
    return found


def _derived(
    source: Source, group: tuple[Any, ...], rows: Sequence[HistoryRow]
) -> dict[str, Any] | None:
    """Return what the function of a derived source makes of the rows of a group; None: no row."""
    by = source.derivation
    if by is None or not by.rows <= len(rows) <= by.most:
        return None
    columns = {name: [row.values[name] for row in rows] for name in by.columns}
    try:
        values = row_of_group(source, columns_of(source, columns))
    except NoRow:
        return None
    return None if values is None else dict(zip(by.by, group, strict=True)) | values


def rows_of_entity(
    view: FeatureView, rows: Iterable[HistoryRow], key: Mapping[str, Any]
) -> list[HistoryRow]:
    """Return the rows whose join keys are these; null keys have none."""
    given, names = {**key, **view.constants}, view.row_entity.key_names
    asked = zip(names, view.asked_entity.join_keys, strict=True)
    wanted = {row: dtype.coerce(given[name]) for row, (name, dtype) in asked}
    if None in wanted.values():
        return []
    return [row for row in rows if all(row.values[name] == wanted[name] for name in wanted)]


# ----------------------------------------------------------------------------------- one value


def feature_value(
    view: FeatureView, feature: str, rows: Sequence[HistoryRow], t: int, k: int | None
) -> Answer:
    """Return value and status of a feature of one entity.

    Args:
        view: that defines it.
        feature: its name.
        rows: of the entity, every version.
        t: the moment asked about.
        k: the knowledge; None knows everything.
    """
    return _feature(view, view.expressions[feature], visible(rows, k), t)


def view_values(
    view: FeatureView,
    rows: Iterable[HistoryRow],
    key: Mapping[str, Any],
    t: int,
    k: int | None,
    *,
    features: Iterable[str] | None = None,
) -> dict[str, Answer]:
    """Return value and status of the features of an entity.

    Args:
        view: that defines them.
        rows: of its source, of any entity, every version.
        key: the entity's join keys.
        t: the moment asked about.
        k: the knowledge; None knows everything.
        features: names; None for all.
    """
    known = rows_of_entity(view, visible(rows, k), key)
    names = view.features if features is None else features
    return {name: _feature(view, view.expressions[name], known, t) for name in names}


def _feature(
    view: FeatureView, expression: Expression, rows: Sequence[HistoryRow], t: int
) -> Answer:
    if isinstance(expression, Aggregate):
        return aggregate_value(expression, view, rows, t)
    leaves = [leaf for leaf in expression.leaves() if isinstance(leaf, Aggregate)]
    answers = {leaf_key(leaf): aggregate_value(leaf, view, rows, t) for leaf in leaves}
    value = evaluate_scalar(expression, {key: answer[0] for key, answer in answers.items()})
    if any(status is Status.UNKNOWN for _, status in answers.values()):
        return value, Status.UNKNOWN
    return value, Status.NULL if value is None else Status.PRESENT


def aggregate_value(
    aggregate: Aggregate, view: FeatureView, rows: Sequence[HistoryRow], t: int
) -> Answer:
    """Return value and status of an aggregate over one entity's visible rows, in row order."""
    value, status = _without_default(aggregate, view, rows, t)
    return aggregate.default if value is None else value, status


def _without_default(
    aggregate: Aggregate, view: FeatureView, rows: Sequence[HistoryRow], t: int
) -> Answer:
    now = moment_on_event_axis(view, t)
    if not any(_event(row) <= now for row in rows):
        return aggregate.identity, Status.UNKNOWN
    at = now - aggregate.window.offset
    passing = [row for row in rows if passes(aggregate, view, row)]
    counted = rows_in_window(aggregate.window, passing, at)
    if not counted:
        return aggregate.identity, Status.EMPTY
    if is_expired(aggregate, _event(counted[-1]), at):
        return None, Status.EXPIRED
    taking_part = [(row, value) for row in counted for value in _value(aggregate, row)]
    if not taking_part:
        return aggregate.identity, Status.EMPTY
    values = [value for _, value in taking_part]
    events = [_event(row) for row, _ in taking_part]
    by, groups = aggregate.by, None
    if by is not None:
        groups = [evaluate_scalar(by, row.values) for row, _ in taking_part]
    value = aggregate.compute(values, events, t, groups)
    return value, Status.NULL if value is None else Status.PRESENT


def moment_on_event_axis(view: FeatureView, t: int) -> int:
    """Return the greatest event time that counts when asked about ``t``."""
    return t - exclusive_of(view.source)


def passes(aggregate: Aggregate, view: FeatureView, row: HistoryRow) -> bool:
    """Return whether the filters of view and aggregate are true of the row: not false, not null."""
    filters = [condition for condition in (view.where, aggregate.where) if condition is not None]
    return all(evaluate_scalar(condition, row.values) is True for condition in filters)


def rows_in_window(window: Window, rows: Sequence[HistoryRow], at: int) -> list[HistoryRow]:
    """Return the rows (given in row order) that the window holds at ``at`` on the event axis."""
    return [rows[place] for place in window.holds([_event(row) for row in rows], at)]


def is_expired(aggregate: Aggregate, newest: int, at: int) -> bool:
    """Return whether a session is over, or a value older than its ttl, at ``at``."""
    return aggregate.expiry is not None and at - newest >= aggregate.expiry


def _event(row: HistoryRow) -> int:
    if row.event is None:
        raise InputError("a row without an event time counts nowhere", got=dict(row.values))
    return row.event


def _in_group(aggregate: Aggregate, row: HistoryRow) -> bool:
    """Return whether the text that groups the row is not null; true where none does."""
    return aggregate.by is None or evaluate_scalar(aggregate.by, row.values) is not None


def _value(aggregate: Aggregate, row: HistoryRow) -> list[Any]:
    """Return the row's value in a list; none where it takes no part: null, or without a group."""
    if not _in_group(aggregate, row):
        return []
    if aggregate.column is None:
        return [None]
    value = evaluate_scalar(aggregate.column, row.values)
    return [] if value is None and not aggregate.aggregation.keeps_nulls else [value]


# ------------------------------------------------------------------------------ training sets


class ReferenceEngine:
    """Builds training sets one value at a time."""

    def historical(
        self,
        views: Iterable[FeatureView],
        rows_by_source: Mapping[str, Sequence[HistoryRow]],
        spine: Iterable[Mapping[str, Any]],
        timestamp: str,
        as_of: str = "known",
    ) -> list[dict[str, Any]]:
        """Return the spine's rows, in their order, each with every feature of the views.

        Args:
            views: whose features are wanted.
            rows_by_source: every version of every row, by the name of the source.
            spine: rows of join keys and a time.
            timestamp: name of the spine's time column (datetimes with a zone, or microseconds).
            as_of: ``known``, or ``event_time`` to ignore when things came to be known.

        Raises:
            InputError: another ``as_of``, or a time that is none.
        """
        if as_of not in ("known", "event_time"):
            raise InputError("as_of", got=repr(as_of), expected="'known' or 'event_time'")
        wanted = list(views)
        found = []
        for row in spine:
            t = to_micros(row[timestamp], where=f"spine column {timestamp!r}")
            k = t if as_of == "known" else None
            features: dict[str, Any] = {}
            for view in wanted:
                answers = view_values(view, rows_by_source[view.source.name], row, t, k)
                features |= {name: value for name, (value, _) in answers.items()}
            found.append({**row, **features})
        return found


# ------------------------------------------------------------------------------------- explain


def explain_rows(
    aggregate: Aggregate, view: FeatureView, rows: Iterable[HistoryRow], t: int, k: int | None
) -> list[tuple[HistoryRow, str]]:
    """Return each row with what became of it: "counted", or why it did not count.

    Args:
        aggregate: in question.
        view: it belongs to.
        rows: of the entity, every version; with rows of other entities that correct them.
        t: the moment asked about.
        k: the knowledge; None knows everything.
    """
    given = versions(rows)
    now = moment_on_event_axis(view, t)
    at = now - aggregate.window.offset
    seen = [version.row for version in given if version.is_visible(k)]
    passing = sorted(
        (row for row in seen if passes(aggregate, view, row)), key=lambda row: row.order
    )
    counted = rows_in_window(aggregate.window, passing, at)
    over = bool(counted) and is_expired(aggregate, _event(counted[-1]), at)
    inside = {id(row) for row in counted}

    def verdict(version: Version) -> str:
        row = version.row
        if reason := _not_visible(version, now, k):
            return reason
        if not passes(aggregate, view, row):
            return "filtered"
        if id(row) not in inside:
            return _outside(aggregate.window, _event(row), at)
        if over:
            return "expired"
        if not _in_group(aggregate, row):
            return "no group"
        return "counted" if _value(aggregate, row) else "null value"

    return [(version.row, verdict(version)) for version in given]


def _not_visible(version: Version, now: int, k: int | None) -> str | None:
    row = version.row
    if row.event is None:
        return "a deletion" if row.deleted else "no event time"
    if row.late:
        return "late"
    if row.event > now:
        return "future"
    if k is not None and row.known > k:
        return "not yet known"
    if version.duplicate:
        return "duplicate"
    if not version.is_visible(k):
        return "a deletion" if row.deleted else "superseded by a correction"
    return None


def _outside(window: Window, event: int, at: int) -> str:
    return window.outside if event <= at else Window.outside
