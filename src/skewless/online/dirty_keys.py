"""Marks: entities whose states have to be rebuilt from history, see `materialize.repair`."""

from __future__ import annotations

from collections.abc import Iterable

from skewless.state.layout import StateLayout
from skewless.stores.online.base import KeyValues

_MARKS = "skewless.dirty"


def mark(journal: KeyValues, layout: StateLayout, keys: Iterable[bytes], sequence: int) -> None:
    """Note the entities whose states have to be rebuilt, as of a row of the log."""
    mark_keys(journal, layout.table, keys, sequence)


def mark_keys(journal: KeyValues, table: str, keys: Iterable[bytes], sequence: int) -> None:
    """Note keys of a table of states that have to be rebuilt, as of a row of the log."""
    prefix = table.encode() + b"/"
    journal.write(_MARKS, [(prefix + key, b"%d" % sequence) for key in keys])


def unmarked(journal: KeyValues, table: str, keys: Iterable[bytes]) -> list[bytes]:
    """Return those keys of a table of states that are not noted yet."""
    prefix, asked = table.encode() + b"/", list(keys)
    notes = journal.read(_MARKS, [prefix + key for key in asked])
    return [key for key, note in zip(asked, notes, strict=True) if note is None]


def any_marked(journal: KeyValues) -> bool:
    """Return whether states of any table are marked."""
    return next(iter(journal.scan(_MARKS, limit=1)), None) is not None


def marked(journal: KeyValues, layout: StateLayout, limit: int | None = None) -> set[bytes]:
    """Return the entities that are marked, at most so many."""
    prefix = _prefix(layout)
    found = journal.scan(_MARKS, prefix=prefix, limit=limit)
    return {key[len(prefix) :] for key, _ in found}


def unmark(journal: KeyValues, layout: StateLayout, keys: Iterable[bytes]) -> None:
    """Forget marks."""
    prefix = _prefix(layout)
    journal.delete(_MARKS, [prefix + key for key in keys])


def _prefix(layout: StateLayout) -> bytes:
    return layout.table.encode() + b"/"
