"""Rows of derived sources, made in the transaction that appends the rows they are made of.

    rows = derive(runtime, transaction, source, fresh)     # to be appended to the log of `source`

What is made are rows of an ordinary log, so every later path is that of any source. Beside the log,
the journal has how far a derived source has come in the log that it is made of, and of which rows
it has to look again at what. A derived source that is far behind, since it was defined over rows
that were there already, is brought up to date by `ingest.catch_up`.
"""

from __future__ import annotations

import numpy as np

from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.errors import DefinitionError
from skewless.online.dedup import ValidRows
from skewless.online.derive_groups import GroupRows
from skewless.online.derive_values import ValueRows
from skewless.online.derived_rows import Fresh, base_of, place_of, position_of
from skewless.online.runtime import Runtime
from skewless.stores.offline.log.journal import SUPERSEDES
from skewless.stores.online.base import Transaction

__all__ = [
    "BACKLOG",
    "base_of",
    "check_versions",
    "derive",
    "derived_of",
    "lag_of",
    "all_derived_of",
]

BACKLOG = 10_000
"""How many rows that came before its own a push makes rows of, at most; and `ingest.catch_up` in
one transaction."""


def derive(runtime: Runtime, transaction: Transaction, source: Source, fresh: Fresh) -> ValidRows:
    """Return the rows that a derived source gets, and note that it has come so far.

    Groups of which there is no row because of what they hold are among the rejected.

    Args:
        runtime: the open parts.
        transaction: of the journal.
        source: the derived one.
        fresh: what was just appended to the log it is made of; without rows: it is brought up to
            date, a step of many rows at a time.
    """
    kind = GroupRows if source.derivation and source.derivation.view is None else ValueRows
    work = kind(runtime, transaction, source, fresh)
    since, (first, arrivals) = position_of(transaction, work.place), fresh
    last, own = first + len(arrivals.event) - 1, len(arrivals.event)
    if since < last and (not own or first - 1 - since <= BACKLOG):
        work.take_in(since, last if own else min(last, since + BACKLOG))
    return work.derived(since)


def derived_of(runtime: Runtime, source: Source) -> tuple[Source, ...]:
    """Return the sources that are derived of a source."""
    return runtime.state().derived.get(source.name, ())


def all_derived_of(runtime: Runtime, source: Source) -> tuple[Source, ...]:
    """Return the sources that are derived of a source, and those that are derived of them."""
    direct = derived_of(runtime, source)
    return tuple(each for first in direct for each in (first, *all_derived_of(runtime, first)))


def lag_of(runtime: Runtime, source: Source) -> int:
    """Return how many rows a derived source has yet to take in."""
    since = position_of(
        runtime.journal, place_of(runtime, source)
    )  # before the end: that only grows
    return max(0, runtime.log(base_of(runtime, source)[1]).last_sequence() - since)


def check_versions(runtime: Runtime, source: Source) -> None:
    """Raise unless the log says of each row of a source which one it replaces.

    That of a source that had rows before it had its row id does not: groups that rows have left
    would not be found.

    Raises:
        DefinitionError: it does not.
    """
    log = runtime.log(source)
    if not source.row_id or not log.last_sequence():
        return
    found = runtime.history(source).superseded()
    marks = (chunk.table[SUPERSEDES].to_numpy() for chunk in log.reader().chunks([SUPERSEDES]))
    if (found.times == ALWAYS).any() or sum(np.count_nonzero(each) for each in marks) != len(found):
        raise DefinitionError(
            f"rows of {source.name!r} came before it had its row id",
            hint="Push them to a source of another name, and derive of that.",
        )
