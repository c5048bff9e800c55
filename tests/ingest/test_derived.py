"""Pushes to a source of which rows are derived: what comes of them, also where things go wrong."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.definitions import loading
from skewless.definitions.repo import Definitions
from skewless.errors import StoreUnavailable
from skewless.ingest.stream.worker import StreamWorker
from skewless.online import derive, reader
from skewless.online.storage import is_states
from skewless.parity.examples import run_examples
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryCache
from tests.ingest.stream.events import append, lines

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
DIES = sl.Source(
    "dies",
    schema={"wafer": str, "x": int, "vdd": float},
    event_time="at",
    row_id=("wafer", "x"),
    stream=sl.Files("landing"),
)
WAFER = sl.Entity("wafer", wafer=str)


@sl.derived(source=DIES, by="wafer", rows=3, returns={"spread": float, "at_once": int})
def wafers(rows):
    if rows["vdd"][0] < 0:
        raise ValueError("no wafer has that")
    return {"spread": rows["vdd"].max() - rows["vdd"].min(), "at_once": len(rows["x"])}


@sl.feature_view(entity=WAFER, source=wafers)
class Wafer:
    spread = wafers.spread.latest()
    many = wafers.count(sl.lifetime())


def die(wafer: str, x: int, vdd: float) -> dict[str, Any]:
    return {"wafer": wafer, "x": x, "vdd": vdd, "at": NOON - timedelta(minutes=9 - x)}


def whole(wafer: str, vdd: float = 1.0) -> list[dict[str, Any]]:
    return [die(wafer, x, vdd * (x + 1)) for x in range(3)]


def spread(fs: sl.FeatureStore, *names: str) -> list[float | None]:
    """The spread of wafers, online and in a training set: the same."""
    keys = [{"wafer": name} for name in names]
    online = fs.get_online_features([Wafer.spread], keys).to_dict()["spread"]
    spine = [key | {"t": NOON} for key in keys]
    training = fs.get_historical_features(spine, [Wafer.spread], timestamp="t")
    assert training.to_dict()["spread"] == online
    return online


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply(Wafer)
        yield store


def test_rows_of_a_derived_source_are_nobodys_to_push_or_delete(fs: sl.FeatureStore) -> None:
    row = {"wafer": "a", "spread": 1.0, "at": NOON}
    with pytest.raises(sl.InputError, match=r"(?s)rows of 'wafers' are derived.*of 'dies'"):
        fs.push("wafers", [row])
    with pytest.raises(sl.InputError, match="derived"):
        fs.delete("wafers", ["a"])


def test_a_group_that_cannot_be_made_has_no_row_and_says_why(fs: sl.FeatureStore) -> None:
    fs.push("dies", whole("a"))
    fs.push("dies", [*whole("bad", -1.0), *whole("b")])
    assert spread(fs, "a", "b", "bad") == [2.0, 2.0, None]
    (told,) = fs.quarantine("wafers")
    assert "no wafer has that" in told.reason
    assert told.values == '{"wafer": "bad"}'
    fs.push("dies", whole("bad", 2.0))  # corrected
    assert spread(fs, "bad") == [4.0]
    fs.push("dies", [die("a", 3, 1.0)])  # one too many
    assert spread(fs, "a") == [None]
    assert sum("4 rows, 3 are the most" in told.reason for told in fs.quarantine("wafers")) == 1
    fs.delete("dies", [("a", 0)])
    assert spread(fs, "a") == [2.0]


def test_pushes_of_many_threads_make_each_row_once(fs: sl.FeatureStore) -> None:
    names = [f"w{number}" for number in range(8)]
    rows = [[row] for name in names for row in whole(name)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda some: fs.push("dies", some), rows))
    assert spread(fs, *names) == [2.0] * 8
    assert fs.runtime.log(fs.runtime.source("wafers")).last_sequence() == 8


def test_rows_of_a_stream_make_rows_too(fs: sl.FeatureStore, tmp_path: Path) -> None:
    rows = [row | {"at": row["at"].isoformat()} for name in "abc" for row in whole(name)]
    append(tmp_path / "landing" / "0.jsonl", lines(rows))
    StreamWorker(fs.runtime, "dies", max_rows=2).run(once=True)
    assert spread(fs, "a", "b", "c") == [2.0, 2.0, 2.0]


def test_rows_that_were_there_before_are_taken_in_step_by_step(
    fs: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derive, "BACKLOG", 2)

    @sl.derived(source=DIES, by="wafer", rows=2, most=3, returns={"vdd": float})
    def later(rows):
        return {"vdd": rows["vdd"][0]}

    @sl.feature_view(entity=WAFER, source=later)
    class Later:
        vdd = later.vdd.latest()

    fs.push("dies", [*whole("a"), *whole("b"), die("c", 0, 1.0)])
    fs.apply(fs.plan(Later), build=False)
    fs.push("dies", [die("c", 1, 7.0)])  # far ahead of what was taken in
    keys = [{"wafer": name} for name in "abc"]
    assert fs.get_online_features(Later, keys).to_statuses()["vdd"] == ["building"] * 3
    fs.materialize()
    assert fs.get_online_features(Later, keys).to_dict()["vdd"] == [1.0, 1.0, 1.0]
    assert fs.verify().ok


@pytest.mark.parametrize("build", [True, False])
def test_one_that_was_removed_and_comes_back_begins_anew(fs: sl.FeatureStore, build: bool) -> None:
    for x in range(3):  # one by one: there are versions of the groups without a row
        fs.push("dies", [die(name, x, float(x + 1)) for name in "ab"])
    assert spread(fs, "a", "b") == [2.0, 2.0]
    fs.apply(fs.plan(DIES, removing=True), allow_breaking=True)
    fs.push("dies", whole("c", 2.0))
    fs.delete("dies", [("a", 0)])
    fs.apply(fs.plan(Wafer), build=build)
    fs.push("dies", whole("d", 3.0))
    fs.materialize()
    assert spread(fs, "a", "b", "c", "d") == [None, 2.0, 4.0, 6.0]
    fs.delete("dies", [("b", 0)])
    assert spread(fs, "a", "b", "c", "d") == [None, None, 4.0, 6.0]


def test_training_sets_do_not_wait_for_a_build(fs: sl.FeatureStore) -> None:
    @sl.derived(source=DIES, by="wafer", rows=3, returns={"total": float})
    def sums(rows):
        return {"total": rows["vdd"].sum()}

    @sl.feature_view(entity=WAFER, source=sums)
    class Sums:
        total = sums.total.latest()

    fs.push("dies", whole("a"))
    fs.apply(fs.plan(Sums), build=False)
    found = fs.get_historical_features([{"wafer": "a", "t": NOON}], Sums, timestamp="t")
    assert found.to_dict()["total"] == [6.0]


def test_nothing_is_kept_where_the_function_is_another_one_by_now(tmp_path: Path) -> None:
    text = """
