"""Examples beside definitions: carried out online and in training, and explained where they fail."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.definitions.repo import Definitions
from skewless.parity.examples import run_examples
from tests.cli.running import data_of, ran, run_in

PAYS = sl.Source(
    "pays",
    schema={"id": str, "card": str, "amount": float},
    event_time="at",
    row_id="id",
    table=sl.Parquet("nowhere/"),
)
CARD = sl.Entity("card", card=str)
SPEND = sl.FeatureView(
    "Spend",
    entity=CARD,
    source=PAYS,
    features={"total": PAYS.amount.sum("1h"), "last": PAYS.amount.last_n(2), "n": PAYS.count("1d")},
)
amount = sl.Request("amount", float)


@sl.on_demand
class Ratio:
    ratio = amount / SPEND.total


DEFINED = Definitions.of(SPEND, Ratio)
ROWS = [
    {"id": "a", "card": "c", "amount": 0.1, "at": "2026-01-31T10:00:00Z"},
    {"id": "b", "card": "c", "amount": 0.2, "at": "2026-01-31T10:30:00Z"},
]


def example(expect: dict[str, Any], rows: Any = ROWS, **options: Any) -> sl.Example:
    options = {"of": SPEND, "at": "2026-01-31T10:45:00Z"} | options
    return sl.Example("an example", rows=rows, expect=expect, **options)


def result(*examples: sl.Example) -> Any:
    return run_examples(DEFINED, examples)


@pytest.mark.parametrize(
    ("expect", "options"),
    [
        ({"total": 0.3, "last": [0.1, 0.2], "n": 2}, {}),
        ({"total": 0.2}, {"at": "2026-01-31T11:00:00Z"}),
        ({"total": 0.0, "last": []}, {"given": {"card": "nobody"}}),
        ({"ratio": 10.0}, {"of": Ratio, "rows": {"pays": ROWS}, "given": {"card": "c", "amount": 3.0}}),
        ({"n": 1}, {"rows": [*ROWS[:1], ROWS[1] | {"known": "2026-01-31T10:50:00Z"}]}),
        ({"total": 5.1}, {"rows": [*ROWS, ROWS[1] | {"amount": 5.0, "known": "2026-01-31T10:40:00Z"}]}),
    ],
)  # fmt: skip
def test_what_is_as_expected_is_ok(expect: dict[str, Any], options: dict[str, Any]) -> None:
    report = result(example(expect, options.pop("rows", ROWS), **options))
    assert report.ok, str(report)


def test_one_that_fails_says_what_is_and_shows_the_rows_that_counted() -> None:
    report = result(example({"total": 7.0, "n": 2}), example({"n": 2}))
    assert not report.ok
    (wrong,) = (each for each in report.results if not each.ok)
    assert wrong.wrong["total"][0] == 7.0
    text = str(report)
    assert "total is 0.30000000000000004, expected 7.0" in text
    assert "counted" in text
    assert "2 examples: 1 ok, 1 failed." in text
    assert report.to_dict()["examples"][0]["wrong"]["total"]["expected"] == 7.0


def test_a_row_that_does_not_fit_fails_its_example_alone() -> None:
    report = result(example({"n": 1}, [ROWS[0] | {"amount": "much"}]), example({"n": 2}))
    assert [each.ok for each in report.results] == [False, True]
    assert "no Float64" in report.results[0].problem


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (lambda: example({}), "expects nothing"),
        (lambda: example({"totl": 1.0}), "Did you mean 'total'"),
        (lambda: example({"n": "many"}), "cannot be"),
        (lambda: example({"n": 1}, of="Spend"), "of no view"),
        (lambda: example({"n": 1}, at="2026-01-31T10:00:00"), "time zone"),
        (lambda: example({"n": 0}, rows=[]), "says of no entity"),
        (lambda: example({"ratio": 1.0}, of=Ratio), "no source of its own"),
    ],
)
def test_wrong_examples_are_told_where_they_are_written(made: Any, said: str) -> None:
    with pytest.raises(sl.SkewlessError) as refused:
        made()
    assert said in str(refused.value)


FILE = """
import skewless as sl

card = sl.Entity("card", card=str)
pays = sl.Source("pays", schema={"card": str, "amount": float}, event_time="at")


@sl.feature_view(entity=card, source=pays)
class Spend:
    total = pays.amount.sum("1h")


an_hour = sl.Example(
    "an hour is a window without its beginning",
    of=Spend,
    rows=[{"card": "c", "amount": 5.0, "at": "2026-01-31T10:00:00Z"}],
    at="2026-01-31T11:00:00Z",
    expect={"total": 0.0},
)
"""


def test_the_command_runs_them_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(FILE)
    assert "1 examples: 1 ok" in ran(run_in(tmp_path, "test")).stdout
    assert data_of(run_in(tmp_path, "test", "Spend", "--json"))["ok"] is True
    (tmp_path / "features.py").write_text(FILE.replace('{"total": 0.0}', '{"total": 5.0}'))
    said = ran(run_in(tmp_path, "test"), 1).stdout
    assert "expected 5.0" in said
    assert "outside the window" in said
    assert "no examples" in ran(run_in(tmp_path, "test", "Other"), 2).stderr
    assert [path.name for path in tmp_path.iterdir()] == ["features.py"]
    assert "not yet" not in ran(run_in(tmp_path, "plan")).stdout  # examples are no definitions


def test_apply_with_test_changes_nothing_where_an_example_fails(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(FILE.replace('{"total": 0.0}', '{"total": 5.0}'))
    refused = ran(run_in(tmp_path, "apply", "--yes", "--test"), 1)
    assert "expected 5.0" in refused.stderr
    assert "Nothing has changed" in refused.stderr
    assert "Spend" not in ran(run_in(tmp_path, "list")).stdout
    (tmp_path / "features.py").write_text(FILE)
    applied = run_in(tmp_path, "apply", "--yes", "--test", "--json")
    assert data_of(applied)["revision"] == 1
    assert "1 examples: 1 ok" in applied.stderr
    assert "Spend" in ran(run_in(tmp_path, "list")).stdout


def test_examples_do_not_need_the_lateness_of_a_source_to_be_passed() -> None:
    late = sl.Source(
        "late", schema={"card": str, "x": float}, event_time="at", delay=timedelta(minutes=5)
    )
    view = sl.FeatureView("Late", entity=CARD, source=late, features={"n": late.count("1h")})
    row = {"card": "c", "x": 1.0, "at": "2026-01-31T10:00:00Z"}
    shown = [
        sl.Example("delayed", of=view, rows=[row], at=at, expect={"n": count})
        for at, count in (("2026-01-31T10:04:59Z", 0), ("2026-01-31T10:05:00Z", 1))
    ]
    report = run_examples(Definitions.of(view), shown)
    assert report.ok, str(report)
