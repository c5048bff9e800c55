"""Clocks that were ahead: what they did never hides a row, nor makes a state unreadable.

A push is known from the moment that the clock of its host tells, so one that is an hour fast stamps
rows with times that others call the future, and keeps states for moments that have not come yet.
A read of the present (`clock.Now`) counts such rows all the same: its knowledge is the end of the
log. States that answer for later moments only are rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from skewless.clock import ALWAYS, NEVER
from skewless.definitions import Source
from skewless.plan.table_read import TableRead

if TYPE_CHECKING:
    from skewless.state.packed_rows import RowSet
    from skewless.stores.offline.log.journal import State


class ClocksAhead:
    """What one read of the present does where clocks were ahead; see `plan.table_read.Ahead`.

    Args:
        stamped: gives the greatest known time that clocks gave to rows of a source.

    Attributes:
        states: part and number of the entities whose states answer for later moments only.
    """

    def __init__(self, stamped: Callable[[Source], int]) -> None:
        self.states: list[tuple[TableRead, int]] = []
        self._ask = stamped
        self._stamped: dict[str, int] = {}

    def knowledge(self, source: Source, rows: RowSet, k: int) -> int:
        """Return the knowledge that counts everything the log of a source has."""
        later = rows.superseded[(rows.superseded > k) & (rows.superseded != NEVER)]
        if not len(later) and not (rows.records["known"] > k).any():
            return k
        if source.name not in self._stamped:
            self._stamped[source.name] = self._ask(source)
        return max(k, self._stamped[source.name])


def present(now: int, state: State, newest_event: int) -> int:
    """Return the moment that states are kept for: the clock's, unless it is ahead of all rows.

    So one push by a clock that is ahead drops nothing that is still asked for.

    Args:
        now: what the clock says.
        state: of the log, before the push.
        newest_event: greatest event time of the push.
    """
    seen = max(state.newest_event, state.stamped, newest_event)
    return now if seen == ALWAYS else min(now, seen)
