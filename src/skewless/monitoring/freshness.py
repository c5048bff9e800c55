"""How old the newest event is that each view can serve, against what its owner promised.

    report = freshness(runtime)
    print(report)                      # a table; stale views first
    report.ok                          # False when a promise is broken

Nothing is scanned that can be known otherwise: an event log knows its newest event, and of Parquet
only row groups are read whose statistics leave no doubt that they hold newer times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from skewless.clock import iso
from skewless.definitions import FeatureView
from skewless.durations import format_duration
from skewless.explain.store_view import StoreView
from skewless.formatting import Drawn, ago, aligned, html_table
from skewless.ledger.ledger import Ledger
from skewless.stores.offline.history import History

KIND = "freshness"
"""Kind of the records of how fresh views were."""
_HEAD = ("view", "status", "age", "promised", "newest event served", "")
_FIRST_STEP = 3_600_000_000
_LAST_STEP = 200 * 366 * 24 * 3_600_000_000
_ORDER = {"stale": 0, "building": 1, "never": 2, "ok": 3}


@dataclass(frozen=True)
class ViewFreshness:
    """The freshness of one version of a view.

    Attributes:
        view: its name.
        version: its version.
        owner: who promised.
        newest: event time of the newest event in history, UTC microseconds; None: there is none.
        served: the same of the events that the online store holds.
        age: of ``served``, microseconds; None: there is none.
        promised: the greatest age that was promised, microseconds; None: nothing was.
        status: ``ok``, ``stale`` (older than promised), ``building`` (its states are not built from
            all of history yet) or ``never`` (nothing can be served).
        note: what to do about it.
    """

    view: str
    version: int
    owner: str
    newest: int | None
    served: int | None
    age: int | None
    promised: int | None
    status: str
    note: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data: times in ISO 8601, durations in seconds."""
        return {
            "view": self.view,
            "version": self.version,
            "owner": self.owner,
            "newest_event": None if self.newest is None else iso(self.newest),
            "served_event": None if self.served is None else iso(self.served),
            "age_seconds": None if self.age is None else self.age / 1e6,
            "promised_seconds": None if self.promised is None else self.promised / 1e6,
            "status": self.status,
            "note": self.note,
        }


@dataclass(frozen=True)
class FreshnessReport(Drawn):
    """The freshness of all views at one moment.

    Attributes:
        at: the moment, UTC microseconds.
        views: one entry for each version that serves, broken promises first.
    """

    at: int
    views: tuple[ViewFreshness, ...]

    @property
    def ok(self) -> bool:
        """Whether every promise is kept."""
        return all(view.status == "ok" or view.promised is None for view in self.views)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "at": iso(self.at),
            "ok": self.ok,
            "views": [view.to_dict() for view in self.views],
        }

    def __str__(self) -> str:
        if not self.views:
            return "No views."
        return aligned([_HEAD, *self._rows()])

    def _repr_html_(self) -> str:
        rows = [[row[0], (row[1], row[1]), *row[2:]] for row in self._rows()]
        return html_table(_HEAD, rows, f"Freshness at {iso(self.at)}")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                f"{view.view}@v{view.version}",
                view.status,
                "-" if view.age is None else ago(view.age),
                "-" if view.promised is None else format_duration(view.promised),
                "-" if view.served is None else iso(view.served),
                view.note,
            )
            for view in self.views
        ]


def note_freshness(ledger: Ledger, report: FreshnessReport) -> None:
    """Put how fresh the views with a promise are into the ledger, for `kept_promises`."""
    views = {f"{v.view}@v{v.version}": v.status for v in report.views if v.promised is not None}
    if views:
        ledger.record(KIND, {"views": views})


def kept_promises(ledger: Ledger, since: int) -> dict[str, tuple[int, int]]:
    """Return how often each view was as fresh as promised, and how often that was looked at.

    Args:
        ledger: of the repo.
        since: the first moment that counts, UTC microseconds.
    """
    found: dict[str, tuple[int, int]] = {}
    for record in ledger.records(kinds=[KIND], since=since):
        for view, status in record.data["views"].items():
            kept, looks = found.get(view, (0, 0))
            found[view] = kept + (status == "ok"), looks + 1
    return found


def freshness(runtime: StoreView) -> FreshnessReport:
    """Return how fresh each view is: see the module."""
    state = runtime.state(fresh=True)
    now = runtime.clock.now()
    serving = runtime.tables().serving()
    until: dict[str, int] = {}
    for key, by in serving.items():
        done = runtime.registry.intervals(*key)
        if done:
            table = by.layout.table
            until[table] = max(done[-1][1], until.get(table, 0))
    found: dict[Any, tuple[int | None, int | None]] = {}
    entries = []
    for key, view in state.views.items():
        by = serving[key]
        end = until.get(by.layout.table) if by.complete else None
        place = (view.source.name, end)
        if place not in found:
            found[place] = _newest(runtime, view, now, end)
        newest, served = found[place]
        if not by.complete:
            served = None
        entries.append(_entry(key, view, (newest, served), by.complete, now))
    entries.sort(key=lambda entry: (_ORDER[entry.status], entry.view, entry.version))
    return FreshnessReport(now, tuple(entries))


def _newest(
    runtime: StoreView, view: FeatureView, now: int, end: int | None
) -> tuple[int | None, int | None]:
    """Return the newest event in history, and the newest one before the end of materialization."""
    pushed = runtime.log(view.source).newest_event()
    newest = served = None
    if view.source.table is not None:
        history = runtime.history(view.source)
        newest = served = newest_of_table(history, now)
        if newest is not None and (end is None or newest >= end):
            served = None if end is None else newest_of_table(history, now, end)
    both = [[x for x in (pushed, table) if x is not None] for table in (newest, served)]
    return max(both[0], default=None), max(both[1], default=None)


def newest_of_table(history: History, now: int, end: int | None = None) -> int | None:
    """Return the newest event time in the table of a source, UTC microseconds; None: it has none.

    Rows of the future, not yet known or beyond the lateness are skipped.

    Args:
        history: of the source.
        now: the present, UTC microseconds.
        end: only events before it; None: up to now.
    """
    last = now + 1 if end is None else min(end, now + 1)
    parts = [part.name for part in history.parts()]
    columns = [history.source.event_time]
    step = _FIRST_STEP
    start: int | None = last - step
    while True:
        newest: int | None = None
        for chunk in history.chunks(columns, start=start, end=last, parts=parts):
            counts = (chunk.event < last) & (chunk.known <= now) & ~chunk.late
            if counts.any():
                highest = int(chunk.event[counts].max())
                newest = highest if newest is None else max(newest, highest)
        if start is None or (newest is not None and newest >= start):
            return newest
        # Rows before the start may have been left out, so what was found is a lower bound only.
        step *= 4
        if newest is not None:
            start = newest
        else:
            start = last - step if step < _LAST_STEP else None


def _entry(
    key: tuple[str, int],
    view: FeatureView,
    events: tuple[int | None, int | None],
    complete: bool,
    now: int,
) -> ViewFreshness:
    newest, served = events
    promised = view.labels["freshness"]
    age = None if served is None else max(0, now - served)
    if not complete:
        status = "building"
    elif age is None:
        status = "never"
    else:
        status = "stale" if promised is not None and age > promised else "ok"
    behind = newest is not None and (served is None or newest > served)
    note = f"history is newer: materialize {view.name}" if behind else ""
    if not complete:
        note = f"not built from all of history: materialize {view.name}"
    elif newest is None:
        note = "no events yet"
    return ViewFreshness(*key, view.labels["owner"], newest, served, age, promised, status, note)
