"""A training set scans each of its sources once, whatever it computes from them."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.engines.local import LocalEngine
from skewless.stores.offline.history import History

card = sl.Entity("card", card_id=str)
shop = sl.Entity("shop", shop_id=str)
pays = sl.Source(
    "pays",
    schema={"card_id": str, "shop_id": str, "x": float, "k": int},
    event_time="at",
    row_id=["card_id", "k"],
)
visits = sl.Source("visits", schema={"card_id": str, "y": float}, event_time="at")


@sl.feature_view(entity=card, source=pays)
class Card:
    now = pays.x.latest()
    big = pays.where(pays.k > 1).x.latest()
    small = pays.where(pays.k <= 1).x.latest()
    mean = pays.x.mean("1h", "2d")
    before = pays.x.sum("1d", offset="1d")


@sl.feature_view(entity=shop, source=pays)
class Shop:
    newest = pays.x.latest()
    total = pays.x.sum("30d")


@sl.feature_view(entity=card, source=visits)
class Visits:
    last = visits.y.latest()
    count = visits.count("7d")


SPINE = [
    {"card_id": "c1", "shop_id": "s1", "t": f"2026-01-0{day}T12:00:00Z"} for day in (2, 3, 4)
] + [{"card_id": "c9", "shop_id": None, "t": "2026-01-04T12:00:00Z"}]


def pay(k: int, day: int, x: float) -> dict[str, Any]:
    return {"card_id": "c1", "shop_id": "s1", "x": x, "k": k, "at": f"2026-01-0{day}T11:30:00Z"}


def filled(folder: Path, *, backdate: bool, corrected: bool = False) -> sl.FeatureStore:
    fs = sl.FeatureStore(folder)
    fs.apply(fs.plan(Card, Shop, Visits))
    fs.push("pays", [pay(1, 1, 1.0), pay(2, 2, 2.0), pay(3, 3, 4.0)], backdate=backdate)
    if corrected:
        fs.push("pays", [pay(3, 3, 8.0)], backdate=backdate)
    visit = {"card_id": "c1", "y": 0.5, "at": "2026-01-01T00:00:00Z"}
    fs.push("visits", [visit], backdate=backdate)
    return fs


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the engine ran, and how often each source was scanned."""
    found: Counter[str] = Counter()
    run, chunks = LocalEngine.retrieve, History.chunks

    def counted_run(self: LocalEngine, *args: Any, **options: Any) -> Any:
        found["runs"] += 1
        return run(self, *args, **options)

    def counted_chunks(self: History, *args: Any, **options: Any) -> Any:
        found[self.source.name] += 1
        return chunks(self, *args, **options)

    monkeypatch.setattr(LocalEngine, "retrieve", counted_run)
    monkeypatch.setattr(History, "chunks", counted_chunks)
    return found


@pytest.mark.parametrize("as_of", ["known", "event_time"])
@pytest.mark.parametrize("corrected", [False, True])
def test_each_source_is_scanned_once_for_all_steps(
    tmp_path: Path, counted: Counter[str], as_of: str, corrected: bool
) -> None:
    with filled(tmp_path, backdate=True, corrected=corrected) as fs:
        counted.clear()
        made = fs.get_historical_features(
            SPINE, [Card, Shop, Visits], timestamp="t", as_of=as_of, full_names=True
        )
        assert counted == {"runs": 1, "pays": 1, "visits": 1}
    values = made.to_dict()
    newest = 8.0 if corrected else 4.0
    assert values["Card__now"] == values["Shop__newest"] == [2.0, newest, newest, None]
    assert values["Card__small"] == [1.0, 1.0, 1.0, None]
    assert values["Card__before"] == [1.0, 2.0, newest, 0.0]
    assert values["Shop__total"] == [3.0, 3.0 + newest, 3.0 + newest, 0.0]
    assert values["Visits__count"] == [1, 1, 1, 0]


def test_a_training_set_runs_once_where_known_time_hides_most_of_it(
    tmp_path: Path, counted: Counter[str]
) -> None:
    with filled(tmp_path, backdate=False) as fs:
        counted.clear()
        made = fs.get_historical_features(SPINE, [Visits], timestamp="t")
        assert counted == {"runs": 1, "visits": 1}
    (note,) = made.notes
    assert "Known time hides most of it: 3 of 4 spine rows" in note


def test_a_training_set_runs_once_where_most_keys_are_unknown(
    tmp_path: Path, counted: Counter[str]
) -> None:
    spine = [{"card_id": f"u{number}", "t": "2026-01-04T12:00:00Z"} for number in range(9)]
    with filled(tmp_path, backdate=True) as fs:
        counted.clear()
        made = fs.get_historical_features([*spine, SPINE[0]], [Visits], timestamp="t")
        assert counted == {"runs": 1, "visits": 1}
    assert made.notes == ()


def test_the_naive_join_of_a_backtest_scans_a_source_twice_for_all_its_views(
    tmp_path: Path, counted: Counter[str]
) -> None:
    """Once for the newest event of each entity, once for the values at it."""
    import pyarrow as pa

    from skewless.plan.selection import select
    from skewless.training.naive_join import newest_values

    other = sl.FeatureView("Other", entity=card, source=pays, features={"n": pays.count("1h")})
    with filled(tmp_path, backdate=True) as fs:
        fs.apply(fs.plan(other))
        table = pa.table({"card_id": ["c1", "c9"]})
        selection = select(fs.runtime.state(fresh=True), [Card, other])
        counted.clear()
        found = newest_values(fs.runtime, selection, table, "t")
    assert counted == {"runs": 1, "pays": 2}
    assert (found["now"].to_pylist(), found["n"].to_pylist()) == ([4.0, None], [1, 0])
