"""Column types: what a value of each may be, and its Arrow form.

Schemas are written with Python types or the sized types of this module:

>>> dtype_of(float), dtype_of(list[int]), dtype_of(Vector(3))
(Float64, List(Int64), Vector(3))
>>> Float64.coerce(1)
1.0
>>> Int32.coerce(2**40)
Traceback (most recent call last):
    ...
ValueError: 1099511627776 is outside the range of Int32
"""

from __future__ import annotations

import functools
import math
import operator
import struct
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal as PyDecimal
from typing import TYPE_CHECKING, Any, get_args, get_origin

from skewless.clock import EPOCH_UNITS, from_micros, is_epoch_text, since_1970, to_micros
from skewless.errors import DefinitionError, InputError, near_type
from skewless.json_text import json_text

if TYPE_CHECKING:
    import pyarrow as pa

NUMERIC = frozenset({"int32", "int64", "float32", "float64", "decimal"})
INTEGER = frozenset({"int32", "int64"})
FLOAT = frozenset({"float32", "float64"})


@dataclass(frozen=True)
class DType:
    """A column type.

    Attributes:
        kind: ``bool``, ``int32``, ``int64``, ``float32``, ``float64``, ``str``, ``bytes``,
            ``timestamp`` (UTC, microseconds), ``date``, ``decimal``, ``list``, ``vector``
            (fixed-size float32), ``json``, ``struct`` or ``map`` (text keys).
        item: element type of a list or map.
        size: length of a vector, precision of a decimal, or of a timestamp that comes as numbers
            since 1970 the nanoseconds of one; 0 where it does not.
        scale: digits after the point of a decimal.
        fields: name and type of each field of a struct.
    """

    kind: str
    item: DType | None = None
    size: int = 0
    scale: int = 0
    fields: tuple[tuple[str, DType], ...] = ()

    def __repr__(self) -> str:
        if self.kind in ("list", "map"):
            return f"{self.kind.capitalize()}({self.item!r})"
        if self.kind == "vector":
            return f"Vector({self.size})"
        if self.kind == "decimal":
            return f"Decimal({self.size}, {self.scale})"
        if self.kind == "struct":
            return f"Struct({dict(self.fields)!r})"
        return _NAMES[self.kind] + (f" in {_UNITS[self.size]} since 1970" if self.size else "")

    @property
    def is_numeric(self) -> bool:
        """Whether arithmetic is defined on the type."""
        return self.kind in NUMERIC

    @property
    def is_integer(self) -> bool:
        """Whether values are whole numbers."""
        return self.kind in INTEGER

    @property
    def holds_mappings(self) -> bool:
        """Whether a value may hold a mapping, of which each may have keys of its own."""
        nested = self.item is not None and self.item.holds_mappings
        return nested or self.kind in ("json", "map", "struct")

    def coerce(self, value: object) -> Any:
        """Return ``value`` in its canonical Python form; ``None`` and NaN become ``None``.

        Raises:
            ValueError: the value does not fit the type; the text says why.
        """
        if value is None:
            return None
        try:
            return _COERCE[self.kind](self, value)
        except ValueError:
            raise
        except Exception as problem:  # noqa: BLE001 - what a caller's value does, nobody knows
            raise ValueError(f"{shown(value)} is no {self!r}: {problem}") from None

    def arrow(self) -> pa.DataType:
        """Return the Arrow type that columns of this type have."""
        import pyarrow as pa

        match self.kind:
            case "list":
                return pa.list_(_item(self).arrow())
            case "map":
                return pa.map_(pa.string(), _item(self).arrow())
            case "vector":
                return pa.list_(pa.float32(), self.size)
            case "decimal":
                return pa.decimal128(self.size, self.scale)
            case "struct":
                return pa.struct([pa.field(name, dtype.arrow()) for name, dtype in self.fields])
            case "timestamp":
                return pa.timestamp("us", "UTC")
            case "date":
                return pa.date32()
            case "json":
                return pa.string()
            case _:
                return pa.type_for_alias(_ALIASES.get(self.kind, self.kind))

    def to_dict(self) -> Any:
        """Return the type as plain data; `dtype_from_dict` reads it back."""
        match self.kind:
            case "list" | "map":
                return {self.kind: _item(self).to_dict()}
            case "vector":
                return {"vector": self.size}
            case "decimal":
                return {"decimal": [self.size, self.scale]}
            case "struct":
                return {"struct": {name: dtype.to_dict() for name, dtype in self.fields}}
            case _:
                return self.kind


