"""Secondary keys: ``by="merchant"`` gives a map from merchant to the aggregate of its rows."""

import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.config import Config
from skewless.definitions import Entity, FeatureView, Source
from skewless.definitions.fingerprint import fingerprint
from skewless.engines.reference import HistoryRow, explain_rows, view_values
from skewless.errors import DefinitionError, UnknownName
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryStore
from skewless.types import Float64, Int64, Map
from tests.engines.test_local_engine import run_local

CARD = Entity("card", card=str)
PAYS = Source(
    "pays",
    schema={"card": str, "merchant": str, "amount": float, "code": int},
    event_time="at",
)
ROWS = [
    (1, "shop", 2.0), (2, "cafe", 3.0), (3, "shop", 5.0), (4, None, 100.0), (5, "cafe", None),
]  # fmt: skip


def view(**features):
    return FeatureView("View", entity=CARD, source=PAYS, features=features)


def history():
    return [
        HistoryRow(
            {"card": "c1", "merchant": merchant, "amount": amount, "code": 1,
             "at": from_micros(event)},
            event, event, number + 1,
        )
        for number, (event, merchant, amount) in enumerate(ROWS)
    ]  # fmt: skip


def three_ways(folder, expressions, t, card="c1"):
    """The values by the reference, offline and online."""
    defined = view(**expressions)
    rows = history()
    answers = view_values(defined, rows, {"card": card}, t, t)
    expected = {name: value for name, (value, _) in answers.items()}
    offline = run_local(defined, rows, [{"card": card, "t": t}], "known", key="card")
    clock = SettableClock()
    config = Config.of(folder, {"rewind": "1us"})
    with sl.FeatureStore(config, clock=clock, online=MemoryStore()) as fs:
        fs.apply(fs.plan(defined))
        for row in rows:
            clock.time = row.event
            fs.push("pays", [dict(row.values)])
        clock.time = t
        online = fs.get_online_features("View", [{"card": card}], at=t).to_rows()
        spine = [{"card": card, "t": from_micros(t)}]
        trained = fs.get_historical_features(spine, "View", timestamp="t").to_dict()
    assert {name: dict(column[0].as_py()) for name, column in offline.items()} == expected
    assert {name: trained[name][0] for name in expected} == expected
    assert online == [expected]
    return expected


def test_rows_of_the_window_are_grouped_in_every_path(tmp_path):
    amount = PAYS.amount
    cases = {
        "sum": (amount.sum("10us", by="merchant"), {"cafe": 3.0, "shop": 7.0}),
        "mean": (amount.mean("10us", by="merchant"), {"cafe": 3.0, "shop": 3.5}),
        "rows": (PAYS.count("10us", by="merchant"), {"cafe": 2, "shop": 2}),
        "values": (amount.count("10us", by="merchant"), {"cafe": 1, "shop": 2}),
        "latest": (amount.latest("10us", by="merchant"), {"cafe": None, "shop": 5.0}),
        "newest": (amount.last_n(2, "10us", by="merchant"), {"cafe": [3.0], "shop": [2.0, 5.0]}),
        "var": (amount.var("10us", ddof=1, by="merchant"), {"cafe": None, "shop": 4.5}),
        "short": (amount.sum("4us", by="merchant"), {"cafe": 3.0, "shop": 5.0}),
        "last": (amount.sum(last=3, by="merchant"), {"shop": 5.0}),
        "some": (PAYS.where(amount > 2).count("10us", by="merchant"), {"cafe": 1, "shop": 1}),
        "cast": (amount.sum("10us", by=PAYS.code.cast(str)), {"1": 110.0}),
        "ever": (amount.sum(sl.lifetime(), by=PAYS.merchant.upper()), {"CAFE": 3.0, "SHOP": 7.0}),
        "none": (amount.sum(last=1, by=PAYS.merchant), {}),
    }
    found = three_ways(tmp_path, {name: case[0] for name, case in cases.items()}, 5)
    assert found == {name: case[1] for name, case in cases.items()}
    assert all(list(value) == sorted(value) for value in found.values())


