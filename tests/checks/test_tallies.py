"""Twenty injected faults are caught, each by its check; on clean data there is no alarm."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

import skewless as sl
from skewless.checks.results import CheckResult
from skewless.checks.tallies import Tally
from skewless.clock import to_micros
from skewless.definitions.checks import Check
from skewless.errors import DefinitionError, UnknownName

ROWS = 1000
START = datetime(2026, 1, 1, tzinfo=UTC)
PAYS = sl.Source(
    "pays",
    schema={
        "pay_id": str, "card_id": str, "net": float, "tax": float, "gross": float, "n": int,
        "city": str, "since": datetime,
    },
    event_time="at",
)  # fmt: skip
CHECKS = [
    Check.not_null("card_id"),
    Check.not_null("city", share=0.2),
    Check.between("net", 0, 100),
    Check.between("n", 1),
    Check.between("since", START, START + timedelta(days=1)),
    Check.in_set("city", ["Bonn", "Köln"]),
    Check.matches("pay_id", r"p\d+"),
    Check.unique("pay_id"),
    Check.unique("card_id", "n"),
    Check.monotonic("since"),
    Check.sums_to(["net", "tax"], "gross", within=1e-9),
    Check.expr((PAYS.gross >= PAYS.net) | PAYS.net.is_null()),
    Check.row_count(900, 1100),
    Check.change_of_count(0.1),
    Check.mean_between("net", 40, 60),
    Check.fresh("2h"),
]


def clean() -> pa.Table:
    net = np.linspace(0, 100, ROWS)
    return pa.table(
        {
            "pay_id": [f"p{n}" for n in range(ROWS)],
            "card_id": [f"c{n % 50}" for n in range(ROWS)],
            "net": net,
            "tax": net * 0.25,
            "gross": net + net * 0.25,
            "n": list(range(1, ROWS + 1)),
            "city": [None if n % 10 == 0 else ("Bonn", "Köln")[n % 2] for n in range(ROWS)],
            "since": pa.array([START + timedelta(minutes=n) for n in range(ROWS)], pa.timestamp("us", "UTC")),
        }
    )  # fmt: skip


def changed(
    name: str, value: Callable[[list[object]], list[object]]
) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        at = table.column_names.index(name)
        column = pa.array(value(table[name].to_pylist()), table[name].type)
        return table.set_column(at, name, column)

    return change


def at(place: int, value: object) -> Callable[[list[object]], list[object]]:
    return lambda values: [*values[:place], value, *values[place + 1 :]]


FAULTS = {
    "a null key": (changed("card_id", at(7, None)), {"not_null"}),
    "a column of nulls": (changed("card_id", lambda v: [None] * len(v)), {"not_null"}),
    "too many nulls": (changed("city", lambda v: [None] * 300 + v[300:]), {"not_null"}),
    "a negative amount": (changed("net", at(3, -0.01)), {"between", "sums_to"}),
    "an amount in cents": (changed("net", lambda v: [x * 100 for x in v]), {"between", "sums_to", "expr", "mean_between"}),
    "an infinite amount": (changed("net", at(3, float("inf"))), {"between", "sums_to", "expr", "mean_between"}),
    "a count of zero": (changed("n", at(500, 0)), {"between"}),
    "a date of 1970": (changed("since", at(0, datetime(1970, 1, 1, tzinfo=UTC))), {"between"}),
    "a date of the future": (changed("since", at(ROWS - 1, START + timedelta(days=99))), {"between"}),
    "an unknown category": (changed("city", at(5, "Berlin")), {"in_set"}),
    "another case": (changed("city", at(5, "bonn")), {"in_set"}),
    "an id of another form": (changed("pay_id", at(9, "pay-9")), {"matches"}),
    "an empty id": (changed("pay_id", at(9, "")), {"matches"}),
    "an id twice": (changed("pay_id", at(9, "p8")), {"unique"}),
    "a row twice": (lambda t: pa.concat_tables([t, t.slice(ROWS - 1)]), {"unique"}),
    "rows out of order": (lambda t: pa.concat_tables([t.slice(500), t.slice(0, 500)]), {"monotonic"}),
    "a total that is off": (changed("gross", at(4, 17.0)), {"sums_to"}),
    "gross below net": (changed("gross", at(999, 5.0)), {"sums_to", "expr"}),
    "half of the rows": (lambda t: t.slice(0, 500), {"row_count", "change_of_count", "mean_between"}),
    "no rows": (lambda t: t.slice(0, 0), {"row_count", "change_of_count", "mean_between", "fresh"}),
    "a shifted mean": (changed("net", lambda v: [x * 0.5 for x in v]), {"mean_between", "sums_to"}),
    "values swapped": (changed("tax", lambda v: v[::-1]), {"sums_to"}),
}  # fmt: skip


def results(table: pa.Table, chunks: int = 3, age: int = 3_600_000_000) -> list[CheckResult]:
    """What all checks find, the rows taken in some chunks."""
    newest = to_micros(START)
    tally = Tally(CHECKS, of="pays", now=newest + age, before=ROWS)
    size = -(-max(table.num_rows, 1) // chunks)
    for start in range(0, table.num_rows, size):
        part = table.slice(start, size)
        tally.add(part, np.full(part.num_rows, newest))
    return tally.results()


@pytest.mark.parametrize("chunks", [1, 3, 250])
def test_clean_data_raises_no_alarm(chunks: int) -> None:
    assert [str(each) for each in results(clean(), chunks) if not each.ok] == []


def test_there_are_twenty_faults_and_every_kind_is_among_the_checks() -> None:
    assert len(FAULTS) >= 20
    assert len({check.kind for check in CHECKS}) == 12
    caught = {kind for _, kinds in FAULTS.values() for kind in kinds}
    assert caught == {check.kind for check in CHECKS}


@pytest.mark.parametrize("chunks", [1, 3, 250])
@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_caught_by_its_checks_and_by_no_other(name: str, chunks: int) -> None:
    fault, kinds = FAULTS[name]
    failed = {each.kind for each in results(fault(clean()), chunks) if not each.ok}
    assert failed == kinds


def test_rows_that_come_late_are_not_fresh() -> None:
    failed = [each for each in results(clean(), age=3 * 3_600_000_000) if not each.ok]
    assert [each.kind for each in failed] == ["fresh"]
    assert "3h old" in failed[0].found


def test_failing_rows_are_counted_and_some_shown() -> None:
    table = changed("net", lambda v: [-1.0, -2.0, -3.0, -4.0, *v[4:]])(clean())
    (found,) = [each for each in results(table) if each.check == "net between 0 and 100"]
    assert (found.rows, found.failing, found.examples) == (ROWS, 4, ("-1.0", "-2.0", "-3.0"))
    assert str(found).endswith("4 of 1,000 rows fail, such as -1.0, -2.0, -3.0")


def test_a_share_may_fail() -> None:
    for failing, ok in ((10, True), (11, False)):
        tally = Tally([Check.between("x", 0, share=0.01)], of="x")
        tally.add(pa.table({"x": [-1] * failing + [1] * (ROWS - failing)}))
        assert tally.results()[0].ok is ok


def test_nulls_fail_not_null_alone() -> None:
    table = pa.table({name: pa.nulls(4, clean()[name].type) for name in clean().column_names})
    tally = Tally([check for check in CHECKS if check.is_of_rows], of="pays")
    tally.add(table)
    assert {each.kind for each in tally.results() if not each.ok} == {"not_null"}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda: Check.between("x"), DefinitionError),
        (lambda: Check.row_count(), DefinitionError),
        (lambda: Check.matches("x", "("), DefinitionError),
        (lambda: Check.not_null("x", share=1.5), DefinitionError),
        (lambda: Check.not_null("x", action="keep"), DefinitionError),
        (lambda: Check.expr(PAYS.net), DefinitionError),
        (lambda: source_with(Check.not_null("nobody")), UnknownName),
        (lambda: source_with(Check.between("city", 1)), DefinitionError),
        (lambda: source_with(Check.between("n", "many")), DefinitionError),
        (lambda: source_with(Check.matches("n", "1")), DefinitionError),
        (lambda: source_with(Check.mean_between("city", 0, 1)), DefinitionError),
        (lambda: source_with("not null"), DefinitionError),
    ],
)
def test_a_wrong_check_is_an_error_at_definition(wrong: Callable[[], object], error: type) -> None:
    with pytest.raises(error):
        wrong()


def source_with(check: object) -> sl.Source:
    return sl.Source("pays", schema={"city": str, "n": int}, event_time="at", checks=[check])


def test_checks_survive_the_registry() -> None:
    source = sl.Source("pays", schema=PAYS.schema, event_time="at", checks=CHECKS)
    again = sl.Source.from_dict(source.to_dict())
    assert again.checks == source.checks
    assert [str(each) for each in again.checks] == [str(each) for each in source.checks]


def test_checks_change_no_version() -> None:
    card = sl.Entity("card", card_id=str)
    plain = sl.Source("pays", schema=PAYS.schema, event_time="at")
    checked = sl.Source("pays", schema=PAYS.schema, event_time="at", checks=CHECKS)
    one, other, third = (
        sl.FeatureView(
            "V", entity=card, source=source, features={"s": source.net.sum("1h")}, **more
        )
        for source, more in ((plain, {}), (checked, {}), (plain, {"checks": [Check.not_null("s")]}))
    )
    assert one.fingerprint == other.fingerprint == third.fingerprint


def test_what_is_said_of_a_column_is_checked() -> None:
    said = sl.Column(float, "what was paid", between=(0, 10), nulls=False)
    source = sl.Source(
        "pays", schema={"net": said, "city": sl.Column(str, in_set=["Bonn"])}, event_time="at"
    )
    kinds = [str(check) for check in source.checks]
    assert kinds == ["net not null", "net between 0.0 and 10.0", "city in Bonn"]
