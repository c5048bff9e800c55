"""Types of columns that are text in their file: what declared ones are read as, and guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skewless.types import DType

if TYPE_CHECKING:
    import pyarrow as pa

# Times are read as text: with an offset or without one, the cast to the source's type decides.
_AS_TEXT = frozenset({"timestamp", "json", "list", "vector", "map", "struct"})


def arrow_of(dtype: DType) -> pa.DataType:
    """Return the Arrow type that text of a declared column is read as."""
    import pyarrow as pa

    return pa.string() if dtype.kind in _AS_TEXT else dtype.arrow()


class Guess:
    """The narrowest type that all texts seen so far fit: integer, float, bool, date, time, text."""

    def __init__(self) -> None:
        import pyarrow as pa

        self._seen = False
        self._left: list[pa.DataType] = [
            pa.int64(),
            pa.float64(),
            pa.bool_(),
            pa.date32(),
            pa.timestamp("us", "UTC"),
            pa.timestamp("us"),
        ]

    def see(self, column: pa.Array) -> None:
        """Take a column of text into account."""
        if column.null_count == len(column):
            return
        self._seen = True
        self._left = [arrow for arrow in self._left if _fits(column, arrow)]

    def type(self) -> pa.DataType:
        """Return the type; text where nothing was seen."""
        import pyarrow as pa

        return self._left[0] if self._seen and self._left else pa.string()


def _fits(column: pa.Array, arrow: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        column.cast(arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
