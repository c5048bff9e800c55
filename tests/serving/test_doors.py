"""Bodies of every kind at every address: an answer, or an error of the caller's; never a 500."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import Answer, call
from tests.serving.conftest import NOW

DEFINITIONS = """
import skewless as sl
from datetime import date, datetime

COLUMNS = {
    "number": float, "small": sl.Int32, "blob": bytes, "seen": datetime, "day": date, "ok": bool,
    "cost": sl.Decimal(38, 2), "more": sl.Json, "numbers": sl.List(float), "blobs": sl.List(bytes),
    "vector": sl.Vector(2), "record": sl.Struct({"b": bytes, "at": datetime}),
}
things = sl.Source(
    "things", schema={"id": int, "code": bytes, "row": str} | COLUMNS, event_time="at", row_id="row",
)


@sl.feature_view(entity=sl.Entity("thing", id=int, code=bytes), source=things)
class Newest:
    values = things.latest(*COLUMNS)
    total = things.number.sum("1d")


asked = sl.Request("asked", float)


@sl.on_demand
class FeaturesRequest:
    ratio = asked / Newest.number
"""
ARROW = {"content-type": "application/vnd.apache.arrow.stream"}
NAMES = ["id", "code", "row", "at", "number", "small", "blob", "seen", "day", "ok", "cost", "more",
         "numbers", "blobs", "vector", "record", "asked", "nothing", "event_timestamp"]  # fmt: skip


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("doors")
    (folder / "features.py").write_text(DEFINITIONS)
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan())
        made = App(fs, Settings())
        made.start()
        yield made


ODD_TEXTS = ["Infinity", "NaN", "q80=", "abc", "7", "9" * 400, "2026-01-01T09:00:00Z", "2026-01-01",
             "2026-01-01T09:00:00", "9999-12-31T23:59:59-01:00", "\x00", "", "null", "{}"]  # fmt: skip
ODD_NUMBERS = [0, 1, -1, 2**31, 2**53 + 1, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, -0.0]
SCALARS = (
    st.none() | st.booleans() | st.sampled_from(ODD_NUMBERS) | st.sampled_from(ODD_TEXTS)
    | st.text(max_size=4)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["b", "at", "x", ""]), inner, max_size=2)
    ),
    max_leaves=4,
)
COLUMNS = st.dictionaries(st.sampled_from(NAMES), st.lists(VALUES, max_size=3), max_size=6)
ROWS = st.lists(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), max_size=3)
FULL = st.fixed_dictionaries(
    {
        "id": SCALARS,
        "code": SCALARS,
        "row": SCALARS,
        "at": SCALARS | st.just("2026-01-01T09:00:00Z"),
    },
    optional={name: VALUES for name in NAMES[4:16]},
)
often = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def is_answer(answer: Answer) -> None:
    """Either a success, or an error of the caller's with what is wrong."""
    assert answer.status < 500, answer.body
    if answer.status >= 400:
        said = answer.data
        content = json.loads(said) if isinstance(said, str) else said
        assert content.get("what") or content.get("message") or content.get("detail")


@often
@given(st.one_of(ROWS, COLUMNS, st.lists(FULL, max_size=3)))
def test_rows_of_any_json_are_pushed_set_aside_or_refused(app: App, rows: Any) -> None:
    answer = call(app, "POST", "/v1/push", {"source": "things", "rows": rows})
    is_answer(answer)
    if answer.status == 200:
        said = answer.data
        assert all(entry["reason"] for entry in said["reasons"])
        assert said["quarantined"] == len(said["reasons"])


@often
@given(st.one_of(COLUMNS, ROWS, st.lists(st.fixed_dictionaries({"id": VALUES, "code": VALUES}))))
def test_keys_of_any_json_are_read_or_refused(app: App, entities: Any) -> None:
    for features in (["Newest:total", "Newest:blobs"], ["FeaturesRequest:ratio"]):
        body = {"features": features, "entities": entities}
        is_answer(call(app, "POST", "/v1/features", body))
        is_answer(call(app, "POST", "/get-online-features", body))


