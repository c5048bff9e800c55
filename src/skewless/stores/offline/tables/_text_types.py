"""Types of columns that are text in their file: what declared ones are read as, and guesses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skewless.codec import from_text
from skewless.errors import InputError
from skewless.types import DType, Misfit

if TYPE_CHECKING:
    import pyarrow as pa

# Times are read as text: with an offset or without one, the cast to the source's type decides.
_AS_TEXT = frozenset({"timestamp", "json"})
# Read as they are in every other text: bytes are base64, nested values JSON. Arrow's reader of CSV
# does not count the digits of decimals.
_PARSED = frozenset({"bytes", "decimal", "list", "vector", "map", "struct"})


def arrow_of(dtype: DType) -> pa.DataType:
    """Return the Arrow type that text of a declared column is read as."""
    import pyarrow as pa

    return pa.string() if dtype.kind in _AS_TEXT else dtype.arrow()


def is_parsed(dtype: DType | None) -> bool:
    """Return whether values of a type are read by the codec of all texts, not by Arrow."""
    return dtype is not None and dtype.kind in _PARSED


def parsed(column: pa.Array, dtype: DType, where: str) -> pa.Array:
    """Return a column of texts as one of their declared type.

    Raises:
        InputError: a text is no value of it.
    """
    import pyarrow as pa

    try:
        values = [None if text is None else from_text(text, dtype) for text in column.to_pylist()]
    except Misfit as problem:
        raise InputError(f"values that are no {dtype!r}", got=str(problem), where=where) from None
    return pa.array(values, dtype.arrow())


class Guess:
    """The narrowest type that all texts seen so far fit: integer, float, bool, date, time, text.

    What does not fit a type makes it the next that holds all texts of the one before: an integer a
    float, a date a time, everything else text.
    """

    def __init__(self) -> None:
        self._type: pa.DataType | None = None

    def see(self, column: pa.Array) -> None:
        """Take a column of text into account."""
        if column.null_count == len(column):
            return
        wider = _wider()
        if self._type is None:
            some = column.drop_null().slice(0, 100)
            self._type = next(arrow for arrow in wider if _fits(some, arrow))
        while not _fits(column, self._type):
            self._type = wider[self._type]

    def type(self) -> pa.DataType:
        """Return the type; text where nothing was seen."""
        import pyarrow as pa

        return pa.string() if self._type is None else self._type


def _wider() -> dict[pa.DataType, pa.DataType]:
    import pyarrow as pa

    local, text = pa.timestamp("us"), pa.string()
    return {
        pa.int64(): pa.float64(),
        pa.float64(): text,
        pa.bool_(): text,
        pa.date32(): local,
        pa.timestamp("us", "UTC"): text,
        local: text,
        text: text,
    }


def _fits(column: pa.Array, arrow: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        column.cast(arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True
