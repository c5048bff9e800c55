"""The states of a source are begun, to be kept up without a journal from then on."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Mapping, Sequence

from skewless.definitions import Source
from skewless.errors import Conflict, DefinitionError, InputError
from skewless.ingest.lanes.exactness import refuse_inexact, refuse_store
from skewless.online.derive import derived_of
from skewless.online.log_owned import LOGS, StreamLog, lanes_table
from skewless.online.ownership import LOG, MARK, Mark
from skewless.online.runtime import Runtime
from skewless.online.storage import is_states
from skewless.online.tables import StateTable
from skewless.stores.online.base import OnlineStore


def begin(
    runtime: Runtime, source_name: str, stream: str, reached: Mapping[bytes, int] | None = None
) -> StreamLog:
    """Note in the online store which states of a source are kept up so, and from what stream.

    Done again it changes nothing. Tables that definitions want since are refused: they would lack
    the records that were read before.

    Args:
        runtime: the open parts of the repo, to which the definitions were applied.
        source_name: whose rows the stream has.
        stream: its name (the ARN of AWS, ``kafka:cluster/topic/id``); what reads it has to begin at
            its first record.
        reached: the number before the first record of each lane, where these are known already.

    Raises:
        DefinitionError: what is defined cannot be exact without a journal, with the reasons.
        Conflict: the states have another writer, another stream, or records that tables lack.
        StoreError: the store cannot change several rows as one.
    """
    source, states = runtime.source(source_name), runtime.home.states
    if not stream.startswith(("arn:", "kafka:")):
        raise InputError("not the name of a stream", got=stream, expected="arn:aws:kinesis:...")
    refuse_store(states)
    tables = [table for table in runtime.tables().of_source(source.name) if table.active]
    _refuse(runtime, source, tables)
    _mark(states, runtime)
    wanted = StreamLog(source, stream, tuple(tables))
    new = wanted.to_json()
    lanes, firsts = lanes_table(source.name), {k: b"%d" % n for k, n in (reached or {}).items()}
    while True:
        left = dict(states.scan(lanes))  # read first: if nobody has begun, nobody moved them
        if (found := StreamLog.read(states, source.name)) is not None:
            break
        _refuse_left(left, firsts, source, states.where)
        states.compare_and_set(lanes, [(lane, None, first) for lane, first in firsts.items()])
        if all(states.compare_and_set(LOGS, [(source.name.encode(), None, new)])):
            return wanted
    _refuse_others(found, wanted, states.where)
    return found


def _refuse(runtime: Runtime, source: Source, tables: Sequence[StateTable]) -> None:
    """Refuse definitions that cannot be kept up so, and sources that have rows already."""
    derived = derived_of(runtime, source)
    if derived:
        raise DefinitionError(
            f"sources are derived of {source.name!r}, which needs the journal",
            got=", ".join(each.name for each in derived),
        )
    if not tables:
        raise InputError(f"no view keeps states of {source.name!r}", hint="Apply one first.")
    refuse_inexact(source, [table.layout for table in tables])
    rows = runtime.log(source).last_sequence()
    if rows or not all(table.complete for table in tables):
        raise Conflict(
            f"{source.name!r} has rows in the log of this repo, which would not be counted",
            got=f"{rows} rows",
            where=str(runtime.config.folder),
            hint="Apply the definitions to a repo without rows.",
        )


def _mark(states: OnlineStore, runtime: Runtime) -> None:
    """Give the states away, unless a journal has them."""
    while (found := Mark.read(states)) is None:
        named = [name for name in states.tables() if is_states(name)]
        if named:
            raise Conflict(
                "the store has states of a writer that has left no mark",
                got=named[0],
                where=states.where,
                hint="Give what has no journal a store, namespace or project of its own.",
            )
        place = (socket.gethostname(), str(runtime.config.folder))
        mark = Mark(f"{LOG}{uuid.uuid4().hex[:12]}", uuid.uuid4().hex, "", *place)
        table, key = MARK
        states.compare_and_set(table, [(key, None, mark.to_json())])
    if not found.of_log:
        raise Conflict(
            f"the states of this store are written by {found.writer} of {found.place}",
            where=states.where,
            hint="Give what has no journal a store, namespace or project of its own.",
        )


def _refuse_left(
    left: Mapping[bytes, bytes], firsts: Mapping[bytes, bytes], source: Source, where: str
) -> None:
    """Refuse what an attempt left that did not come further, of a topic that began elsewhere."""
    if any(firsts.get(lane) != number for lane, number in left.items()):
        raise Conflict(
            f"the states of {source.name!r} were begun once, for a topic that began elsewhere",
            got=", ".join(f"{lane.decode()}: {n.decode()}" for lane, n in sorted(left.items())),
            where=where,
            hint="Give them a store, namespace or project of their own.",
        )


def _refuse_others(found: StreamLog, wanted: StreamLog, where: str) -> None:
    name = found.source.name
    if found.stream != wanted.stream:
        raise Conflict(
            f"the states of {name!r} are built from another stream",
            got=wanted.stream,
            expected=found.stream,
            where=where,
        )
    kept = {layout.table for layout in found.layouts}
    missing = [layout.table for layout in wanted.layouts if layout.table not in kept]
    if missing:
        raise Conflict(
            f"records of {name!r} were counted before these states were wanted",
            got=", ".join(missing),
            where=where,
            hint="Begin them in another store, with a writer that reads the stream from its"
            " first record; move readers there when it has caught up.",
        )