def test_a_window_without_rows_and_an_unknown_entity_give_an_empty_map(tmp_path):
    feature = {"f": PAYS.amount.mean("2us", by="merchant")}
    assert three_ways(tmp_path / "a", feature, 50) == {"f": {}}
    assert three_ways(tmp_path / "b", feature, 5, card="nobody") == {"f": {}}


def test_a_row_without_a_group_is_explained():
    grouped = PAYS.amount.sum("10us", by="merchant")
    verdicts = [verdict for _, verdict in explain_rows(grouped, view(f=grouped), history(), 5, 5)]
    assert verdicts == ["counted", "counted", "counted", "no group", "null value"]


def test_the_type_is_a_map_of_the_result():
    assert PAYS.amount.sum("1h", by="merchant").dtype == Map(Float64)
    fan = PAYS.count("1h", "1d", by="merchant")
    assert view(n=fan).dtypes == {"n_1h": Map(Int64), "n_1d": Map(Int64)}


def test_a_grouped_aggregate_reads_back_and_has_its_own_fingerprint():
    plain, grouped = PAYS.amount.sum("1h"), PAYS.amount.sum("1h", by="merchant")
    defined = view(f=grouped)
    again = FeatureView.from_dict(defined.to_dict(), CARD, PAYS)
    assert again.expressions["f"].to_dict() == grouped.to_dict()
    assert again.fingerprint == defined.fingerprint != view(f=plain).fingerprint
    assert fingerprint(grouped.to_dict()) != fingerprint(plain.to_dict())


def test_groups_of_many_entities_and_moments_are_kept_apart():
    rows, spine = [], []
    for number in range(200):
        values = {
            "card": f"c{number % 3}", "merchant": f"m{number % 7}", "amount": float(number),
            "code": 1, "at": from_micros(number),
        }  # fmt: skip
        rows.append(HistoryRow(values, number, number, number + 1))
        spine.append({"card": f"c{number % 4}", "t": 199 - number})
    defined = view(
        f=PAYS.amount.sum("40us", by="merchant"),
        g=PAYS.amount.max(last=9, by="merchant"),
        h=PAYS.amount.sum("40us"),
    )
    found = run_local(defined, rows, spine, "known", key="card")
    for at, asked in enumerate(spine):
        expected = view_values(defined, rows, {"card": asked["card"]}, asked["t"], asked["t"])
        assert dict(found["f"][at].as_py()) == expected["f"][0]
        assert dict(found["g"][at].as_py()) == expected["g"][0]
    assert found["f"].type == pa.map_(pa.string(), pa.float64())


@pytest.mark.parametrize(
    ("wrong", "kind", "told"),
    [
        (lambda: PAYS.amount.sum("1h", by="code"), DefinitionError, r"of type Int64.*cast\(str\)"),
        (lambda: PAYS.amount.sum("1h", by="mercant"), UnknownName, "Did you mean 'merchant'"),
        (lambda: PAYS.count("1h", by="mercant"), UnknownName, "Did you mean 'merchant'"),
        (lambda: PAYS.amount.sum("1h", by=3), DefinitionError, "by names a column.*Got: 3"),
        (lambda: PAYS.amount.latest(by="merchant"), DefinitionError, "needs a window"),
        (lambda: PAYS.since_last(by="merchant"), DefinitionError, "needs a window"),
        (lambda: PAYS.amount.last_n(3, by="merchant"), DefinitionError, "needs a window"),
        (lambda: PAYS.amount.latest("1h", ttl="1d"), DefinitionError, "a ttl goes with"),
        (lambda: PAYS.amount.sum("1h", bye="merchant"), UnknownName, "no option 'bye'.*'by'"),
        (
            lambda: PAYS.amount.sum("1h", by=PAYS.where(PAYS.code > 1).merchant),
            DefinitionError,
            "one filter",
        ),
        (
            lambda: PAYS.amount.sum("1h", by=Source("o", schema={"m": str}, event_time="at").m),
            DefinitionError,
            "another source",
        ),
    ],
)
def test_a_wrong_secondary_key_is_told_where_it_is_written(wrong, kind, told):
    with pytest.raises(kind, match=told):
        wrong()