@often
@given(COLUMNS)
def test_frames_of_any_json_are_written_or_refused(app: App, df: Any) -> None:
    is_answer(call(app, "POST", "/push", {"push_source_name": "things", "df": df}))
    body = {"feature_view_name": "Newest", "df": df}
    is_answer(call(app, "POST", "/write-to-online-store", body))


@often
@given(VALUES)
def test_bodies_of_any_json_are_answered_or_refused(app: App, body: Any) -> None:
    for path in ("/v1/features", "/v1/push", "/v1/materialize", "/push", "/get-online-features"):
        is_answer(call(app, "POST", path, body))


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


ARROW_ARRAYS = [
    pa.array([1]), pa.array([2**63], pa.uint64()), pa.array([1.5]), pa.array(["a"]), pa.array([None]),
    pa.array([b"\xff"]), pa.array([datetime(2026, 1, 1, 9, tzinfo=UTC)]), pa.array([True]),
    pa.array([datetime(2026, 1, 1, 9)]), pa.array([date(2026, 1, 1)]), pa.array([[1.5, None]]),
    pa.array([2**62], pa.timestamp("s", "UTC")), pa.array([1], pa.timestamp("ns", "Not/AZone")),
    pa.array(["a"]).dictionary_encode(), pa.array([{"b": b"\xff", "at": None}]),
    pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())), pa.array([1], pa.duration("us")),
    pa.array([1], pa.time64("us")), pa.array(["a"], pa.string_view()), pa.array([b"a" * 16],
    pa.binary(16)), pa.array([np.float16(1)], pa.float16()), pa.array([[b"\xff"]]), pa.array(["1.5"]),
    pa.nulls(1, pa.struct([("x", pa.int32())])), pa.array([-(2**62)], pa.timestamp("us", "UTC")),
]  # fmt: skip
TABLES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(ARROW_ARRAYS), max_size=6)


@often
@given(TABLES)
def test_arrow_of_any_type_is_taken_or_refused(app: App, columns: dict[str, pa.Array]) -> None:
    right = {"row": pa.array(["a"]), "at": pa.array([datetime(2026, 1, 1, 9, tzinfo=UTC)])}
    is_answer(
        call(
            app,
            "POST",
            "/v1/push?source=things",
            body=arrow(pa.table(right | columns)),
            headers=ARROW,
        )
    )
    body = arrow(pa.table(columns))
    is_answer(call(app, "POST", "/v1/push?source=things", body=body, headers=ARROW))
    asked = "/v1/features?features=Newest:total,FeaturesRequest:ratio"
    is_answer(call(app, "POST", asked, body=body, headers=ARROW))


WHOLE = arrow(
    pa.table(
        {
            "id": [1, 2], "code": [b"a", b"b"], "row": ["a", "b"], "number": [1.5, None],
            "blobs": [[b"a"], None], "at": [datetime(2026, 1, 1, 9, tzinfo=UTC)] * 2,
        }
    )
)  # fmt: skip


@often
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=4),
       st.integers(0, len(WHOLE)))  # fmt: skip
def test_damaged_arrow_is_taken_or_refused(
    app: App, changes: list[tuple[int, int]], cut: int
) -> None:
    body = bytearray(WHOLE)
    for at, byte in changes:
        body[at] = byte
    for sent in (bytes(body), bytes(body[:cut])):
        is_answer(call(app, "POST", "/v1/push?source=things", body=sent, headers=ARROW))
        asked = "/v1/features?features=Newest:total"
        is_answer(call(app, "POST", asked, body=sent, headers=ARROW))


@often
@given(st.dictionaries(st.sampled_from([*NAMES, "feature", "at"]), st.sampled_from(ODD_TEXTS)))
def test_queries_of_any_text_are_answered_or_refused(app: App, query: dict[str, str]) -> None:
    from urllib.parse import urlencode

    for first in ({"feature": "Newest:total"}, {}):
        is_answer(call(app, "GET", "/v1/explain?" + urlencode(first | query)))
