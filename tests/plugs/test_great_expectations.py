"""The plug of Great Expectations: suites as checks, checks as suites, rows into quarantine."""

import json
import math

import pyarrow as pa
import pytest

import skewless as sl
from skewless.checks.tallies import Tally
from skewless.clock import from_micros
from skewless.types import dtype_of
from tests.plugs.docs_example import run_example
from tests.plugs.real import needs
from tests.shop import NOON, pay, payments

gx = needs("great_expectations")
import great_expectations.expectations as gxe  # noqa: E402
import pandas as pd  # noqa: E402

from skewless.plugs.great_expectations import (  # noqa: E402
    NoteInLedger,
    _validated,
    check,
    checks_of,
    push,
    suite_of,
)

TYPES = {"amount": float, "n": int, "city": str}


def suite(*expectations, name="payments"):
    return gx.ExpectationSuite(name=name, expectations=list(expectations))


PAYS = (
    gxe.ExpectColumnValuesToBeBetween(
        column="amount", min_value=0, strict_min=True, max_value=100, severity="critical"
    ),
    gxe.ExpectColumnValuesToNotBeNull(column="city", severity="critical"),
    gxe.ExpectColumnValuesToBeInSet(column="city", value_set=["Bonn", "Köln"], severity="warning"),
)


def rows():
    amounts = [5.0, -1.0, None, 500.0, 3.0]
    cities = ["Bonn", "Köln", "Bonn", None, "Rome"]
    return [
        pay(f"p{n}", NOON - n, amount, city=city)
        for n, (amount, city) in enumerate(zip(amounts, cities, strict=True))
    ]


def fails(each, table):
    tally = Tally([each], of="pays")
    tally.add(table)
    return not tally.results()[0].ok


THEIRS = [
    gxe.ExpectColumnValuesToNotBeNull(column="amount"),
    gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=1, max_value=4),
    gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=1, strict_min=True),
    gxe.ExpectColumnValuesToBeBetween(column="amount", max_value=4, strict_max=True),
    gxe.ExpectColumnValuesToBeInSet(column="amount", value_set=[1.0, 2.0]),
    gxe.ExpectColumnMeanToBeBetween(column="amount", min_value=2),
    gxe.ExpectColumnValuesToBeBetween(column="n", min_value=1, strict_min=True, max_value=3),
    gxe.ExpectColumnValuesToMatchRegex(column="city", regex="n+$"),
    gxe.ExpectColumnValuesToMatchRegex(column="city", regex="^K"),
    gxe.ExpectColumnValueLengthsToBeBetween(column="city", min_value=2, max_value=4),
    gxe.ExpectTableRowCountToEqual(value=1),
    gxe.ExpectTableRowCountToBeBetween(min_value=2),
]
VALUES = {
    "amount": [1.0, math.nextafter(1.0, 2), 2.0, 4.0, math.nextafter(4.0, 0), None, -3.5],
    "n": [0, 1, 2, 3, 4, -1],
    "city": ["Köln", "Bonn", "K\nln a", "x.", "", "nnöö"],
}


@pytest.mark.parametrize("each", THEIRS)
def test_an_expectation_refuses_the_very_rows_as_ours(each):
    (ours,) = checks_of(suite(each), TYPES)
    name = getattr(each, "column", "n")
    for value in VALUES[name]:
        table = pa.table({name: pa.array([value], dtype_of(TYPES[name]).arrow())})
        theirs = _validated(table, suite(each)).success
        assert fails(ours, table) != theirs, value


def test_severity_and_mostly_become_an_action_and_a_share(tmp_path):
    most = gxe.ExpectColumnValuesToNotBeNull(column="city", mostly=0.95, severity="critical")
    saved = tmp_path / "suite.json"
    saved.write_text(json.dumps(suite(most, PAYS[2]).to_json_dict()))
    known, allowed = checks_of(saved)
    assert (known.share, known.action) == (0.05, "block")
    assert (allowed.share, allowed.action) == (0.0, "warn")


def test_rows_that_are_alike():
    one = gxe.ExpectColumnValuesToBeUnique(column="n")
    both = gxe.ExpectCompoundColumnsToBeUnique(
        column_list=["n", "city"], ignore_row_if="any_value_is_missing"
    )
    for ns, cities, found in [
        ([1, 2], ["a", "a"], (True, True)),
        ([1, 1], ["a", "b"], (False, True)),
        ([1, 1], ["a", "a"], (False, False)),
        ([1, 1], ["a", None], (False, True)),
    ]:
        table = pa.table({"n": ns, "city": cities})
        theirs = tuple(_validated(table, suite(each)).success for each in (one, both))
        assert tuple(not fails(c, table) for c in checks_of(suite(one, both))) == theirs == found


def test_what_has_no_counterpart_is_named_not_dropped():
    strange = suite(
        gxe.ExpectColumnMedianToBeBetween(column="amount", min_value=1),
        gxe.ExpectColumnValuesToMatchRegex(column="city", regex="(?=K)K"),
        gxe.ExpectColumnValuesToBeBetween(column="n", min_value=1, strict_min=True),
        PAYS[1],
    )
    with pytest.raises(sl.InputError, match="(?s)median.*RE2|RE2.*median") as problem:
        checks_of(strange)
    assert "a limit that is left out, 1" in str(problem.value)
    assert [each.kind for each in checks_of(strange, partly=True)] == ["not_null"]


