"""Names change, values do not: rows, states, versions and pins go with what is renamed."""

from typing import Any

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.definitions.repo import Definitions
from skewless.errors import DefinitionError, UnknownName
from skewless.materialize.verbs import rebuild
from tests.shop import (
    HOUR,
    MINUTE,
    NOON,
    SCHEMA,
    answers,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    random_rows,
    spend_of,
)

CARD = sl.Entity("card", card_id=str)
AT = from_micros(NOON - HOUR)


def before() -> list[Any]:
    pays = payments(row_id="pay_id")
    spend = spend_of(pays)
    ratio = sl.OnDemandView("Ratio", features={"twice": spend["total_1h"] * 2})
    newest = {"newest": pays.amount.latest()}
    tip = sl.FeatureView("Tip", entity=CARD, source=pays, features=newest)
    values = sl.Source.of(tip)
    high = sl.FeatureView("High", entity=CARD, source=values, features={"n": values.count("1d")})
    service = sl.FeatureService("model", [spend["total_1h"], ratio["twice"], high["n"]])
    return [spend, ratio, tip, values, high, service]


def after() -> list[Any]:
    holder = sl.Entity("holder", card_id=str, was="card")
    paid = sl.Source(
        "payments",
        schema={
            "pay_no": sl.Column(str, was="pay_id"),
            "plastic": sl.Column(str, was="card_id"),
            "paid": sl.Column(float, "what was paid", was="amount"),
            "n": int,
            "city": str,
        },
        event_time="at",
        row_id="pay_no",
        was="pays",
    )
    features = {
        "paid_1h": paid.paid.sum("1h").describe(was="total_1h"),
        "count_1d": paid.count("1d"),
        "mean_3": paid.paid.mean(last=3),
        "texts": paid.city.last_n(2, last=4).describe(was="words"),
        "city": paid.city.latest(),
        "fresh": paid.paid.latest(ttl="30m"),
        "biggest": paid.paid.max(sl.lifetime()),
        "sum_n": paid.n.sum(sl.lifetime()),
        "cities": paid.city.n_unique("1d"),
        "visit": paid.n.count(sl.session("10m")),
        "hour": paid.paid.mean(sl.tumbling("1h")),
        "big": paid.where(paid.paid > 5).count("1d"),
        "share": paid.paid.max("1h") / paid.paid.sum("1h"),
    }
    on = {"card_id": "plastic"}
    spend = sl.FeatureView(
        "Spent", entity=holder, source=paid, features=features, on=on, was="Spend"
    )
    double = (spend["paid_1h"] * 2).describe(was="twice")
    ratio = sl.OnDemandView("Double", features={"double": double}, was="Ratio")
    newest = {"newest": paid.paid.latest()}
    tip = sl.FeatureView("Gift", entity=holder, source=paid, features=newest, on=on, was="Tip")
    values = sl.Source.of(tip)
    high = sl.FeatureView("High", entity=holder, source=values, features={"n": values.count("1d")})
    service = sl.FeatureService(
        "scores", [spend["paid_1h"], ratio["double"], high["n"]], was="model"
    )
    return [spend, ratio, tip, values, high, service]


