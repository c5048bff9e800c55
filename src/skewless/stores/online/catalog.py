"""Which tables a store has, where noting it with every write would cost a call of its own.

A table is noted as live by each process's first write to it. Dropping notes it as dropped, and a
process that had noted it before may write to it again without a word: so a dropped table counts
again once it has rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Catalog:
    """The names of tables.

    Args:
        load: returns every name that was ever noted, and whether it was last noted as live.
        save: notes a name as live or dropped.
        has_rows: says whether there is any row of a table.
    """

    def __init__(
        self,
        *,
        load: Callable[[], Iterable[tuple[str, bool]]],
        save: Callable[[str, bool], None],
        has_rows: Callable[[str], bool],
    ) -> None:
        self._load = load
        self._save = save
        self._has_rows = has_rows
        self._live: set[str] = set()

    def note(self, table: str) -> None:
        """Note a table that is about to get rows."""
        if table not in self._live:
            self._save(table, True)
            self._live.add(table)

    def forget(self, table: str) -> None:
        """Note a table as dropped; its rows are still to be removed."""
        self._live.discard(table)
        self._save(table, False)

    def names(self) -> list[str]:
        """Return the names of the tables there are, sorted."""
        return sorted(name for name, live in self._load() if live or self._has_rows(name))
