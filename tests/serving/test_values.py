"""A value has one form in JSON, on whatever path it comes in or goes out."""

import asyncio
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import skewless as sl
from skewless.cli.main import main
from skewless.client.calls import push_call
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call
from tests.serving.conftest import NOW

DEFINITIONS = """
import skewless as sl
from datetime import date, datetime
from decimal import Decimal

COLUMNS = {
    "whole": int, "number": float, "blob": bytes, "at_time": datetime, "day": date,
    "cost": sl.Decimal(38, 2), "text": str, "more": sl.Json, "numbers": sl.List(float),
    "blobs": sl.List(bytes), "times": sl.List(datetime), "costs": sl.List(sl.Decimal(38, 2)),
    "vector": sl.Vector(2), "record": sl.Struct({"b": bytes, "x": float, "n": int}),
}
things = sl.Source("things", schema={"id": int} | COLUMNS, event_time="at")


@sl.feature_view(entity=sl.Entity("thing", id=int), source=things)
class Newest:
    values = things.latest(*COLUMNS)
"""
BIG = 9007199254740993
FORMS: dict[str, list[Any]] = {
    "whole": [BIG],
    "number": ["Infinity", "-Infinity", -0.0, 0.1],
    "blob": ["q80=", "", "abcd"],
    "at_time": ["2026-01-01T09:00:00.000001Z"],
    "day": ["2026-01-31"],
    "cost": ["12345678901234567890.50", "0.00"],
    "text": ["abcd", "Infinity", "null"],
    "more": ['{"a":[1,null]}'],
    "numbers": [[0.5, "Infinity", None]],
    "blobs": [["q80=", None, ""]],
    "times": [["2026-01-01T09:00:00Z", None]],
    "costs": [["1.50", "0.00"]],
    "vector": [[0.5, -1.0]],
    "record": [{"b": "q80=", "x": "-Infinity", "n": BIG}],
}
EACH = [(name, form) for name, forms in FORMS.items() for form in forms]


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("values")
    (folder / "features.py").write_text(DEFINITIONS)
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan())
    return folder


@pytest.fixture(scope="module")
def app(repo: Path) -> Iterator[App]:
    with sl.FeatureStore(repo, clock=SettableClock(NOW)) as fs:
        app = App(fs, Settings())
        app.start()
        for number, (name, form) in enumerate(EACH):
            row = {"id": str(BIG + number), name: form, "at": "2026-01-01T09:30:00Z"}
            answer = call(app, "POST", "/v1/push", {"source": "things", "rows": [row]})
            assert (answer.status, answer.data["reasons"]) == (200, []), answer.body
        yield app
        asyncio.run(app.close())


@pytest.mark.parametrize("number", range(len(EACH)), ids=[f"{n}-{f}" for n, f in EACH])
def test_what_is_pushed_as_json_is_answered_as_the_same_json(app: App, number: int) -> None:
    name, form = EACH[number]
    body = {"features": [f"Newest:{name}"], "entities": {"id": [BIG + number]}}
    assert call(app, "POST", "/v1/features", body).data["values"] == {name: [form]}
    explained = call(app, "GET", f"/v1/explain?feature=Newest:{name}&id={BIG + number}").data
    assert (explained["value"], explained["aggregates"][0]["rows"][0]["row"][name]) == (form, form)


def test_the_command_line_prints_the_form_of_the_api(app: App, repo: Path) -> None:
    for number, (name, form) in enumerate(EACH):
        words = ["get", f"Newest:{name}", f"id={BIG + number}", "--json", "--repo", str(repo)]
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        (row,) = json.loads(result.stdout)["rows"]
        assert row["features"][name]["value"] == form


@pytest.mark.parametrize("entities", [{"id": [str(BIG)]}, [{"id": str(BIG)}]])
def test_whole_numbers_go_both_ways_as_text(app: App, entities: Any) -> None:
    body = {"features": ["Newest:whole"], "entities": entities, "int64_as_text": True}
    assert call(app, "POST", "/v1/features", body).data["values"] == {"whole": [str(BIG)]}
    number = len(EACH) - 1
    body = {"features": ["Newest:record"], "entities": {"id": [str(BIG + number)]}}
    found = call(app, "POST", "/v1/features", body | {"int64_as_text": True}).data["values"]
    assert found["record"] == [{"b": "q80=", "x": "-Infinity", "n": str(BIG)}]


def test_a_key_that_is_no_value_is_named_with_its_row(app: App) -> None:
    body = {"features": ["Newest:whole"], "entities": {"id": [1, "1.5"]}}
    answer = call(app, "POST", "/v1/features", body)
    assert answer.status == 422
    assert answer.data["what"].startswith("entities[1].id: '1.5' (str) is no Int64")


@pytest.mark.parametrize(
    ("name", "form", "said"),
    [
        ("blob", "abc", "blob: 'abc' (str) is no Bytes: base64 text is expected"),
        ("blobs", ["q80=", "!"], "blobs[1]: '!' (str) is no Bytes: base64 text is expected"),
        ("number", "1.5", "number: '1.5' (str) is no Float64: a number, "),
        ("whole", "1e3", "whole: '1e3' (str) is no Int64: a whole number is expected"),
        ("record", {"n": 0.5}, "record.n: 0.5 (float) is no Int64: a whole number"),
        ("vector", [1, "x"], "vector[1]: 'x' (str) is no Float32: a number"),
        ("times", [1767225600], "times: 1767225600 (int) is no Timestamp"),
    ],
)
def test_a_row_set_aside_says_which_value_and_why(
    app: App, name: str, form: Any, said: str
) -> None:
    row = {"id": 1, name: form, "at": "2026-01-01T09:30:00Z"}
    answer = call(app, "POST", "/v1/push", {"source": "things", "rows": [row]})
    ((reason),) = answer.data["reasons"]
    assert reason["reason"].startswith(said)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"x": math.inf, "y": math.nan}, {"x": "Infinity", "y": None}),
        ({"x": [1.0, -math.inf, None]}, {"x": [1.0, "-Infinity", None]}),
        ({"x": [math.inf, -math.inf]}, {"x": ["Infinity", "-Infinity"]}),
        ({"x": [[math.nan]], "y": {"a": math.inf}}, {"x": [[None]], "y": {"a": "Infinity"}}),
        ({"x": [1e308, 1e308], "y": [10**400, "a"]}, {"x": [1e308, 1e308], "y": [10**400, "a"]}),
    ],
)
def test_a_client_sends_infinities_as_texts_wherever_they_are(
    given: dict[str, Any], sent: dict[str, Any]
) -> None:
    call_ = push_call("things", [given], False)
    assert json.loads(call_.body)["rows"] == [sent]


def test_a_whole_number_of_any_size_is_a_number_for_a_float_column(app: App) -> None:
    """JSON has one kind of number: a point more or less makes no other value of it."""
    rows = [{"id": 5, "number": BIG * 1024 + 1, "at": "2026-01-01T09:30:00Z"}]
    answer = call(app, "POST", "/v1/push", {"source": "things", "rows": rows})
    assert answer.data["reasons"] == []
    body = {"features": ["Newest:number"], "entities": {"id": [5]}}
    found = call(app, "POST", "/v1/features", body).data["values"]
    assert found == {"number": [float(BIG * 1024 + 1)]}
