"""Texts of a stream become rows, or poison with a reason."""

import json
from datetime import date
from decimal import Decimal as Exact

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skewless.streams.decoding import Decoded, Header, JsonRows, csv_rows
from skewless.types import (
    Bool,
    Bytes,
    Date,
    Decimal,
    Float64,
    Int32,
    Int64,
    Json,
    List,
    String,
    Timestamp,
)

PLAIN = {"n": Int64, "small": Int32, "x": Float64, "s": String, "ok": Bool, "at": Timestamp}
AT = "2026-01-31T10:00:00Z"


def rows_of(made: Decoded) -> list:
    return made.rows if isinstance(made.rows, list) else made.rows.to_pylist()


def one(text: bytes) -> dict:
    (row,) = rows_of(JsonRows(PLAIN).decode([text]))
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize(
    ("text", "row"),
    [
        (b'{"n": 1, "x": 2, "s": "a", "ok": true}', {"n": 1, "x": 2.0, "s": "a", "ok": True}),
        (b'{"other": {"n": [1, {"x": 2}]}, "n": 3}', {"n": 3}),
        (b"{}", {}),
        (b'{"n": null}', {}),
        (b' {"n": 1} ', {"n": 1}),
        (b'{"n": 1, "n": 2}', {"n": 2}),
        (b'{"x": 12345678901234567890123}', {"x": 1.2345678901234568e22}),
        (b'{"x": Infinity}', {"x": float("inf")}),
        (b'{"x": 1e400}', {"x": float("inf")}),
        (b'{"x": 2.2250738585072011e-308}', {"x": 2.2250738585072011e-308}),
        (b'{"s": "\\ud83d\\ude00"}', {"s": "\N{GRINNING FACE}"}),
        (f'{{"at": "{AT}"}}'.encode(), {"at": AT}),
    ],
)
def test_an_object_becomes_a_row(text: bytes, row: dict) -> None:
    assert one(text) == row


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not JSON"),
        (b"null", "not a JSON object but NoneType"),
        (b"[1]", "not a JSON object but list"),
        (b'{"n": 1} {"n": 2}', "not JSON: Extra data"),
        (b'{"n": 1', "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"n": 1.5}', "n: 1.5 (float) is no Int64: a whole number is expected"),
        (b'{"n": 1.0}', "n: 1.0 (float) is no Int64"),
        (b'{"n": true}', "n: True (bool) is no Int64"),
        (b'{"n": 9223372036854775808}', "n: 9223372036854775808 is outside the range of Int64"),
        (b'{"small": 2147483648}', "small: 2147483648 is outside the range of Int32"),
        (b'{"x": "1"}', "x: '1' (str) is no Float64: a number"),
        (b'{"x": 1' + b"0" * 400 + b"}", "out of range"),
        (b'{"s": 1}', "s: 1 (int) is no String: text is expected"),
        (b'{"s": "\xff"}', "not JSON"),
        (b'{"s": "\\ud800"}', "s: '\\ud800' is not valid Unicode text"),
        (b'{"at": 1700000000}', "at: 1700000000 (int) is no Timestamp: ISO 8601"),
    ],
)
def test_what_is_no_row_is_poison_and_the_others_go_in(text: bytes, reason: str) -> None:
    made = JsonRows(PLAIN).decode([b'{"n": 1}', text, b'{"n": 2}'])
    assert [row["n"] for row in rows_of(made)] == [1, 2]
    assert list(made.taken) == [0, 2]
    ((number, said),) = made.poison
    assert number == 1
    assert reason in said


def test_columns_that_are_not_plain_come_as_python_values() -> None:
    columns = {"cost": Decimal(10, 2), "raw": Bytes, "tags": List(str), "more": Json, "day": Date}
    text = b'{"cost": 1.10, "raw": "/wA=", "tags": ["a"], "more": {"k": 1}, "day": "2026-01-31"}'
    made = JsonRows(columns).decode([text, b'{"raw": "zz"}', b'{"raw": 7}'])
    (row,) = rows_of(made)
    expected = {"cost": Exact("1.10"), "raw": b"\xff\0", "tags": ["a"], "more": {"k": 1}}
    assert row == expected | {"more": '{"k":1}', "day": "2026-01-31"}
    assert [number for number, _ in made.poison] == [1, 2]


@given(
    st.lists(
        st.fixed_dictionaries(
            {},
            optional={
                "n": st.integers(-(2**63), 2**63 - 1),
                "x": st.floats(allow_nan=False),
                "s": st.text(st.characters(exclude_categories=["Cs"])),
                "ok": st.booleans(),
                "other": st.lists(st.integers()),
            },
        )
    ),
    st.data(),
)
def test_a_bad_neighbour_changes_no_row(objects: list[dict], data: st.DataObject) -> None:
    values = [json.dumps(each).encode() for each in objects]
    alone = rows_of(JsonRows(PLAIN).decode(values))
    at = data.draw(st.integers(0, len(values)))
    beside = JsonRows(PLAIN).decode([*values[:at], b"oops", *values[at:]])
    assert rows_of(beside) == alone
    wanted = [{name: each.get(name) for name in PLAIN} for each in objects]
    assert alone == wanted


def test_csv_cells_become_values_of_their_types() -> None:
    header = Header.of("n,x,s,ok,at,other")
    made = csv_rows(PLAIN, header, [f'1,0.5,"a,b",yes,{AT},z', "NA,,,,,"])
    first, second = rows_of(made)
    row = {"n": 1, "small": None, "x": 0.5, "s": "a,b", "ok": True, "at": AT}
    assert first == row
    assert second == dict.fromkeys(PLAIN)


def test_tabs_stand_between_cells_where_the_header_has_them() -> None:
    made = csv_rows({"n": Int64, "s": String}, Header.of("n\ts"), ["1\ta,b"])
    assert rows_of(made) == [{"n": 1, "s": "a,b"}]


def test_csv_lines_that_are_no_rows_are_poison() -> None:
    header = Header.of("n,x,ok,day")
    columns = {"n": Int64, "x": Float64, "ok": Bool, "day": Date}
    lines = ["1,1,true,2026-01-31", "x,1,,", "1,2", '1,"2,,', "1,1,perhaps,", "2,,,", "1,,,soon"]
    made = csv_rows(columns, header, lines)
    assert [row["n"] for row in rows_of(made)] == [1, 2]
    assert rows_of(made)[0]["day"] == date(2026, 1, 31)
    assert [number for number, _ in made.poison] == [1, 2, 3, 4, 6]
    assert "2 cells under a header of 4" in dict(made.poison)[2]


MORE = [b'{"n": 1}', b'{"n": 2, "lot": 7}', b'{"n": 3, "x": NaN, "lot": {}}', b'{"n": 4, "x": NaN}']


@pytest.mark.parametrize("times", [1, 2])
def test_rows_with_fields_that_nobody_asked_for_are_counted(times: int) -> None:
    rows = JsonRows({"n": Int64, "x": Float64})
    for _ in range(times):  # a stream that had some is read otherwise from then on
        made = rows.decode([*MORE, b"oops"])
        assert (made.ignored, list(made.taken)) == (2, [0, 1, 2, 3])
    for _ in range(2):
        made = rows.decode([MORE[0], MORE[3]])
        assert (made.ignored, list(made.taken)) == (0, [0, 1])


def test_rows_of_a_file_with_a_column_more_are_counted() -> None:
    columns = {"n": Int64}
    assert csv_rows(columns, ["n", "lot"], ["1,a", "x,b", "3,c"]).ignored == 2
    assert csv_rows(columns, ["n"], ["1", "3"]).ignored == 0
