"""push, delete and quarantine."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from skewless.errors import StoreError
from skewless.store import FeatureStore
from tests.cli.running import Run, data_of, ran

ROWS = [
    {"payment_id": "n1", "card_id": "c1", "amount": 5.0, "country": "DE", "declined": False},
    {"payment_id": "n2", "card_id": "007", "amount": 7.5, "country": None, "declined": True},
]
AT = "2026-01-31T10:00:00Z"
ROWS = [row | {"paid_at": AT} for row in ROWS]
CSV = (
    "payment_id,card_id,amount,country,declined,paid_at\n"
    f"n1,c1,5,DE,false,{AT}\n"
    f"n2,007,7.5,,true,{AT}\n"
)
LINES = "".join(json.dumps(row) + "\n" for row in ROWS)


def pushed(run: Run, name: str, *words: str, **options: object) -> dict:
    return data_of(run("push", "payments", name, "--backdate", "--json", *words, **options))


def amount_of(run: Run, card: str) -> object:
    found = data_of(run("get", "Spend:usual_amount", f"card_id={card}", "--json"))
    return found["rows"][0]["features"]["usual_amount"]["value"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.jsonl", LINES),
        ("rows.ndjson", "\ufeff" + LINES),
        ("rows.json", json.dumps(ROWS)),
        ("rows.json", json.dumps(ROWS, indent=2)),
        ("rows.csv", CSV),
        ("rows.csv", CSV.replace("\n", "\r\n")),
        ("rows.tsv", CSV.replace(",", "\t")),
    ],
)
def test_rows_of_every_text_format_go_in(run: Run, shop: Path, name: str, text: str) -> None:
    (shop / name).write_text(text, encoding="utf-8", newline="")
    found = pushed(run, name)
    assert (found["accepted"], found["quarantined"]) == (2, [])
    assert amount_of(run, "007") == 7.5


def test_gzipped_rows_go_in(run: Run, shop: Path) -> None:
    (shop / "rows.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert pushed(run, "rows.csv.gz")["accepted"] == 2


def test_rows_of_parquet_go_in(run: Run, shop: Path) -> None:
    table = pa.Table.from_pylist(ROWS)
    at = table["paid_at"].cast(pa.timestamp("us", "UTC"))
    place = table.column_names.index("paid_at")
    pq.write_table(table.set_column(place, "paid_at", at), shop / "r.parquet")
    assert pushed(run, "r.parquet")["accepted"] == 2


@pytest.mark.parametrize("text", [LINES, json.dumps(ROWS)])
def test_rows_of_stdin_go_in(run: Run, text: str) -> None:
    assert pushed(run, "-", input=text)["accepted"] == 2


def test_file_of_nothing_pushes_nothing(run: Run, shop: Path) -> None:
    (shop / "empty.jsonl").write_text("")
    assert pushed(run, "empty.jsonl")["handed_in"] == 0


def test_same_rows_again_are_duplicates_and_changed_ones_corrections(run: Run) -> None:
    pushed(run, "-", input=LINES)
    again = pushed(run, "-", input=LINES)
    assert (again["accepted"], again["duplicates"]) == (0, 2)
    now = json.dumps(ROWS[1] | {"amount": 9.0})
    corrected = data_of(run("push", "payments", "-", "--json", input=now))
    assert (corrected["accepted"], corrected["corrections"]) == (1, 1)
    assert amount_of(run, "007") == 9.0


def test_bad_rows_are_quarantined_with_reasons_and_the_rest_goes_in(run: Run) -> None:
    bad = json.dumps(ROWS[0] | {"amount": "lots"})
    result = ran(run("push", "payments", "-", input=LINES + bad + "\nnot json\n"))
    assert "payments: 2 rows accepted, 0 corrections, 0 duplicates, 2 quarantined." in result.stdout
    assert "row 2: amount: 'lots' (str) is no Float64" in result.stdout
    found = data_of(run("quarantine", "payments", "--json"))
    assert {"not json" in entry["values"] for entry in found} == {True, False}
    assert "'lots'" in ran(run("quarantine", "payments")).stdout


def test_strict_says_no_when_rows_were_quarantined(run: Run) -> None:
    bad = json.dumps(ROWS[0] | {"amount": "lots"})
    ran(run("push", "payments", "-", "--strict", input=bad), 1)
    ran(run("push", "payments", "-", "--strict", input=LINES))


def test_csv_cell_of_another_type_is_quarantined_alone(run: Run) -> None:
    text = CSV + f"n3,c1,cheap,DE,false,{AT}\nn4,c1,1,DE,perhaps,{AT}\nn5,c1,1\n"
    found = pushed(run, "-", "--format", "csv", input=text)
    assert found["accepted"] == 2
    assert [entry["row"] for entry in found["quarantined"]] == [2, 3, 4]


def test_naive_time_is_quarantined_with_a_hint(run: Run) -> None:
    row = json.dumps(ROWS[0] | {"paid_at": "2026-01-31T10:00:00"})
    words = ("push", "payments", "-", "--backdate", "--json")
    (entry,) = data_of(run(*words, input=row), 1)["quarantined"]
    assert "time zone" in entry["reason"]


def test_push_of_which_no_row_came_in_says_so_with_its_exit_code(run: Run) -> None:
    row = json.dumps(ROWS[0] | {"amount": "much"})
    assert "1 quarantined" in ran(run("push", "payments", "-", input=row), 1).stdout
    both = row + "\n" + json.dumps(ROWS[1])
    ran(run("push", "payments", "-", "--backdate", input=both))


def test_rows_are_pushed_in_batches_with_true_positions(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.cli.inputs.BATCH_ROWS", 3)
    rows = [ROWS[0] | {"payment_id": f"m{n}", "amount": "?" if n == 7 else n} for n in range(10)]
    found = pushed(run, "-", input=json.dumps(rows))
    assert (found["handed_in"], found["accepted"]) == (10, 9)
    assert [entry["row"] for entry in found["quarantined"]] == [7]


def test_skip_leaves_the_first_rows_out(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skewless.cli.inputs.BATCH_ROWS", 2)
    rows = [ROWS[0] | {"payment_id": f"m{n}"} for n in range(5)]
    assert pushed(run, "-", "--skip", "3", input=json.dumps(rows))["accepted"] == 2


@pytest.mark.parametrize(
    ("problem", "code"), [(StoreError("the disk is full"), 2), (KeyboardInterrupt(), 130)]
)
def test_push_that_stops_halfway_says_where_to_go_on(
    run: Run, monkeypatch: pytest.MonkeyPatch, problem: BaseException, code: int
) -> None:
    monkeypatch.setattr("skewless.cli.inputs.BATCH_ROWS", 2)
    real, calls = FeatureStore.push, []

    def push(*arguments: object, **options: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise problem
        return real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FeatureStore, "push", push)
    rows = [ROWS[0] | {"payment_id": f"m{n}"} for n in range(5)]
    result = ran(run("push", "payments", "-", input=json.dumps(rows)), code)
    assert "The first 2 rows went in; go on with --skip 2." in result.stderr


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("rows.xml", b"<a/>", "--format json"),
        ("rows.parquet", b"PAR1 not really", "not Parquet that can be read"),
        ("rows.json", b"[{", "not JSON"),
        ("rows.csv", b"\xff\xfe\x00", "not text in UTF-8"),
        ("rows.csv.gz", b"plain", "not text in UTF-8"),
        ("rows.csv", b"payment_id,colour\n1,2\n", "has no column 'colour'"),
        ("rows.jsonl", b'{"payment_id": "x"}', "lacks the column 'paid_at'"),
    ],
)
def test_file_that_cannot_be_read_is_an_error(
    run: Run, shop: Path, name: str, content: bytes, said: str
) -> None:
    (shop / name).write_bytes(content)
    assert said in ran(run("push", "payments", name), 2).stderr


def test_unknown_source_is_an_error_that_names_the_closest(run: Run) -> None:
    result = ran(run("push", "payment", "data/payments.csv"), 2)
    assert "Did you mean 'payments'?" in result.stderr


def test_deleted_rows_count_no_more(run: Run) -> None:
    pushed(run, "-", input=LINES)
    assert data_of(run("delete", "payments", "n2", "--json"))["deleted"] == 1
    assert amount_of(run, "007") is None
    assert "payments: 0 rows deleted." in ran(run("delete", "payments", "n2")).stdout


def test_quarantine_is_paged_and_purged(run: Run) -> None:
    bad = "".join(json.dumps(ROWS[0] | {"amount": f"lots {n}"}) + "\n" for n in range(3))
    ran(run("push", "payments", "-", input=bad), 1)
    first, *rest = data_of(run("quarantine", "payments", "--json"))
    assert data_of(run("quarantine", "payments", "--after", first["id"], "--json")) == rest
    assert run("quarantine", "payments", "--before", "2026-01-01T00:00:00Z").exit_code == 2
    assert (
        "0 rows purged"
        in ran(run("quarantine", "payments", "--purge", "--before", "2001-01-01T00:00:00Z")).stdout
    )
    assert data_of(run("quarantine", "payments", "--purge", "--json")) == {"purged": len(rest) + 1}
    assert "older rows dropped" in ran(run("quarantine", "payments")).stdout


def test_quarantine_of_nothing_says_so(run: Run) -> None:
    assert "no rows are quarantined" in ran(run("quarantine", "payments")).stdout
    assert data_of(run("quarantine", "payments", "--json")) == []
