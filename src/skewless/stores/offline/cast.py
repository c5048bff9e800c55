"""From how a table stores columns to the types its source declares: exact, or an error.

    to_source_columns(table, source, ["fab_id", "vdd"])

NaN becomes null. Numbers change their type only where every value stays what it is; a float64 goes
to a declared float32 as pushing it does: rounded. Times become UTC microseconds (nanoseconds are
cut, downward); those without a zone are refused unless the table's definition names one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from typing import TYPE_CHECKING, Any
from uuid import UUID

from skewless.clock import ALWAYS, to_micros
from skewless.errors import InputError, MissingColumn, NaiveTime
from skewless.stores.offline import nested
from skewless.stores.offline.plain import is_uuid, plain, plain_type
from skewless.types import FLOAT, INTEGER, DType, Timestamp, epoch

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from skewless.definitions.source import Source


def to_source_columns(
    table: pa.Table,
    source: Source,
    columns: Sequence[str],
    *,
    timezone: str | None = None,
    where: str | None = None,
) -> pa.Table:
    """Return ``columns`` of ``table``, of the Arrow types that ``source`` declares.

    Args:
        table: rows as a reader gave them.
        source: that declares the types.
        columns: names of columns of the source.
        timezone: of times that carry none; None: they are refused.
        where: how errors name the table.

    Raises:
        MissingColumn: the table lacks a column.
        NaiveTime: times without a zone, and none is declared.
        InputError: values do not fit the declared type.
    """
    import pyarrow as pa

    where = where or f"the table of source {source.name!r}"
    types = source.columns
    cast = []
    for column in columns:
        if column not in table.column_names:
            raise MissingColumn.of(column, table.column_names, where=where)
        place = f"column {column!r} of {where}"
        cast.append(
            cast_column(table.column(column), types[column], where=place, timezone=timezone)
        )
    if not cast:
        return table.select([])
    return pa.Table.from_arrays(cast, names=list(columns))


def cast_column(
    column: pa.ChunkedArray | pa.Array, dtype: DType, *, where: str, timezone: str | None = None
) -> pa.ChunkedArray:
    """Return a column as one of the Arrow type of ``dtype``; see `to_source_columns`."""
    import pyarrow as pa

    if isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    column = plain(column)
    if pa.types.is_null(column.type) or not len(column):
        return pa.chunked_array([pa.nulls(len(column), dtype.arrow())])
    convert = _CONVERT[dtype.kind]
    try:
        if is_uuid(column.type):
            column = _uuids(column, dtype, where)
        elif "extension<" in str(column.type):
            raise misfit(column, dtype, where)
        cast = convert(column, dtype, _CastContext(where, timezone))
    except pa.ArrowInvalid as error:
        raise InputError(
            f"values that are no {dtype!r}",
            got=f"{column.type}: {str(error).splitlines()[0][:200]}",
            where=where,
            hint="Change the type in the schema, or the data.",
        ) from error
    except pa.ArrowNotImplementedError:
        raise misfit(column, dtype, where) from None
    return cast if isinstance(cast, pa.ChunkedArray) else pa.chunked_array([cast])


def to_micros_array(column: pa.ChunkedArray | pa.Array) -> npt.NDArray[np.int64]:
    """Return times as UTC microseconds, `clock.ALWAYS` where null; without a copy if it can.

    Raises:
        NaiveTime: they have no zone.
        InputError: they are no times.
    """
    import numpy as np
    import pyarrow as pa

    if column.type != Timestamp.arrow():
        column = cast_column(column, Timestamp, where="a column of times")
    elif isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    if column.null_count:
        column = column.cast(pa.int64()).fill_null(ALWAYS)
    if column.num_chunks == 1:
        return _int64s(column.chunk(0))
    parts = [_int64s(chunk) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def common_type(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Return the type that columns of either type are read as, None if they do not go together.

    Files of one table may differ in the width of numbers, the unit of times, the encoding of text.
    """
    import pyarrow as pa
    from pyarrow import types as is_

    if one == other or is_.is_null(other):
        return one
    if is_.is_null(one):
        return other
    one, other = plain_type(one), plain_type(other)
    if one == other:
        return one
    both: Callable[[Callable[[Any], bool]], bool] = lambda kind: kind(one) and kind(other)  # noqa: E731
    if both(is_.is_integer):
        return pa.int64()
    if both(lambda each: is_.is_integer(each) or is_.is_floating(each)):
        return pa.float64()
    if both(lambda each: is_.is_string(each) or is_.is_large_string(each)):
        return pa.large_string()
    if both(lambda each: is_.is_binary(each) or is_.is_large_binary(each)):
        return pa.large_binary()
    if both(is_.is_timestamp) and (one.tz is None) == (other.tz is None):
        finer = max((one, other), key=lambda each: ("s", "ms", "us", "ns").index(each.unit))
        return pa.timestamp(finer.unit, one.tz and "UTC")
    if both(is_.is_date):
        return pa.date32()
    if both(is_.is_decimal):
        scale = max(one.scale, other.scale)
        whole = max(one.precision - one.scale, other.precision - other.scale)
        return pa.decimal128(whole + scale, scale) if whole + scale <= 38 else None
    if both(lambda each: is_.is_list(each) or is_.is_large_list(each)):
        item = common_type(one.value_type, other.value_type)
        return None if item is None else pa.list_(item)
    return None


