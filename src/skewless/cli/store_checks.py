"""What ``skewless doctor`` looks at in stores: a real round trip to each, timed."""

from __future__ import annotations

import itertools
import os
import time
from typing import TYPE_CHECKING

from skewless.cli.checks import Finding, Findings, guarded
from skewless.errors import StoreError
from skewless.formatting import count_of
from skewless.stores.online.base import ONLY_READ

if TYPE_CHECKING:
    from skewless.store import FeatureStore
    from skewless.stores.online.base import OnlineStore

SLOW_ROUND_TRIP = 0.05
TRIES_OF_SLOW = 5
"""A store is as near as its fastest answer: a busy moment says nothing of it."""
LARGE_SHARE = 0.5
_LOOKED_AT = 1_000
_PROBE = "skewless.doctor"


def online(fs: FeatureStore) -> Findings:
    """Check the online store, and the journal where that is another store."""
    home, kind = fs.runtime.home, fs.config.online.kind
    yield from _examined("online store", kind, home.states)
    if not home.states.capabilities.durable:
        hint = "Rows pushed stay in the event log; after a loss: skewless online rebuild"
        yield Finding("online store", "warn", "it may lose acknowledged states", hint)
    if not home.one_store:
        journal = "lmdb" if fs.config.journal is None else fs.config.journal.kind
        yield from _examined("journal", journal, home.journal)
        yield from guarded("online store", lambda: _behind(fs))
    elif fs.config.journal is not None:
        hint = "It is for online stores that have no transactions: leave it out."
        yield Finding(
            "journal", "warn", f"{kind} keeps the journal itself: [journal] is idle", hint
        )
    yield from guarded("owner", lambda: _owner(fs))
    yield from guarded("online store", lambda: _sizes(fs))


def every_byte(fs: FeatureStore) -> Findings:
    """Read everything that states, journal and logs keep; each damage is a finding."""
    from skewless.online.damage import damages

    runtime, whole = fs.runtime, True
    logs = [runtime.log(source) for source in runtime.state().sources.values()]
    for damage in damages(runtime.home, logs):
        whole = False
        hint = "States are rebuilt by: skewless online rebuild. For a log restore a copy."
        yield Finding("bytes", "fail", f"damaged: {damage}", hint)
    if whole:
        yield Finding("bytes", "ok", "every row of the stores and every file of the logs is whole")


def every_state(fs: FeatureStore) -> Findings:
    """Look for entities of history that have no state: somebody has deleted them."""
    from skewless.materialize.recovery import without_state
    from skewless.state.keys import KeyCodec

    whole, runtime = True, fs.runtime
    for name, table in runtime.tables().wanted().items():
        gone = without_state(runtime, table) if table.complete else set()
        if gone:
            whole = False
            one = KeyCodec(table.layout.entity).decode(min(gone))
            text = f"{name}: {count_of(len(gone), 'state')} of entities are gone, as of {one}"
            hint = "Rebuild them: skewless online rebuild"
            yield Finding("online states", "fail", text, hint)
    if whole:
        yield Finding("online states", "ok", "every entity of history has its state")


def others(fs: FeatureStore) -> Findings:
    """Check the other stores of the settings, the mirror among them."""
    for name in fs.config.stores:
        if fs.config.stores[name] is not fs.config.online:
            check = "mirror" if name == fs.config.mirror else f"store {name}"
            yield from guarded(check, lambda name=name, check=check: _other(fs, name, check))  # type: ignore[misc]


def _other(fs: FeatureStore, name: str, check: str) -> Findings:
    from skewless.online.storage import open_store

    section = fs.config.stores[name]
    first, key = fs.runtime.home.states, os.urandom(8)
    with open_store(section, f"[stores.{name}] of {fs.config.file}") as store:
        yield from _examined(check, f"{name}: {section.kind}", store)
        first.write(_PROBE, [(key, b"")])
        try:
            same = store.read_one(_PROBE, key) is not None
        finally:
            first.delete(_PROBE, [key])
        if same:
            hint = "Give each a namespace, name, table or file of its own."
            text = f"[stores.{name}] and [online] lead to one place, {store.where}"
            yield Finding(check, "fail", text, hint)
    mirror = fs.runtime.mirror
    if mirror is not None and name == mirror.name and not same:
        pending = mirror.status().pending
        if pending:
            hint = f"They come with the next write, or with: skewless online copy --to {name}"
            yield Finding(check, "warn", f"it lacks {count_of(pending, 'row')}", hint)