def said_anew(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    names = {"pay_id": "pay_no", "card_id": "plastic", "amount": "paid"}
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


@pytest.fixture
def fs(tmp_path):
    fs = open_store(tmp_path / "repo", *before())
    fs.push("pays", random_rows(1, 60), backdate=True)
    fs.compact("pays")
    fs.push("pays", random_rows(2, 20, first=60), backdate=True)
    fs.materialize()
    return fs


def read(fs, features):
    found = fs.get_online_features(features, cards("c1", "c2", "nobody"))
    return [
        [(value, str(status)) for value, status in zip(*row, strict=True)]
        for row in zip(found.values, found.statuses, strict=True)
    ]


def states(fs):
    names = fs.runtime.online.tables()
    return {name for name in names if name.startswith(("pays.card", "Tip_values.card"))}


def test_values_states_and_pins_are_those_of_before(fs):
    served, kept = read(fs, "model"), states(fs)
    plan = fs.apply(fs.plan(*after()), build=False)
    assert {step.action for step in plan.changed} == {"renamed"}
    assert read(fs, "scores") == served
    assert states(fs) == kept
    assert fs.runtime.state().pins["scores"] == (
        "Spent@v1:paid_1h", "Double@v1:double", "High@v1:n",
    )  # fmt: skip
    assert fs.plan(*after()).is_empty


def test_late_rows_corrections_and_deletions_count_after_a_rename(fs):
    fs.apply(after())
    new = after()[0]
    rows = random_rows(3, 12, first=80)
    late = [pay("late", NOON - 20 * HOUR, 7.0), pay("p3", NOON - MINUTE, 2.5)]
    fs.push("payments", said_anew([*rows, *late]))
    fs.delete("payments", ["p5", "p70", "p81"])
    assert fs.push("payments", said_anew(late)).duplicates == 2
    everybody = cards("c1", "c2", "c3", "nobody")
    check_parity(fs, new, everybody)
    fs.compact()
    check_parity(fs, new, everybody)
    fs.runtime.clock.time = NOON + HOUR
    check_parity(fs, new, everybody)
    assert fs.verify().ok


def test_another_store_that_never_had_the_old_names_has_the_same_values(fs, tmp_path):
    fs.apply(after())
    other = open_store(tmp_path / "other", *after())
    other.push("payments", said_anew([*random_rows(1, 60)]), backdate=True)
    other.push("payments", said_anew([*random_rows(2, 20, first=60)]), backdate=True)
    other.materialize()
    for each in (fs, other):
        each.push("payments", said_anew([pay("p1", NOON - 2 * MINUTE, 3.0)]))
    everybody = cards("c1", "c2", "c3", "nobody")
    assert answers(fs, after()[0], everybody, NOON) == answers(other, after()[0], everybody, NOON)
    assert read(fs, "scores") == read(other, "scores")


def test_states_are_rebuilt_of_rows_with_the_names_of_before(fs):
    fs.apply(after())
    served = read(fs, "scores")
    rebuild(fs.runtime, None)
    assert read(fs, "scores") == served


def test_was_may_stay_or_go_and_names_may_change_again(fs):
    fs.apply(after())
    served = read(fs, "scores")
    fs.apply([sl.Entity("holder", card_id=str)])
    pays = payments(row_id="pay_id")
    back = sl.Source(
        "pays",
        schema={
            "pay_id": sl.Column(str, was="pay_no"),
            "card_id": sl.Column(str, was="plastic"),
            "amount": sl.Column(float, was="paid"),
            "n": int,
            "city": str,
        },
        event_time="at",
        row_id="pay_id",
        was="payments",
    )
    plan = fs.apply([back])
    assert [step.action for step in plan.changed] == ["renamed"]
    assert read(fs, "scores") == served
    record = fs.runtime.state().record("source", "pays")
    assert "stored" not in record.body
    assert not record.body.get("stored_columns")
    fs.push("pays", random_rows(4, 5, first=90))
    assert fs.verify().ok
    assert pays.columns == fs.runtime.source("pays").columns


def test_the_old_names_are_errors_that_say_the_new_ones(fs):
    fs.apply(after())
    with pytest.raises(UnknownName, match="was renamed.*It is Spent now"):
        fs.get_online_features(["Spend:total_1h"], cards("c1"))
    with pytest.raises(UnknownName, match="It is Spent:paid_1h now"):
        fs.get_online_features(["Spent:total_1h"], cards("c1"))
    with pytest.raises(UnknownName, match="It is scores now"):
        fs.get_online_features("model", cards("c1"))
    with pytest.raises(UnknownName, match="'amount'.*was renamed.*It is 'paid' now"):
        fs.push("payments", [{"pay_no": "x", "plastic": "c1", "amount": 1.0, "at": NOON}])


def test_a_rename_and_a_new_value_at_once_are_a_new_version_beside_the_old(fs):
    pays = payments(row_id="pay_id")
    features = {"total": pays.amount.sum("2h").describe(was="total_1h"), "n": pays.count("1d")}
    spend = sl.FeatureView("Spend", entity=CARD, source=pays, features=features)
    service = sl.FeatureService("model", [spend["total"]])
    served = read(fs, ["Spend@v1:total_1h"])
    fs.apply(fs.plan(spend, service), allow_breaking=True)
    assert fs.runtime.state().current["Spend"] == 2
    assert fs.runtime.state().pins["model"] == ("Spend@v1:total",)
    assert read(fs, ["Spend@v1:total"]) == read(fs, "model") == served


def clipped(column: str, was: str = "") -> sl.FeatureView:
    """A view over rows of which a check alters values and another sets some aside."""
    source = sl.Source(
        "fares",
        schema={"card_id": str, column: sl.Column(float, was=was)},
        event_time="at",
        checks=[
            sl.Check.between(column, 0, 10, action="clip"),
            sl.Check.not_null(column, action="quarantine"),
        ],
    )
    total = {"total": source[column].sum("1d"), "n": source.count("1d")}
    return sl.FeatureView("Fares", entity=CARD, source=source, features=total)


def test_checks_of_a_renamed_column_alter_and_set_aside_what_they_did(tmp_path):
    fs = open_store(tmp_path / "repo", clipped("fare"))
    rows = [{"card_id": "c1", "fare": fare, "at": AT} for fare in (3.0, 99.0, None)]
    fs.push("fares", rows, backdate=True)
    plan = fs.apply(clipped("price", "fare"))
    assert {step.name: step.action for step in plan.changed} == {"fares": "renamed"}
    fs.push("fares", [{"card_id": "c1", "price": -4.0, "at": AT}], backdate=True)
    assert read(fs, "Fares")[0] == [(13.0, "present"), (3, "present")]
    check_parity(fs, clipped("price"), cards("c1"))


def wrong(name: str) -> Any:
    pays = payments(row_id="pay_id")
    match name:
        case "never":
            return sl.FeatureView(
                "New", entity=CARD, source=pays, features={"n": pays.count("1d")}, was="Spand"
            )
        case "both":
            return sl.FeatureView(
                "Tip", entity=CARD, source=pays, features={"n": pays.count("1d")}, was="Spend"
            )
        case "feature":
            said = pays.count("1d").describe(was="counts")
            return sl.FeatureView("Spend", entity=CARD, source=pays, features={"n": said})
        case _:
            return sl.Source("pays", schema={"x": sl.Column(str, was="y")}, event_time="at")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("never", "no feature view 'Spand'.*Did you mean 'Spend'"),
        ("both", "there are both"),
        ("feature", "no feature 'counts'.*count_1d"),
        ("column", "no column 'y'"),
    ],
)
def test_a_wrong_was_is_an_error_of_the_plan(fs, name, said):
    with pytest.raises((UnknownName, DefinitionError), match=said):
        fs.plan(wrong(name))


