"""Twenty faults that feeds have had are each caught by the check that is meant for it; clean data is not."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.testing.clock import SettableClock
from tests.shop import MINUTE, NOON

ROWS = 500
Rows = list[dict[str, Any]]


def clean() -> Rows:
    """Payments of eight hours, one a minute, the newest a minute old."""
    start = NOON - ROWS * MINUTE
    return [
        {
            "pay_id": f"p{number:06d}",
            "card_id": f"c{number % 40}",
            "net": 10.0 + number % 7,
            "tax": 2.0,
            "gross": 12.0 + number % 7,
            "kind": ("card", "cash", "transfer")[number % 3],
            "note": None if number % 50 == 0 else "ok",
            "opened": float(number),
            "closed": float(number + 1),
            "counter": number,
            "at": from_micros(start + number * MINUTE),
        }
        for number in range(ROWS)
    ]


CHECKS = {
    "not_null card": sl.Check.not_null("card_id"),
    "not_null note": sl.Check.not_null("note", share=0.05),
    "between": sl.Check.between("net", 0.0, 100.0),
    "in_set": sl.Check.in_set("kind", ["card", "cash", "transfer"]),
    "matches": sl.Check.matches("pay_id", r"p\d{6}"),
    "unique": sl.Check.unique("pay_id"),
    "monotonic": sl.Check.monotonic("counter"),
    "sums_to": sl.Check.sums_to(["net", "tax"], "gross", within=0.001),
    "row_count": sl.Check.row_count(100, 2_000),
    "change_of_count": sl.Check.change_of_count(0.5),
    "mean_between": sl.Check.mean_between("net", 12.0, 14.0),
    "fresh": sl.Check.fresh("30m"),
}


def each(column: str, change: Callable[[Any], Any], every: int = 25) -> Callable[[Rows], Rows]:
    """Change a column of some rows."""

    def changed(rows: Rows) -> Rows:
        return [
            row | {column: change(row[column])} if number % every == 3 % every else row
            for number, row in enumerate(rows)
        ]

    return changed


def swapped(rows: Rows) -> Rows:
    return [*rows[:10], rows[11], rows[10], *rows[12:]]


FAULTS: list[tuple[str, str, Callable[[Rows], Rows]]] = [
    ("a key goes missing", "not_null card", each("card_id", lambda _: None)),
    ("one key goes missing", "not_null card", each("card_id", lambda _: None, ROWS)),
    ("a column is emptied by half", "not_null note", each("note", lambda _: None, 4)),
    ("a sign is flipped", "between", each("net", lambda net: -net)),
    ("amounts are in cents", "between", each("net", lambda net: net * 100, 1000)),
    ("a number becomes infinite", "between", each("net", lambda _: float("inf"), ROWS)),
    ("a new category comes", "in_set", each("kind", lambda _: "crypto")),
    ("a category changes its case", "in_set", each("kind", str.upper)),
    ("a category gets a blank", "in_set", each("kind", lambda kind: f"{kind} ", ROWS)),
    ("ids lose their zeros", "matches", each("pay_id", lambda name: name.replace("0", ""))),
    ("ids get a suffix", "matches", each("pay_id", lambda name: f"{name}\n", ROWS)),
    ("a file is delivered twice", "unique", lambda rows: [*rows, *rows[:20]]),
    ("a single row comes twice", "unique", lambda rows: [*rows, rows[7]]),
    ("rows come out of order", "monotonic", swapped),
    ("a counter starts anew", "monotonic", each("counter", lambda _: 0)),
    ("a tax is forgotten", "sums_to", each("gross", lambda gross: gross - 2.0)),
    ("a file is cut off", "row_count", lambda rows: rows[-50:]),
    ("half of the shops are missing", "change_of_count", lambda rows: rows[::3]),
    ("prices creep up", "mean_between", each("net", lambda net: net + 2.0, 1)),
    ("the feed stands still", "fresh",
     lambda rows: [row | {"at": row["at"] - timedelta(hours=2)} for row in rows]),
]  # fmt: skip


class Feed:
    """A table that is written anew, and the checks of its source."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "pays.parquet"
        self.write(clean())
        columns = dict.fromkeys(("pay_id", "card_id", "kind", "note"), str)
        numbers = dict.fromkeys(("net", "tax", "gross", "opened", "closed"), float)
        pays = sl.Source(
            "pays",
            schema={**columns, **numbers, "counter": int},
            event_time="at",
            table=sl.Parquet(str(self.file)),
            checks=list(CHECKS.values()),
        )
        view = sl.FeatureView(
            "Spend",
            entity=sl.Entity("card", card_id=str),
            source=pays,
            features={"total": pays.net.sum("1h")},
        )
        (folder / "repo").mkdir()
        self.fs = sl.FeatureStore(folder / "repo", clock=SettableClock(NOON))
        self.fs.apply(view)

    def write(self, rows: Rows) -> None:
        self.file.unlink(missing_ok=True)
        schema = pa.Table.from_pylist(clean()).schema
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), self.file)

    def failing(self) -> set[str]:
        report = self.fs.check("pays")
        names = {str(check): name for name, check in CHECKS.items()}
        return {names[result.check] for result in report.failed}


@pytest.fixture
def feed(tmp_path: Path) -> Iterator[Feed]:
    made = Feed(tmp_path)
    with made.fs:
        yield made


def test_there_are_twenty_faults_and_a_check_for_each() -> None:
    assert len({name for name, _, _ in FAULTS}) == 20
    assert {check for _, check, _ in FAULTS} == set(CHECKS)


def test_clean_data_fails_no_check_however_often_it_is_looked_at(feed: Feed) -> None:
    assert feed.failing() == set()
    feed.write(clean())
    assert feed.failing() == set()


@pytest.mark.parametrize(("name", "check", "fault"), FAULTS, ids=[name for name, _, _ in FAULTS])
def test_each_fault_is_caught(feed: Feed, name: str, check: str, fault: Any) -> None:
    assert feed.failing() == set()
    feed.write(fault(clean()))
    assert check in feed.failing(), name
