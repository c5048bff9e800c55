"""The plug of pandera: schemas as checks, checks as schemas, failure cases into quarantine."""

import math
from datetime import datetime

import pyarrow as pa
import pytest

import skewless as sl
from skewless.checks.tallies import Tally
from skewless.clock import from_micros
from tests.plugs.docs_example import run_example
from tests.plugs.real import needs
from tests.shop import CARD, NOON, open_store, pay, payments, spend_of

needs("pandera")
import pandas as pd  # noqa: E402
import pandera.pandas as pap  # noqa: E402
import pandera.polars as pal  # noqa: E402
import polars as pl  # noqa: E402

from skewless.plugs.pandera import check, checks_of, push, schema_of  # noqa: E402

TYPES = {"amount": float, "n": int, "city": str, "at": datetime}


class Pays(pap.DataFrameModel):
    amount: float = pap.Field(gt=0, le=100, nullable=True)
    city: str = pap.Field(isin=["Bonn", "Köln"])


def rows():
    amounts = [5.0, -1.0, None, 500.0, 0.0]
    cities = ["Bonn", "Köln", "Bonn", "Rome", None]
    return [
        pay(f"p{n}", NOON - n, amount, city=city)
        for n, (amount, city) in enumerate(zip(amounts, cities, strict=True))
    ]


COLUMNS = {
    "amount": [
        pap.Check.gt(1), pap.Check.ge(1.5), pap.Check.lt(4), pap.Check.le(4),
        pap.Check.in_range(1, 4, include_min=False), pap.Check.isin([1.0, 2.0]),
        pap.Check.eq(2.0),
    ],
    "n": [pap.Check.gt(1), pap.Check.lt(3), pap.Check.in_range(0, 2, include_max=False)],
    "city": [
        pap.Check.str_matches("K.l"), pap.Check.str_contains("n+$"), pap.Check.str_length(2, 4),
        pap.Check.str_startswith("Kö"), pap.Check.str_endswith("."), pap.Check.str_length(5),
    ],
}  # fmt: skip
VALUES = {
    "amount": [1.0, math.nextafter(1.0, 2), 2.0, 4.0, math.nextafter(4.0, 0), None, -3.5],
    "n": [0, 1, 2, 3, None, 4, -1],
    "city": ["Köln", "Bonn", "K\nln a", "x.", "", None, "nnöö"],
}


@pytest.mark.parametrize(
    ("name", "each"),
    [pytest.param(name, c, id=f"{name}-{c.error}") for name in COLUMNS for c in COLUMNS[name]],
)
def test_a_check_of_theirs_refuses_the_very_rows_as_ours(name, each):
    schema = pap.DataFrameSchema({name: pap.Column(checks=[each], nullable=True)})
    (ours,) = checks_of(schema, TYPES)
    for value in VALUES[name]:
        table = pa.table({name: pa.array([value], sl.types.dtype_of(TYPES[name]).arrow())})
        try:
            schema.validate(table.to_pandas().astype({"n": "Int64"} if name == "n" else {}))
            theirs = True
        except pap.errors.SchemaError:
            theirs = False
        tally = Tally([ours], of="pays")
        tally.add(table)
        assert tally.results()[0].ok == theirs, value


def test_a_model_becomes_checks_of_a_source_and_is_carried_out_at_a_push(tmp_path):
    pays = payments(row_id="pay_id", checks=checks_of(Pays, TYPES, action="block"))
    with open_store(tmp_path, CARD, pays, spend_of(pays)) as fs:
        with pytest.raises(sl.CheckFailed, match="amount between 5e-324"):
            fs.push("pays", rows())
        assert fs.push("pays", rows()[:1]).failed == ()


def test_what_has_no_counterpart_is_named_not_dropped():
    schema = pap.DataFrameSchema(
        {
            "amount": pap.Column(float, [pap.Check(lambda s: s.mean() > 1, name="mean of a day")]),
            "n": pap.Column(int, [pap.Check.gt(1), pap.Check.notin([7])]),
            "city": pap.Column(str, pap.Check.str_matches("(?=K)K")),
        },
        strict=True,
    )
    with pytest.raises(sl.InputError, match="strict.*mean of a day.*n: a limit that.*notin.*RE2"):
        checks_of(schema)
    kept = checks_of(schema, TYPES, partly=True)
    assert [each.kind for each in kept] == ["not_null", "not_null", "between", "not_null"]


def test_rows_that_fail_go_to_quarantine_and_the_rest_comes_in(fs):
    result = push(fs, "pays", rows(), Pays)
    assert result.accepted == 2  # p0, and p2 whose amount is null
    kept = {each.row: each.reason for each in result.quarantined}
    assert sorted(kept) == [1, 3, 4]
    assert kept[3] == "amount: less_than_or_equal_to(100); city: isin(['Bonn', 'Köln'])"
    assert {each.reason for each in fs.quarantine("pays")} == set(kept.values())
    again = push(fs, "pays", rows()[:1], Pays)
    assert (again.duplicates, again.quarantined) == (1, ())


