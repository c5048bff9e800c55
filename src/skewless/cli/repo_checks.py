"""What ``skewless doctor`` looks at in a repo: logs, tables, definitions, states, freshness."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from skewless.cli.checks import Finding, Findings, failed
from skewless.errors import SkewlessError
from skewless.formatting import ago, count_of

if TYPE_CHECKING:
    from skewless.definitions import Source
    from skewless.store import FeatureStore

_DAY = 86_400_000_000
_CHUNKS = 2


def logs(fs: FeatureStore) -> Findings:
    """Check that each event log has every row that it counts."""
    for name in fs.runtime.state().sources:
        log = fs.runtime.log(fs.runtime.source(name))
        last, waiting = log.last_sequence(), log.unsettled()
        found = sum(len(chunk.rows) for chunk in log.reader().chunks([]))
        text = f"{name}: {count_of(last, 'row')}, {waiting:,} of them not yet settled"
        if found < last:
            hint = "Files of the log were removed or damaged; restore them from a backup."
            yield Finding("event log", "fail", f"{text}, {last - found:,} missing", hint)
        else:
            yield Finding("event log", "ok", text)


def tables(fs: FeatureStore) -> Findings:
    """Check that each source's table can be read with the schema that is declared."""
    for name, source in fs.runtime.state().sources.items():
        if source.table is None:
            continue
        try:
            yield _table(fs, source)
        except (SkewlessError, OSError, ValueError) as problem:
            yield failed(f"table of {name}", problem)


def _table(fs: FeatureStore, source: Source) -> Finding:
    history = fs.runtime.history(source)
    rows = history.row_count()
    dropped = sum(c.dropped for c in islice(history.chunks(list(source.columns)), _CHUNKS))
    text = f"{source.table!r}: {count_of(rows, 'row')}"
    check = f"table of {source.name}"
    if not rows:
        return Finding(check, "warn", text, "Is the path right? It may also be empty yet.")
    if dropped:
        hint = f"They have no {source.event_time} and never count."
        return Finding(check, "warn", f"{text}, {dropped:,} of the first without event time", hint)
    return Finding(check, "ok", text)


def known_times(fs: FeatureStore) -> Findings:
    """Check that known time does not hide most of the pushed history."""
    for name, source in fs.runtime.state().sources.items():
        late = total = 0
        for chunk in islice(fs.runtime.history(source).chunks([], after=0), _CHUNKS):
            total += len(chunk.event)
            late += int((chunk.known - chunk.event > source.delay + _DAY).sum())
        if total and late > total / 2:
            text = f"{name}: {late:,} of {total:,} pushed rows came to be known over a day late"
            hint = "Training sets do not see them before. Push history with --backdate."
            yield Finding("known time", "warn", text, hint)


def definitions(fs: FeatureStore) -> Findings:
    """Check that the repo's definitions are those of the registry."""
    plan = fs.plan()
    if not plan.steps:
        hint = "Write some in features.py; skewless init shows how."
        yield Finding("definitions", "warn", f"{fs.config.folder}: there are none", hint)
    elif plan.is_empty:
        yield Finding("definitions", "ok", "as in the registry")
    else:
        text = f"{count_of(len(plan.changed), 'definition')} differ from the registry"
        yield Finding("definitions", "warn", text, "See what differs: skewless plan")
    if plan.breaking:
        text = "; ".join(found.explain() for found in plan.breaking)
        yield Finding("definitions", "warn", text, "See skewless plan.")


def states(fs: FeatureStore) -> Findings:
    """Check that no view waits for its states to be built."""
    serving = fs.runtime.tables().serving()
    if serving.building:
        text = f"{', '.join(serving.building)} not built from all of history yet"
        hint = "Reads of them say building. Run: skewless materialize"
        yield Finding("online states", "warn", text, hint)
    elif serving:
        yield Finding("online states", "ok", "the states of every view are complete")


def sunsets(fs: FeatureStore) -> Findings:
    """Check for deprecations whose last day has passed."""
    now = fs.runtime.clock.now()
    for notice in fs.runtime.state().deprecations:
        if notice.is_past(now):
            text = f"{notice.target}: promised until {notice.sunset}, and still there"
            hint = notice.reason or f"Remove it, or retire it: skewless retire {notice.target}"
            yield Finding("sunset", "warn", text, hint)


def quarantines(fs: FeatureStore) -> Findings:
    """Check for rows that were set aside."""
    from skewless.ingest.quarantine import size_of

    for name in fs.runtime.state().sources:
        size = size_of(fs.runtime, name)
        if size.kept or size.dropped:
            gone = f", {count_of(size.dropped, 'older row')} dropped" if size.dropped else ""
            text = f"{name}: {count_of(size.kept, 'row')}{gone}"
            yield Finding("quarantine", "warn", text, f"See why: skewless quarantine {name}")


def freshness(fs: FeatureStore) -> Findings:
    """Check the ages of the newest events against what owners promised."""
    views = fs.freshness().views
    promised = [view for view in views if view.promised is not None]
    for view in promised:
        if view.status == "ok" or view.promised is None:
            continue
        age = "no event" if view.age is None else f"the newest event is {ago(view.age)} old"
        text = f"{view.view}@v{view.version}: {age}, promised is {ago(view.promised)}"
        yield Finding("freshness", "warn", text, view.note or "Is its source still being fed?")
    if promised and all(view.status == "ok" for view in promised):
        yield Finding("freshness", "ok", "every promise is kept")