def test_rows_that_are_unexpected_go_to_quarantine_and_the_rest_comes_in(fs):
    result = push(fs, "pays", rows(), suite(*PAYS))
    assert result.accepted == 3  # Rome is only warned of
    assert [each.row for each in result.quarantined] == [1, 3]
    assert "expect_column_values_to_not_be_null(column='city')" in result.quarantined[1].reason
    assert len(fs.quarantine("pays")) == 2


def test_an_expectation_of_all_rows_refuses_all_of_them(fs):
    mean = gxe.ExpectColumnMeanToBeBetween(column="amount", max_value=1, severity="critical")
    gone = gxe.ExpectColumnValuesToNotBeNull(column="tip", severity="critical")
    for each, said in [(mean, "mean.*5.0"), (gone, "tip.*does not exist")]:
        with pytest.raises(sl.CheckFailed, match=said):
            push(fs, "pays", rows()[:1], suite(each))
    assert fs.quarantine("pays") == []


def test_what_is_found_in_history_is_in_the_ledger(fs):
    fs.push("pays", rows())
    report = check(fs, "pays", suite(PAYS[2]))
    (failed,) = report.failed
    assert (failed.rows, failed.failing, failed.examples) == (5, 1, ("Rome",))
    with pytest.raises(sl.CheckFailed, match="to_be_between"):
        check(fs, "pays", suite(*PAYS))
    first, second = fs.runtime.ledger.records(kinds=["check"])
    assert (first.data["of"], first.data["point"], first.data["rows"]) == (
        "pays",
        "history, by Great Expectations",
        5,
    )
    assert [each["ok"] for each in second.data["results"]].count(False) == 3
    assert check(fs, "Spend", suite(gxe.ExpectTableRowCountToEqual(value=1))).ok


def test_a_checkpoint_of_theirs_notes_its_results(fs, tmp_path):
    context = gx.get_context(mode="ephemeral")
    asset = context.data_sources.add_pandas("pays").add_dataframe_asset("pays")
    batch = asset.add_batch_definition_whole_dataframe("all")
    validation = context.validation_definitions.add(
        gx.ValidationDefinition(
            name="pays", data=batch, suite=context.suites.add(suite(*PAYS, name="pays"))
        )
    )
    action = NoteInLedger(name="skewless", repo=str(tmp_path), of="pays")
    checkpoint = gx.Checkpoint(name="daily", validation_definitions=[validation], actions=[action])
    fs.close()
    outcome = context.checkpoints.add(checkpoint).run({"dataframe": pd.DataFrame(rows())})
    assert not outcome.success
    with sl.FeatureStore(tmp_path) as again:
        (noted,) = again.runtime.ledger.records(kinds=["check"])
    assert noted.data["of"] == "pays"
    assert sorted(each["failing"] for each in noted.data["results"]) == [1, 1, 2]


OURS = [
    sl.Check.not_null("city", share=0.2),
    sl.Check.between("amount", 0, 100, action="block"),
    sl.Check.between("at", "2026-01-01T00:00:00Z"),
    sl.Check.matches("city", "[A-Z].*"),
    sl.Check.in_set("n", [1, 2]),
    sl.Check.unique("pay_id"),
    sl.Check.unique("card_id", "pay_id"),
    sl.Check.row_count(2, 5),
    sl.Check.mean_between("amount", 0, 10),
]


def test_our_checks_as_a_suite_find_the_same():
    source = payments(row_id="pay_id", checks=OURS)
    made = suite_of(source)
    assert [e.severity.value for e in made.expectations].count("critical") == 1
    good = [pay("p1", NOON, 1.0), pay("p2", NOON, None, n=2)]
    bad = [
        pay("p1", NOON, 101.0, city="bonn", n=3),
        pay("p1", "2025-01-01T00:00:00Z", 1.0, city=None),
    ] * 3
    for given, holds in [(good, True), (bad, False)]:
        frame = pd.DataFrame(given)
        frame["at"] = pd.to_datetime(frame["at"], utc=True)
        table = pa.Table.from_pandas(frame, preserve_index=False)
        outcome = _validated(table, made)
        assert {each.success for each in outcome.results} == {holds}


def test_our_checks_that_they_have_not_are_named():
    pays = payments()
    source = payments(checks=[sl.Check.expr(pays.amount > 1), sl.Check.fresh("2h"), OURS[1]])
    with pytest.raises(sl.InputError, match="amount.*newest row"):
        suite_of(source)
    assert len(suite_of(source, partly=True).expectations) == 1


def test_the_example_of_the_docs(tmp_path, monkeypatch):
    good = {"payment_id": "q1", "card_id": "c1", "amount": 2.0, "at": from_micros(NOON)}
    bad = good | {"payment_id": "q2", "amount": -1.0}
    names = run_example("Great Expectations", monkeypatch, tmp_path, rows=[good, bad])
    assert len(names["checks"]) == 1
    with sl.FeatureStore(tmp_path) as fs:
        assert [each.reason.split("(")[0] for each in fs.quarantine("payments")] == [
            "expect_column_values_to_be_between"
        ]
