"""Values as JSON and text: one form for every type, and back to the bit."""

import json
import math
from datetime import UTC, date, datetime
from decimal import Decimal as Exact
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.codec import (
    finite,
    from_json,
    from_text,
    json_default,
    read_back,
    read_rows,
    to_json,
    whole_as_text,
)
from skewless.formatting import same_bits
from skewless.types import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    List,
    Map,
    Misfit,
    String,
    Struct,
    Timestamp,
    Unreadable,
    Vector,
)

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
SCALARS: dict[DType, st.SearchStrategy[Any]] = {
    Bool: st.booleans(),
    Int32: st.integers(-(2**31), 2**31 - 1),
    Int64: st.integers(-(2**63), 2**63 - 1),
    Float32: st.floats(width=32, allow_nan=False),
    Float64: st.floats(allow_nan=False),
    String: TEXTS,
    Bytes: st.binary(max_size=5),
    Timestamp: st.datetimes(timezones=st.just(UTC)),
    Date: st.dates(),
    Decimal(38, 9): st.decimals(-(10**28), 10**28, places=9).map(Decimal(38, 9).coerce),
    Json: st.dictionaries(TEXTS, st.integers(), max_size=2).map(Json.coerce),
}


def values_of(dtype: DType) -> st.SearchStrategy[Any]:
    """Return what a column of a type may hold, null included."""
    if dtype in SCALARS:
        return st.none() | SCALARS[dtype]
    if dtype.kind == "vector":
        return st.none() | st.lists(SCALARS[Float32], min_size=dtype.size, max_size=dtype.size)
    if dtype.kind == "list" and dtype.item is not None:
        return st.none() | st.lists(values_of(dtype.item), max_size=3)
    if dtype.kind == "map" and dtype.item is not None:
        return st.none() | st.dictionaries(TEXTS, values_of(dtype.item), max_size=3)
    return st.none() | st.fixed_dictionaries({n: values_of(t) for n, t in dtype.fields})


TYPES = st.recursive(
    st.sampled_from([*SCALARS, Vector(2)]),
    lambda inner: st.one_of(
        inner.map(List),
        inner.map(Map),
        inner.map(lambda one: Struct({"a": one, "b": Bytes})),
    ),
    max_leaves=3,
)
TYPED = TYPES.flatmap(lambda dtype: st.tuples(st.just(dtype), values_of(dtype)))


@given(TYPED)
def test_what_goes_out_as_json_comes_back_to_the_bit(typed: tuple[DType, Any]) -> None:
    dtype, value = typed
    text = json.dumps(to_json(value), allow_nan=False)
    assert same_bits(value, from_json(json.loads(text), dtype))


@given(TYPED)
def test_data_of_our_own_is_read_back_without_checks(typed: tuple[DType, Any]) -> None:
    dtype, value = typed
    assert same_bits(value, read_back(json.loads(json.dumps(to_json(value))), dtype))


@given(TYPED)
def test_the_fast_encoder_of_reads_writes_the_same_text(typed: tuple[DType, Any]) -> None:
    _, value = typed
    fast = orjson.dumps(finite(value), default=json_default, option=orjson.OPT_UTC_Z)
    assert to_json(value) == json.loads(fast)


@given(TYPED)
def test_text_holds_what_json_holds(typed: tuple[DType, Any]) -> None:
    dtype, value = typed
    if value is None or dtype is Json:
        return
    out = to_json(value)
    text = out if isinstance(out, str) else json.dumps(out)
    assert same_bits(value, from_text(text, dtype))


