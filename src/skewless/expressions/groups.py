"""The rows of a derived source, out of the rows of one group: pure.

    for version in versions_of_group(members, since):
        version.known, version.members        # the rows that count from then on, in order
    row_of_group(source, columns)             # what the function makes of them

A row counts from when it is known, and never before a row of its group that came earlier: what was
known of a group once stays so. That is the rule for corrections (one takes effect at the later of
its own known time and that of what it replaces), and each row of a derived source is one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skewless.clock import ALWAYS
from skewless.definitions import Source
from skewless.definitions.derivation import LAST_ROW, Derivation
from skewless.errors import DefinitionError, FunctionNotFound, said_by
from skewless.expressions.on_demand import as_numpy, whole

if TYPE_CHECKING:
    import numpy as np

WRONG = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""What a function raises because of the values it is given. All else (a library that is missing, no
memory) is no fault of the group's: whoever pushes hears of it, and nothing is kept."""


class NoRow(Exception):
    """There is no row of a group, because of what it holds."""


@dataclass(frozen=True, slots=True)
class Member:
    """A row of the log that is about a group: one of its rows, or one that takes a row from it.

    Attributes:
        sequence: in the log, by which the rows come.
        event: microseconds.
        known: microseconds.
        row_id: identifies the row; None: nothing does.
        stays: whether it is a row of the group, not a deletion or one that went to another group.
    """

    sequence: int
    event: int
    known: int
    row_id: tuple[Any, ...] | None
    stays: bool

    @property
    def order(self) -> tuple[int, int, int]:
        """What rows are sorted by."""
        return self.event, self.known, self.sequence


@dataclass(frozen=True, slots=True)
class GroupVersion:
    """The rows of a group from some moment on.

    Attributes:
        sequence: of the row that made it so.
        known: since when, microseconds.
        event: the greatest event time, microseconds; of none, `clock.ALWAYS`.
        members: their places among those given, in the order of rows.
    """

    sequence: int
    known: int
    event: int
    members: tuple[int, ...]


def versions_of_group(
    members: Sequence[Member], since: int, *, every: bool = False
) -> Iterator[GroupVersion]:
    """Yield what a group consists of, for each known time at which that changes.

    Args:
        members: everything that the log has about the group, in the order of the log.
        since: the sequence after which changes are asked for.
        every: whether those are asked for too that another is known as early as.
    """
    standing: dict[Any, int] = {}
    known = ALWAYS
    for place, row in enumerate(members):
        known = max(known, row.known)
        key = row.sequence if row.row_id is None else row.row_id
        standing.pop(key, None)
        if row.stays:
            standing[key] = place
        after = members[place + 1] if place + 1 < len(members) else None
        if row.sequence > since and (every or after is None or after.known > known):
            rows = sorted(standing.values(), key=lambda at: members[at].order)
            event = members[rows[-1]].event if rows else ALWAYS
            yield GroupVersion(row.sequence, known, event, tuple(rows))


def row_of_group(source: Source, columns: Mapping[str, np.ndarray]) -> dict[str, Any] | None:
    """Return what the function of a derived source makes of the rows of a group; None: no row.

    Raises:
        NoRow: the function raised because of the values, or gave something else.
        DefinitionError: there is no function, or it failed for another reason.
    """
    derivation = source.derivation
    if derivation is None or derivation.function is None:
        raise DefinitionError(f"source {source.name!r} has no function at hand")
    try:
        given = derivation.function(columns)
        return None if given is None else _row(source, derivation, given)
    except (NoRow, FunctionNotFound):
        raise
    except MemoryError as problem:
        raise _failed(source, problem) from problem
    except WRONG as problem:
        raise NoRow(said_by(problem)) from None
    except Exception as problem:
        raise _failed(source, problem) from problem


def _row(source: Source, derivation: Derivation, given: Any) -> dict[str, Any]:
    """Return what a function gives, checked and in canonical form."""
    if not isinstance(given, Mapping):
        raise NoRow(f"the function gave {type(given).__name__}, no mapping")
    wanted = [name for name in source.schema if name not in (*derivation.by, LAST_ROW)]
    if set(given) != set(wanted):
        raise NoRow(f"the function gave {sorted(map(str, given))}, not {sorted(wanted)}")
    return {name: _value(source, name, given[name]) for name in wanted}


def _failed(source: Source, problem: Exception) -> DefinitionError:
    code = {} if source.derivation is None else source.derivation.code
    return DefinitionError(
        f"the function of derived source {source.name!r} failed, and not for its rows",
        got=said_by(problem),
        where=f"function {code.get('path')}",
        hint="Nothing was kept: mend what it needs, then send the rows again.",
    )


def columns_of(source: Source, values: Mapping[str, Sequence[Any]]) -> dict[str, np.ndarray]:
    """Return the columns that the function of a derived source is given, as NumPy arrays.

    Args:
        source: the derived one.
        values: Python values by column, of the rows that count, in their order.
    """
    derivation = source.derivation
    if derivation is None:
        return {}
    types = derivation.types
    return {name: as_numpy(values[name], types[name]) for name in derivation.columns}


def _value(source: Source, name: str, value: Any) -> Any:
    dtype = source.columns[name]
    plain = value.tolist() if hasattr(value, "tolist") else value
    try:
        return dtype.coerce(whole(plain, dtype))
    except ValueError as problem:
        raise NoRow(f"{name}: {problem}") from None