def test_rows_that_skewless_refuses_keep_their_places(fs):
    given = [rows()[1], pay("p9", NOON, "much"), rows()[0]]
    given[1]["amount"] = 3.0
    given[1]["at"] = None
    result = push(fs, "pays", given, Pays)
    assert result.accepted == 1
    assert [each.row for each in result.quarantined] == [0, 1]
    with pytest.raises(sl.RowsRefused):
        push(fs, "pays", given[:1], Pays)
    assert len(fs.quarantine("pays")) == 3


def test_a_schema_of_polars_does_the_same(fs):
    schema = pal.DataFrameSchema(
        {"amount": pal.Column(float, pal.Check.gt(0), nullable=True), "city": pal.Column(str)}
    )
    assert [str(each) for each in checks_of(schema, TYPES)] == [
        "amount between 5e-324 and anything",
        "city not null",
    ]
    result = push(fs, "pays", pl.DataFrame(rows()), schema)
    assert [each.row for each in result.quarantined] == [1, 4]


def test_a_frame_that_fails_as_a_whole_is_refused_as_a_whole(fs):
    mean = pap.DataFrameSchema({"amount": pap.Column(checks=pap.Check(lambda s: s.mean() < 1))})
    for schema in (mean, pap.DataFrameSchema({"tip": pap.Column(float)})):
        with pytest.raises(sl.CheckFailed, match=r"as a whole\. Got: .*(amount|tip)"):
            push(fs, "pays", rows()[:1], schema)
    assert fs.quarantine("pays") == []


def test_what_pandera_finds_in_history_is_in_the_ledger(fs):
    fs.push("pays", rows())
    report = check(fs, "pays", Pays)
    assert [(each.check, each.failing, each.rows) for each in report.failed] == [
        ("amount: greater_than(0)", 2, 5),
        ("amount: less_than_or_equal_to(100)", 1, 5),
        ("city: not_nullable", 1, 5),
        ("city: isin(['Bonn', 'Köln'])", 1, 5),
    ]
    (noted,) = fs.runtime.ledger.records(kinds=["check"])
    assert (noted.data["of"], noted.data["point"]) == ("pays", "history, by pandera")
    with pytest.raises(sl.CheckFailed, match="greater_than"):
        check(fs, "pays", Pays, action="block")
    with pytest.raises(sl.UnknownName, match="source or view"):
        check(fs, "paid", Pays)


def test_views_and_training_sets_are_looked_at_too(fs):
    fs.push("pays", rows(), backdate=True)
    fine = pap.DataFrameSchema({"count_1d": pap.Column(int, pap.Check.ge(0))}, name="counts")
    report = check(fs, "Spend", fine)
    assert report.ok
    assert (report.results[0].of, report.results[0].check) == ("Spend@v1", "counts")
    made = fs.get_historical_features(
        [{"card_id": "c1", "t": rows()[0]["at"]}], ["Spend:total_1h"], timestamp="t"
    )
    wrong = pap.DataFrameSchema({"total_1h": pap.Column(float, pap.Check.lt(0))})
    assert not check(fs, made, wrong).ok


CHECKS = [
    sl.Check.not_null("city"),
    sl.Check.between("amount", 0, 100),
    sl.Check.between("at", "2026-01-01T00:00:00Z"),
    sl.Check.matches("city", "[A-Z].*"),
    sl.Check.unique("pay_id"),
    sl.Check.in_set("n", [1, 2]),
    sl.Check.row_count(2),
    sl.Check.mean_between("amount", 0, 10),
    sl.Check.monotonic("n"),
    sl.Check.in_set("card_id", ["c1"], share=0.5),
    sl.Check.unique("card_id", "pay_id"),
]
BAD = {"city": None, "amount": 101.0, "at": "2025-01-01T00:00:00Z", "n": 3, "pay_id": "p1"}


@pytest.mark.parametrize("each", CHECKS, ids=str)
def test_our_checks_hold_in_their_schema_and_fail_there(each):
    source = payments(row_id="pay_id", checks=[each])
    good = [pay("p1", NOON, 1.0), pay("p2", NOON, None, n=2)]
    schema = schema_of(source)
    schema.validate(pd.DataFrame(good))
    bad = {
        "matches": [good[0] | {"city": "bonn"}],
        "row_count": good[:1],
        "mean_between": [good[0] | {"amount": 11.0}],
        "monotonic": good[::-1],
    }.get(each.kind) or [good[0], good[1] | {k: BAD[k] for k in each.columns if k in BAD}]
    if each.share:
        bad = [good[0], good[1] | {"card_id": "c2"}, good[1] | {"card_id": "c3"}]
    if each.kind == "unique":
        bad = [good[0], good[0]]
    with pytest.raises((pap.errors.SchemaError, pap.errors.SchemaErrors)):
        schema.validate(pd.DataFrame(bad))


def test_the_example_of_the_docs(tmp_path, monkeypatch):
    good = {"payment_id": "q1", "card_id": "c1", "amount": 2.0, "at": from_micros(NOON)}
    bad = good | {"payment_id": "q2", "amount": -1.0}
    names = run_example(
        "pandera", monkeypatch, tmp_path, rows=[good, bad], frame=pd.DataFrame([good])
    )
    assert len(names["checks"]) == 3
    with sl.FeatureStore(tmp_path) as fs:
        assert [each.reason.split("(")[0] for each in fs.quarantine("payments")] == [
            "amount: greater_than"
        ]
