"""Spines with columns of every Arrow type: refused with an error of ours, or what was given."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.errors import SkewlessError
from skewless.testing.clock import SettableClock
from tests.doors.odd import told
from tests.doors.test_arrow_types import COLUMNS, columns

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
TIME = pa.timestamp("us", "UTC")
NAMES = [*COLUMNS, "union", "interval"]
INTERVALS = [(1, 2, 3), None, (0, 0, 0), (4, 5, 6), (7, 8, 9)]


@pytest.fixture(scope="module")
def fs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sl.FeatureStore]:
    store = sl.FeatureStore(
        tmp_path_factory.mktemp("spines"), clock=SettableClock(1_800_000_000_000_000)
    )
    views = []
    for kind in (str, int):
        name = kind.__name__
        source = sl.Source(f"s_{name}", schema={f"k_{name}": kind}, event_time="at")
        entity = sl.Entity(f"e_{name}", **{f"k_{name}": kind})
        features = {"n": source.count(sl.lifetime())}
        views.append(sl.FeatureView(f"V_{name}", entity=entity, source=source, features=features))
    store.apply(views)
    store.push("s_str", [{"k_str": "a", "at": AT}], backdate=True)
    yield store
    store.close()


def made(name: str, data: st.DataObject) -> pa.Array:
    if name == "interval":
        return pa.array(INTERVALS, pa.month_day_nano_interval())
    if name == "union":
        kinds, places = pa.array([0, 1], pa.int8()), pa.array([0, 0], pa.int32())
        return pa.UnionArray.from_dense(kinds, places, [pa.array([1]), pa.array(["a"])])
    return data.draw(columns(name))


@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_column_beside_the_keys_stays_as_it_is(
    fs: sl.FeatureStore, name: str, data: st.DataObject
) -> None:
    column = made(name, data)
    many = len(column)
    spine = pa.table({"k_str": ["a"] * many, "t": pa.array([AT] * many, TIME), "beside": column})
    found = fs.get_historical_features(spine, "V_str", timestamp="t")
    kept = found.to_arrow()["beside"].combine_chunks()
    assert kept.type == column.type
    assert str(kept) == str(column) or kept.to_pylist() == column.to_pylist()
    assert found["n"] == [1] * many
    assert found.id


@pytest.mark.parametrize("kind", ["str", "int"])
@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_column_of_keys_is_refused_or_read(
    fs: sl.FeatureStore, name: str, kind: str, data: st.DataObject
) -> None:
    column = made(name, data)
    spine = pa.table({f"k_{kind}": column, "t": pa.array([AT] * len(column), TIME)})
    try:
        found = fs.get_historical_features(spine, f"V_{kind}", timestamp="t")
        assert len(found["n"]) == len(column)
        assert found.id
    except SkewlessError as problem:
        told(problem)


@pytest.mark.parametrize("name", NAMES)
@settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_column_of_times_is_refused_or_read(
    fs: sl.FeatureStore, name: str, data: st.DataObject
) -> None:
    column = made(name, data)
    spine = pa.table({"k_str": ["a"] * len(column), "t": column})
    try:
        assert len(fs.get_historical_features(spine, "V_str", timestamp="t")["n"]) == len(column)
    except SkewlessError as problem:
        told(problem)