def _item(dtype: DType) -> DType:
    if dtype.item is None:
        raise DefinitionError(f"a {dtype.kind} needs the type of its elements")
    return dtype.item


_NAMES = {
    "bool": "Bool",
    "int32": "Int32",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
    "str": "String",
    "bytes": "Bytes",
    "timestamp": "Timestamp",
    "date": "Date",
    "json": "Json",
}
_ALIASES = {"str": "string", "bytes": "binary"}

Bool = DType("bool")
Int32 = DType("int32")
Int64 = DType("int64")
Float32 = DType("float32")
Float64 = DType("float64")
String = DType("str")
Bytes = DType("bytes")
Timestamp = DType("timestamp")
Date = DType("date")
Json = DType("json")


_UNITS = {nanos: unit for unit, nanos in EPOCH_UNITS.items()}


def epoch(unit: str) -> DType:
    """Return the type of moments that come as numbers since 1970: ``s``, ``ms``, ``us``, ``ns``.

    >>> epoch("ms").coerce(1_704_067_200_000)
    datetime.datetime(2024, 1, 1, 0, 0, tzinfo=datetime.timezone.utc)
    """
    if unit not in EPOCH_UNITS:
        expected = " or ".join(map(repr, EPOCH_UNITS))
        raise DefinitionError("no unit of numbers since 1970", got=unit, expected=expected)
    return DType("timestamp", size=EPOCH_UNITS[unit])


def is_epoch(dtype: DType) -> bool:
    """Whether values are moments that come as numbers since 1970."""
    return dtype.kind == "timestamp" and dtype.size > 0


def Decimal(precision: int, scale: int) -> DType:
    """Return the type of exact decimals with ``precision`` digits, ``scale`` after the point."""
    if not 1 <= precision <= 38 or not 0 <= scale <= precision:
        raise DefinitionError(
            "a decimal type out of range",
            got=f"Decimal({precision}, {scale})",
            expected="1 <= precision <= 38 and 0 <= scale <= precision",
        )
    return DType("decimal", size=precision, scale=scale)


def List(item: object) -> DType:
    """Return the type of lists of ``item``."""
    return DType("list", item=dtype_of(item))


def Map(item: object) -> DType:
    """Return the type of maps from text to ``item``."""
    return DType("map", item=dtype_of(item))


def Vector(size: int) -> DType:
    """Return the type of embeddings: ``size`` float32 numbers."""
    if size < 1:
        raise DefinitionError("a vector needs a length", got=size, expected="1 or more")
    return DType("vector", size=size)


def Struct(fields: Mapping[str, object]) -> DType:
    """Return the type of records with named, typed fields."""
    return DType("struct", fields=tuple((name, dtype_of(t)) for name, t in fields.items()))


_PYTHON: dict[object, DType] = {
    bool: Bool,
    int: Int64,
    float: Float64,
    str: String,
    bytes: Bytes,
    datetime: Timestamp,
    date: Date,
    PyDecimal: Decimal(38, 9),
    dict: Json,
}


def dtype_of(annotation: object) -> DType:
    """Return the column type that a Python type or a `DType` stands for.

    Raises:
        DefinitionError: nothing is known of the annotation.
    """
    if isinstance(annotation, DType):
        return annotation
    try:
        if annotation in _PYTHON:
            return _PYTHON[annotation]
    except TypeError:
        pass
    if get_origin(annotation) is list and len(get_args(annotation)) == 1:
        return List(get_args(annotation)[0])
    raise DefinitionError(
        "not a column type",
        got=repr(annotation),
        expected="str, int, float, bool, bytes, datetime, date, Decimal, list[...] or a sized "
        "type such as sl.Int32 or sl.Vector(384)",
        hint=near_type(annotation),
    )


