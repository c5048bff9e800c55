"""Every form that Arrow has for a value becomes one plain form, and says the same."""

import uuid
from decimal import Decimal

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skewless.errors import InputError
from skewless.stores.offline.cast import cast_column
from skewless.stores.offline.plain import plain, plain_type
from skewless.types import Bytes, DType, Int64, List, Map, String, Struct, python_values


def _encoded(array: pa.Array) -> pa.Array:
    return array.dictionary_encode()


TEXTS = st.lists(st.one_of(st.none(), st.text(max_size=3)), max_size=8)
FORMS = {
    "string_view": lambda v: pa.array(v, pa.string()).cast(pa.string_view()),
    "large_string": lambda v: pa.array(v, pa.large_string()),
    "dictionary": lambda v: _encoded(pa.array(v, pa.string())),
    "dictionary of views": lambda v: pa.DictionaryArray.from_arrays(
        _encoded(pa.array(v, pa.string())).indices,
        _encoded(pa.array(v, pa.string())).dictionary.cast(pa.string_view()),
    ),
    "runs": lambda v: pc.run_end_encode(pa.array(v, pa.string())),
}


@pytest.mark.parametrize("form", FORMS)
@given(values=TEXTS, start=st.integers(0, 4))
@settings(max_examples=40, deadline=None)
def test_text_says_the_same_in_every_form(form: str, values: list, start: int) -> None:
    array = FORMS[form](values).slice(start)
    found = cast_column(array, String, where="x")
    assert found.to_pylist() == values[start:]


LISTS = st.lists(
    st.one_of(st.none(), st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=3)),
    max_size=6,
)
LIST_TYPES = {
    "list": pa.list_(pa.string()),
    "large_list": pa.large_list(pa.large_string()),
    "list_view": pa.list_view(pa.string()),
    "large_list_view": pa.large_list_view(pa.string()),
    "list of views": pa.list_(pa.string_view()),
}


@pytest.mark.parametrize("form", LIST_TYPES)
@given(values=LISTS, start=st.integers(0, 3))
@settings(max_examples=40, deadline=None)
def test_lists_say_the_same_in_every_form(form: str, values: list, start: int) -> None:
    array = pa.array(values, LIST_TYPES[form]).slice(start)
    assert plain(array).to_pylist() == values[start:]
    assert cast_column(array, List(str), where="x").to_pylist() == values[start:]


@given(
    values=st.lists(
        st.one_of(st.none(), st.dictionaries(st.text(max_size=2), st.integers(-9, 9), max_size=3)),
        max_size=6,
    ),
    start=st.integers(0, 3),
)
@settings(max_examples=40, deadline=None)
def test_maps_of_views_say_the_same(values: list, start: int) -> None:
    array = pa.array(values, pa.map_(pa.string_view(), pa.int32())).slice(start)
    for dtype in (Map(int), Struct({"m": Map(int)}), List(Map(int))):
        if dtype.kind == "struct":
            made = pa.StructArray.from_arrays([array], ["m"])
            expected: list = [{"m": value} for value in values[start:]]
        elif dtype.kind == "list":
            made = pa.ListArray.from_arrays(pa.array([0, len(array)], pa.int32()), array)
            expected = [values[start:]]
        else:
            made, expected = array, values[start:]
        assert python_values(cast_column(made, dtype, where="x")) == expected


@pytest.mark.parametrize("arrow", [pa.decimal32(5, 2), pa.decimal64(10, 2), pa.decimal256(38, 2)])
def test_decimals_of_every_width_are_128_bits_wide(arrow: pa.DataType) -> None:
    found = plain(pa.array([Decimal("1.50"), None], arrow))
    assert found.type == pa.decimal128(arrow.precision, arrow.scale)
    assert found.to_pylist() == [Decimal("1.50"), None]


def test_fixed_lists_with_nulls_keep_their_places() -> None:
    of_views = pa.list_(pa.string_view(), 2)
    found = plain(pa.array([["a", "b"], None, ["c", None]], of_views).slice(1))
    assert found.to_pylist() == [None, ["c", None]]


def test_bools_and_json_of_extension_types_are_what_they_stand_for() -> None:
    assert plain_type(pa.bool8()) == pa.bool_()
    bools = pa.ExtensionArray.from_storage(pa.bool8(), pa.array([1, None], pa.int8()))
    assert plain(bools).to_pylist() == [True, None]
    assert plain_type(pa.json_()) == pa.string()


@pytest.mark.parametrize("dtype", [String, Bytes])
def test_uuids_are_what_the_declaration_says(dtype: DType) -> None:
    one = uuid.UUID(int=7)
    array = pa.array([one.bytes, None], pa.uuid())
    expected = str(one) if dtype is String else one.bytes
    assert cast_column(array, dtype, where="x").to_pylist() == [expected, None]
    with pytest.raises(InputError, match="no Int64"):
        cast_column(array, Int64, where="x")


def test_a_map_with_one_key_twice_is_refused() -> None:
    array = pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int64()))
    with pytest.raises(InputError, match="key twice"):
        cast_column(array, Map(int), where="x")


def test_plain_columns_are_not_copied() -> None:
    column = pa.chunked_array([pa.array([1.0])])
    assert plain(column) is column


@given(
    values=st.lists(
        st.one_of(st.none(), st.dictionaries(st.text(max_size=2), st.integers(), max_size=4)),
        max_size=5,
    ).filter(lambda maps: all(abs(v) < 2**63 for m in maps if m for v in m.values())),
    start=st.integers(0, 2),
)
@settings(max_examples=60, deadline=None)
def test_keys_of_maps_come_in_one_order_by_every_door(values: list, start: int) -> None:
    array = pa.array(values, pa.map_(pa.string(), pa.int64())).slice(start)
    found = python_values(cast_column(array, Map(int), where="x"))
    expected = [Map(int).coerce(value) for value in values[start:]]
    assert [v and list(v.items()) for v in found] == [v and list(v.items()) for v in expected]
