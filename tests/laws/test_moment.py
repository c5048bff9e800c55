"""The moment asked about and what is nested, in on-demand features: one number on every path."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.testing.clock import SettableClock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
PAYS = sl.Source(
    "pays",
    schema={"card": str, "kind": str, "amount": float, "taste": sl.Vector(2), "seen": datetime},
    event_time="at",
)
SPEND = sl.FeatureView(
    "Spend",
    entity=sl.Entity("card", card=str),
    source=PAYS,
    features={
        "per_kind": PAYS.amount.sum("1d", by="kind"),
        "last": PAYS.amount.last_n(3),
        "taste": PAYS.taste.latest(),
        "seen": PAYS.seen.latest(),
    },
)
kind, query = sl.Request("kind", str), sl.Request("query", sl.Vector(2))


@sl.on_demand
class Asked:
    share = SPEND.per_kind.get(kind, 0.0)
    newest = SPEND["last"][-1]
    many = SPEND["last"].length()
    known = SPEND["last"].contains(2.0)
    alike = SPEND.taste.cosine(query)
    days = (sl.now() - SPEND.seen).days()
    hour = sl.now().hour()


@sl.on_demand(inputs={"at": sl.now()}, returns={"minute": int})
def Clock(at):
    return {"minute": [moment.minute for moment in at]}


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply([SPEND, Asked, Clock])
        for number, what in enumerate(("a", "b", "a")):
            row = {"card": "c", "kind": what, "amount": number + 1.0, "taste": [number, 1.0]}
            row |= {"at": NOON - timedelta(hours=3 - number), "seen": NOON - timedelta(days=2)}
            store.push("pays", [row], backdate=True)
        yield store


def test_online_training_explain_and_verify_agree(fs: sl.FeatureStore) -> None:
    for ago in (timedelta(), timedelta(minutes=2)):
        at = NOON - ago
        asked = {"card": "c", "kind": "a", "query": [1.0, 1.0]}
        online = fs.get_online_features([Asked, Clock], [asked], at=at)
        training = fs.get_historical_features([asked | {"at": at}], [Asked, Clock], timestamp="at")
        row = {name: online[name][0] for name in (*Asked.features, *Clock.features)}
        assert row == {name: training[name][0] for name in row}
        assert row["share"] == 4.0
        assert (row["newest"], row["many"], row["known"]) == (3.0, 3, True)
        assert row["days"] == 2.0 - ago / timedelta(days=1)
        assert row["minute"] == at.minute
        for feature in Asked.features:
            assert fs.explain(Asked[feature], asked, at=at).value == row[feature]
            assert feature in str(fs.explain(Asked[feature], asked, at=at))


def test_what_was_served_with_the_moment_is_verified(fs: sl.FeatureStore) -> None:
    asked = {"card": "c", "kind": "b", "query": [1.0, 0.0]}
    served = fs.get_online_features([Asked, Clock], [asked], at=NOON - timedelta(minutes=1))
    assert fs.verify(served=[served]).ok


def test_the_moment_is_refused_in_a_view_and_in_a_filter() -> None:
    with pytest.raises(sl.DefinitionError, match="cannot meet"):
        PAYS.where(PAYS.at < sl.now())
    with pytest.raises(sl.DefinitionError, match="from outside its source"):
        sl.FeatureView("V", entity=SPEND.entity, source=PAYS, features={"x": sl.now().hour()})
