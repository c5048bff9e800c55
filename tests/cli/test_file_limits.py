"""Files that stand for more than they seem: wide cells, lines and texts without an end."""

import csv
import gzip

import pytest

from skewless.cli import inputs
from skewless.stores.offline.tables import csv_lines
from tests.cli.running import data_of


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
    monkeypatch.setattr(csv_lines, "MOST_LINE", 1_000_000)
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
