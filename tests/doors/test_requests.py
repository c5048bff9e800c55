"""Request fields with odd values: refused both online and in training, or one value on both."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import InputError
from skewless.testing.clock import SettableClock

NOW = 1_800_000_000_000_000
DTYPES = {
    "vector": sl.Vector(2),
    "json": sl.Json,
    "jsons": sl.List(sl.Json),
    "numbers": sl.List(float),
    "map": sl.Map(int),
    "maps": sl.List(sl.Map(int)),
    "struct": sl.Struct({"a": int, "b": str}),
}
OF_SEVERAL_KINDS: list[tuple[str, list[Any]]] = [
    ("json", [1, "2", [1], {"a": 1}, {"b": [1, "x"]}, True, None, '{"c": 2}', {}, 2**60, 0.5]),
    ("json", [[2**53 + 1], [0.5], ["a"], [[1], 2], [{"a": 1}, {"b": 1}]]),
    ("jsons", [[1, "2"], [{"a": 1}, {"b": None}], None, []]),
    ("map", [{"a": 1}, {"b": 2}, {}, None]),
    ("maps", [[{"a": 1}, {"b": 2}], [], None]),
    ("struct", [{"a": 1, "b": "x"}, {"a": 2}, {}, None]),
]
MIXED = [[1, 2.5], [1.0, 2.0], {"a": [1, 2.5]}, {"a": 1.0}, [None, 1.5, 2], '{"b":[1.0,2.5]}']
SAME: list[tuple[str, Any]] = [
    *(("json", value) for value in MIXED),
    ("json", [-0.0, 0.5]),
    ("json", [2**53, 0.5]),
    ("jsons", [1, 2.5]),
    ("jsons", [None, 1.0]),
    ("numbers", [1, 2.5]),
    ("numbers", [1.0, None]),
    ("vector", [1, 2.5]),
    ("vector", None),
]
REFUSED: list[tuple[str, Any]] = [
    ("vector", [1.0, None]),
    ("vector", [1.0, math.nan]),
    ("vector", [1.0]),
    ("json", math.inf),
    ("json", "no JSON"),
]


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sl.FeatureStore]:
    folder = tmp_path_factory.mktemp("requests")
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as store:
        source = sl.Source("s", schema={"k": int}, event_time="at")
        features = {"n": source.count("1h")}
        store.apply(
            sl.FeatureView("V", entity=sl.Entity("e", k=int), source=source, features=features)
        )
        for name, dtype in DTYPES.items():
            asked = sl.Request(f"asked_{name}", dtype)
            store.apply(sl.OnDemandView(f"Of{name}", features={name: asked}))
        yield store


def ways(fs: sl.FeatureStore, name: str, value: Any) -> Iterator[Any]:
    """The value online, and in training sets of every kind of spine that can hold it."""
    view, row = f"Of{name}", {f"asked_{name}": value}
    yield lambda: fs.get_online_features(view, [row]).to_dict()[name]
    spine = row | {"t": from_micros(NOW)}
    for frame in (list, pd.DataFrame, pa.Table.from_pylist):
        yield lambda frame=frame: fs.get_historical_features(
            frame([spine]), view, timestamp="t"
        ).to_dict()[name]


@pytest.mark.parametrize(("name", "value"), SAME, ids=str)
def test_a_request_is_the_same_online_and_in_training(
    fs: sl.FeatureStore, name: str, value: Any
) -> None:
    online, *trained = (way() for way in ways(fs, name, value))
    assert [online] * len(trained) == trained


@pytest.mark.parametrize(("name", "values"), OF_SEVERAL_KINDS, ids=str)
def test_requests_of_several_kinds_are_the_same_online_and_in_training(
    fs: sl.FeatureStore, name: str, values: list[Any]
) -> None:
    rows = [{f"asked_{name}": value} for value in values]
    online = fs.get_online_features(f"Of{name}", rows).to_dict()[name]
    alone = [fs.get_online_features(f"Of{name}", [row]).to_dict()[name][0] for row in rows]
    spine = [row | {"t": from_micros(NOW)} for row in rows]
    frame = pd.DataFrame({"t": [from_micros(NOW)] * len(rows)})
    frame[f"asked_{name}"] = pd.Series(values, dtype=object)
    columns = {each: [row[each] for row in spine] for each in spine[0]}
    for given in (spine, frame, columns):
        trained = fs.get_historical_features(given, f"Of{name}", timestamp="t")
        assert trained.to_dict()[name] == online == alone


def test_a_value_of_a_spine_that_the_field_has_no_room_for_is_named_with_its_row(
    fs: sl.FeatureStore,
) -> None:
    rows = [{"asked_map": m, "t": from_micros(NOW)} for m in ({"a": 1}, {"b": 2}, {"b": "x"})]
    with pytest.raises(InputError, match=r"'x'.*no Int64.*'asked_map' of the spine, row 2"):
        fs.get_historical_features(rows, "Ofmap", timestamp="t")


@pytest.mark.parametrize(("name", "value"), REFUSED, ids=str)
def test_what_is_refused_online_is_refused_in_training(
    fs: sl.FeatureStore, name: str, value: Any
) -> None:
    for way in ways(fs, name, value):
        with pytest.raises(InputError, match=f"asked_{name}"):
            way()


def test_the_row_with_a_broken_vector_is_named(fs: sl.FeatureStore) -> None:
    rows = [{"asked_vector": v, "t": from_micros(NOW)} for v in ([1.0, 2.0], None, [None, 1.0])]
    with pytest.raises(InputError, match=r"(?s)room for null.*None, 1.0.*asked_vector', row 2"):
        fs.get_historical_features(rows, "Ofvector", timestamp="t")


@pytest.mark.parametrize("seed", ["\ud800", 1.5, True, -1, np.array([1])], ids=repr)
def test_a_seed_is_a_whole_number(fs: sl.FeatureStore, seed: Any) -> None:
    with pytest.raises(InputError, match="not a seed"):
        fs.verify(seed=seed)
    with pytest.raises(InputError, match="not a seed"):
        fs.verify(seed=seed, generate=1)
