"""What a derived source is made by: a function over groups of rows of another source, or a view.

`skewless.derived` and `Source.of` make it (`definitions.derived`, `definitions.values_of`); a
`Source` carries it, also as plain data.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.types import DType, dtype_from_dict

LAST_ROW = "last_row"
"""A column that every derived source has and nothing may ask for: the sequence, in the log of the
rows that it is made of, of the last one that changed the group. So two rows of a group are never
taken for one that came twice, and it does not matter how its rows were cut into pushes."""
SOURCE_ROW = "source_row"
"""A column of the values of a view, likewise hidden: the sequence of the row that they are of."""
OF_A_TABLE = "Push the table's rows, with backdate=True, to a source that has none."
"""What helps where rows are to be derived of those of a table."""
GroupFunction = Callable[[Mapping[str, Any]], Mapping[str, Any] | None]


@dataclass(frozen=True, eq=False)
class Derivation:
    """How the rows of a derived source are made.

    Attributes:
        source: name of the source whose rows are grouped.
        by: the columns that a group has in common.
        rows: how many rows a group has at least before there is a row of it.
        most: how many it may have.
        columns: the columns that the function is given.
        event_time: of that source.
        row_id: of that source.
        types: of its columns that matter here.
        code: path of the function, and hash of its text.
        function: it, or None where only its plain data is at hand.
        base: the source whose rows are grouped (a `Source`), likewise.
        view: of the values of a view, what decides them (`FeatureView.to_dict`, and its entity
            under ``entity``); there is no function then, and no bound.
    """

    source: str
    by: tuple[str, ...]
    rows: int
    most: int
    columns: tuple[str, ...]
    event_time: str
    row_id: tuple[str, ...]
    types: Mapping[str, DType]
    code: Mapping[str, str]
    function: GroupFunction | None = field(default=None, repr=False)
    base: Any = field(default=None, repr=False)
    view: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what decides which rows there are, as plain data."""
        return {
            "source": self.source,
            "by": list(self.by),
            "rows": self.rows,
            "most": self.most,
            "columns": list(self.columns),
            "event_time": self.event_time,
            "row_id": list(self.row_id),
            "types": {name: dtype.to_dict() for name, dtype in self.types.items()},
            "code": self.code["hash"],
            **({} if self.view is None else {"view": dict(self.view)}),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], path: str) -> Derivation:
        """Return the derivation that `to_dict` wrote, without function and source.

        Args:
            data: what it wrote.
            path: of the function.
        """
        return cls(
            data["source"],
            tuple(data["by"]),
            data["rows"],
            data["most"],
            tuple(data["columns"]),
            data["event_time"],
            tuple(data["row_id"]),
            {name: dtype_from_dict(dtype) for name, dtype in data["types"].items()},
            {"path": path, "hash": data["code"]},
            view=data.get("view"),
        )

    @property
    def hidden(self) -> tuple[str, ...]:
        """The columns that nothing may ask for."""
        return (LAST_ROW,) if self.view is None else (LAST_ROW, SOURCE_ROW)

    def __str__(self) -> str:
        if self.view is not None:
            return f"the values of {self.view['name']} over {self.source}"
        return f"{self.source} by {', '.join(self.by)}"


def unfit(by: Derivation, source: Any) -> str:
    """Return why rows cannot be derived of a `Source` as it is; "" if they can."""
    if source.table is not None:
        return "it has a table: a group's rows are taken as they come, by push or stream"
    if source.lateness is not None:
        return "it has a lateness, so that rows of a group would be left out"
    if any(check.is_of_values for check in source.checks):
        return "its checks set rows aside or alter values: say them of the derived source"
    if source.event_time != by.event_time or source.row_id != by.row_id:
        return "its event time or row id is another one"
    for name, dtype in by.types.items():
        if source.columns.get(name) != dtype:
            return f"its column {name!r} is gone, or of another type"
    return ""
