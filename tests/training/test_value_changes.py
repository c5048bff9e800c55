"""Every change of a view's values, without a spine."""

import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import from_micros, to_micros
from skewless.stores.offline import rows_of_keys
from skewless.stores.offline.history import History
from skewless.testing.clock import SettableClock

NOW = to_micros("2026-01-31T12:00:00Z")
card = sl.Entity("card", card=str)
pays = sl.Source(
    "pays", schema={"id": str, "card": str, "x": float}, event_time="at", row_id="id", future="1h"
)


@sl.feature_view(entity=card, source=pays)
class Spend:
    total = pays.x.sum("1h")
    newest = pays.x.latest(ttl="30m")
    before = pays.x.sum("1h", offset="1h")


@pytest.fixture
def fs(tmp_path: Path) -> Any:
    clock = SettableClock(NOW)
    with sl.FeatureStore(tmp_path, clock=clock) as store:
        ratio = sl.OnDemandView("Ratio", features={"half": Spend.total / 2})
        store.apply(store.plan(Spend, ratio))
        yield store


def pushed(fs: Any, *rows: tuple[str, str, float, float], backdate: bool = True) -> None:
    at = from_micros(NOW)
    fs.push(
        "pays",
        [{"id": i, "card": c, "x": x, "at": at - timedelta(hours=h)} for i, c, x, h in rows],
        backdate=backdate,
    )


def changes(fs: Any, **options: Any) -> list[tuple[float, Any, Any, Any]]:
    """Hours before now, and the values from then on."""
    table = fs.read_features("Spend", **options)
    names = ("total", "newest", "before")
    return [
        ((NOW - to_micros(row["at"])) / 3.6e9, *(row[name] for name in names))
        for row in table.to_pylist()
    ]


def test_rows_come_expire_and_leave(fs: Any) -> None:
    pushed(fs, ("a", "c1", 1.0, 4.0))
    found = changes(fs, entities=[{"card": "c1"}])
    assert found == [
        (4.0, 1.0, 1.0, 0.0),
        (3.5, 1.0, None, 0.0),
        (3.0, 0.0, None, 1.0),
        (2.0, 0.0, None, 0.0),
    ]


def test_a_correction_is_a_change_when_it_is_known(fs: Any) -> None:
    pushed(fs, ("a", "c1", 1.0, 0.5))
    pushed(fs, ("a", "c1", 7.0, 0.5), backdate=False)
    found = changes(fs, entities=[{"card": "c1"}])
    assert [(at, total) for at, total, *_ in found] == [(0.5, 1.0), (0.0, 7.0)]


def test_bounds_leave_out_what_is_before_and_after(fs: Any) -> None:
    pushed(fs, ("a", "c1", 1.0, 4.0), ("b", "c2", 2.0, 4.0))
    start, end = (from_micros(NOW - hours * 3_600_000_000) for hours in (3, 2))
    found = fs.read_features("Spend@v1", start=start, end=end)
    assert found.select(["card", "total", "before"]).to_pylist() == [
        {"card": "c1", "total": 0.0, "before": 1.0},
        {"card": "c2", "total": 0.0, "before": 2.0},
    ]


def test_what_has_no_history_of_its_own_is_refused(fs: Any) -> None:
    with pytest.raises(sl.InputError, match="computed on demand"):
        fs.read_features("Ratio")
    with pytest.raises(sl.InputError, match="not an entity"):
        fs.read_features("Spend", entities=["c1"])


visit = sl.Entity("visit", site=str, number=int)
visits = sl.Source(
    "visits", schema={"site": str, "number": int, "x": float}, event_time="at", known_time="seen"
)


@sl.feature_view(entity=visit, source=visits)
class Visits:
    mean = visits.x.mean("1h")
    age = visits.since_last()
    newest = visits.x.last_n(2, "2h")
    low = visits.x.min(sl.tumbling("30m"))


@pytest.fixture
def visited(tmp_path: Path) -> Any:
    chance, rows = random.Random(7), []
    for _ in range(300):
        at = NOW - chance.randint(0, 30 * 3_600) * 1_000_000
        seen = at + chance.choice((0, 0, 60, 7_200)) * 1_000_000
        key = {"site": chance.choice("abc"), "number": chance.choice((1, 2))}
        x = chance.choice((1.0, 2.0, None))
        rows.append({**key, "x": x, "at": from_micros(at), "seen": from_micros(seen)})
    with sl.FeatureStore(tmp_path, clock=SettableClock(NOW + 8_000_000_000)) as store:
        store.apply(store.plan(Visits))
        store.push("visits", rows, backdate=True)
        yield store


@pytest.mark.parametrize("hours", [0.3, 2, 5, 11, 29])
def test_changes_from_a_start_on_are_those_of_all_time(visited: Any, hours: float) -> None:
    start = from_micros(NOW - int(hours * 3_600_000_000))
    every = visited.read_features("Visits").to_pylist()
    found = visited.read_features("Visits", start=start).to_pylist()
    assert found == [row for row in every if row["at"] >= start]
    assert found


