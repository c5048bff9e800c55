"""How old the newest event is that each view can serve, against what its owner promised.

    report = freshness(runtime)
    print(report)                      # a table; stale views first
    report.ok                          # False when a promise is broken

Three numbers say where time is lost:

| number | is |
|---|---|
| age | of the newest event that is served; what was promised |
| lag | how long after they happened the newest rows were known: median and 99 % |
| job age | since the view was last materialized |

Nothing is scanned that can be known otherwise: an event log knows its newest event, and of Parquet
only row groups are read whose statistics leave no doubt that they hold newer times.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from skewless.clock import iso
from skewless.definitions import FeatureView, Source
from skewless.definitions.freshness import promise_of
from skewless.durations import format_duration
from skewless.explain.store_view import StoreView
from skewless.formatting import Drawn, ago, aligned, html_table
from skewless.ledger.ledger import Ledger
from skewless.stores.offline.history import History

KIND = "freshness"
"""Kind of the records of how fresh views were."""
_HEAD = (
    "view", "status", "age", "promised", "newest event served", "lag p50 / p99", "job", "",
)  # fmt: skip
WARN, ERROR = "warn", "error"
_TAIL = 200
"""Newest rows of a source that its lag is of."""
_JOBS = ("materialize", "backfill", "tend")
_JOB_DAYS = 30
_DAY = 86_400_000_000
_FIRST_STEP = 3_600_000_000
_LAST_STEP = 200 * 366 * 24 * 3_600_000_000
_STATUSES = ("stale", "building", "never", "late", "ok")
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
            all of history yet) or ``never`` (nothing can be served). Outside of the hours of the
            promise nothing is stale.
        note: what to do about it.
        level: ``error`` where the promise is broken, ``warn`` where it soon is; else empty.
        warns: the age that is worth a look, microseconds; None: none was named.
        counted: how much of ``age`` counts: time outside of the promised hours does not.
        since: when the promise was broken, UTC microseconds; None: it is kept, or never was.
        lag: how long after they happened the newest rows were known: median and 99 %, microseconds;
            None: there are none.
        job: how long ago the view was last materialized, microseconds; None: not in 30 days.
        models: that were trained on features of the view, where its promise is broken.
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
    level: str = ""
    warns: int | None = None
    counted: int | None = None
    since: int | None = None
    lag: tuple[int, int] | None = None
    job: int | None = None
    models: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """View and version: ``Spend@v1``."""
        return f"{self.view}@v{self.version}"

    @property
    def shown(self) -> str:
        """The status for people: ``late`` where it is not stale yet and worth a look."""
        return "late" if self.level == WARN else self.status

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
            "level": self.level,
            "warns_seconds": None if self.warns is None else self.warns / 1e6,
            "broken_since": None if self.since is None else iso(self.since),
            "lag_seconds": None if self.lag is None else [each / 1e6 for each in self.lag],
            "job_age_seconds": None if self.job is None else self.job / 1e6,
            "models": list(self.models),
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

    @property
    def totals(self) -> dict[str, int]:
        """How many views there are of each status, what needs somebody first."""
        counts = Counter(view.shown for view in self.views)
        return {status: counts[status] for status in _STATUSES}

    def by_owner(self) -> list[list[str]]:
        """Return a row for each owner: the name, all views, and those of each status."""
        counts: dict[str, Counter[str]] = {}
        for view in self.views:
            counts.setdefault(view.owner or "-", Counter())[view.shown] += 1
        order = sorted(counts, key=lambda o: (-(counts[o].total() - counts[o]["ok"]), o))
        return [
            [
                owner,
                f"{counts[owner].total():,}",
                *(f"{counts[owner][s] or '-'}" for s in _STATUSES),
            ]
            for owner in order
        ]

    def of(self, *, owner: str | None = None, status: str | None = None) -> FreshnessReport:
        """Return the report of the views of an owner, of a status, or of both."""
        kept = [
            view
            for view in self.views
            if owner in (None, view.owner) and status in (None, view.shown)
        ]
        return replace(self, views=tuple(kept))

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
                view.shown,
                "-" if view.age is None else ago(view.age),
                "-" if view.promised is None else format_duration(view.promised),
                "-" if view.served is None else iso(view.served),
                "-" if view.lag is None else " / ".join(map(ago, view.lag)),
                "-" if view.job is None else ago(view.job),
                _noted(view),
            )
            for view in self.views
        ]


def _noted(view: ViewFreshness) -> str:
    """Return what is said beside a view."""
    said = [view.note]
    if view.since is not None:
        said.append(f"since {iso(view.since)}")
        said += [f"owner {view.owner}"] if view.owner else []
    said += [f"models {', '.join(view.models)}"] if view.models else []
    return "; ".join(each for each in said if each)


def note_freshness(ledger: Ledger, report: FreshnessReport) -> None:
    """Put how fresh the views with a promise are into the ledger, for `kept_promises`."""
    promised = {f"{v.view}@v{v.version}": v for v in report.views if v.promised is not None}
    if promised:
        views = {label: view.status for label, view in promised.items()}
        numbers = {
            label: {"age": v.age, "lag": v.lag, "job": v.job, "level": v.level, "since": v.since}
            for label, v in promised.items()
        }
        ledger.record(KIND, {"views": views, "numbers": numbers})


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


def freshness_history(ledger: Ledger, view: str, since: int) -> list[dict[str, Any]]:
    """Return how fresh a view was whenever that was noted, oldest first: for pages.

    Each has ``at``, ``status``, ``age``, ``lag`` (median and 99 %), ``job``, ``level`` and
    ``since``; times and durations in microseconds.

    Args:
        ledger: of the repo.
        view: its version: ``Spend@v1``.
        since: the first moment, UTC microseconds.
    """
    return [
        {
            "at": record.at, "status": record.data["views"][view],
            **record.data.get("numbers", {}).get(view, {}),
        }
        for record in ledger.records(kinds=[KIND], since=since)
        if view in record.data["views"]
    ]  # fmt: skip


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
    lags: dict[str, tuple[int, int] | None] = {}
    jobs = _job_ends(runtime.ledger, now)
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
        if view.source.name not in lags:
            lags[view.source.name] = _lag(runtime, view.source, newest)
        job = jobs.get(key[0], jobs.get(""))
        entry = _entry(key, view, (newest, served), by.complete, now)
        job = None if job is None else max(0, now - job)
        entries.append(replace(entry, lag=lags[view.source.name], job=job))
    if any(entry.level == ERROR for entry in entries):
        models = models_of_views(runtime.ledger)
        entries = [
            replace(e, models=tuple(sorted(models.get(f"{e.view}@v{e.version}", ()))))
            if e.level == ERROR else e
            for e in entries
        ]  # fmt: skip
    entries.sort(key=lambda e: (_ORDER[e.status], e.level != WARN, e.view, e.version))
    return FreshnessReport(now, tuple(entries))


def _lag(runtime: StoreView, source: Source, newest: int | None) -> tuple[int, int] | None:
    """Return median and 99 % of how long after they happened the newest rows were known."""
    import numpy as np

    history = runtime.history(source)
    last = runtime.log(source).last_sequence()
    columns = [source.event_time]
    if last:
        chunks = history.chunks(columns, after=max(0, last - _TAIL))
    elif newest is not None and source.known_time is not None:
        parts = [part.name for part in history.parts()]
        chunks = history.chunks(columns, start=newest - _FIRST_STEP, end=newest + 1, parts=parts)
    else:
        return None
    found = [chunk.known - chunk.event for chunk in chunks]
    lags = np.concatenate(found) if found else np.zeros(0)
    if not len(lags):
        return None
    middle, most = np.quantile(np.maximum(lags, 0), [0.5, 0.99])
    return int(middle), int(most)


def _job_ends(ledger: Ledger, now: int) -> dict[str, int]:
    """Return when each view was last materialized, by its name; of all views by ``""``."""
    found: dict[str, int] = {}
    for record in ledger.records(kinds=["run"], since=now - _JOB_DAYS * _DAY):
        data = record.data
        if data["job"] not in _JOBS or data.get("status") != "done":
            continue
        if data["job"] == "tend" and data["result"].get("materialize") != "done":
            continue
        named = data["about"].get("views") or [""]
        for name in [named] if isinstance(named, str) else named:
            found[name.partition("@")[0]] = record.at
        if "" in named:
            found = {"": record.at}
    return found


def models_of_views(ledger: Ledger) -> dict[str, set[str]]:
    """Return the models that were trained on features of each version of a view."""
    views: dict[str, set[str]] = {}
    found: dict[str, set[str]] = {}
    for record in ledger.records(kinds=["training_set", "model"]):
        data = record.data
        if record.kind == "training_set":
            views[data["id"]] = {ref.partition(":")[0] for ref in data["features"].values()}
            continue
        for made in data["training_sets"]:
            for label in views.get(made, ()):
                found.setdefault(label, set()).add(data["model"])
    return found


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
    promise = promise_of(view.labels)
    age = None if served is None else max(0, now - served)
    counted = age if served is None or promise is None else promise.age(served, now)
    status, level, since = "ok", "", None
    if not complete:
        status = "building"
    elif age is None:
        status = "never"
    elif promise is not None and promise.open_at(now) and counted is not None:
        if counted > promise.error:
            status = "stale"
            since = promise.broken_at(served or 0, promise.error)
        elif promise.warn is not None and counted > promise.warn:
            level = WARN
    if promise is not None and status != "ok":
        level = ERROR
    behind = newest is not None and (served is None or newest > served)
    note = f"history is newer: materialize {view.name}" if behind else ""
    if not complete:
        note = f"not built from all of history: materialize {view.name}"
    elif newest is None:
        note = "no events yet"
    return ViewFreshness(
        *key,
        view.labels["owner"],
        newest,
        served,
        age,
        None if promise is None else promise.error,
        status,
        note,
        level,
        None if promise is None else promise.warn,
        counted,
        since,
    )
