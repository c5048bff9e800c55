"""The methods by which values are computed from values: text, times, numbers, nulls.

>>> from skewless.definitions.source import Source
>>> pays = Source("pays", schema={"card": str, "city": str}, event_time="at")
>>> pays.city.lower().starts_with("b")
starts_with(lower(pays.city), 'b'): Bool
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

Made = TypeVar("Made")


class ValueMethods(Generic[Made]):
    """Operations of `skewless.definitions.operations` that are no operators of Python."""

    def _operation(self, name: str, *others: object) -> Made:
        """Return the operation of that name on this and other operands."""
        raise NotImplementedError

    def is_null(self) -> Made:
        """True where the value is null; never null itself."""
        return self._operation("is_null")

    def fill_null(self, value: object) -> Made:
        """The value, or ``value`` where it is null."""
        return self._operation("coalesce", value)

    def sqrt(self) -> Made:
        """Square root; null below zero."""
        return self._operation("sqrt")

    def log(self) -> Made:
        """Natural logarithm; null at and below zero."""
        return self._operation("log")

    def exp(self) -> Made:
        """The exponential."""
        return self._operation("exp")

    def floor(self) -> Made:
        """The next whole number below."""
        return self._operation("floor")

    def ceil(self) -> Made:
        """The next whole number above."""
        return self._operation("ceil")

    def lower(self) -> Made:
        """Text in lower case."""
        return self._operation("lower")

    def upper(self) -> Made:
        """Text in upper case."""
        return self._operation("upper")

    def strip(self) -> Made:
        """Text without white space at its ends."""
        return self._operation("strip")

    def length(self) -> Made:
        """Number of characters of a text, of values of a list, of keys of a map."""
        return self._operation("length")

    def contains(self, part: object) -> Made:
        """True where the text contains ``part``, the list has the value, the map has the key."""
        return self._operation("contains", part)

    def starts_with(self, part: str) -> Made:
        """True where the text starts with ``part``."""
        return self._operation("starts_with", part)

    def ends_with(self, part: str) -> Made:
        """True where the text ends with ``part``."""
        return self._operation("ends_with", part)

    def __getitem__(self, place: object) -> Made:
        """Value at a place of a list or vector, from 0; of its end from -1. Null beyond it."""
        return self._operation("item", place)

    __iter__ = None
    """A list of each row is none in Python."""

    def get(self, key: object, default: object = None) -> Made:
        """Value of a key of a map; ``default`` (or null) where it has none."""
        found: Any = self._operation("get", key)
        made: Made = found if default is None else found.fill_null(default)
        return made

    def top(self, k: object) -> Made:
        """The ``k`` keys of a map with the greatest values, the smaller key first among equals."""
        return self._operation("top", k)

    def rank(self, key: object) -> Made:
        """Place of a key of a map by its value: 1 is the greatest; null where it has none."""
        return self._operation("rank", key)

    def above(self, number: object) -> Made:
        """How many values of a list are greater than ``number``."""
        return self._operation("above", number)

    def near(self, number: object, share: object) -> Made:
        """How many values of a list are at most a share of ``number`` away from it."""
        return self._operation("near", number, share)

    def dot(self, other: object) -> Made:
        """Inner product with another vector; null where their lengths differ."""
        return self._operation("dot", other)

    def cosine(self, other: object) -> Made:
        """Cosine of the angle to another vector, -1 to 1; null where one is zero."""
        return self._operation("cosine", other)

    def days(self) -> Made:
        """Seconds, such as the difference of two times or dates, as days."""
        return self._operation("days")

    def year(self) -> Made:
        """Year of a time, in UTC."""
        return self._operation("year")

    def month(self) -> Made:
        """Month of a time, in UTC, 1 to 12."""
        return self._operation("month")

    def day(self) -> Made:
        """Day of the month of a time, in UTC, 1 to 31."""
        return self._operation("day")

    def hour(self) -> Made:
        """Hour of a time, in UTC, 0 to 23."""
        return self._operation("hour")

    def weekday(self) -> Made:
        """Day of the week of a time, in UTC: Monday is 0."""
        return self._operation("weekday")