def dtype_from_dict(data: Any) -> DType:
    """Return the type that `DType.to_dict` wrote; `DefinitionError` if it did not."""
    if isinstance(data, str):
        return DType(data) if data in _NAMES else dtype_of(data)
    ((kind, inner),) = data.items()
    match kind:
        case "list" | "map":
            return DType(kind, item=dtype_from_dict(inner))
        case "vector":
            return Vector(inner)
        case "decimal":
            return Decimal(*inner)
        case _:
            return DType("struct", fields=tuple((k, dtype_from_dict(v)) for k, v in inner.items()))


def dtype_from_arrow(arrow: pa.DataType) -> DType:
    """Return the column type nearest to an Arrow type, for schemas that are inferred.

    Raises:
        DefinitionError: no column type holds such values.
    """
    import pyarrow.types as pat

    simple: list[tuple[Callable[[Any], bool], DType]] = [
        (pat.is_boolean, Bool),
        (pat.is_int8, Int32), (pat.is_int16, Int32), (pat.is_uint8, Int32), (pat.is_uint16, Int32),
        (pat.is_int32, Int32), (pat.is_int64, Int64), (pat.is_uint32, Int64),
        (pat.is_float32, Float32), (pat.is_float16, Float32), (pat.is_float64, Float64),
        (pat.is_string, String), (pat.is_large_string, String), (pat.is_string_view, String),
        (pat.is_binary, Bytes), (pat.is_large_binary, Bytes), (pat.is_fixed_size_binary, Bytes),
        (pat.is_timestamp, Timestamp), (pat.is_date, Date), (pat.is_null, String),
    ]  # fmt: skip
    for matches, dtype in simple:
        if matches(arrow):
            return dtype
    if pat.is_dictionary(arrow):
        return dtype_from_arrow(arrow.value_type)
    if pat.is_decimal(arrow) and arrow.precision <= 38:
        return Decimal(arrow.precision, max(arrow.scale, 0))
    if pat.is_fixed_size_list(arrow) and pat.is_floating(arrow.value_type):
        return Vector(arrow.list_size)
    if pat.is_list(arrow) or pat.is_large_list(arrow) or pat.is_fixed_size_list(arrow):
        return List(dtype_from_arrow(arrow.value_type))
    if pat.is_struct(arrow):
        return Struct({field.name: dtype_from_arrow(field.type) for field in arrow})
    raise DefinitionError("a column of a type skewless has no name for", got=str(arrow))


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the Python values of an Arrow column; maps are dicts, at any depth.

    >>> import pyarrow as pa
    >>> python_values(pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())))
    [{'a': 1}, None]
    """
    values: list[Any] = column.to_pylist()
    with_dicts = _with_dicts(column.type)
    return values if with_dicts is None else [with_dicts(value) for value in values]


def python_rows(rows: pa.RecordBatch, names: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """Return rows as dicts of Python values, of some columns or of all; see `python_values`."""
    if names is None or len(names) == rows.num_columns:
        names, given = rows.schema.names, rows.columns
    else:
        given = [rows.column(name) for name in names]
    if not given:
        return [{} for _ in range(rows.num_rows)]
    columns = map(python_values, given)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


@functools.lru_cache(maxsize=1024)
def _with_dicts(arrow: pa.DataType) -> Callable[[Any], Any] | None:
    """Return what makes dicts of the maps in a value, None where a type has no maps."""
    import pyarrow.types as is_

    if is_.is_map(arrow):
        of_item = _with_dicts(arrow.item_type) or (lambda item: item)
        return lambda value: None if value is None else {k: of_item(v) for k, v in value}
    if is_.is_struct(arrow):
        found = {field.name: _with_dicts(field.type) for field in arrow}
        inside = {name: each for name, each in found.items() if each is not None}
        if not inside:
            return None
        return lambda value: (
            None if value is None else value | {n: f(value[n]) for n, f in inside.items()}
        )
    if is_.is_list(arrow) or is_.is_large_list(arrow) or is_.is_fixed_size_list(arrow):
        item = _with_dicts(arrow.value_type)
        return item and (lambda value: None if value is None else [item(each) for each in value])
    return None


def decimal_of(digits: int, scale: int) -> PyDecimal:
    """Return ``digits`` with ``scale`` of them after the point, exactly.

    >>> decimal_of(12345678901234567890123456789012345678, 2)
    Decimal('123456789012345678901234567890123456.78')
    """
    return PyDecimal(digits).scaleb(-scale, _WIDE)


def digits_of(value: PyDecimal, scale: int) -> int:
    """Return a decimal of ``scale`` digits after the point as a whole number of them, exactly."""
    return int(value.scaleb(scale, _WIDE))


def _is_bool(value: object) -> bool:
    """Return whether a value is true or false, also one of NumPy's."""
    return isinstance(value, bool) or type(value).__name__ in ("bool_", "bool")


