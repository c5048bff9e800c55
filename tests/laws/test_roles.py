"""Keys that are called otherwise, roles, fixed keys and lags: one number on every path."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.clock import to_micros
from skewless.engines.reference import ReferenceEngine  # noqa: F401 - the oracle of `explain`
from skewless.testing.clock import SettableClock

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TX = sl.Source(
    "tx",
    schema={"id": str, "payer": str, "payee": str, "amount": float},
    event_time="at",
    row_id="id",
)
MACRO = sl.Source("macro", schema={"series": str, "value": float}, event_time="at")
ACCOUNT = sl.Entity("account", account_id=str)


@sl.feature_view(entity=ACCOUNT, source=TX, on={"account_id": "payer"})
class Paid:
    total = TX.amount.sum("1d")
    newest = TX.amount.latest()
    many = TX.count(sl.lifetime())


@sl.feature_view(entity=ACCOUNT, source=TX, on={"account_id": "payee"}, lag="1h")
class Got:
    got = TX.amount.sum("1d")
    got_last = TX.amount.latest()


@sl.feature_view(entity=sl.Entity("series", series=str), source=MACRO)
class Macro:
    value = MACRO.value.latest()
    week = MACRO.value.mean("7d")


PAYEE = Paid.of(account_id="payee_id", prefix="payee_")
CPI, GDP = Macro.at(series="cpi", prefix="cpi_"), Macro.at(series="gdp", prefix="gdp_")
MODEL = sl.FeatureService("model", [Paid, PAYEE, Got, CPI, GDP])


def tx(number: int, payer: str, payee: str, ago: timedelta) -> dict[str, Any]:
    row = {"id": f"t{number}", "payer": payer, "payee": payee, "amount": float(2**number)}
    return row | {"at": NOON - ago}


@pytest.fixture
def fs(tmp_path: Path) -> Iterator[sl.FeatureStore]:
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply([MODEL, Paid, Got, Macro])
        rows = [
            tx(0, "a", "b", 3 * MINUTE), tx(1, "b", "a", 90 * MINUTE),
            tx(2, "a", "b", 2 * timedelta(days=1)), tx(3, "c", "b", 70 * MINUTE),
        ]  # fmt: skip
        store.push("tx", rows[:2], backdate=True)
        store.push("tx", rows[2:], backdate=True)
        store.push("tx", [tx(3, "a", "b", 80 * MINUTE) | {"amount": 64.0}])  # corrected, and moved
        series = [
            {"series": s, "value": v, "at": NOON - MINUTE} for s, v in (("cpi", 2.0), ("gdp", 3.0))
        ]
        store.push("macro", series, backdate=True)
        yield store


def row_of(fs: sl.FeatureStore, at: datetime) -> dict[str, Any]:
    """The vector of one request on every path: online, training, explained."""
    asked = {"account_id": "a", "payee_id": "b"}
    online = fs.get_online_features("model", [asked], at=at).to_rows()[0]
    training = fs.get_historical_features([asked | {"at": at}], "model", timestamp="at")
    assert {name: training[name][0] for name in online} == online
    for view in (Paid, PAYEE, Got, CPI, GDP):
        for feature in view.features:
            assert fs.explain(view[feature], asked, at=at).value == online[feature]
    return online


def test_every_path_gives_the_same_number(fs: sl.FeatureStore) -> None:
    now = row_of(fs, NOON)
    assert now["total"] == 1.0 + 64.0  # t0, and t3 since it is corrected
    assert now["many"] == 3
    assert now["payee_total"] == 2.0  # t1, which b paid
    assert now["got"] == 2.0  # what a got an hour ago and before
    assert (now["cpi_value"], now["gdp_week"]) == (2.0, 3.0)
    assert (
        row_of(fs, NOON - 2 * MINUTE)["total"] == 1.0 + 0.0 + 0.0
    )  # the correction is not known yet


def test_a_lag_holds_for_rows_that_have_just_come(fs: sl.FeatureStore) -> None:
    before = row_of(fs, NOON)
    fs.push("tx", [tx(9, "x", "a", MINUTE)], backdate=True)
    assert row_of(fs, NOON)["got"] == before["got"]
    fs.push("tx", [tx(8, "x", "a", 61 * MINUTE)], backdate=True)
    assert row_of(fs, NOON)["got"] == before["got"] + 256.0


def test_late_rows_and_deletions_reach_roles(fs: sl.FeatureStore) -> None:
    fs.push("tx", [tx(5, "b", "z", 5 * MINUTE)])
    assert row_of(fs, NOON)["payee_total"] == 2.0 + 32.0
    fs.delete("tx", ["t1"])
    assert row_of(fs, NOON)["payee_total"] == 32.0


def test_roles_share_the_states_of_their_view(fs: sl.FeatureStore) -> None:
    lookup = fs.runtime.reader.lookup("model", False)
    tables = [part.table for part in lookup.parts]
    assert len(tables) == 5
    assert len(set(tables)) == 3


def test_what_is_built_from_history_is_what_was_pushed(fs: sl.FeatureStore) -> None:
    before = row_of(fs, NOON)
    fs.backfill()
    assert row_of(fs, NOON) == before
    assert fs.verify().ok
    served = [fs.get_online_features("model", [{"account_id": "a", "payee_id": "b"}])]
    assert fs.verify(served=served).ok


def test_value_changes_and_statistics_go_by_the_asked_names(fs: sl.FeatureStore) -> None:
    changes = fs.read_features("Paid_payee", entities=[{"payee_id": "b"}])
    assert changes.column_names[:1] == ["payee_id"]
    assert changes["payee_total"].to_pylist()[-1] == 2.0
    assert fs.read_features("Macro_cpi").column_names == ["at", "cpi_value", "cpi_week"]
    assert fs.statistics("Got").entities == 2


def test_keys_that_are_missing_are_asked_for_by_their_names_in_the_role(
    fs: sl.FeatureStore,
) -> None:
    with pytest.raises(sl.MissingColumn, match="payee_id"):
        fs.get_online_features("model", [{"account_id": "a"}])
    with pytest.raises(sl.MissingColumn, match="payee_id"):
        fs.get_historical_features([{"account_id": "a", "at": NOON}], "model", timestamp="at")


def test_roles_come_back_from_the_registry_and_make_no_version(fs: sl.FeatureStore) -> None:
    assert fs.plan(MODEL, Paid, Got, Macro).is_empty
    view = fs.views["Paid_payee"]
    assert view.roles == {"account_id": "payee_id"}
    assert fs.views["Macro_cpi"].bound == {"series": "cpi"}
    assert fs.views["Got"].on == {"account_id": "payee"}
    assert "Macro_cpi" in str(fs.show("Macro_cpi"))


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: Paid.of(acount_id="x"), "Did you mean 'account_id'"),
        (lambda: Macro.at(serie="x"), "Did you mean 'series'"),
        (lambda: Macro.at(series=5), "5"),
        (lambda: Macro.at(series=None), "null key"),
        (lambda: Paid.of(account_id="total"), "named like its join key"),
        (lambda: sl.FeatureView("V", entity=ACCOUNT, source=TX, features={"n": TX.count("1d")}), "on="),
        (lambda: sl.FeatureView("V", entity=ACCOUNT, source=TX, features={"n": TX.count("1d")}, on={"account_id": "nobody"}), "nobody"),
        (lambda: sl.FeatureView("V", entity=ACCOUNT, source=TX, features={"n": TX.count("1d")}, on={"key": "payer"}), "no join key 'key'"),
        (lambda: sl.FeatureView("V", entity=ACCOUNT, source=TX, features={"n": TX.count("1d")}, on={"account_id": "amount"}), "String"),
    ],
)  # fmt: skip
def test_wrong_keys_are_told_where_they_are_written(wrong: Any, said: str) -> None:
    with pytest.raises(sl.SkewlessError) as refused:
        wrong()
    assert said in str(refused.value)


def test_two_roles_without_a_prefix_clash_with_a_hint(tmp_path: Path) -> None:
    with sl.FeatureStore(tmp_path) as store, pytest.raises(sl.DefinitionError, match="prefix="):
        store.plan(Paid, sl.FeatureService("s", [Paid, Paid.of(account_id="payee_id")]))


def test_a_key_that_would_be_of_two_types_is_refused_on_every_path(tmp_path: Path) -> None:
    number = sl.Source("number", schema={"n": int, "v": float}, event_time="at")
    word = sl.FeatureView(
        "Word",
        entity=ACCOUNT,
        source=TX,
        on={"account_id": "payer"},
        features={"w": TX.count("1d")},
    )
    one = sl.FeatureView(
        "One", entity=sl.Entity("n", n=int), source=number, features={"v": number.v.latest()}
    )
    asked = [one, word.of(account_id="n")]
    with sl.FeatureStore(tmp_path, clock=SettableClock(to_micros(NOON))) as store:
        store.apply(asked)
        store.push("number", [{"n": 5, "v": 1.0, "at": NOON}])
        with pytest.raises(sl.InputError, match="two types"):
            store.get_online_features(asked, [{"n": "5"}])
        with pytest.raises(sl.InputError, match="two types"):
            store.get_historical_features([{"n": "5", "at": NOON}], asked, timestamp="at")
        apart = [one, word.of(account_id="account")]
        store.apply(apart)
        assert store.get_online_features(apart, [{"n": 5, "account": "5"}]).to_rows()


def test_answers_with_one_null_key_of_two_are_verified(fs: sl.FeatureStore) -> None:
    asked = [{"account_id": "a", "payee_id": None}, {"account_id": None, "payee_id": "b"}]
    served = fs.get_online_features("model", asked)
    assert served.to_statuses()["payee_total"] == ["unknown", "present"]
    report = fs.verify(served=[served])
    assert report.ok, str(report)
    assert report.statuses == sum(report.values.values())
