"""What clients of Feast send and read as values; writes of which some rows cannot be taken."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal as Exact
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from skewless.formatting import same_bits
from skewless.serving.app import App
from skewless.serving.feast.values import from_feast
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from skewless.types import (
    Bytes,
    Date,
    Decimal,
    DType,
    Float64,
    Int64,
    List,
    Map,
    Misfit,
    String,
    Struct,
    Timestamp,
    Vector,
)
from tests.serving.calling import Answer, call
from tests.serving.conftest import NOW
from tests.test_codec import ODD, TYPES

DEFINITIONS = """
import skewless as sl
from datetime import datetime

COLUMNS = {"amount": float, "times": sl.List(datetime), "blobs": sl.List(bytes), "n": int,
           "infinite": sl.List(float), "cost": sl.Decimal(38, 2)}
things = sl.Source("things", schema={"card_id": str} | COLUMNS, event_time="at")


@sl.feature_view(entity=sl.Entity("card", card_id=str), source=things)
class Newest:
    values = things.latest(*COLUMNS)
"""
AT = "2026-01-01T09:59:00"


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    (tmp_path / "features.py").write_text(DEFINITIONS)
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan())
        made = App(fs, Settings())
        made.start()
        yield made


def write(app: App, **columns: list[Any]) -> Answer:
    count = len(next(iter(columns.values())))
    df = {"card_id": [f"c{n}" for n in range(count)], "event_timestamp": [AT] * count} | columns
    return call(app, "POST", "/write-to-online-store", {"feature_view_name": "Newest", "df": df})


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("times", [[1767225600, None], []]),
        ("blobs", [["AP8=", None]]),
        ("infinite", [["Infinity", 0.5, None]]),
        ("amount", ["Infinity", 1.5]),
        ("n", [9007199254740993]),
        ("cost", ["12345678901234567890.50"]),
    ],
)
def test_what_is_written_is_read_in_the_same_form(app: App, name: str, values: list[Any]) -> None:
    answer = write(app, **{name: values})
    assert (answer.status, answer.body) == (200, b"null")
    cards = [f"c{n}" for n in range(len(values))]
    body = {"features": [f"Newest:{name}"], "entities": {"card_id": cards}}
    found = call(app, "POST", "/get-online-features", body).data["results"][1]
    assert found["values"] == values


def test_a_write_that_takes_some_rows_says_which_it_did_not(app: App) -> None:
    answer = write(app, amount=["much", 1.0], blobs=[[], ["AP8="]])
    assert (answer.status, answer.headers["x-skewless-quarantined"]) == (200, "1")
    assert (answer.data["accepted"], answer.data["quarantined"]) == (1, 1)
    ((said),) = answer.data["reasons"]
    assert said["row"] == 0
    assert said["reason"].startswith("amount: 'much' (str) is no Float64")
    assert write(app, amount=["much"]).status == 422
    df = {"card_id": ["c1", "c2"], "n": ["x", "7"], "event_timestamp": [AT, AT]}
    answer = call(app, "POST", "/push", {"push_source_name": "things", "df": df})
    assert [said["row"] for said in answer.data["reasons"]] == [0]


@pytest.mark.parametrize(
    ("dtype", "sent", "value"),
    [
        (Int64, "7", 7), (Int64, 7.0, 7), (Float64, "1.5", 1.5), (String, 7, "7"),
        (Bytes, "AP8=", b"\x00\xff"), (Decimal(5, 2), "1.50", Exact("1.50")),
        (Timestamp, 1767225600, datetime(2026, 1, 1, tzinfo=UTC)),
        (Timestamp, 1767225600.25, datetime(2026, 1, 1, microsecond=250_000, tzinfo=UTC)),
        (Timestamp, "2026-01-01T00:00:00", datetime(2026, 1, 1, tzinfo=UTC)),
        (Date, 1767225600, date(2026, 1, 1)), (Date, "2026-01-01T00:00:00", date(2026, 1, 1)),
        (List(Timestamp), [0, None], [datetime(1970, 1, 1, tzinfo=UTC), None]),
        (Map(List(Bytes)), {"a": ["AP8="]}, {"a": [b"\x00\xff"]}),
        (Struct({"at": Timestamp}), {"at": 0}, {"at": datetime(1970, 1, 1, tzinfo=UTC)}),
        (Vector(2), ["0.5", 1], [0.5, 1.0]),
    ],
)  # fmt: skip
def test_a_form_of_feasts_and_its_value(dtype: DType, sent: Any, value: Any) -> None:
    assert same_bits(value, from_feast(sent, dtype))


@pytest.mark.parametrize("dtype", [Timestamp, Date])
def test_a_number_as_text_is_no_time(dtype: DType) -> None:
    for digits in ("1704110100000", "170411010000000", "1704110100"):  # not 1 November 1704
        with pytest.raises(Misfit, match=digits):
            from_feast(digits, dtype)


@given(TYPES, ODD | st.floats() | st.integers())
def test_json_of_any_kind_is_a_value_of_the_type_or_a_misfit(dtype: DType, data: Any) -> None:
    try:
        found = from_feast(data, dtype, "x")
    except Misfit as problem:
        assert str(problem).startswith("x")
        return
    assert same_bits(found, dtype.coerce(found))