def _bool(dtype: DType, value: object) -> bool:
    if _is_bool(value):
        return bool(value)
    raise _misfit(dtype, value)


def _int(dtype: DType, value: object) -> int:
    if _is_bool(value):  # NumPy before 2 takes its own for indices
        raise _misfit(dtype, value)
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise _misfit(dtype, value) from None
    bound = 2**31 if dtype.kind == "int32" else 2**63
    if not -bound <= number < bound:
        raise ValueError(f"{number} is outside the range of {dtype!r}")
    return number


def _float(dtype: DType, value: object) -> float | None:
    # Arrays and series of one number, which older libraries take for it, are none.
    several = isinstance(value, (str, bytes)) or getattr(value, "ndim", 0) != 0
    if _is_bool(value) or several or not hasattr(value, "__float__"):
        raise _misfit(dtype, value)
    try:
        number = float(value or 0) if isinstance(value, PyDecimal) else float(value)
    except ArithmeticError:
        raise _misfit(dtype, value) from None
    if math.isnan(number):
        return None
    if hasattr(value, "__index__") and number != operator.index(value):
        raise ValueError(f"{shown(value)} is no {dtype!r} exactly")
    if dtype.kind == "float32":
        try:
            (number,) = struct.unpack("<f", struct.pack("<f", number))
        except OverflowError:
            raise ValueError(f"{number} is outside the range of {dtype!r}") from None
    return number