def test_a_wrong_was_is_an_error_at_definition():
    pays = payments()
    features = {"n": pays.count("1d"), "many": pays.count("2d").describe(was="n")}
    with pytest.raises(DefinitionError, match="cannot have been 'n', which is there"):
        sl.FeatureView("Spend", entity=CARD, source=pays, features=features)
    with pytest.raises(DefinitionError, match="were both 'x'"):
        sl.Source(
            "s",
            schema={"a": sl.Column(str, was="x"), "b": sl.Column(str, was="x")},
            event_time="at",
        )
    with pytest.raises(DefinitionError, match="cannot say was="):
        sl.Entity("card", card=sl.Column(str, was="c"))
    table, schema = sl.Parquet("data/"), {"a": sl.Column(str, was="x")}
    with pytest.raises(DefinitionError, match="cannot be renamed.*a table"):
        sl.Source("s", schema=schema, event_time="at", table=table)
    twice = [sl.Entity("a", k=str, was="c"), sl.Entity("b", k=str, was="c")]
    with pytest.raises(DefinitionError, match="were both 'c'"):
        Definitions.of(twice)


def test_what_is_kept_under_a_name_is_not_given_to_another(fs):
    fs.apply(after())
    with pytest.raises(DefinitionError, match="'payments', which was 'pays'"):
        fs.plan(payments())
    with pytest.raises(DefinitionError, match="'holder', which was 'card'"):
        fs.plan(CARD)


def test_a_renamed_source_that_is_removed_keeps_its_rows_apart(fs):
    fs.apply(after())
    empty = fs.plan(removing=True)
    fs.apply(empty, allow_breaking=True)
    assert {log.source for log in fs.kept_rows()} >= {"pays"}
    fs.apply(before())
    assert read(fs, ["Spend:count_1d"])[0] == [(0, "unknown")]


def test_what_is_derived_stays_with_a_source_that_was_renamed_twice(tmp_path):
    def called(name, was=""):
        pays = sl.Source(name, schema=SCHEMA, event_time="at", row_id="pay_id", was=was)
        tip = sl.FeatureView("Tip", entity=CARD, source=pays, features={"n": pays.amount.latest()})
        values = sl.Source.of(tip)
        count = {"n": values.count("1d")}
        return [tip, values, sl.FeatureView("High", entity=CARD, source=values, features=count)]

    fs = open_store(tmp_path / "repo", *called("pays"))
    fs.push("pays", random_rows(1, 60), backdate=True)
    served, kept = read(fs, "High"), states(fs)
    for name, was in (("paid", "pays"), ("payments", "paid")):
        fs.apply(fs.plan(*called(name, was)), build=False)
        assert read(fs, "High") == served
        assert states(fs) == kept
