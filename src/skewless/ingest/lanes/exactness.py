"""Which sources can be counted exactly without a journal, and why others cannot.

What needs a look at rows that states have let go of, or at rows of other entities, needs the
journal: elsewhere only a record itself and the states of its entities are seen.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from skewless.definitions import Source
from skewless.errors import DefinitionError, StoreError
from skewless.state.layout import StateLayout
from skewless.stores.online.base import OnlineStore

REMEDY = "Let skewless stream run take the stream: it has a journal."


def refuse_inexact(source: Source, layouts: Iterable[StateLayout]) -> None:
    """Refuse a source whose states could not be kept exact without a journal.

    Args:
        source: whose rows come in.
        layouts: of its states.

    Raises:
        DefinitionError: with all the reasons.
    """
    reasons = list(_reasons(source, layouts))
    if reasons:
        raise DefinitionError(
            f"rows of {source.name!r} cannot be counted exactly without a journal",
            got="; ".join(reasons),
            hint=REMEDY,
        )


def _reasons(source: Source, layouts: Iterable[StateLayout]) -> Iterator[str]:
    if source.row_id:
        yield (
            f"its row id ({', '.join(source.row_id)}): a correction replaces a row that states"
            " may have let go of, and that another entity may have"
        )
    if source.lateness is not None:
        yield "its lateness: which rows are too late depends on the newest of all lanes"
    if source.table is not None:
        yield "its table: states would lack the rows that lie there"
    if source.derivation is not None:
        yield f"it is derived of {source.derivation.source!r}, whose rows are grouped first"
    windows = [rule.window for each in layouts for rule in each.rules]
    for window in sorted({repr(window) for window in windows if window.joins}):
        yield f"the window {window}: a late row may join rows that states have let go of"


def refuse_store(store: OnlineStore) -> None:
    """Refuse a store in which several rows cannot change together, or that has transactions.

    Raises:
        StoreError: it is one.
    """
    if not store.capabilities.together:
        raise StoreError(
            "states without a journal need a store that changes several rows as one",
            got=type(store).__name__,
            expected='kind = "dynamodb", or "redis" that is no cluster',
            where=store.where,
            hint=REMEDY,
        )
