"""What `explain` says of a value: the rows behind it, in words and as data."""

import json

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import SettableClock, to_micros
from skewless.errors import InputError, MissingColumn, UnknownName
from skewless.formatting import same_bits
from tests.monitoring.shop import NOON, at, pay, payments, spend_of, store

HISTORY = [
    pay("a", "11:10", 2.5),
    pay("b", "11:20", 3.5),
    pay("old", "10:20", 7.5),
    pay("slow", "11:30", 9.5, known="12:03"),
    pay("a", "11:10", 4.5, known="11:40"),
    pay("empty", "11:50", None),
    pay("ahead", "12:04"),
    pay("other", "11:00", 8.0, card="c2"),
]


@pytest.fixture
def fs(tmp_path):
    with store(tmp_path, spend_of(payments())) as opened:
        opened.push("pays", HISTORY)
        yield opened


def verdicts(explanation, number=0):
    return {
        (row.values["pay_id"], row.values["amount"]): row.verdict
        for row in explanation.aggregates[number].rows
    }


def test_every_row_of_the_entity_is_told_with_what_became_of_it(fs):
    assert verdicts(fs.explain("Spend:total_1h", {"card_id": "c1"})) == {
        ("a", 2.5): "superseded by a correction",
        ("a", 4.5): "counted",
        ("b", 3.5): "counted",
        ("old", 7.5): "outside the window",
        ("slow", 9.5): "not yet known",
        ("empty", None): "null value",
        ("ahead", 1.0): "future",
    }


def test_value_status_and_cut_offs_are_those_of_the_reference_engine(fs):
    told = fs.explain("Spend:total_1h", {"card_id": "c1"})
    assert (told.value, told.status, told.at) == (8.0, "present", NOON)
    (only,) = told.aggregates
    assert (only.after, only.until) == (to_micros(at("11:00")), NOON)
    assert only.window == (
        "2026-01-02T11:00:00Z < event time <= 2026-01-02T12:00:00Z, known by 2026-01-02T12:00:00Z"
    )


def test_rows_that_a_filter_leaves_out_are_called_filtered(fs):
    told = fs.explain("Spend:big", {"card_id": "c1"})
    assert (told.value, told.status) == (1, "present")
    assert verdicts(told)["old", 7.5] == "counted"
    assert verdicts(told)["b", 3.5] == "filtered"


def test_rows_beyond_the_last_n_are_called_so(fs):
    told = fs.explain("Spend:two", {"card_id": "c1"})
    assert told.value == 3.5
    assert verdicts(told)["old", 7.5] == "beyond the last N"


def test_an_expired_value_names_the_row_that_expired(fs):
    told = fs.explain("Spend:last", {"card_id": "c2"}, at="2026-01-03T11:00:00Z")
    assert (told.value, told.status) == (None, "expired")
    assert verdicts(told) == {("other", 8.0): "expired"}


def test_a_deleted_row_no_longer_counts(fs):
    fs.delete("pays", ["b"])
    told = fs.explain("Spend:total_1h", {"card_id": "c1"})
    assert told.value == 4.5
    assert verdicts(told)["b", 3.5] == "superseded by a correction"


def test_a_row_corrected_to_another_entity_leaves_the_first(fs):
    fs.push("pays", [pay("b", "11:20", 3.5, card="c9", known="11:45")])
    left = fs.explain("Spend:total_1h", {"card_id": "c1"})
    assert left.value == 4.5
    assert verdicts(left)["b", 3.5] == "superseded by a correction"
    assert fs.explain("Spend:total_1h", {"card_id": "c9"}).value == 3.5


def test_a_late_row_is_called_late_and_counts_nowhere(tmp_path):
    pays = payments(lateness="10m", row_id=None)
    with store(tmp_path, spend_of(pays)) as fs:
        fs.push("pays", [pay("new", "11:50", 1.0)])
        fs.push("pays", [pay("late", "11:20", 2.0)])
        told = fs.explain("Spend:total_1h", {"card_id": "c1"})
    assert told.value == 1.0
    assert verdicts(told) == {("new", 1.0): "counted", ("late", 2.0): "late"}


def test_the_online_store_is_asked_too_and_agrees_to_the_bit(fs):
    for feature in fs.runtime.state().view("Spend").features:
        online = fs.explain(f"Spend:{feature}", {"card_id": "c1"}).online
        assert (feature, online.same) == (feature, True)


def test_a_moment_beyond_rewind_is_not_asked_of_the_online_store(fs):
    told = fs.explain("Spend:total_1h", {"card_id": "c1"}, at=at("11:15"))
    assert told.value == 10.0
    assert told.online.same is None
    assert told.online.note == "answers for the last 5m only (rewind)"


def test_a_table_that_was_not_materialized_is_seen_to_disagree(tmp_path):
    rows = [{"card_id": "c1", "amount": 2.0, "at": at("11:30")}]
    table = sl.Frame(pa.table({k: [r[k] for r in rows] for k in rows[0]}), timezone="UTC")
    pays = sl.Source("pays", schema={"card_id": str, "amount": float}, event_time="at", table=table)
    view = sl.FeatureView(
        "Spend",
        entity=sl.Entity("card", card_id=str),
        source=pays,
        features={"total": pays.amount.sum("1h")},
    )
    with store(tmp_path, view, build=False) as fs:
        before = fs.explain("Spend:total", {"card_id": "c1"})
        assert (before.value, before.online.same) == (2.0, False)
        assert (before.online.value, before.online.status) == (None, "building")
        assert "materialize" in before.online.note
        fs.materialize()
        assert fs.explain("Spend:total", {"card_id": "c1"}).online.same is True


