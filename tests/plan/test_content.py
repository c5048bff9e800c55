"""The hash of a column: of its values alone, and of every bit of them."""

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from skewless.plan.content import column_digest

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
COLUMNS = {
    "int64": pa.array([1, None, 3, 4, 2**62]),
    "int32": pa.array([1, None, 3, 4, 5], pa.int32()),
    "float64": pa.array([1.5, None, -0.0, 4.0, float("inf")]),
    "float32": pa.array([1.5, None, -0.0, 4.0, 5.0], pa.float32()),
    "bool": pa.array([True, None, False, True, True]),
    "str": pa.array(["a", None, "", "bc", "köln"]),
    "bytes": pa.array([b"a", None, b"", b"bc", b"\xff"]),
    "fixed": pa.array([b"ab", None, b"cd", b"ef", b"gh"], pa.binary(2)),
    "time": pa.array([NOON, None, NOON, NOON, NOON], pa.timestamp("us", "UTC")),
    "far seconds": pa.array([2**62, None, 0, 1, 2], pa.timestamp("s")),
    "date": pa.array([date(2026, 1, 1), None, date(2026, 1, 2), None, date(2026, 1, 3)]),
    "decimal": pa.array([Decimal("1.50"), None, Decimal("2.25"), None, Decimal("3.00")]),
    "list": pa.array([["a"], None, [], ["b", None], ["c"]]),
    "vector": pa.array([[1.0, 2.0], None, [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]], pa.list_(pa.float32(), 2)),
    "struct": pa.array([{"a": 1, "b": "x"}, None, {"a": None, "b": "y"}, {"a": 2, "b": None}, {"a": 3, "b": "z"}]),
    "map": pa.array([[("a", 1)], None, [], [("b", None), ("c", 2)], [("d", 3)]], pa.map_(pa.string(), pa.int64())),
    "lists of lists": pa.array([[[1], []], None, [], [None, [2, 3]], [[4]]]),
    "null": pa.nulls(5),
    "interval": pa.array([(1, 2, 3), None, (0, 0, 0), (4, 5, 6), (7, 8, 9)], pa.month_day_nano_interval()),
    "view": pa.array(["a", None, "", "bc", "köln"], pa.string_view()),
    "dictionary of views": pa.DictionaryArray.from_arrays(
        pa.array([0, None, 1, 2, 3], pa.int32()), pa.array(["a", "", "bc", "köln"], pa.string_view())
    ),
    "list view": pa.array([["a"], None, [], ["b", None], ["c"]], pa.list_view(pa.string_view())),
    "narrow decimal": pa.array([Decimal("1.50"), None, Decimal("2.25"), None, Decimal("3.00")], pa.decimal32(5, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", COLUMNS)
def test_chunks_and_offsets_do_not_count(name: str) -> None:
    array = COLUMNS[name]
    wanted = column_digest(pa.chunked_array([array]))
    for cut in range(len(array) + 1):
        parts = [array[:cut], array[cut:cut], array[cut:]]
        assert column_digest(pa.chunked_array(parts, type=array.type)) == wanted
    padded = pa.concat_arrays([array[2:3], array, array[:1]])
    assert column_digest(pa.chunked_array([padded[1:-1]])) == wanted


@pytest.mark.parametrize("name", [name for name in COLUMNS if name not in ("null", "view")])
def test_order_and_nulls_count(name: str) -> None:
    array = COLUMNS[name]
    wanted = column_digest(pa.chunked_array([array]))
    turned = array.take(pa.array([4, 3, 2, 1, 0]))
    without = array.take(pa.array([0, None, 2, 3, None], pa.int64()))
    shorter = array[:4]
    others = [column_digest(pa.chunked_array([each])) for each in (turned, without, shorter)]
    assert wanted not in others
    assert len(set(others)) == 3


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.array([0.0]), pa.array([-0.0])),
        (pa.array(["ab", "c"]), pa.array(["a", "bc"])),
        (pa.array([["a"], ["b"]]), pa.array([["a", "b"], []])),
        (pa.array([[None], []]), pa.array([[], [None]])),
        (pa.array([1]), pa.array([1.0])),
        (pa.array([None, ""]), pa.array(["", None])),
        (pa.array([1, 2], pa.timestamp("us")), pa.array([1, 2])),
    ],
)
def test_what_differs_in_a_bit_has_another_hash(one: pa.Array, other: pa.Array) -> None:
    assert column_digest(pa.chunked_array([one])) != column_digest(pa.chunked_array([other]))


def test_what_lies_behind_a_null_does_not_count() -> None:
    hidden = pa.Array.from_buffers(
        pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(bytes(range(16)))]
    )
    plain = pa.array([hidden[0].as_py(), None])
    assert column_digest(pa.chunked_array([hidden])) == column_digest(pa.chunked_array([plain]))


def test_times_are_times_whatever_their_unit() -> None:
    units = [pa.array([1, None, 3], pa.timestamp("s", "UTC")).cast(pa.timestamp(unit, "UTC"))
             for unit in ("s", "ms", "us")]  # fmt: skip
    assert len({column_digest(pa.chunked_array([each])) for each in units}) == 1


def test_text_is_text_however_it_is_encoded() -> None:
    plain = pa.chunked_array([["a", None, "a"]])
    forms = [plain.dictionary_encode(), plain.cast(pa.large_string())]
    assert {column_digest(form) for form in forms} == {column_digest(plain)}


def test_forms_of_one_value_have_one_hash() -> None:
    texts = {name: column_digest(pa.chunked_array([COLUMNS[name]])) for name in COLUMNS}
    assert texts["view"] == texts["dictionary of views"] == texts["str"]
    assert texts["list view"] == texts["list"]


def test_a_union_has_a_hash() -> None:
    kinds, places = pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32())
    one, other = (
        pa.UnionArray.from_dense(kinds, places, [pa.array([number]), pa.array(["a"])])
        for number in (1, 2)
    )
    first, second = (column_digest(pa.chunked_array([each])) for each in (one, other))
    assert first != second
