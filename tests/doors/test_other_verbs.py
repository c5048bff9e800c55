"""Odd values at the doors that take no rows: an error of skewless, or what a value of its type means."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import skewless as sl
from skewless.errors import SkewlessError
from skewless.types import dtype_of
from tests.doors.odd import AT, DTYPES, VALUES, bits, says, told
from tests.doors.test_python_values import CLOCK, NOW


def opened(folder: Path, *definitions: Any) -> sl.FeatureStore:
    fs = sl.FeatureStore(folder, clock=CLOCK)
    fs.apply([*definitions])
    return fs


def plain_view(kind: object = str) -> sl.FeatureView:
    source = sl.Source("s", schema={"k": kind, "n": int}, event_time="at", row_id="k")
    features = {"n": source.n.latest(), "many": source.count(sl.lifetime())}
    return sl.FeatureView("V", entity=sl.Entity("e", k=kind), source=source, features=features)


def fine(ask: Callable[[], Any]) -> Any:
    """What a verb gives; None where it refuses with an error of ours."""
    try:
        return ask()
    except SkewlessError as problem:
        told(problem)
    return None


@pytest.mark.parametrize("kind", [str, int, bytes])
def test_an_odd_row_id_deletes_the_row_that_it_says_or_none(tmp_path: Path, kind: type) -> None:
    keep = {str: "a", int: 1, bytes: b"a"}[kind]
    with opened(tmp_path, plain_view(kind)) as fs:
        for value in VALUES:
            fs.push("s", [{"k": keep, "n": 1, "at": AT}])
            fine(lambda value=value: fs.delete("s", [value]))
            fine(lambda value=value: fs.delete("s", value))
            if isinstance(value, Decimal) and value.is_snan():
                continue
            there = fs.get_online_features("V", [{"k": keep}])["n"][0]
            odd = isinstance(value, float | Decimal)  # infinite ones have no fraction
            means = bool(value == keep) if odd else says(dtype_of(kind), keep, value)
            inside = isinstance(value, (list, tuple, set, frozenset, range)) or hasattr(
                value, "__array__"
            )
            assert there == 1 or means or inside, value


def test_odd_moments_are_refused_or_are_the_moment_they_say(tmp_path: Path) -> None:
    with opened(tmp_path, plain_view()) as fs:
        fs.push("s", [{"k": "a", "n": 1, "at": AT}], backdate=True)
        for value in VALUES:
            for ask in (
                lambda value: fs.get_online_features("V", [{"k": "a"}], at=value).to_dict(),
                lambda value: fs.explain("V:n", {"k": "a"}, at=value),
                lambda value: fs.read_features("V", start=value),
                lambda value: fs.read_features("V", end=value),
                lambda value: fs.materialize("V", start=value),
                lambda value: fs.backfill("V", end=value),
                lambda value: fs.runs(since=value),
                lambda value: fs.purge_quarantine("s", before=value),
            ):
                fine(lambda ask=ask, value=value: ask(value))


def test_odd_names_and_entities_are_refused(tmp_path: Path) -> None:
    with opened(tmp_path, plain_view()) as fs:
        fs.push("s", [{"k": "a", "n": 1, "at": AT}], backdate=True)
        spine = [{"k": "a", "t": NOW}]
        for value in VALUES:
            for ask in (
                lambda value: fs.read_features("V", entities=[{"k": value}]),
                lambda value: fs.read_features("V", entities=value),
                lambda value: fs.read_features(value),
                lambda value: fs.get_online_features(value, [{"k": "a"}]),
                lambda value: fs.get_online_features([value], [{"k": "a"}]),
                lambda value: fs.get_online_features("V", value),
                lambda value: fs.get_online_features("V", [value]),
                lambda value: fs.get_historical_features(value, "V", timestamp="t"),
                lambda value: fs.get_historical_features(spine, value, timestamp="t"),
                lambda value: fs.get_historical_features(spine, "V", timestamp=value),
                lambda value: fs.get_historical_features(spine, "V", timestamp="t", as_of=value),
                lambda value: fs.explain(value, {"k": "a"}),
                lambda value: fs.explain("V:n", value),
                lambda value: fs.push(value, [{"k": "b"}]),
                lambda value: fs.delete(value, ["b"]),
                lambda value: fs.show(value),
                lambda value: fs.search(value),
                lambda value: fs.lineage(value),
                lambda value: fs.quarantine(value),
                lambda value: fs.compact(value),
                lambda value: fs.drop_rows(value),
                lambda value: fs.verify(value),
            ):
                fine(lambda ask=ask, value=value: ask(value))
        assert fs.get_online_features("V", [{"k": "a"}])["n"] == [1]


@pytest.mark.parametrize("name", DTYPES)
def test_a_field_of_a_request_is_refused_or_the_value_it_says(tmp_path: Path, name: str) -> None:
    """Online, in a training set of rows and of a frame: the same value, or refused."""
    dtype = DTYPES[name]
    asked = sl.Request("x", dtype)
    echo = sl.OnDemandView("Echo", features={"y": asked})
    with opened(tmp_path, plain_view(), echo) as fs:
        for value in VALUES:
            frame = pd.DataFrame({"t": [NOW]})
            frame["x"] = pd.Series([value], dtype=object)
            answers = []
            for ask in (
                lambda value=value: fs.get_online_features("Echo", [{"x": value}])["y"],
                lambda value=value: fs.get_historical_features(
                    [{"x": value, "t": NOW}], "Echo", timestamp="t"
                )["y"],
                lambda frame=frame: fs.get_historical_features(frame, "Echo", timestamp="t")["y"],
            ):
                found = fine(ask)
                if found is not None:
                    answers.append(found[0])
            for answer in answers:
                assert says(dtype, answer, value), (value, answer)
            if dtype.kind == "json":  # whole numbers beside others become such in a column
                answers = [None if each is None else json.loads(each) for each in answers]
                assert all(each == answers[0] for each in answers)
            else:
                assert len({repr(bits(each)) for each in answers}) <= 1, (value, answers)
