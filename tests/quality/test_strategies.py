"""Checks that set rows aside, clip and impute: the same number on every path, and part of the version."""

import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.definitions import FeatureView, Source
from skewless.errors import DefinitionError
from skewless.quality.check import attainment
from tests.shop import (
    ALL,
    CARD,
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SCHEMA,
    check_parity,
    open_store,
    pay,
    payments,
    random_rows,
    spend_of,
)

Check = sl.Check
SCREENS = (
    Check.in_set("city", ["Bonn", "Köln"], action="quarantine"),
    Check.not_null("city", action="quarantine"),
    Check.not_null("amount", action="impute", value=2.5),
    Check.between("amount", -5.0, 8.0, action="clip"),
    Check.between("n", -3, 3, action="impute", value=0),
)


def by_hand(rows):
    """The rows as they are when somebody has done by hand what the checks say."""
    found = []
    for row in rows:
        if row["city"] in ("Bonn", "Köln"):
            amount = 2.5 if row["amount"] is None else min(max(row["amount"], -5.0), 8.0)
            n = row["n"] if row["n"] is None or -3 <= row["n"] <= 3 else 0
            found.append(row | {"amount": amount, "n": n})
    return found


def values(fs, view):
    online = fs.get_online_features(view.name, ALL)
    spine = [{**key, "t": from_micros(NOON)} for key in ALL]
    made = fs.get_historical_features(spine, view.name, timestamp="t", as_of="event_time")
    return online.to_dict(), {k: v for k, v in made.to_dict().items() if k != "t"}


@pytest.mark.parametrize("using", [{}, {"online": {"kind": "sqlite", "path": "other.db"}}])
def test_every_path_gives_what_rows_mended_by_hand_give(tmp_path, using):
    rows = random_rows(3, 300)
    screened = spend_of(payments(row_id="pay_id", checks=SCREENS))
    plain = spend_of(payments(row_id="pay_id"))
    fs = open_store(tmp_path / "screened", screened, build=True, **using)
    other = open_store(tmp_path / "plain", plain, build=True)
    fs.push("pays", rows[:200], backdate=True)
    other.push("pays", by_hand(rows[:200]), backdate=True)
    fs.compact()
    for each, some in ((fs, rows[200:]), (other, by_hand(rows[200:]))):
        each.push("pays", some, backdate=True)
    check_parity(fs, screened, ALL[:3], NOON, NOON - MINUTE)
    found = values(fs, screened)
    assert values(other, plain) == found
    fs.materialize("Spend")
    assert values(fs, screened) == found
    assert fs.verify("Spend").ok