@given(TYPED)
def test_whole_numbers_as_text_are_the_same_numbers(typed: tuple[DType, Any]) -> None:
    dtype, value = typed
    assert same_bits(value, from_json(whole_as_text(to_json(value)), dtype))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["Infinity", "NaN", "abcd", "12", "1e5", "9" * 5000, "2026-01-31", "\ud800"])
    | st.sampled_from(["9999-12-31T23:59:59-01:00", "2026-01-31T10:00:00", "{}", "1.50"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)  # fmt: skip


@given(TYPES, ODD)
def test_json_of_any_kind_is_a_value_of_the_type_or_a_misfit(dtype: DType, data: Any) -> None:
    try:
        found = from_json(data, dtype, "x")
    except Misfit as problem:
        assert str(problem).startswith("x")
        return
    assert same_bits(found, dtype.coerce(found))


@given(TYPES, st.text(max_size=8) | st.sampled_from(["[1", "+-1", "nan", "1_000", "\u0663"]))
def test_text_of_any_kind_is_a_value_of_the_type_or_a_misfit(dtype: DType, text: str) -> None:
    try:
        found = from_text(text, dtype, "x")
    except Misfit as problem:
        assert str(problem).startswith("x")
        return
    assert same_bits(found, dtype.coerce(found))


@pytest.mark.parametrize(
    ("dtype", "data", "value"),
    [
        (Int64, "9007199254740993", 9007199254740993),
        (Int64, "-1", -1),
        (Float64, "Infinity", math.inf),
        (Float64, "NaN", None),
        (Float64, 1, 1.0),
        (List(Float64), ["-Infinity", "NaN", 0.5], [-math.inf, None, 0.5]),
        (Map(Bytes), {"k": "q80="}, {"k": b"\xab\xcd"}),
        (Decimal(38, 2), "12345678901234567890123456789012345.67",
         Exact("12345678901234567890123456789012345.67")),
        (Timestamp, "2026-01-31T11:00:00+01:00", datetime(2026, 1, 31, 10, tzinfo=UTC)),
        (Date, "2026-01-31", date(2026, 1, 31)),
    ],
)  # fmt: skip
def test_a_form_and_its_value(dtype: DType, data: Any, value: Any) -> None:
    assert same_bits(value, from_json(data, dtype))


@pytest.mark.parametrize(
    ("dtype", "data", "said"),
    [
        (Bytes, "abc", "x: 'abc' (str) is no Bytes: base64 text is expected"),
        (Bytes, 7, "x: 7 (int) is no Bytes: base64 text is expected"),
        (Int64, "1.5", "x: '1.5' (str) is no Int64: a whole number is expected"),
        (Int64, "9" * 30, f"x: {'9' * 30} is outside the range of Int64"),
        (Int64, 1.0, "x: 1.0 (float) is no Int64: a whole number is expected"),
        (Int64, True, "x: True (bool) is no Int64"),
        (Float64, "1.5", "x: '1.5' (str) is no Float64: a number"),
        (Float64, 10**400, "out of range"),
        (Timestamp, 1767225600000, "x: 1767225600000 (int) is no Timestamp: ISO 8601 text"),
        (Timestamp, "2026-01-31T10:00:00", "no Timestamp: a time without an offset"),
        (Timestamp, "9999-12-31T23:59:59-01:00", "no Timestamp: date value out of range"),
        (Decimal(5, 2), 1.5, "x: 1.5 (float) is no Decimal(5, 2): text such as 12.50"),
        (List(Bytes), ["q80=", "!"], "x[1]: '!' (str) is no Bytes"),
        (Struct({"a": Map(Int64)}), {"a": {"k": "?"}}, "x.a['k']: '?' (str) is no Int64"),
        (Struct({"a": Int64}), {"b": 1}, "x: Struct({'a': Int64}) has no field 'b'"),
        (List(Int64), {"a": 1}, "x: {'a': 1} (dict) is no List(Int64): an array is expected"),
    ],
)
def test_a_misfit_names_the_place_the_value_and_what_was_expected(
    dtype: DType, data: Any, said: str
) -> None:
    with pytest.raises(Misfit) as caught:
        from_json(data, dtype, "x")
    assert said in str(caught.value)


def test_a_misfit_of_a_row_keeps_its_reason_until_the_row_is_set_aside() -> None:
    (row, other) = read_rows([{"a": ["q80=", "?"]}, 5], {"a": List(Bytes)})
    assert isinstance(row["a"], Unreadable)
    with pytest.raises(ValueError, match=r"\[1\]: '\?' \(str\) is no Bytes: base64"):
        List(Bytes).coerce(row["a"])
    assert (repr(row["a"]), other) == ("['q80=', '?']", 5)


def test_a_decimal_of_zero_has_no_exponent() -> None:
    assert to_json(Exact("0.000000000")) == "0.000000000"