def test_changes_of_some_entities_are_their_rows_of_all(visited: Any) -> None:
    some = [{"site": "a", "number": 2}, {"site": "c", "number": 1}, {"site": "a", "number": 2}]
    every = visited.read_features("Visits").to_pylist()
    found = visited.read_features("Visits", entities=some).to_pylist()
    wanted = {("a", 2), ("c", 1)}
    assert found == [row for row in every if (row["site"], row["number"]) in wanted]
    assert {(row["site"], row["number"]) for row in found} == wanted


def test_nobody_that_is_asked_for_has_no_changes(visited: Any) -> None:
    assert len(visited.read_features("Visits", entities=[{"site": "z", "number": 1}])) == 0
    assert len(visited.read_features("Visits", entities=[])) == 0
    later = from_micros(NOW + 7_900_000_000)
    assert len(visited.read_features("Visits", start=later)) == 0


keyed = sl.Entity("keyed", card=str, shop=int)
sales = sl.Source(
    "sales",
    schema={"id": str, "card": str, "shop": int, "x": float, "n": int},
    event_time="at",
    known_time="seen",
    row_id="id",
    lateness="20h",
    future="1h",
    table=sl.Parquet("sales.parquet"),
)


@sl.feature_view(entity=keyed, source=sales)
class Sold:
    mean = sales.x.mean("3h")
    newest = sales.x.latest(ttl="5h")
    most = sales.n.max("2h")
    seen_before = sales.since_last()


def sale(chance: random.Random, ident: int) -> dict[str, Any]:
    """Return a version of a row; another one of its id may have another key and another time."""
    at = NOW - chance.randint(0, 30) * 3_600_000_000
    seen = at + chance.choice((0, 0, 60, 7_200, 40_000)) * 1_000_000
    return {
        "id": f"i{ident}",
        "card": chance.choice(("a", "b", "c", None)),
        "shop": chance.choice((1, 2, None)),
        "x": chance.choice((1.0, 2.0, None)),
        "n": chance.randint(0, 9),
        "at": chance.choice((from_micros(at),) * 9 + (None,)),
        "seen": from_micros(min(seen, NOW)),
    }


def sold(folder: Path, chance: random.Random) -> Any:
    """Return a store whose table and log correct, move and delete each other's rows."""
    ids = chance.randint(5, 40)
    rows = [sale(chance, chance.randrange(ids)) for _ in range(60)]
    typed = pa.Table.from_pylist(rows, schema=TABLE)
    pq.write_table(typed, folder / "sales.parquet", row_group_size=chance.choice((3, 17, 60)))
    clock = SettableClock(NOW + 1_000_000)
    fs = sl.FeatureStore(folder, clock=clock)
    fs.apply(fs.plan(Sold))
    for _ in range(4):
        pushes = [sale(chance, chance.randrange(ids)) for _ in range(8)]
        whole = [row for row in pushes if None not in (row["card"], row["shop"], row["at"])]
        fs.push("sales", whole, backdate=chance.random() < 0.5)
        clock.time += 600_000_000
        if chance.random() < 0.5:
            fs.push("sales", [{**whole[0], "x": 2.0, "card": chance.choice("abc")}])
        if chance.random() < 0.3:
            fs.delete("sales", [whole[-1]["id"]])
    return fs


TABLE = pa.schema(
    [
        ("id", pa.string()),
        ("card", pa.dictionary(pa.int8(), pa.string())),
        ("shop", pa.int16()),
        ("x", pa.float32()),
        ("n", pa.int64()),
        ("at", pa.timestamp("ms", "UTC")),
        ("seen", pa.timestamp("us", "UTC")),
    ]
)


@pytest.mark.parametrize("seed", range(6))
def test_rows_found_by_key_give_what_all_rows_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    chance = random.Random(seed)
    with sold(tmp_path, chance) as fs:
        every = fs.read_features("Sold").to_pylist()
        for card, shop in ((c, s) for c in "abc" for s in (1, 2)):
            asked = [{"card": card, "shop": shop}]
            start = from_micros(NOW - chance.randint(0, 30) * 3_600_000_000)
            found = fs.read_features("Sold", entities=asked)
            assert found.to_pylist() == [
                row for row in every if (row["card"], row["shop"]) == (card, shop)
            ]
            later = fs.read_features("Sold", entities=asked, start=start)
            with monkeypatch.context() as patch:
                patch.setattr(History, "only", lambda *_: None)
                assert found.equals(fs.read_features("Sold", entities=asked))
                assert later.equals(fs.read_features("Sold", entities=asked, start=start))
            with monkeypatch.context() as patch:
                patch.setattr(rows_of_keys, "MOST_ROWS", 2)
                assert found.equals(fs.read_features("Sold", entities=asked))
