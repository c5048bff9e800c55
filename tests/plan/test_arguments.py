"""Arguments of the wrong kind: an error of skewless at the door, for every verb."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

import skewless as sl
from skewless.errors import DefinitionError, InputError, SkewlessError, UnknownAttribute
from tests.doors.odd import told

NOW = datetime.now(UTC)
CARD = sl.Entity("card", card_id=str)
PAYS = sl.Source(
    "pays", schema={"card_id": str, "amount": float}, event_time="at", row_id="card_id"
)
SPEND = sl.FeatureView("Spend", entity=CARD, source=PAYS, features={"n": PAYS.count("30d")})
ROW = {"card_id": "c1", "amount": 1.0, "at": NOW - timedelta(seconds=1)}
ODD = [5, 1.5, None, True, b"x", object(), ["x", 5], {"card_id": "c1"}, {"card_id": ["c1"]},
       pd.DataFrame({"card_id": ["c1"]}), "a text", lambda: None, NOW, {5}]  # fmt: skip


@pytest.fixture(scope="module")
def fs(tmp_path_factory):
    with sl.FeatureStore(tmp_path_factory.mktemp("repo")) as fs:
        fs.apply(SPEND)
        fs.push("pays", [ROW])
        yield fs


def calls(fs, odd):
    """Every verb, with something odd in the place of each argument in turn."""
    spine = [{"card_id": "c1", "t": NOW}]
    yield lambda: fs.push(odd, [ROW])
    yield lambda: fs.push("pays", odd)
    yield lambda: fs.delete(odd, ["c9"])
    yield lambda: fs.delete("pays", odd)
    yield lambda: fs.quarantine(odd)
    yield lambda: fs.quarantine("pays", odd)
    yield lambda: fs.get_online_features(odd, [{"card_id": "c1"}])
    yield lambda: fs.get_online_features("Spend", odd)
    yield lambda: fs.get_online_features("Spend", [odd])
    yield lambda: fs.get_online_features("Spend", [{"card_id": odd}])
    yield lambda: fs.get_online_features("Spend", [{"card_id": "c1"}], at=odd)
    yield lambda: fs.get_historical_features(odd, "Spend", timestamp="t")
    yield lambda: fs.get_historical_features(spine, odd, timestamp="t")
    yield lambda: fs.get_historical_features(spine, "Spend", timestamp="t", as_of=odd)
    yield lambda: fs.get_historical_features([{"card_id": odd, "t": NOW}], "Spend", timestamp="t")
    yield lambda: fs.get_historical_features([{"card_id": "c", "t": odd}], "Spend", timestamp="t")
    yield lambda: fs.read_features(odd)
    yield lambda: fs.read_features("Spend", entities=odd)
    yield lambda: fs.read_features("Spend", entities=[odd])
    yield lambda: fs.read_features("Spend", start=odd)
    yield lambda: fs.explain(odd, {"card_id": "c1"})
    yield lambda: fs.explain("Spend:n", odd)
    yield lambda: fs.explain("Spend:n", {"card_id": odd})
    yield lambda: fs.explain("Spend:n", {"card_id": "c1"}, at=odd)
    yield lambda: fs.statistics(odd)
    yield lambda: fs.materialize(odd)
    yield lambda: fs.materialize("Spend", start=odd)
    yield lambda: fs.backfill("Spend", end=odd)
    yield lambda: fs.compact(odd)
    yield lambda: fs.leakage(odd, timestamp="t")
    yield lambda: fs.backtest(odd, "Spend", timestamp="t", label="y")
    yield lambda: fs.verify(odd, entities=1)
    yield lambda: fs.verify(served=odd, entities=1)
    yield lambda: fs.verify(entities=odd)
    yield lambda: fs.verify(generate=odd) if not isinstance(odd, int) else None
    yield lambda: fs.get_historical_features(spine, "Spend", timestamp="t", tables=odd)
    yield lambda: fs.leakage(spine, timestamp="t", label=odd)
    yield lambda: fs.leakage(spine, timestamp=odd)
    yield lambda: fs.search(odd)
    yield lambda: fs.search("spend", odd)
    yield lambda: fs.plan(odd)
    yield lambda: fs.plan(SPEND, repin=odd)
    yield lambda: fs.apply(odd)


def definitions(odd):
    """Every definition, likewise."""
    yield lambda: sl.Source(odd, schema={}, event_time="at")
    yield lambda: sl.Source("s", schema=odd, event_time="at")
    yield lambda: sl.Source("s", schema={"a": odd}, event_time="at")
    yield lambda: sl.Source("s", schema={"a": str}, event_time=odd)
    yield lambda: sl.Source("s", schema={"a": str}, event_time="at", known_time=odd)
    yield lambda: sl.Source("s", schema={"a": str}, event_time="at", row_id=odd)
    yield lambda: sl.Source("s", schema={"a": str}, event_time="at", table=odd)
    yield lambda: sl.Source("s", schema={"a": str}, event_time="at", stream=odd)
    yield lambda: sl.Source("s", schema={"a": str}, event_time="at", delay=odd)
    yield lambda: sl.Entity(odd, k=str)
    yield lambda: sl.Entity("e", k=odd)
    yield lambda: sl.FeatureView("V", entity=odd, source=PAYS, features={"n": PAYS.count("30d")})
    yield lambda: sl.FeatureView("V", entity=CARD, source=odd, features={"n": PAYS.count("30d")})
    yield lambda: sl.FeatureView("V", entity=CARD, source=PAYS, features=odd)
    yield lambda: sl.FeatureView("V", entity=CARD, source=PAYS, features={"n": odd})
    yield lambda: sl.FeatureService("m", odd)
    yield lambda: sl.FeatureService("m", [odd])
    yield lambda: PAYS.count(odd)
    yield lambda: PAYS.amount.mean("1h", default=odd)
    yield lambda: PAYS.where(odd)


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: type(odd).__name__)
def test_only_errors_of_skewless_leave_a_verb(fs, odd):
    left = []
    for number, call in enumerate([*calls(fs, odd), *definitions(odd)]):
        try:
            call()
        except SkewlessError as problem:
            told(problem)
        except Exception as problem:  # noqa: BLE001 - whatever leaves is the finding
            left.append((number, f"{type(problem).__name__}: {problem}"[:150]))
    assert left == []


def test_a_definition_stands_for_its_name(fs):
    assert fs.push(PAYS, [ROW]).duplicates == 1
    assert fs.materialize(SPEND) != []
    assert fs.read_features(SPEND).num_rows >= 1
    assert fs.explain(SPEND.n, {"card_id": "c1"}).value == 1
    assert len(fs.quarantine(PAYS, 1)) <= 1


def test_a_row_id_that_is_a_text_is_not_several_letters(fs):
    with pytest.raises(InputError, match="not a list of row ids"):
        fs.delete("pays", "c1")


def test_a_service_that_can_never_be_read_is_an_error_of_the_plan(fs):
    shop = sl.Entity("shop", shop=str)
    rows = sl.Source("w", schema={"card_id": str, "shop": str, "v": float}, event_time="at")
    one = sl.FeatureView("A", entity=CARD, source=rows, features={"mean": rows.v.mean("1d")})
    other = sl.FeatureView("B", entity=shop, source=rows, features={"mean": rows.v.mean("1d")})
    keyed = sl.FeatureView("C", entity=CARD, source=rows, features={"shop": rows.shop.latest()})
    third = sl.FeatureView("D", entity=shop, source=rows, features={"n": rows.count("1d")})
    with pytest.raises(DefinitionError, match=r"'m' can never be read.*'mean'.*B@v1:mean and A@v1"):
        fs.plan(one, other, sl.FeatureService("m", [one, other]))
    with pytest.raises(DefinitionError, match="'shop'.*C@v1:shop and a join key of shop"):
        fs.plan(keyed, third, sl.FeatureService("m", [keyed, third]))
    fs.apply([keyed, third])
    with pytest.raises(InputError, match="named like what is given"):
        fs.get_online_features([keyed, third], [{"card_id": "c1", "shop": "s"}])
    found = fs.get_online_features(
        [keyed, third], [{"card_id": "c1", "shop": "s"}], full_names=True
    )
    assert list(found.to_dict()) == ["card_id", "shop", "C__shop", "D__n"]


def test_a_feature_named_like_its_source_says_that_it_hides_it():
    orders = sl.Source("orders", schema={"card_id": str, "net": float}, event_time="at")
    with pytest.raises(UnknownAttribute, match="no method 'net'.*hides the source"):
        _ = orders.count("90d", "365d").net
    with pytest.raises(UnknownAttribute, match="no method 'men'.*Did you mean 'mean'"):
        _ = orders.net.men
