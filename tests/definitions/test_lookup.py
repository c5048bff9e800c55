"""Lookups: found by key on every path, part of the version, refused where they are written."""

import pickle
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.definitions.expressions import expression_from_dict
from skewless.expressions.evaluate import evaluate, evaluate_scalar
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
LABS = sl.Source("labs", schema={"patient": str, "test": str, "value": float}, event_time="at")
LIMITS = {"test": ["na", "k"], "low": [135.0, 3.5], "name": ["sodium", None]}
BY_SEX = {"test": ["na", "na", "k"], "sex": [1, 2, 1], "share": [0.1, 0.2, 0.3]}
SEX = sl.Request("sex", int)


def lookup(data: dict[str, list[Any]], *key: str) -> sl.Lookup:
    return sl.Lookup("ranges", table=sl.Frame(pa.table(data)), key=key or "test")


@sl.feature_view(entity=sl.Entity("patient", patient=str), source=LABS)
class Lab:
    test = LABS.test.latest()
    value = LABS.value.latest()


def flags(limits: dict[str, list[Any]]) -> sl.OnDemandView:
    ranges, by_sex = lookup(limits), lookup(BY_SEX, "test", "sex")
    features = {
        "is_low": Lab.value < ranges[Lab.test].low,
        "name": ranges[Lab.test]["name"],
        "share": by_sex[Lab.test, SEX].share,
        "of_sodium": ranges["na"].low * 2,
    }
    return sl.OnDemandView("Flags", features=features)


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply([Lab, flags(LIMITS)])
        rows = [("a", "na", 120.0), ("b", "k", 6.0), ("c", "zn", 1.0), ("d", None, 1.0)]
        told = [{"patient": p, "test": t, "value": v, "at": NOON} for p, t, v in rows]
        store.push(LABS, told, backdate=True)
        yield store


EXPECTED = {
    "is_low": [True, False, None, None, None],
    "name": ["sodium", None, None, None, None],
    "share": [0.1, 0.3, None, None, None],
    "of_sodium": [270.0] * 5,
}
ASKED = [{"patient": patient, "sex": 1} for patient in "abcde"]


def test_every_path_finds_the_same(fs: sl.FeatureStore) -> None:
    online = fs.get_online_features("Flags", ASKED).to_dict()
    spine = [asked | {"t": NOON} for asked in ASKED]
    training = fs.get_historical_features(spine, "Flags", timestamp="t").to_dict()
    app = App(fs, Settings())
    app.start()
    answer = call(app, "POST", "/v1/features", {"features": ["Flags"], "entities": ASKED})
    for found in (online, training, answer.data["values"]):
        assert {name: found[name] for name in EXPECTED} == EXPECTED
    for number, asked in enumerate(ASKED):
        explained = fs.explain("Flags:is_low", asked)
        assert explained.value == EXPECTED["is_low"][number]


def test_a_changed_table_is_a_new_version_and_the_old_one_stays(fs: sl.FeatureStore) -> None:
    assert fs.plan(Lab, flags(LIMITS)).is_empty
    plan = fs.plan(Lab, flags(LIMITS | {"low": [110.0, 3.5]}))
    assert "on-demand view Flags: changed values, v1 -> v2" in str(plan)
    assert "is_low: (Lab:value < ranges#" in str(plan)
    assert "name:" not in str(plan)
    fs.apply(plan)
    both = fs.get_online_features(["Flags@v1:is_low"], ASKED[:1]).to_dict()["is_low"]
    both += fs.get_online_features(["Flags:is_low"], ASKED[:1]).to_dict()["is_low"]
    assert both == [True, False]


def test_a_file_is_read_from_the_folder_of_the_repo(tmp_path: Path) -> None:
    (tmp_path / "ranges.csv").write_text("test,low\nna,135.5\n")
    (tmp_path / "features.py").write_text(
        """
import skewless as sl

test = sl.Request("test", str)
ranges = sl.Lookup("ranges", table=sl.CSV("ranges.csv"), key="test")


@sl.on_demand
class Limits:
    low = ranges[test].low
"""
    )
    with sl.FeatureStore(tmp_path) as store:
        store.apply(store.plan())
        assert store.get_online_features("Limits", {"test": "na"}).to_dict()["low"] == [135.5]
    with sl.FeatureStore(tmp_path) as store:
        (tmp_path / "ranges.csv").unlink()  # what was applied needs it no more
        assert store.get_online_features("Limits", {"test": "na"}).to_dict()["low"] == [135.5]


@pytest.mark.parametrize("name", list(EXPECTED))
def test_it_is_read_back_shipped_and_the_same_by_column_and_by_value(name: str) -> None:
    expression = flags(LIMITS).expressions[name]
    back = expression_from_dict(expression.to_dict())
    shipped = pickle.loads(pickle.dumps(expression))
    assert repr(back) == repr(shipped) == repr(expression)
    assert back.same_as(expression)
    columns = {
        "Lab:test": pa.array(["na", "k", "x", None, "na"]),
        "Lab:value": pa.array([1.0, None, 3.0, 4.0, 500.0]),
        "sex": pa.array([1, 1, 1, 1, None], pa.int64()),
    }
    rows = pa.table(columns).to_pylist()
    expected = [evaluate_scalar(expression, row) for row in rows]
    assert evaluate(back, columns, 5).to_pylist() == expected
    assert evaluate(shipped, columns, 5).to_pylist() == expected


TEN_THOUSAND = {"test": list(range(10_001)), "low": [1.0] * 10_001}
WRONG: list[tuple[Callable[[], Any], str]] = [
    (lambda: lookup(LIMITS)[1].low, "the key of lookup 'ranges'.*test String"),
    (lambda: lookup(LIMITS)["na", "k"].low, "the key of lookup 'ranges'"),
    (lambda: lookup(LIMITS)["na"].lo, "Did you mean 'low'"),
    (lambda: lookup(LIMITS)["na"].test, "no column 'test'"),
    (lambda: lookup(LIMITS)[LABS.test].low, "at a column of a source"),
    (lambda: lookup(LIMITS, "tset")["na"], "Did you mean 'test'"),
    (lambda: lookup({"test": ["a", "a"], "low": [1, 2]})["a"], "is there twice"),
    (lambda: lookup({"test": ["a", None], "low": [1, 2]})["a"], "is null"),
    (lambda: lookup({"test": [0.5], "low": [1]})[0.5], "cannot be a Float64"),
    (lambda: lookup({"test": ["a"], "low": [[1]]})["a"], "cannot be a List"),
    (lambda: lookup({"test": ["a"], "low": [float("inf")]})["a"], "is not finite"),
    (lambda: lookup(TEN_THOUSAND)[1], "too many rows.*10,001"),
    (lambda: sl.Lookup("ranges", table="x.csv", key="a"), "needs a table and a key"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize(("wrong", "said"), WRONG)
def test_what_is_wrong_is_said_where_it_is_written(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises((sl.DefinitionError, sl.UnknownName), match=f"(?s){said}"):
        wrong()