def test_a_derived_feature_shows_its_formula_with_letters_and_with_values(fs):
    told = fs.explain("Spend:share", {"card_id": "c1"})
    assert told.formula == "(a - b) / c"
    assert told.filled == "(4.5 - 3.5) / 8.0"
    assert [part.letter for part in told.aggregates] == ["a", "b", "c"]
    assert told.value == 0.125
    assert str(told).count("superseded by a correction") == 2  # the counts and the table, once


def test_an_on_demand_feature_shows_its_inputs_and_request_fields(tmp_path):
    spend = spend_of(payments())
    amount = sl.Request("amount", float)
    pays = sl.on_demand(type("Pay", (), {"ratio": amount / spend.total_1h}))
    with store(tmp_path, spend, pays) as fs:
        fs.push("pays", HISTORY)
        told = fs.explain("Pay:ratio", {"card_id": "c1", "amount": 2.0})
        assert (told.value, told.status) == (0.25, "present")
        assert told.formula == "amount / Spend@v1:total_1h"
        assert told.filled == "2.0 / 8.0"
        assert [given.value for given in told.inputs] == [8.0]
        assert told.requests == {"amount": 2.0}
        assert told.online.same is True
        with pytest.raises(MissingColumn, match="amount"):
            fs.explain("Pay:ratio", {"card_id": "c1"})


def test_an_entity_never_seen_is_unknown(fs):
    told = fs.explain("Spend:total_1h", {"card_id": "nobody"})
    assert (told.value, told.status, told.online.same) == (0.0, "unknown", True)
    assert "0 of 0 rows counted" in str(told)


@pytest.mark.parametrize(
    ("feature", "entity", "error", "says"),
    [
        ("Spend:totl_1h", {"card_id": "c1"}, UnknownName, "Did you mean 'total_1h'"),
        ("Spent:total_1h", {"card_id": "c1"}, UnknownName, "Did you mean 'Spend'"),
        ("Spend:total_1h", {"card": "c1"}, MissingColumn, "card_id"),
        ("Spend:total_1h", {"card_id": 7}, InputError, "join key 'card_id'"),
        ("Spend:total_1h", {"card_id": None}, InputError, "null"),
    ],
)
def test_a_wrong_question_gets_an_error_that_helps(fs, feature, entity, error, says):
    with pytest.raises(error) as problem:
        fs.explain(feature, entity)
    assert says in str(problem.value)


def test_a_page_is_short_whatever_the_number_of_rows(fs):
    fs.push("pays", [pay(f"p{n}", f"11:{n % 60:02d}", card="busy") for n in range(500)])
    page = str(fs.explain("Spend:total_1h", {"card_id": "busy"}))
    assert len(page.splitlines()) < 40
    assert "and 480 more: " in page


def test_an_explanation_is_plain_data_for_json(fs):
    told = fs.explain("Spend:share", {"card_id": "c1"}).to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["aggregates"][0]["verdicts"]["counted"] == 2
    assert told["aggregates"][0]["rows"][0]["event_time"] == "2026-01-02T10:20:00Z"


@pytest.fixture(scope="module")
def tied(tmp_path_factory):
    """A table without row ids, full of ties, beside pushed rows."""
    rows = [
        {
            "pay_id": f"p{n}", "card_id": f"c{n % 2}", "amount": n * 0.1, "city": "Bonn",
            "at": NOON + (n * 7 % 20) * 60_000_000, "seen": NOON + (n * 5 % 30) * 60_000_000,
        }
        for n in range(60)
    ]  # fmt: skip
    stamp = pa.timestamp("us", "UTC")
    table = pa.Table.from_pylist(rows)
    for name in ("at", "seen"):
        place = table.column_names.index(name)
        table = table.set_column(place, name, table[name].cast(stamp))
    pays = payments(row_id=None, table=sl.Frame(table))
    clock = SettableClock(NOON + 3_600_000_000)
    with store(tmp_path_factory.mktemp("tied"), spend_of(pays), clock=clock) as fs:
        fs.push("pays", [pay("x", "12:05", 99.0, card="c1")], backdate=False)
        yield fs


@given(minute=st.integers(0, 70), card=st.sampled_from(["c0", "c1", "c9"]))
def test_explained_values_are_those_of_a_training_set_to_the_bit(tied, minute, card):
    moment = NOON + minute * 60_000_000
    spine = pa.table({"card_id": [card], "t": pa.array([moment], pa.timestamp("us", "UTC"))})
    names = tied.runtime.state().view("Spend").features
    row = tied.get_historical_features(spine, "Spend", timestamp="t").to_arrow().to_pylist()[0]
    for name in names:
        told = tied.explain(f"Spend:{name}", {"card_id": card}, at=moment)
        assert same_bits(told.value, row[name]), name
