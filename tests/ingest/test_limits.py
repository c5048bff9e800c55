"""Limits of what is pushed: keys, cells and lines, what compressed files stand for."""

import csv
import gzip
import zipfile

import pyarrow as pa
import pytest

import skewless as sl
from skewless.cli import inputs
from skewless.errors import InputError
from skewless.ingest.validation import MOST_KEY_BYTES
from skewless.stores.offline.tables import _csv_lines
from skewless.stores.offline.tables.csv import CSVReader
from tests.cli.conftest import filled_shop, run, shop  # noqa: F401
from tests.cli.running import data_of
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


def test_a_cell_may_be_larger_than_the_standard_library_lets_it(tmp_path, run):
    before = csv.field_size_limit(131_072)
    try:
        (tmp_path / "wide.csv").write_text(
            f"payment_id,card_id,amount,country,paid_at\nw1,c1,1,{'x' * 200_000},2026-01-31T10:00:00Z\n"
        )
        done = data_of(run("push", "payments", str(tmp_path / "wide.csv"), "--json", "--backdate"))
    finally:
        csv.field_size_limit(before)
    assert done["accepted"] == 1


@pytest.mark.parametrize("name", ["one.csv", "one.csv.gz", "one.json.gz"])
def test_a_line_without_end_is_refused_before_it_is_in_memory(tmp_path, run, monkeypatch, name):
    monkeypatch.setattr(_csv_lines, "MOST_LINE", 1_000_000)
    opened = gzip.open if name.endswith("gz") else open
    with opened(tmp_path / name, "wb") as file:
        for _ in range(20):
            file.write(b"x" * 1_000_000)
    result = run("push", "payments", str(tmp_path / name))
    assert result.exit_code == 2
    assert "a line that is too long" in result.stderr


def test_a_json_text_without_end_is_refused(tmp_path, run, monkeypatch):
    monkeypatch.setattr(inputs, "MOST_JSON", 10_000)
    (tmp_path / "rows.json").write_text("[\n" + " " * 10_001 + "]")
    result = run("push", "payments", str(tmp_path / "rows.json"))
    assert result.exit_code == 2
    assert "too long" in result.stderr


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 10_000, '{"a":' * 50_000])
def test_json_beyond_what_python_reads_is_no_crash(tmp_path, run, text):
    (tmp_path / "rows.json").write_text(text + "\n")
    result = run("push", "payments", str(tmp_path / "rows.json"))
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zip"])
def test_a_table_whose_header_never_ends_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr(_csv_lines, "MOST_LINE", 100_000)
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
        list(_csv_lines.rows(iter(["a,b\n", "c\rd,e\n"]), ",", "file"))


def test_the_quarantine_shows_what_was_too_long(fs):
    fs.push("pays", [pay("a", NOON), pay("b", NOON, card_id=LONG)])
    (kept,) = fs.quarantine("pays")
    assert len(kept.values) <= 2_000
