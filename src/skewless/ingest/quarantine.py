"""Rows that were set aside: kept with their reasons, newest first, so many of a source at most.

Their keys begin with the time that is left until the end of the calendar, so a scan begins with the
newest row, and a page costs what it shows. (Rows of before that have keys that begin with the time
itself; they lie behind all others, oldest first.)
"""

from __future__ import annotations

import itertools
import json
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from skewless.definitions import Source
from skewless.errors import InputError, StoreError
from skewless.ledger.runs import recorded
from skewless.online.dedup import Rejected
from skewless.online.log_generations import generation_of
from skewless.online.ownership import Mark
from skewless.online.quarantine_table import QuarantineSize, QuarantineTable
from skewless.online.runtime import Runtime
from skewless.stores.online.base import Item, KeyValues, OnlineStore

MOST = 100_000
"""Rows that are kept of a source; the oldest are dropped beyond, and counted."""
_SLACK = 1_000
"""Rows beyond that are dropped together: it costs a look at all of them."""
_HALF = 1_000
_LAST = 2**63 - 1
_OF_NOW = b"\x7f"
_OF_BEFORE = b"\x00"


@dataclass(frozen=True)
class Quarantined:
    """A row set aside by an earlier push.

    Attributes:
        at: when, UTC microseconds.
        reason: why.
        values: what it held, as text.
        id: its place; ``quarantine(source, after=id)`` goes on behind it.
    """

    at: int
    reason: str
    values: str
    id: str = ""


def set_aside(
    transaction: KeyValues, source: Source, rejected: Sequence[Rejected], now: int
) -> None:
    """Keep rows that did not fit their source, with reasons, inside a transaction."""
    if not rejected:
        return
    place, items = _table(transaction, source), []
    for number, row in enumerate(rejected):
        key = struct.pack(">qI", _LAST - now, 2**32 - 1 - number) + os.urandom(4)
        items.append((key, json.dumps([now, _shortened(row.reason), row.values]).encode()))
    size = place.size(transaction)
    transaction.write(place.name, items)
    kept = size.kept + len(items)
    dropped = 0
    if kept > MOST + _SLACK:
        oldest = list(itertools.islice(_newest_first(transaction, place.name), MOST, None))
        transaction.delete(place.name, [key for key, _ in oldest])
        dropped = len(oldest)
    place.note(transaction, QuarantineSize(kept - dropped, size.dropped + dropped))


def quarantined(
    runtime: Runtime, source_name: str, limit: int, after: str = ""
) -> list[Quarantined]:
    """Return the newest quarantined rows; see `FeatureStore.quarantine`."""
    source = runtime.source(source_name)
    try:
        behind = bytes.fromhex(after)
    except ValueError:
        raise InputError(
            "not the id of a quarantined row", got=after[:60], expected="Quarantined.id"
        ) from None
    kept = _kept_in(runtime)
    found = _newest_first(kept, _table(kept, source).name, behind)
    rows = [(json.loads(value), key.hex()) for key, value in itertools.islice(found, limit)]
    return [Quarantined(at, reason, values, place) for (at, reason, values), place in rows]


@recorded("purge quarantine", "source_name", "before", result=lambda rows: {"rows": rows})
def purge(runtime: Runtime, source_name: str, before: int | None) -> int:
    """Let quarantined rows go; see `FeatureStore.purge_quarantine`."""
    source = runtime.source(source_name)
    if _kept_in(runtime) is not runtime.journal:
        raise StoreError(
            "rows that were set aside without a journal are not purged",
            where=runtime.home.states.where,
            hint="They go with the namespace of the store that the states are in.",
        )
    with runtime.journal.transaction() as rows:
        place = _table(rows, source)
        size = place.size(rows)
        doomed = [
            key
            for key, value in _newest_first(rows, place.name)
            if before is None or json.loads(value)[0] < before
        ]
        rows.delete(place.name, doomed)
        place.note(rows, QuarantineSize(size.kept - len(doomed), size.dropped + len(doomed)))
    return len(doomed)


def size_of(runtime: Runtime, source_name: str) -> QuarantineSize:
    """Return how many rows of a source are set aside."""
    kept = _kept_in(runtime)
    return _table(kept, runtime.source(source_name)).size(kept)


def _shortened(reason: str) -> str:
    """Return a reason without the middle of a value that it shows; of a row see `row_text`."""
    return reason if len(reason) <= 2 * _HALF else f"{reason[:_HALF]} ... {reason[-_HALF:]}"


def _kept_in(runtime: Runtime) -> OnlineStore:
    """Return where rows that were set aside are: beside the states where there is no journal."""
    mark = None if runtime.one_store else Mark.read(runtime.home.states)
    return runtime.home.states if mark is not None and mark.of_log else runtime.journal


def _table(rows: KeyValues, source: Source) -> QuarantineTable:
    return QuarantineTable.of(source.stored, generation_of(rows, source.stored))


def _newest_first(rows: KeyValues, table: str, after: bytes = b"") -> Iterator[Item]:
    """Yield the rows of a quarantine from the newest on, or those behind a key."""
    if not after or after[:1] == _OF_NOW:
        yield from rows.scan(table, prefix=_OF_NOW, after=after or None)
    older = list(rows.scan(table, prefix=_OF_BEFORE))
    yield from (item for item in reversed(older) if after[:1] != _OF_BEFORE or item[0] < after)