class WrongType(InputError):
    """A column of a type of which no value becomes the declared one."""

    def to_dict(self) -> dict[str, Any]:
        """Return what an `InputError` does."""
        return super().to_dict() | {"error": InputError.__name__}


def misfit(column: pa.ChunkedArray, dtype: DType, where: str, hint: str | None = None) -> WrongType:
    """Return the error for a column of a type of which no value becomes the declared one."""
    some = column.drop_null()
    sample = f", such as {some[0].as_py()!r:.60}" if len(some) and _shows(some.type) else ""
    return WrongType(
        f"a column that is no {dtype!r}",
        got=f"{column.type}{sample}",
        expected=str(dtype.arrow()),
        where=where,
        hint=hint or "Change the type in the schema, or the data.",
    )


def _shows(arrow: pa.DataType) -> bool:
    """Return whether every value of a type can be shown as Python has it."""
    from pyarrow import types as is_

    plain_ones = (is_.is_integer, is_.is_floating, is_.is_boolean, is_.is_string, is_.is_decimal)
    return any(matches(arrow) for matches in (*plain_ones, is_.is_binary, is_.is_large_string))


class _CastContext:
    """Where a column is, for errors, and the zone of its times."""

    def __init__(self, where: str, timezone: str | None) -> None:
        self.where = where
        self.timezone = timezone

    def cast(self, column: pa.ChunkedArray, dtype: DType) -> pa.ChunkedArray:
        return cast_column(column, dtype, where=self.where, timezone=self.timezone)

    def misfit(self, column: pa.ChunkedArray, dtype: DType) -> InputError:
        return misfit(column, dtype, self.where)


def _int64s(array: pa.Array) -> npt.NDArray[np.int64]:
    import pyarrow as pa

    values: npt.NDArray[np.int64] = array.view(pa.int64()).to_numpy()
    return values


def _exact(column: pa.ChunkedArray, dtype: DType, place: _CastContext) -> pa.ChunkedArray:
    """Bool, text, bytes: types that only another form of the same becomes."""
    import pyarrow as pa

    target = dtype.arrow()
    if column.type == target:
        return column
    forms = _FORMS.get(dtype.kind, ())
    if not any(getattr(pa.types, f"is_{form}")(column.type) for form in forms):
        raise misfit(column, dtype, place.where)
    return column.cast(target)


_FORMS = {
    "str": ("large_string",),
    "bytes": ("large_binary", "fixed_size_binary"),
}


