"""Limits of what is pushed: keys, cells and lines, what compressed files stand for."""

import gzip
import zipfile

import pyarrow as pa
import pytest

import skewless as sl
from skewless.errors import InputError
from skewless.ingest.validation import MOST_KEY_BYTES
from skewless.stores.offline.tables import csv_lines
from skewless.stores.offline.tables.csv import CSVReader
from tests.shop import NOON, open_store, pay, payments, rows_of, spend_of

LONG = "k" * (MOST_KEY_BYTES + 1)


@pytest.fixture
def fs(tmp_path):
    with open_store(tmp_path / "repo", spend_of(payments(row_id="pay_id"))) as fs:
        yield fs


@pytest.mark.parametrize("form", [list, pa.Table.from_pylist])
def test_a_row_whose_key_is_too_long_is_set_aside_alone(fs, form):
    rows = [pay("a", NOON), pay("b", NOON, card_id=LONG), pay(LONG, NOON), pay("d", NOON),
            pay("e", NOON, card_id=LONG[1:]), pay("f", NOON, city=LONG)]  # fmt: skip
    result = fs.push("pays", form(rows))
    assert result.accepted == 4
    assert [(each.row, each.reason[:30]) for each in result.quarantined] == [
        (1, "card_id: a key of 65,537 bytes"), (2, "pay_id: a key of 65,537 bytes,"),
    ]  # fmt: skip
    assert {row.values["pay_id"] for row in rows_of(fs, "pays")} == {"a", "d", "e", "f"}
    found = fs.get_online_features("Spend", [{"card_id": LONG}, {"card_id": LONG[1:]}])
    assert [row[0] for row in found.statuses] == [sl.Status.UNKNOWN, sl.Status.PRESENT]


def test_rows_are_numbered_as_they_came_where_others_were_refused_before(fs):
    rows = [
        pay("a", NOON, amount="x"),
        pay("b", NOON),
        pay("c", NOON, card_id=LONG),
        pay("d", NOON, amount="y"),
    ]
    assert [each.row for each in fs.push("pays", rows).quarantined] == [0, 2, 3]


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zip"])
def test_a_table_whose_header_never_ends_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(csv_lines, "MOST_LINE", 100_000)
    whole = b"x" * 3_000_000
    if name.endswith("gz"):
        with gzip.open(tmp_path / name, "wb") as file:
            file.write(whole)
    else:
        with zipfile.ZipFile(tmp_path / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("t.csv", whole)
    with pytest.raises(InputError, match="too long"):
        CSVReader(sl.CSV(name), tmp_path).schema()


def test_a_row_that_is_no_csv_names_its_line():
    with pytest.raises(InputError, match=r"file, line 2"):
        list(csv_lines.rows(iter(["a,b\n", "c\rd,e\n"]), ",", "file"))


def test_the_quarantine_shows_what_was_too_long(fs):
    fs.push("pays", [pay("a", NOON), pay("b", NOON, card_id=LONG)])
    (kept,) = fs.quarantine("pays")
    assert len(kept.values) <= 2_000