import skewless as sl
dies = sl.Source("dies", schema={"wafer": str, "vdd": float}, event_time="at")
@sl.derived(source=dies, by="wafer", rows=1, returns={"vdd": float})
def wafers(rows):
    return {"vdd": rows["vdd"][0]}
@sl.feature_view(entity=sl.Entity("wafer", wafer=str), source=wafers)
class Wafer:
    vdd = wafers.vdd.latest()
"""
    row = {"wafer": "a", "vdd": 1.0, "at": NOON}
    (tmp_path / "features.py").write_text(text)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan())
    (tmp_path / "features.py").write_text(text.replace("[0]", "[-1]"))
    loading._SEEN.clear()
    with sl.FeatureStore(tmp_path) as fs:
        with pytest.raises(sl.DefinitionError, match="derived source 'wafers' cannot be used"):
            fs.push("dies", [row], backdate=True)
        assert fs.runtime.log(fs.runtime.source("dies")).last_sequence() == 0
        (tmp_path / "features.py").write_text(text)
        fs.push("dies", [row], backdate=True)
        assert fs.get_online_features("Wafer", [{"wafer": "a"}]).to_dict()["vdd"] == [1.0]


def test_what_a_store_refuses_is_made_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(table: str) -> None:
        if is_states(table):
            raise StoreUnavailable("no memory is left", where=table)

    monkeypatch.setattr(reader, "CHECK_SECONDS", 0.0)
    store, clock = MemoryCache(), SettableClock(to_micros(NOON))
    with sl.FeatureStore(tmp_path, clock=clock, online=store) as fs:
        fs.apply(Wafer)
        fs.push("dies", whole("a"))
        takes, store.before_write = store.before_write, refuse
        with pytest.raises(sl.RowsKept):
            fs.push("dies", [*whole("a", 2.0), *whole("b")])
        store.before_write = takes
        fs.push("dies", whole("c"))
        assert spread(fs, "a", "b", "c") == [4.0, 2.0, 2.0]
        assert fs.verify().ok


def test_a_push_that_makes_no_rows_rebuilds_what_the_store_has_lost(tmp_path: Path) -> None:
    store, clock = MemoryCache(), SettableClock(to_micros(NOON))
    with sl.FeatureStore(tmp_path, clock=clock, online=store) as fs:
        fs.apply(Wafer)
        fs.push("dies", whole("a", 2.0))
        for table in store.tables():
            store.drop(table)
        assert fs.push("dies", whole("a", 2.0)).duplicates == 3
        assert spread(fs, "a") == [4.0]


def test_show_says_what_a_source_is_derived_of(fs: sl.FeatureStore) -> None:
    assert "a row for each wafer of dies, from 3 rows on, 3 at most" in str(fs.show("wafers"))
    assert "derived" not in fs.show("dies").to_dict()


def test_explain_shows_the_rows_behind_a_row(fs: sl.FeatureStore) -> None:
    fs.push("dies", whole("a"))
    fs.push("dies", [die("a", 1, 9.0)])
    found = fs.explain(Wafer.spread, {"wafer": "a"})
    (row,) = [row for row in found.aggregates[0].rows if row.verdict == "counted"]
    assert [each.values["vdd"] for each in row.behind] == [1.0, 9.0, 3.0]
    assert "is made of 3 rows of dies" in str(found)
    assert found.to_dict()["aggregates"][0]["rows"][-1]["behind"][1]["row"]["vdd"] == 9.0


def test_an_example_gives_the_rows_that_a_row_is_made_of() -> None:
    example = sl.Example(
        "three dies make a wafer",
        of=Wafer,
        rows=whole("a"),
        at=NOON,
        expect={"spread": 2.0, "many": 1},
    )
    assert run_examples(Definitions.of(Wafer), [example]).ok


def test_rows_that_are_given_back_make_rows_again(fs: sl.FeatureStore) -> None:
    fs.push("dies", whole("a"))
    fs.apply(fs.plan(removing=True), allow_breaking=True)
    fs.apply(Wafer)
    assert spread(fs, "a") == [None]
    with pytest.raises(sl.InputError, match="rows of 'wafers' are derived"):
        fs.restore_rows("wafers")
    assert fs.restore_rows("dies") == 3
    assert spread(fs, "a") == [2.0]


def test_rows_from_before_a_row_id_are_not_derived_of_unless_none_has_another_version(
    tmp_path: Path,
) -> None:
    def dies(row_id: str | None, **more: object) -> sl.Source:
        schema = {"wafer": str, "x": int, "vdd": float, **more}
        return sl.Source("dies", schema=schema, event_time="at", row_id=row_id)

    def made(source: sl.Source) -> sl.Source:
        make = sl.derived(source=source, by="wafer", rows=1, returns={"vdd": float}, name="made")
        return make(lambda rows: {"vdd": rows["vdd"][0]})

    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as fs:
        fs.apply(dies(None))
        fs.push("dies", [die("a", 1, 1.0), die("a", 2, 1.0)])
        fs.apply(dies("x"))
        fs.push("dies", [die("a", 3, 1.0)])
        fs.apply(made(dies("x", more=str)))  # no row has another version
    (tmp_path / "other").mkdir()
    with sl.FeatureStore(tmp_path / "other", clock=SettableClock(to_micros(NOON))) as fs:
        fs.apply(dies(None))
        fs.push("dies", [die("a", 1, 1.0), die("b", 1, 1.0)])
        with pytest.raises(sl.DefinitionError, match="before it had its row id"):
            fs.apply(made(dies("x")))
        fs.apply(dies("x"))
        fs.push("dies", [die("a", 3, 1.0)])
        with pytest.raises(sl.DefinitionError, match="before it had its row id"):
            fs.apply(made(dies("x")))
