"""The methods by which values are computed from values: text, times, numbers, nulls.

>>> from skewless.definitions.source import Source
>>> pays = Source("pays", schema={"card": str, "city": str}, event_time="at")
>>> pays.city.lower().starts_with("b")
starts_with(lower(pays.city), 'b'): Bool
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from skewless.errors import DefinitionError

if TYPE_CHECKING:
    from skewless.definitions.expressions import Expression


class ValueMethods:
    """Operations of `skewless.definitions.operations` that are no operators of Python."""

    def _operation(self, name: str, *others: object) -> Expression:
        """Return the operation of that name on this and other operands."""
        raise NotImplementedError

    def is_null(self) -> Expression:
        """True where the value is null; never null itself."""
        return self._operation("is_null")

    def is_not_null(self) -> Expression:
        """True where the value is not null; never null itself."""
        return ~self.is_null()

    def fill_null(self, value: object) -> Expression:
        """The value, or ``value`` where it is null."""
        return self._operation("coalesce", value)

    def is_in(self, values: list[Any]) -> Expression:
        """True where the value equals one of ``values``."""
        if not values:
            raise DefinitionError("is_in needs at least one value", got="[]")
        result: Expression = cast("Expression", self) == values[0]
        for value in values[1:]:
            result = result | cast("Expression", self == value)
        return result

    def sqrt(self) -> Expression:
        """Square root; null below zero."""
        return self._operation("sqrt")

    def log(self) -> Expression:
        """Natural logarithm; null at and below zero."""
        return self._operation("log")

    def exp(self) -> Expression:
        """The exponential."""
        return self._operation("exp")

    def floor(self) -> Expression:
        """The next whole number below."""
        return self._operation("floor")

    def ceil(self) -> Expression:
        """The next whole number above."""
        return self._operation("ceil")

    def lower(self) -> Expression:
        """Text in lower case."""
        return self._operation("lower")

    def upper(self) -> Expression:
        """Text in upper case."""
        return self._operation("upper")

    def strip(self) -> Expression:
        """Text without white space at its ends."""
        return self._operation("strip")

    def length(self) -> Expression:
        """Number of characters of a text."""
        return self._operation("length")

    def contains(self, part: str) -> Expression:
        """True where the text contains ``part``."""
        return self._operation("contains", part)

    def starts_with(self, part: str) -> Expression:
        """True where the text starts with ``part``."""
        return self._operation("starts_with", part)

    def ends_with(self, part: str) -> Expression:
        """True where the text ends with ``part``."""
        return self._operation("ends_with", part)

    def year(self) -> Expression:
        """Year of a time, in UTC."""
        return self._operation("year")

    def month(self) -> Expression:
        """Month of a time, in UTC, 1 to 12."""
        return self._operation("month")

    def day(self) -> Expression:
        """Day of the month of a time, in UTC, 1 to 31."""
        return self._operation("day")

    def hour(self) -> Expression:
        """Hour of a time, in UTC, 0 to 23."""
        return self._operation("hour")

    def weekday(self) -> Expression:
        """Day of the week of a time, in UTC: Monday is 0."""
        return self._operation("weekday")
