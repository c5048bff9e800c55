"""A column of Python objects as an Arrow column: of one kind, or an error that names the row.

column_of([1, None, 2], where="column 'n'")
column_of([naive, aware], where="column 'at'")          # NaiveTime: nothing is guessed

Arrow takes the type of what it meets first and makes the rest fit: a naive time beside aware ones
loses its zone or gets one, a time beside dates becomes a date, a bool beside floats 1.0. So the
kinds of values are looked at before Arrow sees them, at any depth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa

from skewless.clock import to_micros
from skewless.errors import InputError, NaiveTime

_NULL = frozenset({"none", "gone"})


def column_of(values: Sequence[Any], *, where: str) -> pa.Array:
    """Return Python objects as an Arrow array; `None`, NaT and NA are null.

    Args:
        values: of one kind: numbers, texts, times with a zone, lists of these, ...
        where: how errors name the column.

    Raises:
        NaiveTime: times without a zone beside times with one.
        InputError: values of several kinds, or of one that Arrow has no type for.
    """
    try:
        kinds = _check(values)
        if "set" in kinds:
            raise InputError(
                "a set has no order, and a list of it would have one",
                where=where,
                hint="sorted(...)",
            )
        if any(issubclass(each, np.generic) for each in set(map(type, values))):
            # Arrow would make whole numbers of NumPy's floats that stand beside Python's.
            values = [_without_numpy(value) for value in values]
        if "gone" in kinds:
            values = [None if kind_of(type(value)) == "gone" else value for value in values]
        if "number" in kinds and "text" in kinds:  # NaN, which is pandas' null in a column of text
            values = [None if kind_of(type(value)) == "number" else value for value in values]
        if "moment" in kinds and any(v is not None and v.tzinfo is not None for v in values):
            micros = [None if v is None else to_micros(v, where=where) for v in values]
            return pa.array(micros, pa.timestamp("us", "UTC"))
        return _inferred(values)
    except _Fault as fault:
        raise fault.error(f"{where}, row {fault.row}") from None
    except (pa.ArrowException, TypeError, ValueError, OverflowError, RecursionError) as problem:
        if isinstance(problem, InputError):
            raise
        raise InputError(
            "values that Arrow has no one type for",
            got=str(problem).splitlines()[0][:300] if str(problem) else type(problem).__name__,
            where=where,
            hint="Give every value of a column one type.",
        ) from None


def _without_numpy(value: Any) -> Any:
    plain = (np.bool_, np.integer, np.floating, np.str_, np.bytes_)
    return value.item() if isinstance(value, plain) else value


def is_nan(value: object) -> bool:
    """Return whether a value is a float that is no number, pandas' null in a column of anything."""
    return isinstance(value, (float, np.floating)) and bool(np.isnan(value))


def _inferred(values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array(values)
    except OverflowError:
        return pa.array(values, pa.uint64())  # hashes, for one: beyond int64


class _Fault(Exception):
    """The first row whose value does not go with those before it."""

    def __init__(self, row: int, value: object, beside: object) -> None:
        self.row, self.value, self.beside = row, value, beside

    def error(self, where: str) -> InputError:
        """Return what a caller is told."""
        if kind_of(type(self.value)) == "moment" == kind_of(type(self.beside)):
            return NaiveTime(
                "a time without a time zone, beside times with one",
                got=_shown(self.value),
                expected="a time with an offset, as the others have",
                where=where,
                hint="If it is UTC say so: value.replace(tzinfo=timezone.utc).",
            )
        return InputError(
            "a column mixes types",
            got=f"{_shown(self.value)} beside {_shown(self.beside)}",
            expected="values of one type",
            where=where,
            hint="Give every value of a column one type.",
        )


class _Keys(_Fault):
    """The first row whose mapping has other keys than those before it."""

    def error(self, where: str) -> InputError:
        """Return what a caller is told."""
        return InputError(
            "mappings with different keys: as one column each would get those of the others",
            got=f"{_shown(self.value)} beside {_shown(self.beside)}",
            where=where,
            hint="Push dicts, or give a column of Arrow's with a type, or JSON text.",
        )


def _check(values: Sequence[Any]) -> set[str]:
    """Return the kinds of some values; raise `_Fault` if they do not go together, at any depth."""
    kinds = {kind_of(each) for each in set(map(type, values))}
    found = kinds - _NULL
    if found == {"number", "text"} and all(
        is_nan(value) for value in values if kind_of(type(value)) == "number"
    ):
        found = {"text"}
    if len(found) > 1:
        some = [(at, v) for at, v in enumerate(values) if kind_of(type(v)) not in _NULL]
        first = some[0][1]
        at, other = next((at, v) for at, v in some if kind_of(type(v)) != kind_of(type(first)))
        raise _Fault(at, other, first)
    if "moment" in found:
        moments = [(at, v) for at, v in enumerate(values) if kind_of(type(v)) == "moment"]
        aware = next((v for _, v in moments if v.tzinfo is not None), None)
        naive = next(((at, v) for at, v in moments if v.tzinfo is None), None)
        if aware is not None and naive is not None:
            raise _Fault(*naive, aware)
    if found & {"list", "mapping"}:
        _check_inside(values)
    return kinds


def _check_inside(values: Sequence[Any]) -> None:
    """Check what lists and mappings hold: all their items (of one name) are one column."""
    held: dict[Any, tuple[list[Any], list[int]]] = {}
    mappings = [(row, value) for row, value in enumerate(values) if isinstance(value, Mapping)]
    for row, value in mappings:
        if value.keys() != mappings[0][1].keys():
            raise _Keys(row, value, mappings[0][1])
    for row, value in enumerate(values):
        pairs: Iterable[tuple[Any, Any]] = ()
        if isinstance(value, Mapping):
            pairs = value.items()
        elif kind_of(type(value)) == "list" and not isinstance(value, np.ndarray):
            pairs = ((None, item) for item in value)
        for name, item in pairs:
            items, rows = held.setdefault(name, ([], []))
            items.append(item)
            rows.append(row)
    for items, rows in held.values():
        try:
            _check(items)
        except _Fault as fault:
            raise type(fault)(rows[fault.row], fault.value, fault.beside) from None


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def _kind(python: type) -> str:
    if python.__name__ in ("NaTType", "NAType"):
        return "gone"
    return next((kind for types, kind in _KINDS if issubclass(python, types)), python.__name__)


_KINDS: tuple[tuple[tuple[type, ...], str], ...] = (
    ((type(None),), "none"),
    ((bool, np.bool_), "bool"),
    ((np.timedelta64,), "timedelta64"),
    ((int, float, Decimal, np.number), "number"),
    ((str,), "text"),
    ((bytes, bytearray, memoryview), "bytes"),
    ((datetime,), "moment"),
    ((date,), "date"),
    ((Mapping,), "mapping"),
    ((set, frozenset), "set"),
    ((list, tuple, np.ndarray), "list"),
)

kind_of: Callable[[type], str] = lru_cache(maxsize=1024)(_kind)
"""What kind of values a Python type has; kinds do not go together in a column."""
