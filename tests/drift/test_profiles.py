"""A profile counts entities once, forgets nothing in the ledger, and lists no personal data."""

from pathlib import Path

import numpy as np
import pytest

import skewless as sl
from skewless.drift import profiles as module
from skewless.drift.profile import Profile, Profiler
from skewless.drift.profiles import newest, stored
from skewless.state.status import Status
from skewless.testing.clock import SettableClock
from skewless.types import Float64, List, String, Timestamp
from tests.drift.shop import push_amounts, serve, service, store
from tests.shop import DAY, NOON


def profile_of(dtype: sl.types.DType, values: list[object], **options: object) -> Profile:  # type: ignore[name-defined]
    profiler = Profiler(dtype, now=NOON, **options)  # type: ignore[arg-type]
    profiler.add(values, [Status.PRESENT if v is not None else Status.NULL for v in values])
    return profiler.profile("V@v1:f", point="online", start=NOON, end=NOON)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        (Float64, [float(n) for n in range(5_000)]),
        (Float64, [1.0, 2.0, None] * 50),
        (String, ["a", "b", None] * 50),
        (String, [f"v{n}" for n in range(500)]),
        (List(Float64), [[1.0, 2.0], [], None]),
        (Timestamp, [sl.clock.from_micros(NOON - DAY), None]),
    ],
)
def test_a_profile_is_the_same_out_of_the_ledger(dtype: object, values: list[object]) -> None:
    made = profile_of(dtype, values)
    again = Profile.from_record(made.to_record())
    assert again.to_record() == made.to_record()
    assert {name: curve.tolist() for name, curve in again.curves.items()} == {
        name: curve.tolist() for name, curve in made.curves.items()
    }
    assert made.entities == len(values)
    assert made.n == sum(value is not None for value in values)


def test_few_numbers_and_texts_are_counted_one_by_one() -> None:
    assert profile_of(Float64, [1.0, 2.0, 2.0]).counts == {"2.0": 2, "1.0": 1}
    assert profile_of(String, ["a", "b", "a"]).counts == {"a": 2, "b": 1}
    many = profile_of(String, [f"v{n}" for n in range(500)])
    assert (len(many.counts), many.complete, sum(many.buckets)) == (50, False, 500)


def test_lists_have_a_length_and_a_norm_and_times_an_age() -> None:
    lists = profile_of(List(Float64), [[3.0, 4.0], []])
    assert lists.curves["length"].tolist() == [0, 2]
    assert lists.curves["norm"].tolist() == [0, 5]
    assert profile_of(Timestamp, [sl.clock.from_micros(NOON - DAY)]).curves["age"] == [86_400]


def test_values_of_personal_data_are_not_listed() -> None:
    hidden = profile_of(String, ["ada", "bob"], hidden=True)
    assert not hidden.counts
    assert sum(hidden.buckets) == 2
    assert "ada" not in str(hidden.to_record())


def test_entities_that_are_building_are_none() -> None:
    profiler = Profiler(Float64, now=NOON)
    profiler.add([1.0, None], [Status.PRESENT, Status.BUILDING])
    made = profiler.profile("V@v1:f", point="online", start=NOON, end=NOON)
    assert (made.entities, made.asked, made.n) == (1, 1, 1)


def test_all_entities_online_are_profiled_and_kept(tmp_path: Path) -> None:
    with store(tmp_path) as fs:
        push_amounts(fs, range(1, 301))
        found = {each.of: each for each in fs.profile()}
        total = found["Spend@v1:total"]
        assert (total.entities, total.n, total.statuses) == (300, 300, {"present": 300})
        assert total.curves[""].tolist() == [float(n) for n in range(1, 301)]
        kept = newest(stored(fs.runtime.ledger, points=["online"]))
        assert kept["Spend@v1:total"].curves[""].tolist() == total.curves[""].tolist()
        assert fs.runs("profile")[0].result == {"profiles": len(found)}


def test_many_entities_are_profiled_as_few_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store(tmp_path) as fs:
        push_amounts(fs, range(1, 301))
        few = {each.of: each for each in fs.profile()}
        monkeypatch.setattr(module, "MOST_ASKED", 100)
        many = {each.of: each for each in fs.profile()}
        assert {each.asked for each in many.values()} == {100}
        for name, each in many.items():
            assert each.entities == few[name].entities
            assert each.counts == few[name].counts
            assert [c.tolist() for c in each.curves.values()] == [
                c.tolist() for c in few[name].curves.values()
            ]


def test_an_entity_that_is_read_often_counts_once(tmp_path: Path) -> None:
    clock = SettableClock(NOON)
    with store(tmp_path, clock=clock) as fs:
        push_amounts(fs, range(1, 21))
        folder = serve(fs, [f"c{n}" for n in range(1, 21)] * 20)
        found = {each.of: each for each in fs.profile(served=folder)}
        total = found["Spend@v1:total"]
        assert (total.point, total.entities, total.n) == ("served", 20, 20)
        assert total.curves[""].tolist() == [float(n) for n in range(1, 21)]
        clock.time += 2 * DAY
        assert fs.profile(served=folder)[0].entities == 0  # of the last day alone


def test_the_training_set_of_a_service_leaves_its_profile(tmp_path: Path) -> None:
    with store(tmp_path) as fs:
        push_amounts(fs, range(1, 301))
        made = service(fs, 300)
        found = newest(stored(fs.runtime.ledger, points=["training"]))
        total = found["Spend@v1:total"]
        assert (total.id, total.n) == (made.id, 300)
        assert total.name == f"training:{made.id}"


def test_a_profile_is_small() -> None:
    numbers = np.random.default_rng(1).lognormal(size=20_000).tolist()
    made = profile_of(Float64, numbers)
    import json

    assert len(json.dumps(made.to_record())) < 12_000
