"""A source's table as it was in some state: what a training set that is made again reads."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from skewless.clock import iso, to_micros
from skewless.definitions import Source
from skewless.definitions.tables import Recorded, Table
from skewless.errors import InputError
from skewless.plugins import find

Pinned = str | datetime | Mapping[str, Any]
"""A state of a table: a moment, or options of its kind that say which."""


def pinned_table(source: Source, table: Table | None, state: Pinned) -> Table:
    """Return a source's table as it was in some state.

    Raises:
        InputError: the table has no states, or not this one.
    """
    travels = () if table is None else find("table", table.kind).travels
    if not isinstance(state, Mapping):
        state = {"as_of": iso(to_micros(state, where=f"the state of source {source.name!r}"))}
    for name in state:
        if name not in travels:
            raise InputError(
                f"the table of source {source.name!r} cannot be read as it was",
                got=f"{name} for {table!r}",
                expected=", ".join(travels) or "a table of Delta or Iceberg",
            )
    options = {} if table is None else table.to_dict()
    return Recorded(options | dict.fromkeys(travels) | dict(state))
