"""Exact sums: the mergeable state behind sum, mean, var and std.

    >>> state = ExactSum()
    >>> for value in (1e16, 1.0, -1e16):
    ...     state.add(value)
    >>> state.sum(), state.n
    (1.0, 3)
    >>> state.remove(1.0)
    >>> state.mean()
    0.0

The state is the number of values, their exact sum and the exact sum of their squares, as integers
times a power of two; every float taken from it is rounded once. So it depends on the multiset of
values alone: order, batching, tiling and merging cannot change a bit.
"""

from __future__ import annotations

import math

_FORMAT_VERSION = 1
_SMALLEST_EXPONENT = -1074
_LARGEST_VARINT_SHIFT = 63


def rounded_ratio(numerator: int, denominator: int, exponent: int = 0) -> float:
    """Return the float nearest to ``numerator / denominator * 2**exponent``, ties to even.

    Overflow becomes infinity and zero is always +0.0. Python's division of integers is correctly
    rounded, subnormal results included.

    >>> rounded_ratio(1, 3)
    0.3333333333333333
    >>> rounded_ratio(-(10**400), 1)
    -inf
    """
    if exponent >= 0:
        numerator <<= exponent
    else:
        denominator <<= -exponent
    try:
        return numerator / denominator + 0.0
    except OverflowError:
        return math.inf if numerator > 0 else -math.inf


