"""get, historical, read, explain, status, search, statistics and leakage."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.cli.running import Run, data_of, ran, run_in


def test_get_prints_value_status_and_age_in_columns(run: Run) -> None:
    lines = ran(run("get", "fraud_model", "card_id=c4")).stdout.splitlines()
    assert lines[0] == "card_id=c4"
    assert lines[1].split() == ["feature", "value", "status", "age"]
    status = lines[1].index("status")
    assert {line[status:].split()[0] for line in lines[2:]} == {"present"}


def test_get_of_an_unknown_entity_says_unknown(run: Run) -> None:
    found = data_of(run("get", "fraud_model", "card_id=nobody", "--json"))
    features = found["rows"][0]["features"]
    assert {feature["status"] for feature in features.values()} == {"unknown"}
    assert {feature["event_time"] for feature in features.values()} == {None}


def test_get_takes_a_view_references_and_a_service(run: Run) -> None:
    by_service = data_of(run("get", "fraud_model", "card_id=c1", "--json"))["rows"]
    by_view = data_of(run("get", "Spend", "card_id=c1", "--json"))["rows"]
    two = data_of(run("get", "Spend:jump,Spend@v1:usual_amount", "card_id=c1", "--json"))["rows"]
    assert by_service == by_view
    assert list(two[0]["features"]) == ["jump", "usual_amount"]


def test_get_of_several_entities_keeps_their_order(run: Run, shop: Path) -> None:
    (shop / "cards.json").write_text(json.dumps([{"card_id": c} for c in ("c3", "c1", "c3")]))
    found = data_of(run("get", "Spend", "--entities", "cards.json", "--json"))
    assert [row["entity"]["card_id"] for row in found["rows"]] == ["c3", "c1", "c3"]
    assert (
        ran(run("get", "Spend", "card_id=c5", "--entities", "cards.json")).stdout.count("card_id=")
        == 4
    )


def test_get_with_full_names_says_the_view(run: Run) -> None:
    found = data_of(run("get", "Spend:jump", "card_id=c1", "--full-names", "--json"))
    assert list(found["rows"][0]["features"]) == ["Spend__jump"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["Spend"], "no entity is asked for"),
        (["Spend", "card=c1"], "Did you mean 'card_id'?"),
        (["Spend", "c1"], "key=value"),
        (["Spend", "card_id=c1", "card_id=c2"], "given twice"),
        (["Spent", "card_id=c1"], "has no view or service 'Spent'"),
        (["Spend:jmp", "card_id=c1"], "Did you mean 'jump'?"),
        (["Spend", "card_id=c1", "--at", "2020-01-01T00:00:00Z"], ""),
        (["Spend", "card_id=c1", "--at", "2026-01-01T00:00:00"], "time zone"),
    ],
)
def test_wrong_get_is_an_error(run: Run, words: list[str], said: str) -> None:
    assert said in ran(run("get", *words), 2).stderr


def test_keys_are_read_as_the_type_they_have(tmp_path: Path) -> None:
    (tmp_path / "features.py").write_text(
        "import skewless as sl\n"
        "trip = sl.Entity('trip', driver=int, code=str)\n"
        "rides = sl.Source('rides', schema={'driver': int, 'code': str, 'km': float},"
        " event_time='at')\n"
        "@sl.feature_view(entity=trip, source=rides)\n"
        "class Rides:\n"
        "    km = rides.km.sum(last=10)\n"
    )
    ran(run_in(tmp_path, "apply", "--yes"))
    row = {"driver": 7, "code": "042", "km": 1.5, "at": datetime.now(UTC).isoformat()}
    ran(run_in(tmp_path, "push", "rides", "-", input=json.dumps(row)))
    found = data_of(run_in(tmp_path, "get", "Rides", "driver=7", "code=042", "--json"))
    assert found["rows"][0]["features"]["km"]["value"] == 1.5
    refused = ran(run_in(tmp_path, "get", "Rides", "driver=seven", "code=042"), 2)
    assert "'driver' is no Int64" in refused.stderr
    at = (datetime.now(UTC) + timedelta(seconds=1)).isoformat()
    (tmp_path / "spine.csv").write_text(f"driver,code,at\n7,042,{at}\n")
    words = ["historical", "spine.csv", "Rides", "--timestamp", "at", "--json"]
    (row,) = data_of(run_in(tmp_path, *words))["values"]
    assert (row["code"], row["km"]) == ("042", 1.5)


def test_historical_writes_the_spine_with_features(run: Run, shop: Path) -> None:
    words = ["historical", "data/labels.csv", "fraud_model", "--timestamp", "at"]
    result = ran(run(*words, "--out", "t.parquet"))
    spine = pa.csv.read_csv(shop / "data" / "labels.csv")
    written = pq.read_table(shop / "t.parquet")
    assert written.select(spine.column_names).cast(spine.schema).equals(spine)
    assert written.column_names[3:] == list(
        data_of(run("get", "Spend", "card_id=c1", "--json"))["rows"][0]["features"]
    )
    assert f"t.parquet: {len(spine)} rows x 10 columns" in result.stdout


def test_historical_reads_parquet_and_json_spines_alike(run: Run, shop: Path) -> None:
    spine = pa.csv.read_csv(shop / "data" / "labels.csv")
    pq.write_table(spine, shop / "s.parquet")
    rows = [row | {"at": row["at"].isoformat() + "Z"} for row in spine.to_pylist()]
    rows = [row | {"at": row["at"].replace("+00:00Z", "Z")} for row in rows]
    (shop / "s.json").write_text(json.dumps(rows))
    found = [
        data_of(run("historical", name, "Spend:jump", "--timestamp", "at", "--json"))["values"]
        for name in ("data/labels.csv", "s.parquet", "s.json")
    ]
    jumps = [[row["jump"] for row in rows] for rows in found]
    assert jumps[0] == jumps[1] == jumps[2]


def test_historical_as_json_says_what_it_wrote(run: Run, shop: Path) -> None:
    found = data_of(
        run("historical", "data/labels.csv", "Spend", "--timestamp", "at", "--as-of",
            "event_time", "--out", "t.csv", "--json")
    )  # fmt: skip
    assert (found["as_of"], found["out"], "values" in found) == ("event_time", "t.csv", False)
    assert (shop / "t.csv").read_text().startswith('"card_id","at","is_fraud"')


def test_historical_shows_the_first_rows_without_a_file(run: Run) -> None:
    result = ran(run("historical", "data/labels.csv", "Spend:jump", "--timestamp", "at"))
    assert result.stdout.splitlines()[0].split() == ["card_id", "at", "is_fraud", "jump"]


@pytest.mark.parametrize(
    ("spine", "words", "said"),
    [
        ("card_id,when\nc1,2026-01-01T00:00:00Z\n", ["--timestamp", "at"], "lacks the column 'at'"),
        ("at\n2026-01-01T00:00:00Z\n", ["--timestamp", "at"], "lacks the column 'card_id'"),
        ("card_id,at\nc1,2026-01-01T00:00:00\n", ["--timestamp", "at"], "time zone"),
        ("card_id,at\nc1,2026-01-01T00:00:00Z\n", ["--timestamp", "at", "--out", "x.txt"], ".csv"),
        ("card_id,at\nc1\n", ["--timestamp", "at"], "not csv that can be read"),
    ],
)
def test_wrong_spine_is_an_error(
    run: Run, shop: Path, spine: str, words: list[str], said: str
) -> None:
    (shop / "spine.csv").write_text(spine)
    assert said in ran(run("historical", "spine.csv", "Spend", *words), 2).stderr


def test_read_lists_changes_of_one_entity_or_of_all(run: Run, shop: Path) -> None:
    one = data_of(run("read", "Spend", "card_id=c4", "--json"))["values"]
    every = data_of(run("read", "Spend", "--json"))["values"]
    assert {row["card_id"] for row in one} == {"c4"}
    assert [row for row in every if row["card_id"] == "c4"] == one
    ran(run("read", "Spend@v1", "--out", "changes.parquet"))
    assert pq.read_table(shop / "changes.parquet").num_rows == len(every)


def test_read_keeps_to_the_range(run: Run) -> None:
    every = [row["at"] for row in data_of(run("read", "Spend", "--json"))["values"]]
    middle = sorted(every)[len(every) // 2]
    later = data_of(run("read", "Spend", "--start", middle, "--json"))["values"]
    assert min(row["at"] for row in later) >= middle
    assert len(later) < len(every)


def test_explain_shows_the_rows_behind_the_value(run: Run) -> None:
    text = ran(run("explain", "Spend:payments_24h", "card_id=c4")).stdout
    assert "counted" in text
    found = data_of(run("explain", "Spend:payments_24h", "card_id=c4", "--json"))
    got = data_of(run("get", "Spend:payments_24h", "card_id=c4", "--json"))
    assert found["value"] == got["rows"][0]["features"]["payments_24h"]["value"]


def test_explain_wants_a_feature(run: Run) -> None:
    assert "View:feature" in ran(run("explain", "Spend", "card_id=c4"), 2).stderr


def test_status_says_how_fresh_views_are(run: Run) -> None:
    assert "Spend@v1" in ran(run("status", "--check")).stdout
    assert data_of(run("status", "--json"))["views"][0]["view"] == "Spend"


def test_status_check_says_no_when_a_promise_is_broken(shop: Path) -> None:
    file = shop / "features.py"
    file.write_text(file.read_text().replace('freshness="1d"', 'freshness="1s"'))
    ran(run_in(shop, "apply", "--yes"))
    ran(run_in(shop, "status"))
    assert "stale" in ran(run_in(shop, "status", "--check"), 1).stdout


def test_search_finds_features_and_says_no_when_nothing_fits(run: Run) -> None:
    assert "Spend@v1:last_country" in ran(run("search", "country")).stdout
    assert data_of(run("search", "amount", "--limit", "2", "--json"))[0]["view"] == "Spend"
    found = data_of(run("search", "amount owner:nobody", "--json"), 1)
    assert found == data_of(run("search", "zzzzqqq", "--json"), 1) == []
    assert "Nothing fits." in ran(run("search", "zzzzqqq"), 1).stderr


def test_statistics_are_of_every_feature(run: Run) -> None:
    found = data_of(run("statistics", "Spend", "--json"))
    assert found["entities"] == 5
    assert "usual_amount" in ran(run("statistics", "Spend")).stdout


def test_leakage_says_no_for_values_of_after_the_label(run: Run, shop: Path) -> None:
    (shop / "train.csv").write_text(
        "spend,spend_at,at,y\n1,2026-01-02T00:00:00Z,2026-01-01T00:00:00Z,0\n"
    )
    words = ["leakage", "train.csv", "--timestamp", "at", "--label", "y"]
    found = data_of(run(*words, "--time", "spend=spend_at", "--json"), 1)
    assert (found["leaks"], found["findings"][0]["column"]) == (True, "spend")
    ran(run("leakage", "data/labels.csv", "--timestamp", "at", "--label", "is_fraud"))


def test_leakage_of_features_that_skewless_builds_is_none(run: Run) -> None:
    words = ["leakage", "data/labels.csv", "--timestamp", "at", "--features", "Spend:usual_amount"]
    assert "No leak found" in ran(run(*words)).stdout


@pytest.fixture
def labelled(shop: Path) -> str:
    """A spine of every payment, labelled by whether it was a large one."""
    rows = [line.split(",") for line in (shop / "data" / "payments.csv").read_text().split()]
    wanted = [rows[0].index(name) for name in ("card_id", "paid_at", "amount")]
    lines = ["card_id,at,large"]
    for row in rows[1:]:
        card, at, amount = (row[place] for place in wanted)
        lines.append(f"{card},{at},{int(float(amount) > 30)}")
    (shop / "spine.csv").write_text("\n".join(lines) + "\n")
    return "spine.csv"


def test_backtest_compares_three_kinds_of_features(run: Run, labelled: str) -> None:
    pytest.importorskip("sklearn", reason="scikit-learn comes with skewless[demo]")
    words = ["backtest", labelled, "Spend:usual_amount", "--timestamp", "at", "--label", "large"]
    found = data_of(run(*words, "--holdout", "0.4", "--json"))
    assert [score["kind"] for score in found["scores"]] == ["naive-latest", "event_time", "known"]
    assert found["trained"] > found["evaluated"] > 0
    assert "naive-latest" in ran(run(*words)).stdout


def test_backtest_without_its_library_says_what_to_install(
    run: Run, labelled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    words = ["backtest", labelled, "Spend", "--timestamp", "at", "--label", "large"]
    assert "pip install 'skewless[demo]'" in ran(run(*words), 2).stderr


def test_wrong_holdout_is_an_error(run: Run, labelled: str) -> None:
    words = ["backtest", labelled, "Spend", "--timestamp", "at", "--label", "large"]
    assert "between 0 and 1" in ran(run(*words, "--holdout", "2"), 2).stderr


def test_demo_without_its_libraries_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("skewless.cli.demo.NEEDED", ("no_such_library",))
    assert "pip install 'skewless[demo]'" in ran(run("demo"), 2).stderr


def test_demo_with_json_tells_its_story_on_stderr(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    import skewless.demo

    def main(folder: Path) -> dict[str, str]:
        print("reading flights")
        return {"folder": str(folder)}

    monkeypatch.setattr("skewless.cli.demo.NEEDED", ())
    monkeypatch.setattr(skewless.demo, "main", main, raising=False)
    result = run("demo", "flights", "--json")
    assert data_of(result) == {"folder": "flights"}
    assert "reading flights" in result.stderr