def _str(dtype: DType, value: object) -> str:
    if not isinstance(value, str):
        raise _misfit(dtype, value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{value!r} is not valid Unicode text") from None
    return str(value)


def _bytes(dtype: DType, value: object) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise _misfit(dtype, value)


def _timestamp(dtype: DType, value: object) -> datetime | None:
    if dtype.size:
        if isinstance(value, (float, PyDecimal)) and math.isnan(value):
            return None
        value = _since_1970(dtype, value)
    if not isinstance(value, (datetime, str)):
        raise _misfit(dtype, value)
    return from_micros(to_micros(value))


def _since_1970(dtype: DType, value: object) -> object:
    """Return a number of units since 1970 as a moment; what is no number stays."""
    if is_epoch_text(value):
        value = int(value) if value.strip().lstrip("+-").isdigit() else float(value)
    if isinstance(value, bool) or not isinstance(value, (int, float, PyDecimal)):
        return value
    if not math.isfinite(value):
        raise _misfit(dtype, value)
    return from_micros(since_1970(value, dtype.size))


def _date(dtype: DType, value: object) -> date:
    if isinstance(value, str):
        return date.fromisoformat(value)
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise _misfit(dtype, value)


def _decimal(dtype: DType, value: object) -> PyDecimal:
    if isinstance(value, (bool, float)) or not isinstance(value, (int, str, PyDecimal)):
        raise _misfit(dtype, value)
    try:
        number = PyDecimal(value) or PyDecimal(0)  # zero has no sign, as in Arrow
    except ArithmeticError:
        raise _misfit(dtype, value) from None
    if not number.is_finite():
        raise _misfit(dtype, value)
    # Never in the default context, whose 28 digits round.
    try:
        scaled = number.scaleb(dtype.scale, _WIDE)
        whole = scaled == scaled.to_integral_value(context=_WIDE)
        fits = whole and scaled.copy_abs() < 10**dtype.size
    except ArithmeticError:
        fits = False
    if not fits:
        raise ValueError(f"{value} does not fit {dtype!r}")
    return number.quantize(PyDecimal(1).scaleb(-dtype.scale, _WIDE), context=_WIDE)


# Bytes are no list of numbers; a set has no order: its first item changes from run to run.
_NO_LISTS = (str, bytes, bytearray, memoryview, Mapping, Set)


def _list(dtype: DType, value: object) -> list[Any]:
    if isinstance(value, _NO_LISTS) or not hasattr(value, "__iter__"):
        raise _misfit(dtype, value)
    return [_item(dtype).coerce(item) for item in value]


def _vector(dtype: DType, value: object) -> list[float]:
    numbers = [Float32.coerce(item) for item in _list(List(Float32), value)]
    if len(numbers) != dtype.size:
        raise ValueError(f"a vector of {len(numbers)} numbers where {dtype!r} has {dtype.size}")
    if None in numbers:
        raise ValueError(f"{dtype!r} has no room for null or NaN in a vector")
    return numbers


_by_key = operator.itemgetter(0)


def _map(dtype: DType, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _misfit(dtype, value)
    found = {_str(String, key): _item(dtype).coerce(item) for key, item in value.items()}
    # In one order: whoever delivers a map again may have its keys in another.
    return dict(sorted(found.items(), key=_by_key))


def _struct(dtype: DType, value: object) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _misfit(dtype, value)
    if unknown := set(value) - {name for name, _ in dtype.fields}:
        raise ValueError(f"{dtype!r} has no field {sorted(map(str, unknown))[0]!r}")
    return {name: field.coerce(value.get(name)) for name, field in dtype.fields}


def _json(dtype: DType, value: object) -> str:
    """Return the canonical text. Text must already be JSON."""
    try:
        return json_text(value)
    except (TypeError, ValueError):
        raise _misfit(dtype, value) from None


class Misfit(ValueError):
    """Data that is no value of its column's type.

    Attributes:
        path: where in the data it is: ``rows[3].blobs[1]``.
        reason: what it is and what was expected, without the path.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path = path
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason

    def inside(self, outer: str) -> Misfit:
        """Return the misfit as one of something around it."""
        dot = "" if not outer or not self.path or self.path.startswith("[") else "."
        return Misfit(f"{outer}{dot}{self.path}", self.reason)

    def as_input(self, where: str) -> InputError:
        """Return it as the error of a request."""
        return InputError(str(self), where=where)


class Unreadable:
    """What a message or request holds in place of a value: no type takes it.

    Attributes:
        raw: what it is.
        misfit: why it is no value of its column's type.
    """

    def __init__(self, raw: object, misfit: Misfit) -> None:
        self.raw = raw
        self.misfit = misfit

    def __repr__(self) -> str:
        return repr(self.raw)


def shown(value: object) -> str:
    """Return a value as errors show it: not too long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _misfit(dtype: DType, value: object) -> ValueError:
    if isinstance(value, Unreadable):
        return value.misfit
    return ValueError(f"{shown(value)} ({type(value).__name__}) is no {dtype!r}")


_COERCE: dict[str, Callable[[DType, object], Any]] = {
    "bool": _bool, "int32": _int, "int64": _int, "float32": _float, "float64": _float,
    "str": _str, "bytes": _bytes, "timestamp": _timestamp, "date": _date, "decimal": _decimal,
    "list": _list, "vector": _vector, "map": _map, "struct": _struct, "json": _json,
}  # fmt: skip


def _wide() -> Any:
    """Return a context in which arithmetic on 38 digits is exact, or an error."""
    from decimal import Context, Inexact, InvalidOperation, Overflow

    return Context(prec=100, traps=[Inexact, InvalidOperation, Overflow])


_WIDE = _wide()
