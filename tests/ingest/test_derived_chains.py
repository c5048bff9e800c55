"""Sources derived of derived sources: what comes of pushes, streams, kills, removals, questions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.definitions.repo import Definitions
from skewless.ingest.stream.worker import StreamWorker
from skewless.online import derive
from skewless.parity.examples import run_examples
from skewless.testing.clock import SettableClock
from tests.ingest.stream.events import append, lines

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DIES = sl.Source(
    "dies",
    schema={"wafer": str, "lot": str, "x": int, "vdd": float},
    event_time="at",
    row_id=("wafer", "x"),
    stream=sl.Files("landing"),
)
LOT = sl.Entity("lot", lot=str)


@sl.derived(source=DIES, by=("wafer", "lot"), rows=2, returns={"spread": float})
def wafers(rows):
    return {"spread": rows["vdd"].max() - rows["vdd"].min()}


@sl.derived(source=wafers, by="lot", rows=2, most=25, returns={"worst": float, "many": int})
def lots(rows):
    return {"worst": rows["spread"].max(), "many": len(rows["spread"])}


@sl.feature_view(entity=LOT, source=lots)
class Lot:
    worst = lots.worst.latest()
    many = lots.many.latest()


VALUES = sl.Source.of(Lot)


@sl.feature_view(entity=LOT, source=VALUES)
class LotOverTime:
    worst_ever = VALUES.worst.max(sl.lifetime())
    history = VALUES.worst.last_n(5)


VIEWS = [Lot, LotOverTime]


def wafer(name: str, lot: str, *vdd: float) -> list[dict[str, Any]]:
    at = NOON - timedelta(minutes=9)
    return [{"wafer": name, "lot": lot, "x": x, "vdd": v, "at": at} for x, v in enumerate(vdd)]


def of_lot(fs: sl.FeatureStore, lot: str = "l") -> dict[str, Any]:
    """The features of a lot, online and in a training set: the same."""
    online = fs.get_online_features(VIEWS, {"lot": lot}).to_rows()[0]
    training = fs.get_historical_features([{"lot": lot, "t": NOON}], VIEWS, timestamp="t")
    assert online == {name: training[name][0] for name in online}
    return online


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        yield store


def test_a_row_of_the_first_makes_one_of_all_that_are_derived_of_it(fs: sl.FeatureStore) -> None:
    fs.apply(VIEWS)
    fs.push(DIES, wafer("a", "l", 1.0, 2.0))
    assert of_lot(fs)["worst"] is None  # one wafer is no lot
    fs.push(DIES, wafer("b", "l", 1.0, 4.0))
    assert of_lot(fs) == {"worst": 3.0, "many": 2, "worst_ever": 3.0, "history": [3.0]}
    fs.push(DIES, wafer("b", "l", 2.0))  # a die that was tested again
    assert of_lot(fs) == {"worst": 2.0, "many": 2, "worst_ever": 2.0, "history": [2.0]}
    fs.delete(DIES, [("a", 1)])
    assert of_lot(fs) == {"worst": None, "many": None, "worst_ever": None, "history": []}
    assert fs.verify().ok


def test_rows_of_a_stream_go_all_the_way(fs: sl.FeatureStore, tmp_path: Path) -> None:
    fs.apply(VIEWS)
    rows = [*wafer("a", "l", 1.0, 2.0), *wafer("b", "l", 1.0, 4.0)]
    told = [row | {"at": row["at"].isoformat()} for row in rows]
    append(tmp_path / "landing" / "0.jsonl", lines(told))
    StreamWorker(fs.runtime, "dies", max_rows=3).run(once=True)
    assert of_lot(fs)["worst"] == 3.0


@pytest.mark.parametrize("between", [False, True], ids=["all at once", "one after the other"])
def test_rows_from_before_are_taken_in_step_by_step(
    fs: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch, between: bool
) -> None:
    monkeypatch.setattr(derive, "BACKLOG", 2)
    fs.apply(wafers if between else DIES)
    for name in "abcd":
        fs.push(DIES, wafer(name, "l", 1.0, float(ord(name) - 90)))
    fs.apply(fs.plan(VIEWS), build=False)
    fs.push(DIES, wafer("e", "l", 1.0, 50.0))  # far ahead of what was taken in
    assert fs.get_online_features(Lot, {"lot": "l"}).to_statuses()["worst"] == ["building"]
    fs.materialize()
    found = of_lot(fs)
    assert (found["worst"], found["many"]) == (49.0, 5)
    assert fs.verify().ok


def test_what_was_removed_and_comes_back_begins_anew(fs: sl.FeatureStore) -> None:
    fs.apply(VIEWS)
    fs.push(DIES, [*wafer("a", "l", 1.0, 2.0), *wafer("b", "l", 1.0, 4.0)])
    fs.apply(fs.plan(DIES, removing=True), allow_breaking=True)
    fs.push(DIES, wafer("b", "l", 1.0, 3.0))
    fs.apply(fs.plan(VIEWS))
    assert of_lot(fs)["worst"] == 2.0
    fs.push(DIES, wafer("c", "l", 1.0, 9.0))
    found = of_lot(fs)
    assert (found["worst"], found["many"]) == (8.0, 3)


def test_a_store_that_is_opened_again_goes_on(tmp_path: Path) -> None:
    clock = SettableClock(to_micros(NOON))
    for number, name in enumerate("abc", 1):
        with sl.FeatureStore(tmp_path, clock=clock) as fs:
            fs.apply(VIEWS)
            fs.push("dies", wafer(name, "l", 1.0, 1.0 + number))
            fs.compact()
            assert of_lot(fs)["many"] == (None if number == 1 else number)


def test_questions_go_through_to_the_rows(fs: sl.FeatureStore) -> None:
    fs.apply(VIEWS)
    fs.push(DIES, [*wafer("a", "l", 1.0, 2.0), *wafer("b", "l", 1.0, 4.0)])
    explained = fs.explain(Lot.worst, {"lot": "l"})
    assert "is made of 2 rows of wafers" in str(explained)
    assert "last_row" not in str(explained)
    row = explained.to_dict()["aggregates"][0]["rows"][-1]
    assert [each["row"]["spread"] for each in row["behind"]] == [1.0, 3.0]
    assert [[d["row"]["vdd"] for d in each["behind"]] for each in row["behind"]] == [
        [1.0, 2.0],
        [1.0, 4.0],
    ]
    lineage = str(fs.lineage("LotOverTime:worst_ever", up=9))
    for edge in ("dies.vdd -> wafers.spread", "wafers.spread -> lots.worst"):
        assert edge in lineage


def test_an_example_gives_the_rows_that_all_begins_with() -> None:
    rows = [*wafer("a", "l", 1.0, 2.0), *wafer("b", "l", 1.0, 4.0)]
    told = sl.Example("a lot", of=LotOverTime, rows=rows, at=NOON, expect={"worst_ever": 3.0})
    assert list(told.rows) == ["dies"]
    assert run_examples(Definitions.of(LotOverTime), [told]).ok
