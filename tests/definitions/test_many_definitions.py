"""Many definitions: work grows with their number and no faster; chains may be any length."""

import functools
import operator
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from benchmarks.definitions import SHAPES
from skewless.definitions.expressions import MOST_DEEP, chain_of, expression_from_dict
from skewless.expressions import scalar
from skewless.expressions.columnar import compute
from skewless.expressions.scalar import compile_scalar, evaluate_scalar
from skewless.testing.clock import SettableClock

SMALL, GROWTH, MOST = 150, 4, 6.0


def calls_of(verb: Callable[[], Any]) -> int:
    """Return how many functions are called, of Python and of C: the same in every run."""
    count = 0

    def note(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(note)
    try:
        verb()
    finally:
        sys.setprofile(None)
    return count


def verbs(shape: str, size: int, folder: Path) -> dict[str, int]:
    found = {}
    made, asked = [], []
    found["define"] = calls_of(lambda: made.extend(SHAPES[shape](size)[0]))
    asked = SHAPES[shape](size)[1]
    clock = SettableClock(1_767_225_600_000_000)
    folder.mkdir()
    with sl.FeatureStore(folder, clock=clock) as fs:
        plans = []
        found["plan"] = calls_of(lambda: plans.append(fs.plan(made)))
        found["apply"] = calls_of(lambda: fs.apply(plans[0]))
        found["plan again"] = calls_of(lambda: fs.plan(made))
        found["search"] = calls_of(lambda: fs.search("mean of c1"))
        one = {"k": "a"}
        found["get"] = calls_of(lambda: fs.get_online_features(asked, [one], full_names=True))
        spine = [{**one, "t": datetime(2025, 12, 31, tzinfo=UTC)}]
        options = {"timestamp": "t", "full_names": True}
        found["historical"] = calls_of(lambda: fs.get_historical_features(spine, asked, **options))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_four_times_the_features_take_less_than_six_times_the_calls(
    shape: str, tmp_path: Path
) -> None:
    verbs(shape, 10, tmp_path / "imports")  # what is imported at first use is not counted
    small = verbs(shape, SMALL, tmp_path / "small")
    large = verbs(shape, GROWTH * SMALL, tmp_path / "large")

    growth = {verb: large[verb] / small[verb] for verb in small}
    assert {verb: ratio for verb, ratio in growth.items() if ratio >= MOST} == {}


def source_of(columns: int) -> sl.Source:
    schema = {"k": str, **{f"c{number}": float for number in range(columns)}}
    return sl.Source("s", schema=schema, event_time="at")


def test_sum_of_a_thousand_columns_is_planned_applied_read_and_trained_on(tmp_path: Path) -> None:
    source = source_of(1000)
    entity = sl.Entity("e", k=str)
    columns = [source[f"c{number}"] for number in range(1000)]
    features = {
        "of_features": functools.reduce(operator.add, [column.latest() for column in columns]),
        "of_columns": functools.reduce(operator.add, columns).mean("1h"),
    }
    view = sl.FeatureView("V", entity=entity, source=source, features=features)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    row = {"k": "a", **{f"c{number}": float(number) for number in range(1000)}, "at": now}
    clock = SettableClock(int(now.timestamp()) * 1_000_000 + 5)

    with sl.FeatureStore(tmp_path, clock=clock) as fs:
        fs.apply(fs.plan(view))
        fs.push("s", [row])
        online = fs.get_online_features("V", [{"k": "a"}]).to_rows()
    with sl.FeatureStore(tmp_path, clock=clock) as fs:  # definitions are read back
        spine = [{"k": "a", "t": datetime.fromtimestamp(clock.time / 1e6, UTC)}]
        history = fs.get_historical_features(spine, "V", timestamp="t").to_dict()
        assert "c999" in repr(fs.runtime.state().views["V", 1].expressions["of_features"])

    assert online == [{"of_features": 499_500.0, "of_columns": 499_500.0}]
    assert history["of_features"] == history["of_columns"] == [499_500.0]


def test_chain_of_a_thousand_features_is_read() -> None:
    source = source_of(1)
    value: Any = source.c0.latest()
    for number in range(1000):
        value = (value * 1.0 + 1.0) if number % 2 else value - 0.5

    key = chain_of(value)[0].key
    assert evaluate_scalar(value, {key: 1.0}) == 1.0 + 500 - 250
    assert expression_from_dict(value.to_dict(), "s").same_as(value)


def test_deep_operand_that_is_not_the_first_is_refused_with_a_way_out() -> None:
    source = source_of(1)
    value = source.c0 + 1.0
    for _ in range(MOST_DEEP - value.depth):
        value = 1.0 + value

    with pytest.raises(sl.SkewlessError, match=r"nested too deeply.*a \+ b \+ c"):
        1.0 + value


@given(st.lists(st.sampled_from("+-*/mcif"), min_size=1, max_size=80), st.floats(-9, 9))
def test_long_chain_is_written_and_computed_like_its_links_one_by_one(
    links: list[str], start: float
) -> None:
    source = source_of(2)
    value: Any = source.c0
    for link in links:
        value = {
            "+": lambda v: v + source.c1,
            "-": lambda v: 3.5 - v,
            "*": lambda v: v * 1.5,
            "/": lambda v: v / source.c1,
            "m": lambda v: -v,
            "c": lambda v: v.cast(str).cast(float),
            "i": lambda v: v.fill_null(2.0),
            "f": lambda v: sl.if_else(v > 1.0, v, source.c1),
        }[link](value)
    values = {"c0": start, "c1": 2.0}
    columns = {name: pa.array([number]) for name, number in values.items()}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scalar, "LONG_CHAIN", 0)
        in_a_loop = compile_scalar(value)(values)
        patch.setattr(scalar, "LONG_CHAIN", 1000)
        by_closures = compile_scalar(value)(values)

    assert repr(in_a_loop) == repr(by_closures) == repr(compute(value, columns).to_pylist()[0])
    assert expression_from_dict(value.to_dict(), "s").same_as(value)
    assert repr(expression_from_dict(value.to_dict(), "s")) == repr(value)
