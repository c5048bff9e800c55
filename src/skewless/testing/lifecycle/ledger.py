"""Which rows of a source were acknowledged, and what values they make.

The ledger keeps its own account of every row that a store took: it never asks the store. Values
come from the reference engine over these rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import to_micros
from skewless.definitions import FeatureView, Source
from skewless.definitions.fingerprint import fingerprint
from skewless.engines.reference import Answer, HistoryRow, derived_rows, versions, view_values

Row = dict[str, Any]


@dataclass
class Ledger:
    """The rows of one source, as they were acknowledged.

    Attributes:
        log: of pushes and deletions, in order.
        filed: of the table: those of files that exist.
        files: how many rows of the table there were after each file.
        online: how many of ``filed`` every entity online has; later ones some may have.
        stamped: the newest moment that a clock gave to a row of the log.
        derived: what was made of the log, by the source and how many rows it had.
    """

    log: list[HistoryRow] = field(default_factory=list)
    filed: list[HistoryRow] = field(default_factory=list)
    files: list[int] = field(default_factory=lambda: [0])
    online: int = 0
    stamped: int = 0
    derived: dict[tuple[str, int], list[HistoryRow]] = field(default_factory=dict, repr=False)

    def push(self, source: Source, rows: Iterable[Row], now: int, *, backdate: bool) -> int:
        """Note rows that a push acknowledged; return how many it must have taken in."""
        taken = 0
        clock = max(now, self.stamped)
        for row in rows:
            values = _typed(source, row)
            event = to_micros(values[source.event_time])
            known = event + source.delay if backdate else clock
            if self._append(source, values, event, known, deleted=False):
                taken += 1
                self.stamped = self.stamped if backdate else clock
        return taken

    def delete(self, source: Source, ids: Iterable[tuple[Any, ...]], now: int) -> int:
        """Note rows that were deleted; return how many deletions the log must have."""
        known = max(now, self.stamped)
        taken = 0
        for row_id in ids:
            newest = self.newest(row_id)
            if newest is not None and not newest.deleted and newest.event is not None:
                taken += self._append(
                    source, dict(newest.values), newest.event, known, deleted=True
                )
                self.stamped = known
        return taken

    def file(self, source: Source, rows: Iterable[Row]) -> None:
        """Note rows of a file that was added to the table."""
        for row in rows:
            values = _typed(source, row)
            event = to_micros(values[source.event_time])
            number = -len(self.filed) - 1
            made = HistoryRow(
                values, event, event + source.delay, number, row_id=_id(source, values)
            )
            self.filed.append(made)
        self.files.append(len(self.filed))

    def snapshots(self) -> set[int]:
        """Return how many rows of the table an entity online may have: whole files of it."""
        return {rows for rows in self.files if rows >= self.online}

    def newest(self, row_id: tuple[Any, ...]) -> HistoryRow | None:
        """Return the newest version of a row of the log."""
        found = [row for row in self.log if row.row_id == row_id]
        return found[-1] if found else None

    def rows(self, source: Source, filed: int | None = None) -> list[HistoryRow]:
        """Return every version of every row, of the table as many as online states have at least.

        Args:
            source: as a view has it: itself, or one that is derived of it.
            filed: how many rows of the table; None: all.
        """
        if source.derivation is not None:
            base: Source | None = source.derivation.base
            again = base is not None and base.derivation is not None
            made = (fingerprint(source.derivation.to_dict()), len(self.log))
            if made not in self.derived:
                rows = self.rows(base) if base is not None and again else self.log
                self.derived[made] = derived_rows(source, rows)
            return self.derived[made]
        return [*self.filed[: len(self.filed) if filed is None else filed], *self.log]

    def _append(self, source: Source, values: Row, event: int, known: int, *, deleted: bool) -> int:
        row_id = _id(source, values)
        before = None if row_id is None else self.newest(row_id)
        if before is not None:  # what is replaced was known until then
            known = max(known, before.known)
        made = HistoryRow(values, event, known, len(self.log) + 1, row_id=row_id, deleted=deleted)
        if before is not None and _content(before) == _content(made):
            return 0
        self.log.append(made)
        return 1


def expected(
    view: FeatureView, rows: Sequence[HistoryRow], key: Mapping[str, Any], t: int, k: int | None
) -> dict[str, Answer]:
    """Return value and status of every feature of an entity; columns that came later are null."""
    names = view.source.columns
    filled = [_widened(row, names) for row in rows]
    return view_values(view, filled, key, t, k)


def known_times(rows: Sequence[HistoryRow]) -> list[int]:
    """Return the moments at which what is known of some rows changes."""
    found = {version.row.known for version in versions(rows)}
    return sorted(found)


def _content(row: HistoryRow) -> str:
    """Equal for identical deliveries: a column that came later, and is null, changes nothing."""
    filled = sorted((name, value) for name, value in row.values.items() if value is not None)
    return repr((filled, row.event, row.deleted))


def _widened(row: HistoryRow, names: Iterable[str]) -> HistoryRow:
    missing = {name: None for name in names if name not in row.values}
    if not missing:
        return row
    return HistoryRow(
        {**row.values, **missing}, row.event, row.known, row.tiebreak,
        late=row.late, row_id=row.row_id, deleted=row.deleted,
    )  # fmt: skip


def _typed(source: Source, row: Row) -> Row:
    return {name: dtype.coerce(row.get(name)) for name, dtype in source.columns.items()}


def _id(source: Source, values: Row) -> tuple[Any, ...] | None:
    return tuple(values[name] for name in source.row_id) or None