def _date(column: pa.ChunkedArray, dtype: DType, place: _CastContext) -> pa.ChunkedArray:
    """Dates; local midnights, which is how pandas has them, are dates too."""
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types as is_

    if is_.is_timestamp(column.type) and column.type.tz is None:
        midnights = pc.floor_temporal(column, unit="day")
        inside = column.filter(pc.not_equal(column, midnights))
        if len(inside):
            got = f"{inside[0].cast(pa.string()).as_py()} ({column.type})"
            raise InputError("a time of day in a column of dates", got=got, where=place.where)
    elif not (is_.is_date(column.type) or _is_text(column.type)):
        hint = "Its date depends on the zone: take the date where the table is made."
        moments = is_.is_timestamp(column.type)
        raise misfit(column, dtype, place.where, hint if moments else None)
    return _in_years(column.cast(dtype.arrow()), dtype, place)


def _in_years(column: pa.ChunkedArray, dtype: DType, place: _CastContext) -> pa.ChunkedArray:
    """Return dates or times, all of years that a calendar of four digits has."""
    import pyarrow as pa
    import pyarrow.compute as pc

    numbers = pa.int32() if dtype.kind == "date" else pa.int64()
    bounds = pc.min_max(column.cast(numbers))
    for found in (bounds["min"].as_py(), bounds["max"].as_py()):
        if found is not None and not _YEARS[dtype.kind][0] <= found <= _YEARS[dtype.kind][1]:
            got = pa.scalar(found, numbers).cast(dtype.arrow()).cast(pa.string()).as_py()
            raise InputError(
                "outside of the years 1 to 9999",
                got=got,
                expected=repr(dtype),
                where=place.where,
                hint="Write null, or a year that calendars have.",
            )
    return column


_DAYS = (date.min.toordinal() - 719_163, date.max.toordinal() - 719_163)
_YEARS = {
    "date": _DAYS,
    "timestamp": (_DAYS[0] * 86_400_000_000, (_DAYS[1] + 1) * 86_400_000_000 - 1),
}


def _is_text(arrow: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow))


def _uuids(column: pa.ChunkedArray, dtype: DType, where: str) -> pa.ChunkedArray:
    """Return UUIDs as what they are declared as: their text, or their 16 bytes."""
    import pyarrow as pa

    if dtype.kind not in ("str", "bytes"):
        raise misfit(column, dtype, where)
    stored = pa.chunked_array([chunk.storage for chunk in column.chunks], pa.binary(16))
    stored = stored.cast(pa.binary())
    if dtype.kind == "bytes":
        return stored
    texts = [None if v is None else str(UUID(bytes=v)) for v in stored.to_pylist()]
    return pa.chunked_array([pa.array(texts, pa.string())])


