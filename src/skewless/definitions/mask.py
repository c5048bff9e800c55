"""Masks: what is shown in place of a value that a grant does not show as it is.

>>> from skewless.types import Float64, Int64, String
>>> Mask.of("bucket:100").shown(1234.5, Float64, str)
1200.0
>>> Mask.of("round:-1").shown(87, Int64, str)
90
>>> Mask.of("null").shown("Ada", String, str) is None
True
>>> Mask.of("bucket:100").shown("Ada", String, str) is None
True

A mask keeps the type of the feature, so that tables have the schema that they have without it.
Where it has no form of a type, or would leave every value of it as it is, nothing is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from skewless.errors import DefinitionError
from skewless.types import FLOAT, INTEGER, DType

_HASHED = ("str", "bytes", "int64")
KINDS = ("null", "hash", "bucket", "round")
_EXPECTED = "null, hash, bucket:WIDTH (a number above 0) or round:DIGITS (a whole number)"


@dataclass(frozen=True)
class Mask:
    """How values are shown.

    Attributes:
        kind: ``null`` (nothing), ``hash`` (equal values stay equal; texts, bytes and whole numbers
            of 64 bits), ``bucket`` (the lower end of its interval) or ``round``; both of numbers.
        size: the width of a bucket, or the digits behind the point that stay.
    """

    kind: str
    size: float = 0.0

    @classmethod
    def of(cls, text: Any, where: str = "a mask") -> Mask:
        """Return the mask that a text names.

        Raises:
            DefinitionError: it names none.
        """
        problem = DefinitionError(f"{where} is none", got=repr(text), expected=_EXPECTED)
        if not isinstance(text, str):
            raise problem
        kind, _, size = text.partition(":")
        if kind not in KINDS or bool(size) != (kind in ("bucket", "round")):
            raise problem
        try:
            number = float(size or 0)
        except ValueError:
            raise problem from None
        bad = not math.isfinite(number) or (kind == "bucket" and number <= 0)
        if bad or (kind == "round" and (not number.is_integer() or abs(number) > 300)):
            raise problem
        return cls(kind, number)

    def shown(self, value: Any, dtype: DType, hashed: Callable[[bytes], str]) -> Any:
        """Return what is shown in place of a value, of the same type; None: nothing.

        Args:
            value: of a feature.
            dtype: its type.
            hashed: the keyed hash of bytes, 32 hexadecimal digits.
        """
        if value is None or not self.shows(dtype):
            return None
        if self.kind == "hash":
            return _hashed(value, dtype, hashed)
        return self._of_float(value, dtype) if dtype.kind in FLOAT else self._of_whole(value, dtype)

    def shows(self, dtype: DType) -> bool:
        """Return whether anything of values of a type is shown."""
        if self.kind == "hash":
            return dtype.kind in _HASHED
        if self.kind == "bucket":
            whole = self.size.is_integer() and self.size >= 2
            return dtype.kind in FLOAT or (dtype.kind in INTEGER and whole)
        rounded = dtype.kind in FLOAT or (dtype.kind in INTEGER and self.size < 0)
        return self.kind == "round" and rounded

    def _of_float(self, value: float, dtype: DType) -> float | None:
        if not math.isfinite(value):
            return None
        try:
            if self.kind == "bucket":
                found = math.floor(value / self.size) * self.size
                found -= self.size if found > value else 0  # where the quotient was rounded
            else:
                found = round(value, int(self.size))
            found = dtype.coerce(found)
        except (OverflowError, ValueError):
            return None
        return found if math.isfinite(found) else None

    def _of_whole(self, value: int, dtype: DType) -> int | None:
        size = int(self.size)
        found = value // size * size if self.kind == "bucket" else round(value, size)
        bound = 1 << (31 if dtype.kind == "int32" else 63)
        return found if -bound <= found < bound else None

    def __str__(self) -> str:
        size = int(self.size) if self.size.is_integer() else self.size
        return f"{self.kind}:{size}" if self.kind in ("bucket", "round") else self.kind


def _hashed(value: Any, dtype: DType, hashed: Callable[[bytes], str]) -> Any:
    if dtype.kind == "str":
        return hashed(value.encode())
    if dtype.kind == "bytes":
        return bytes.fromhex(hashed(value))
    return int(hashed(str(value).encode())[:16], 16) >> 1
