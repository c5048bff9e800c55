"""Entities without keys: one of a kind, the same number on every path and beside others."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.drift.profiles import newest, stored
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.serving.calling import call

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
CLICKS = sl.Source(
    "clicks", schema={"id": str, "item": str, "amount": float}, event_time="at", row_id="id"
)
SITE = sl.Entity("site")


@sl.feature_view(entity=SITE, source=CLICKS)
class Trending:
    many = CLICKS.count("1h")
    total = CLICKS.amount.sum("1h")
    first = CLICKS.item.top_k(1, "1d")
    newest = CLICKS.amount.latest()
    coarse = CLICKS.count("1d", resolution="1h")


@sl.feature_view(entity=SITE, source=CLICKS, where=CLICKS.amount > 2, lag="10m")
class Rows:
    """No column of a row is kept for it."""

    rows = CLICKS.count(sl.lifetime())


@sl.feature_view(entity=sl.Entity("item", item=str), source=CLICKS)
class Item:
    mine = CLICKS.count("1h")


@sl.on_demand
class Share:
    share = Item.mine / Trending.many


MODEL = sl.FeatureService("model", [Trending, Rows, Item, Share])
ALONE = ["many", "total", "first", "newest", "coarse", "rows"]


def click(number: int, ago: timedelta, amount: float = 1.0) -> dict[str, Any]:
    return {"id": f"c{number}", "item": "ab"[number % 2], "amount": amount, "at": NOON - ago}


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply([Trending, Rows, Item, Share, MODEL])
        store.push(CLICKS, [click(n, n * 15 * MINUTE, float(n)) for n in range(8)], backdate=True)
        yield store


def serving(fs: sl.FeatureStore) -> App:
    app = App(fs, Settings())
    app.start()
    return app


def row_of(fs: sl.FeatureStore, at: datetime = NOON) -> dict[str, Any]:
    """The vector of one request on every path: online, training, explained."""
    online = fs.get_online_features("model", [{"item": "a"}], at=at).to_rows()[0]
    training = fs.get_historical_features([{"item": "a", "t": at}], "model", timestamp="t")
    assert {name: training[name][0] for name in online} == online
    alone = fs.get_online_features([Trending, Rows], [{}], at=at).to_rows()[0]
    spine = [{"t": at - 20 * MINUTE}, {"t": at}]
    several = fs.get_historical_features(spine, [Trending, Rows], timestamp="t").to_dict()
    assert {name: several[name][1] for name in ALONE} == alone
    assert alone == {name: online[name] for name in ALONE}
    for view in (Trending, Rows):
        for feature in view.features:
            assert fs.explain(view[feature], {}, at=at).value == online[feature]
    return online


def test_every_path_gives_the_same_number(fs: sl.FeatureStore) -> None:
    assert row_of(fs) == {
        "many": 4, "total": 6.0, "first": ["a"], "newest": 0.0, "coarse": 8, "rows": 5,
        "mine": 2, "share": 0.5,
    }  # fmt: skip


def test_late_rows_corrections_and_deletions_count(fs: sl.FeatureStore) -> None:
    fs.push(CLICKS, [click(9, 5 * MINUTE, 32.0)])
    assert row_of(fs)["total"] == 38.0
    fs.push(CLICKS, [click(1, 15 * MINUTE, 64.0)])
    assert (row_of(fs)["total"], row_of(fs)["many"]) == (101.0, 5)
    fs.delete(CLICKS, ["c2"])
    assert (row_of(fs)["total"], row_of(fs)["rows"]) == (99.0, 6)


def test_nothing_was_ever_seen(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply([Trending])
        found = store.get_online_features(Trending, [{}])
        assert found.to_dict()["many"] == [0]
        assert found.to_statuses()["many"] == [sl.Status.UNKNOWN]
        assert store.read_features("Trending").num_rows == 0
        assert store.statistics("Trending").entities == 0


def test_what_is_built_from_history_is_what_was_pushed(fs: sl.FeatureStore) -> None:
    before = row_of(fs)
    fs.backfill()
    assert row_of(fs) == before
    assert fs.verify().ok
    assert fs.verify(served=[fs.get_online_features("model", [{"item": "a"}])]).ok
    assert fs.statistics("Trending").entities == 1


def test_a_table_and_what_is_pushed_beside_it(tmp_path: Path) -> None:
    """Row ids of the table are corrected by pushes; materialize builds from both."""
    import pyarrow as pa

    rows = [click(n, n * 15 * MINUTE, float(n)) for n in range(8)]
    source = sl.Source(
        "clicks",
        schema={"id": str, "item": str, "amount": float},
        event_time="at",
        row_id="id",
        table=sl.Frame(pa.Table.from_pylist(rows)),
    )
    features = {"total": source.amount.sum("1h"), "rows": source.count("1d")}
    view = sl.FeatureView("Whole", entity=SITE, source=source, features=features)
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply([view])
        store.materialize()
        store.push(source, [click(1, 15 * MINUTE, 64.0), click(9, 5 * MINUTE, 32.0)])
        online = store.get_online_features(view, [{}]).to_rows()[0]
        training = store.get_historical_features([{"t": NOON}], view, timestamp="t").to_dict()
        assert online == {"total": 101.0, "rows": 9}
        assert {name: training[name] for name in online} == {"total": [101.0], "rows": [9]}
        store.backfill()
        assert store.get_online_features(view, [{}]).to_rows()[0] == online


def test_value_changes_have_no_key(fs: sl.FeatureStore) -> None:
    fs.delete(CLICKS, ["c7"])
    changes = fs.read_features("Rows")
    assert changes.column_names == ["at", "rows"]
    assert changes["rows"].to_pylist()[-3:] == [4, 5, 4]
    since = fs.read_features("Rows", start=NOON - 30 * MINUTE)
    assert since.to_pylist() == changes.slice(len(changes) - len(since)).to_pylist()


def test_servers_answer_for_an_empty_entity(fs: sl.FeatureStore) -> None:
    app = serving(fs)
    expected = {name: [value] for name, value in row_of(fs).items() if name in ALONE}
    for entities in ([{}], {}):
        body = {"features": ["Trending", "Rows"], "entities": entities}
        answer = call(app, "POST", "/v1/features", body)
        assert answer.data["values"] == expected, answer.body
    both = {"service": "model", "entities": [{"item": "a"}, {"item": "b"}]}
    assert call(app, "POST", "/v1/features", both).data["values"]["many"] == [4, 4]
    for entities in ({}, {"__dummy_id": [""]}):
        body = {"features": ["Trending:total", "Trending:many"], "entities": entities}
        feast = call(app, "POST", "/get-online-features", body)
        assert feast.data["metadata"]["feature_names"] == ["total", "many"]
        assert [each["values"] for each in feast.data["results"]] == [[6.0], [4]]


def test_a_feature_store_reads_it_back_from_the_registry(fs: sl.FeatureStore) -> None:
    assert fs.plan(Trending, Rows, Item, Share, MODEL).is_empty
    assert repr(fs.views["Trending"].entity) == "Entity(site: no key)"


def test_a_key_nobody_asked_for_is_refused_by_the_server(fs: sl.FeatureStore) -> None:
    app = serving(fs)
    body = {"features": ["Trending"], "entities": [{"item": "a"}]}
    assert call(app, "POST", "/v1/features", body).status == 422


def test_a_service_of_it_alone_has_training_sets_with_profiles(fs: sl.FeatureStore) -> None:
    fs.apply(sl.FeatureService("alone", [Trending]))
    spine = [{"t": NOON - 20 * MINUTE}, {"t": NOON}]
    found = fs.get_historical_features(spine, "alone", timestamp="t")
    assert found["many"] == [4, 4]
    profiles = newest(stored(fs.runtime.ledger, points=["training"]))
    assert profiles["Trending@v1:many"].n == 1  # of one entity, the last time it was asked for
    assert fs.profile("Trending")


def test_a_leakage_receipt_recomputes_values_of_what_has_no_key(fs: sl.FeatureStore) -> None:
    spine = [{"item": "ab"[n % 2], "t": NOON - n * MINUTE, "bought": n % 3 == 0} for n in range(40)]
    training = fs.get_historical_features(spine, "model", timestamp="t")
    receipt = fs.leakage(training, timestamp="t", label="bought")
    assert "are the same to the bit" in str(receipt)