class ExactSum:
    """Number, exact sum and exact sum of squares of floats or integers.

    Infinities are counted apart: with only +inf (or only -inf) among the values sum and mean are
    that infinity, with both they are NaN; any infinity makes the variance NaN. NaN is refused.
    """

    __slots__ = ("_count", "_exponent", "_minus_inf", "_plus_inf", "_squares", "_sum")

    def __init__(self) -> None:
        self._count = 0
        self._plus_inf = 0
        self._minus_inf = 0
        self._exponent = 0  # the sum in units of 2**exponent, the squares in 2**(2 * exponent)
        self._sum = 0
        self._squares = 0

    @property
    def n(self) -> int:
        """Number of values, infinities included."""
        return self._count + self._plus_inf + self._minus_inf

    def add(self, value: float | int) -> None:
        """Add one value.

        Raises:
            ValueError: if the value is NaN.
        """
        self._change(value, 1)

    def remove(self, value: float | int) -> None:
        """Undo one ``add`` of the same value, exactly.

        Raises:
            ValueError: if the value is NaN, or no value is left to remove.
        """
        self._change(value, -1)

    def merge(self, other: ExactSum) -> None:
        """Add all values of another state."""
        self._plus_inf += other._plus_inf
        self._minus_inf += other._minus_inf
        self._count += other._count
        shift = self._align(other._exponent)
        self._sum += other._sum << shift
        self._squares += other._squares << 2 * shift

    def copy(self) -> ExactSum:
        """Return an independent state of the same values."""
        twin = ExactSum()
        twin.merge(self)
        return twin

    def sum(self) -> float:
        """Return the correctly rounded sum; 0.0 of no values."""
        if self._plus_inf or self._minus_inf:
            return self._infinite()
        return rounded_ratio(self._sum, 1, self._exponent)

    def integer_sum(self) -> int:
        """Return the exact sum of integer values.

        Raises:
            ValueError: if the sum is not an integer.
        """
        if not (self._plus_inf or self._minus_inf):
            if self._exponent >= 0:
                return self._sum << self._exponent
            whole, rest = divmod(self._sum, 1 << -self._exponent)
            if not rest:
                return whole
        raise ValueError(f"the sum {self.sum()!r} is not an integer")

    def mean(self) -> float:
        """Return the correctly rounded mean; NaN of no values."""
        if self._plus_inf or self._minus_inf:
            return self._infinite()
        if self._count == 0:
            return math.nan
        return rounded_ratio(self._sum, self._count, self._exponent)

    def var(self, ddof: int = 0) -> float:
        """Return the correctly rounded variance, divided by ``n - ddof``; NaN unless n > ddof."""
        n = self._count
        if self._plus_inf or self._minus_inf or n <= max(ddof, 0):
            return math.nan
        numerator = n * self._squares - self._sum * self._sum
        return rounded_ratio(numerator, n * (n - ddof), 2 * self._exponent)

    def number(self, name: str, *, whole: bool = False) -> float | int:
        """Return one of `base.NUMBERS` that is no extreme; NaN where there is none.

        Args:
            name: of the number.
            whole: whether the sum is wanted as an exact integer.
        """
        match name:
            case "count":
                return self.n
            case "sum":
                return self.integer_sum() if whole else self.sum()
            case "mean":
                return self.mean()
            case "var":
                return self.var()
            case "var_sample":
                return self.var(1)
        raise ValueError(f"ExactSum: no number {name!r}")

    @classmethod
    def of(cls, counts: tuple[int, int, int], exponent: int, total: int, squares: int) -> ExactSum:
        """Return the state of these parts: what `digits` gives of an exponent."""
        state = cls()
        state._count, state._plus_inf, state._minus_inf = counts
        state._exponent, state._sum, state._squares = exponent, total, squares
        return state

    @property
    def least_exponent(self) -> int | None:
        """The greatest power of two over which sum and squares are whole; None where both are 0."""
        total, exponent = _odd(self._sum, self._exponent)
        squares, twice = _odd(self._squares, 2 * self._exponent)
        if not squares:
            return None
        return min(exponent, twice >> 1) if total else twice >> 1

    def digits(self, exponent: int) -> tuple[tuple[int, int, int], tuple[int, int]]:
        """Return counts (finite, plus, minus infinite), and sum and squares over an exponent.

        Args:
            exponent: a power of two up to `least_exponent`.
        """
        shift = self._exponent - exponent
        pairs = ((self._sum, shift), (self._squares, 2 * shift))
        total, squares = (n << by if by >= 0 else n >> -by for n, by in pairs)
        return (self._count, self._plus_inf, self._minus_inf), (total, squares)

    def to_bytes(self) -> bytes:
        """Return the state in a compact form that depends on the multiset of values alone."""
        out = bytearray([_FORMAT_VERSION])
        for number in (self._count, self._plus_inf, self._minus_inf):
            _write_varint(out, number)
        for number, exponent in (
            _odd(self._sum, self._exponent),
            _odd(self._squares, 2 * self._exponent),
        ):
            digits = number.to_bytes((number.bit_length() + 8) // 8, "little", signed=True)
            _write_varint(out, exponent + 2 * -_SMALLEST_EXPONENT)
            _write_varint(out, len(digits))
            out += digits
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes) -> ExactSum:
        """Return the state that ``to_bytes`` wrote.

        Raises:
            ValueError: if the bytes are of another version, cut off or otherwise damaged.
        """
        if not data or data[0] != _FORMAT_VERSION:
            got = data[0] if data else "nothing"
            raise ValueError(f"ExactSum: expected format version {_FORMAT_VERSION}, got {got}")
        state = cls()
        state._count, at = _read_varint(data, 1)
        state._plus_inf, at = _read_varint(data, at)
        state._minus_inf, at = _read_varint(data, at)
        total, exponent, at = _read_number(data, at)
        squares, square_exponent, at = _read_number(data, at)
        if at != len(data):
            raise ValueError(f"ExactSum: {len(data) - at} bytes too many")
        common = min(exponent, square_exponent // 2)
        state._exponent = common
        state._sum = total << exponent - common
        state._squares = squares << square_exponent - 2 * common
        return state

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ExactSum):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"ExactSum(n={self.n}, sum={self.sum()!r})"

    def _change(self, value: float | int, sign: int) -> None:
        if math.isnan(value):
            raise ValueError("ExactSum: expected a number, got NaN")
        if sign < 0 and self.n == 0:
            raise ValueError("ExactSum: no value is left to remove")
        if isinstance(value, int):
            digits, exponent = value, 0
        elif math.isinf(value):
            if value > 0:
                self._plus_inf += sign
            else:
                self._minus_inf += sign
            return
        else:
            digits, denominator = value.as_integer_ratio()
            exponent = 1 - denominator.bit_length()
        self._count += sign
        shift = self._align(exponent)
        digits <<= shift
        self._sum += sign * digits
        self._squares += sign * digits * digits

    def _align(self, exponent: int) -> int:
        """Make room for digits at an exponent; return how far to shift them left."""
        if not self._squares:
            self._exponent = exponent
        elif exponent < self._exponent:
            shift = self._exponent - exponent
            self._sum <<= shift
            self._squares <<= 2 * shift
            self._exponent = exponent
        return exponent - self._exponent

    def _infinite(self) -> float:
        if self._plus_inf and self._minus_inf:
            return math.nan
        return math.inf if self._plus_inf else -math.inf


def _odd(number: int, exponent: int) -> tuple[int, int]:
    """The same value with an odd number, so that equal values have equal bytes."""
    if not number:
        return 0, 0
    zeros = (number & -number).bit_length() - 1
    return number >> zeros, exponent + zeros


def _write_varint(out: bytearray, number: int) -> None:
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number = shift = 0
    while at < len(data) and shift <= _LARGEST_VARINT_SHIFT:
        number |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return number, at
        shift += 7
    raise ValueError("ExactSum: the bytes are cut off or damaged")


def _read_number(data: bytes, at: int) -> tuple[int, int, int]:
    biased, at = _read_varint(data, at)
    length, at = _read_varint(data, at)
    exponent = biased + 2 * _SMALLEST_EXPONENT
    if at + length > len(data) or exponent > -2 * _SMALLEST_EXPONENT:
        raise ValueError("ExactSum: the bytes are cut off or damaged")
    return int.from_bytes(data[at : at + length], "little", signed=True), exponent, at + length