def test_rows_of_a_table_are_screened_as_those_of_a_push(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = random_rows(4, 120)
    for name, some in (("raw", rows), ("mended", by_hand(rows))):
        (tmp_path / name).mkdir()
        pq.write_table(pa.Table.from_pylist(some), tmp_path / name / "rows.parquet")
    found = []
    for name, checks in (("raw", SCREENS), ("mended", ())):
        table = sl.Parquet(str(tmp_path / name / "*.parquet"))
        view = spend_of(payments(table=table, row_id="pay_id", checks=checks))
        fs = open_store(tmp_path / f"{name}-repo", view, build=True)
        found.append(values(fs, view))
    assert found[0] == found[1]


def test_what_is_set_aside_is_told_counted_and_kept(tmp_path):
    fs = open_store(tmp_path, spend_of(payments(row_id="pay_id", checks=SCREENS)), build=True)
    rows = [pay("p1", NOON - MINUTE), pay("p2", NOON - MINUTE, 100.0, city="Ulm")]
    pushed = fs.push("pays", rows)
    assert (pushed.accepted, pushed.duplicates, pushed.sequence) == (2, 0, 2)
    (aside,) = pushed.quarantined
    assert aside.reason == "set aside by a check: city in Bonn, Köln"
    (kept,) = fs.quarantine("pays")
    assert '"p2"' in kept.values
    again = fs.push("pays", rows)
    assert (again.accepted, again.duplicates, again.quarantined) == (0, 2, ())
    assert fs.get_online_features(["Spend:count_1d"], [{"card_id": "c1"}]).to_dict() == {
        "card_id": ["c1"],
        "count_1d": [1],
    }
    assert "1 filtered" in str(fs.explain("Spend:count_1d", {"card_id": "c1"}))
    failed = [each for each in fs.check().failed if each.action == "quarantine"]
    assert [(each.rows, each.failing) for each in failed] == [(2, 1)]


def test_a_correction_that_is_set_aside_leaves_no_row(tmp_path):
    view = spend_of(payments(row_id="pay_id", checks=SCREENS))
    fs = open_store(tmp_path, view, build=True)
    fs.push("pays", [pay("p1", NOON - HOUR, 4.0)], backdate=True)
    fs.push("pays", [pay("p1", NOON - HOUR, 5.0, city="Ulm")], backdate=True)
    check_parity(fs, view, ALL[:1], NOON)
    online, history = values(fs, view)
    assert online["count_1d"][0] == history["count_1d"][0] == 0


def test_another_strategy_is_another_version_and_the_old_one_serves_on(tmp_path):
    def spend(*checks):
        return FeatureView(
            "Spend", entity=CARD, source=payments(checks=checks),
            features={"total": payments().amount.sum("1h")},
        )  # fmt: skip

    clip = Check.between("amount", 0.0, 10.0, action="clip")
    fs = open_store(tmp_path, spend(clip), build=True)
    fs.push("pays", [pay("p1", NOON - MINUTE, 100.0)])
    plan = fs.plan(spend(Check.between("amount", 0.0, 20.0, action="clip")))
    assert "v1 -> v2" in str(plan)
    assert "screens: + Check(amount between 0.0 and 20.0, else clip)" in str(plan)
    fs.apply(plan, build=True)
    for version, total in ((1, 10.0), (2, 20.0)):
        found = fs.get_online_features([f"Spend@v{version}:total"], [{"card_id": "c1"}])
        assert found.to_dict()["total"] == [total]
        spine = [{"card_id": "c1", "t": from_micros(NOON)}]
        made = fs.get_historical_features(spine, [f"Spend@v{version}:total"], timestamp="t")
        assert made.to_dict()["total"] == [total]
    warned = spend(Check.between("amount", 0.0, 20.0, action="clip", share=0.5), Check.row_count(1))
    assert "v2 -> v3" not in str(fs.plan(warned))


def test_what_a_view_does_not_use_changes_no_version_of_it():
    def spend(*checks):
        source = Source("pays", schema=SCHEMA, event_time="at", checks=checks)
        return FeatureView("V", entity=CARD, source=source, features={"n": source.n.sum("1h")})

    plain = spend()
    assert spend(Check.between("amount", 0, 1, action="clip")).fingerprint == plain.fingerprint
    assert spend(Check.between("n", 0, 1, action="clip")).fingerprint != plain.fingerprint
    assert spend(Check.not_null("city", action="quarantine")).fingerprint != plain.fingerprint
    restored = FeatureView.from_dict(
        (view := spend(SCREENS[0], SCREENS[4])).to_dict(),
        CARD,
        Source.from_dict(view.source.to_dict()),
    )
    assert restored.fingerprint == view.fingerprint
    assert restored.to_dict() == view.to_dict()
    assert view.of(card_id="payer", prefix="p_").to_dict()["features"].keys() == {"p_n"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Check.unique("n", action="quarantine"), "an action of other checks"),
        (lambda: Check.in_set("city", ["x"], action="clip"), "an action of other checks"),
        (lambda: Check.not_null("n", action="impute"), "impute and a value go together"),
        (lambda: Check.not_null("n", value=3), "impute and a value go together"),
        (lambda: spend_of(payments(checks=[Check.not_null("card_id", action="impute", value="x")])),
         "told apart by"),
        (lambda: spend_of(payments(
            row_id="pay_id", checks=[Check.not_null("pay_id", action="impute", value="x")])),
         "told apart by"),
        (lambda: payments(checks=[Check.not_null("n", action="impute", value="x")]), "no value"),
        (lambda: FeatureView(
            "V", entity=CARD, source=payments(), features={"n": payments().n.sum("1h")},
            checks=[Check.between("n", 0, 1, action="clip")]), "does not clip"),
        (lambda: Source.of(spend_of(payments(checks=SCREENS))), "say them of the derived source"),
    ],
)  # fmt: skip
def test_what_cannot_be_the_same_on_every_path_is_refused(make, said):
    with pytest.raises(DefinitionError, match=said):
        make()


def test_what_pushes_found_is_in_the_ledger_once_a_minute_and_at_the_end(tmp_path):
    fs = open_store(tmp_path, spend_of(payments(checks=[Check.between("amount", 0)])), build=True)
    ledger = fs.runtime.ledger
    for number, amount in enumerate((1.0, -1.0, 2.0)):
        fs.push("pays", [pay(f"p{number}", NOON - MINUTE, amount)])
    points = [record.data for record in ledger.records(kinds=["check"])]
    assert [(each["point"], each["rows"]) for each in points] == [("push", 1)]
    fs.close()
    points = [record.data for record in ledger.records(kinds=["check"])]
    assert [each["results"][0]["ok"] for each in points] == [True, False]
    assert points[1]["results"][0]["failing"] == 1
    assert [(each.held, each.checks) for each in attainment(ledger, NOON - DAY)] == [(1, 2)]