def _integer(column: pa.ChunkedArray, dtype: DType, place: _CastContext) -> pa.ChunkedArray:
    import pyarrow as pa

    if column.type == dtype.arrow():
        return column
    if pa.types.is_floating(column.type):
        column = nan_to_null(column)
    elif not (pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        raise misfit(column, dtype, place.where)
    return column.cast(dtype.arrow())


def _float(column: pa.ChunkedArray, dtype: DType, place: _CastContext) -> pa.ChunkedArray:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    target = dtype.arrow()
    if column.type == target:
        return nan_to_null(column)
    if pa.types.is_floating(column.type):
        cast = column.cast(target)
        if (
            target == pa.float32()
            and pc.any(pc.and_(pc.is_inf(cast), pc.invert(pc.is_inf(column)))).as_py()
        ):
            largest = np.finfo(np.float32).max
            raise InputError(
                f"a value is outside the range of {dtype!r}",
                got=pc.max(pc.abs(column)).as_py(),
                expected=f"at most {largest}",
                where=place.where,
            )
        return nan_to_null(cast)
    if pa.types.is_decimal(column.type):
        # By way of text: Arrow's own conversion is not always the nearest float.
        return _float(column.cast(pa.string()).cast(pa.float64()), dtype, place)
    if not pa.types.is_integer(column.type):
        raise misfit(column, dtype, place.where)
    return column.cast(target)


def _decimal(column: pa.ChunkedArray, dtype: DType, place: _CastContext) -> pa.ChunkedArray:
    import pyarrow as pa

    if column.type == dtype.arrow():
        return column
    if pa.types.is_integer(column.type):
        column = column.cast(pa.decimal128(19 if column.type != pa.uint64() else 20, 0))
    elif _is_text(column.type):
        return _parsed(column, dtype)
    elif not pa.types.is_decimal(column.type):
        raise misfit(column, dtype, place.where, "A float is no exact decimal; declare float.")
    return column.cast(dtype.arrow())


def _parsed(column: pa.ChunkedArray, dtype: DType) -> pa.ChunkedArray:
    """Return decimals written as text: Arrow would round digits too many."""
    import pyarrow as pa

    try:
        numbers = [dtype.coerce(text) for text in column.to_pylist()]
    except ValueError as problem:
        raise pa.ArrowInvalid(str(problem)) from None
    return pa.chunked_array([pa.array(numbers, dtype.arrow())])


def nan_to_null(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column of floats with null for NaN; the same one if it has none."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    for chunk in column.chunks:
        # A sum is NaN if anything in it is; infinities may make it so as well. The values under
        # nulls may be anything, which at worst costs the second look.
        if not len(chunk):
            continue
        dtype, stop = chunk.type.to_pandas_dtype(), chunk.offset + len(chunk)
        values = np.frombuffer(chunk.buffers()[1], dtype, count=stop)[chunk.offset :]
        with np.errstate(all="ignore"):
            suspicious = np.isnan(np.add.reduce(values))
        if suspicious and pc.any(pc.is_nan(chunk)).as_py():
            break
    else:
        return column
    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _timestamp(column: pa.ChunkedArray, dtype: DType, place: _CastContext) -> pa.ChunkedArray:
    import pyarrow as pa

    target = dtype.arrow()
    if column.type == target:
        return _in_years(column, dtype, place)
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        zoned = pa.types.is_timestamp(column.type) and column.type.tz is not None
        moments = _to_micros(column) if zoned else _in_zone(column, place)
        return _in_years(moments.cast(target), dtype, place)
    if dtype.size and (numbers := _since_1970(column, dtype, place)) is not None:
        return _in_years(numbers, dtype, place)
    if _is_text(column.type):
        return _in_years(_from_text(column, place), dtype, place)
    hint = "Say its unit where the time is named: event_time=sl.Epoch('column', 'ms')."
    raise misfit(column, dtype, place.where, hint)


def _since_1970(
    column: pa.ChunkedArray, dtype: DType, place: _CastContext
) -> pa.ChunkedArray | None:
    """Return numbers of units since 1970, also as texts, as moments; None: there are none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, nanos = column.type, dtype == epoch("ns")
    if pa.types.is_integer(kind):
        whole = column.cast(pa.int64())
        if nanos:
            return _to_micros(whole.cast(pa.timestamp("ns"))).cast(dtype.arrow())
        micros = pc.multiply_checked(whole, dtype.size // 1_000)
    elif pa.types.is_floating(kind) and not nanos:
        scaled = pc.multiply(column.cast(pa.float64()), dtype.size / 1_000)
        micros = pc.round(nan_to_null(scaled), round_mode="half_to_even").cast(pa.int64())
    elif pa.types.is_decimal(kind) or pa.types.is_floating(kind):
        moments = [dtype.coerce(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(moments, dtype.arrow())])
    elif _is_text(kind):
        return _numbers_in_text(column, dtype, place)
    else:
        return None
    return micros.cast(pa.timestamp("us")).cast(dtype.arrow())


def _numbers_in_text(
    column: pa.ChunkedArray, dtype: DType, place: _CastContext
) -> pa.ChunkedArray | None:
    """Return texts of numbers since 1970 as moments; those of other times are read as such."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pc.utf8_trim_whitespace(column)
    digits = pc.replace_substring_regex(texts, r"^\+", "")
    found, left = None, texts
    for form, kind in ((r"^-?[0-9]+$", pa.int64()), (r"^-?[0-9]+\.[0-9]+$", pa.float64())):
        is_number = pc.match_substring_regex(digits, form)
        numbers = pc.if_else(is_number, digits, None).cast(kind)
        moments = _since_1970(numbers, dtype, place)
        found = moments if found is None else pc.coalesce(found, moments)
        left = pc.if_else(is_number, None, left)
    if left.null_count == len(left):
        return found
    return pc.coalesce(found, _from_text(left, place))


def _in_zone(column: pa.ChunkedArray, place: _CastContext) -> pa.ChunkedArray:
    import pyarrow as pa

    if place.timezone is None:
        raise _naive(column.type, place)
    if not pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us"))
    choice = getattr(place.timezone, "ambiguous", "raise")
    try:
        return _assumed(_to_micros(column), place.timezone, choice)
    except pa.ArrowInvalid as error:
        raise InputError(
            f"a local time that {place.timezone} has twice, or not at all",
            got=str(error).splitlines()[0][:200],
            expected="a time that is one moment",
            where=place.where,
            hint="Clocks were put back or forward: write such times in UTC or with an offset, or"
            " say which is meant: ambiguous='earliest' beside timezone=.",
        ) from None


def _assumed(column: pa.ChunkedArray, zone: str, choice: str) -> pa.ChunkedArray:
    """Return local times as moments; of those that are two moments or none, the chosen one."""
    import pyarrow.compute as pc

    zone = str(zone)
    if choice != "null":
        return pc.assume_timezone(column, zone, ambiguous=choice, nonexistent=choice)
    first, last = (
        pc.assume_timezone(column, zone, ambiguous=which, nonexistent=which)
        for which in ("earliest", "latest")
    )
    return pc.if_else(pc.equal(first, last), first, None)


def _naive(got: object, place: _CastContext) -> NaiveTime:
    return NaiveTime(
        "times without a time zone",
        got=got,
        expected="times in UTC or another zone",
        where=place.where,
        hint="If they are UTC say so: timezone='UTC' where a table is defined; of a frame,"
        " column.dt.tz_localize('UTC').",
    )


def _to_micros(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import numpy as np
    import pyarrow as pa

    target = pa.timestamp("us", column.type.tz)
    if column.type.unit != "ns":
        return column.cast(target)
    chunks = []
    for chunk in column.chunks:
        nulls = chunk.is_null().to_numpy(zero_copy_only=False) if chunk.null_count else None
        nanos = _int64s(chunk.cast(pa.int64()).fill_null(0))
        chunks.append(pa.array(np.floor_divide(nanos, 1000), pa.int64(), mask=nulls).view(target))
    return pa.chunked_array(chunks, type=target)


def _micros_of(text: str | None, place: _CastContext) -> int | None:
    try:
        return None if text is None else to_micros(text, where=place.where)
    except NaiveTime:
        raise _naive(repr(text), place) from None


def _from_text(column: pa.ChunkedArray, place: _CastContext) -> pa.ChunkedArray:
    import pyarrow as pa

    try:
        return column.cast(Timestamp.arrow())
    except pa.ArrowInvalid:
        if place.timezone is None:
            micros = [_micros_of(text, place) for text in column.to_pylist()]
            return pa.chunked_array([pa.array(micros, Timestamp.arrow())])
        # Either no times, which this says, or no offsets.
        naive = column.cast(pa.timestamp("us"))
    return _in_zone(naive, place).cast(Timestamp.arrow())


_CONVERT: dict[str, Callable[[pa.ChunkedArray, DType, _CastContext], Any]] = {
    "bool": _exact, "str": _exact, "bytes": _exact, "date": _date, "decimal": _decimal,
    "timestamp": _timestamp, "json": nested.json_text, "list": nested.lists,
    "vector": nested.vectors, "map": nested.maps, "struct": nested.structs,
} | dict.fromkeys(INTEGER, _integer) | dict.fromkeys(FLOAT, _float)  # fmt: skip