def _round_trip(store: OnlineStore) -> tuple[float, bool]:
    """Return the seconds that a write, a read and a deletion take, and whether the row came."""
    key, value = os.urandom(8), os.urandom(64)
    start = time.perf_counter()
    store.write(_PROBE, [(key, value)])
    found = store.read_one(_PROBE, key)
    store.delete(_PROBE, [key])
    return time.perf_counter() - start, found == value


def _examined(check: str, kind: str, store: OnlineStore) -> Findings:
    """Write, read and delete a row of its own, and ask the server how it is set."""
    try:
        seconds, whole = _round_trip(store)
        for _ in range(TRIES_OF_SLOW):
            if seconds > SLOW_ROUND_TRIP and whole:
                again, whole = _round_trip(store)
                seconds = min(seconds, again)
    except StoreError as problem:
        if problem.what != ONLY_READ:
            raise
        store.read_one(_PROBE, b"")
        yield Finding(check, "warn", f"{kind} at {store.where}: can only be read", "Reads work.")
        return
    text = f"{kind} at {store.where}: round trip {seconds * 1000:.1f} ms"
    if not whole:
        hint = "A store that loses writes cannot serve. Several servers behind one address?"
        yield Finding(check, "fail", f"{text}, and what was written did not come back", hint)
    elif seconds > SLOW_ROUND_TRIP:
        yield Finding(check, "warn", text, "Put the store nearer, or on a faster disk.")
    else:
        yield Finding(check, "ok", text)
    for what, hint in store.concerns():
        yield Finding(check, "warn", what, hint)


def _owner(fs: FeatureStore) -> Findings:
    """Check that history and states go with the journal of this repo, and no other."""
    from skewless.online.ownership import Mark

    runtime, ownership = fs.runtime, fs.runtime.ownership
    mark = None if runtime.one_store else Mark.read(runtime.home.states)
    moved = ownership.refusal()
    if moved is not None:
        yield Finding("owner", "fail", f"{moved.what}: {moved.expected}", moved.hint or "")
    elif mark is not None and not ownership.is_mine():
        text = f"states are written by {mark.writer} of {mark.place}, and not from here"
        hint = "If that one is no more: skewless online adopt. To share them: [journal]"
        yield Finding("owner", "fail", text, hint)
    else:
        of = "" if mark is None else f", and states are written by {mark.writer}, this one"
        yield Finding("owner", "ok", f"history and journal go together{of}")


def _sizes(fs: FeatureStore) -> Findings:
    """Check that states are far from the longest value that the store takes."""
    from skewless.online.oversize import counts_of_set_aside
    from skewless.online.storage import is_states

    runtime = fs.runtime
    for table, count in counts_of_set_aside(runtime.home, runtime.tables().wanted()).items():
        text = f"{table}: {count:,} states are larger than the store takes, and building"
        hint = "Shorten the view's windows or give them a resolution=, then: skewless materialize"
        yield Finding("online store", "warn", text, hint)
    store = fs.runtime.home.states
    limit = store.capabilities.max_value_bytes
    if limit is None or not store.capabilities.ordered_scan:
        return
    for table in filter(is_states, store.tables()):
        some = itertools.islice(store.scan(table, limit=_LOOKED_AT), _LOOKED_AT)
        largest = max((len(value) for _, value in some), default=0)
        if largest > LARGE_SHARE * limit:
            text = f"{table}: a state has {largest:,} bytes, the store takes {limit:,}"
            hint = "Shorten the view's windows or give them a resolution=."
            yield Finding("online store", "warn", text, hint)


def _behind(fs: FeatureStore) -> Findings:
    """Check that the states in another store than the log are there, and hold its newest rows."""
    from skewless.online.loss_detection import standings

    runtime = fs.runtime
    tables = runtime.tables().wanted()
    ends = {n: runtime.log(t.layout.source).last_sequence() for n, t in tables.items()}
    for name, table in standings(runtime.home, tables).items():
        if table.lost:
            hint = "Rebuild its states: skewless online rebuild"
            yield Finding("online store", "fail", f"it has lost the rows of {name}", hint)
        elif table.lacks(ends[name]):
            text = (
                f"{name}: {count_of(ends[name] - (table.holds or 0), 'row')} of the log are missing"
            )
            hint = "The next push brings them, or says why it cannot; or: skewless online rebuild"
            yield Finding("online store", "warn", text, hint)
