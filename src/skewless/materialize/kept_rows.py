"""Rows of sources that were removed: dropped for good, or given back to one of the name."""

from __future__ import annotations

import logging
import shutil

from skewless.errors import InputError, UnknownName
from skewless.ledger.runs import recorded
from skewless.materialize.build import complete
from skewless.online.apply import reconcile
from skewless.online.log_generations import (
    KeptLog,
    forget_ids,
    kept_logs,
    note_generation,
    rows_in,
)
from skewless.online.quarantine_table import QuarantineTable
from skewless.online.runtime import Runtime
from skewless.stores.offline.log.journal import MANIFEST_KEY, log_name
from skewless.stores.offline.log.manifest import Manifest

logger = logging.getLogger("skewless.log")


@recorded("drop rows", "source", result=lambda rows: {"rows": rows})
def drop_rows(runtime: Runtime, source: str) -> int:
    """Drop the rows that are kept of a removed source for good; return how many.

    A table of a lakehouse that they have settled into is named, to be dropped by its own tools.

    Raises:
        UnknownName: none are kept of a source of this name.
    """
    dropped = 0
    for log in _kept(runtime, source):
        note = runtime.journal.read_one(log.table, MANIFEST_KEY)
        lake = Manifest.decode(note, log.table).lake
        if lake:
            logger.warning("settled rows of %s are still in %s: drop that too", source, lake)
        # In this order: files without a log would be taken for rows that the journal lacks.
        folder = runtime.folder / "log" / log_name(log.source, log.generation)
        shutil.rmtree(folder, ignore_errors=True)
        runtime.journal.drop(log.table)
        log.quarantine.drop(runtime.journal)
        dropped += log.rows
    return dropped


@recorded("restore rows", "source", result=lambda rows: {"rows": rows})
def restore_rows(runtime: Runtime, source: str) -> int:
    """Give a source the rows of the one of its name that was removed last; return how many.

    Its states are rebuilt with them; until they are, reads say ``building``.

    Raises:
        UnknownName: no such source, or no rows are kept of one of this name.
        InputError: the source has rows of its own by now, or makes its own.
    """
    its = runtime.source(source)
    if its.derivation is not None:
        raise InputError(
            f"rows of {source!r} are derived", hint="They are made of what they are derived of."
        )
    log = _kept(runtime, its.stored, with_rows=True)[-1]
    runtime.outdate_copy()
    with runtime.journal.transaction() as transaction:
        now = runtime.log_generation(its.stored)
        if rows_in(transaction, its.stored, now):
            raise InputError(
                f"source {source!r} has rows of its own by now",
                got=f"{rows_in(transaction, its.stored, now):,} rows",
                hint="Push the rows that are kept, or drop them.",
            )
        QuarantineTable.of(its.stored, now).move(transaction, log.quarantine)
        note_generation(transaction, its.stored, log.generation)
        forget_ids(transaction, log)
    reconcile(runtime)  # tables begun over another log are void
    complete(runtime)
    return log.rows


def _kept(runtime: Runtime, source: str, *, with_rows: bool = False) -> list[KeptLog]:
    every = [log for log in kept_logs(runtime.journal) if log.rows or not with_rows]
    found = [log for log in every if log.source == source]
    if not found:
        known = {log.source for log in every}
        raise UnknownName.of("removed source", source, known, where="the event log")
    return found
