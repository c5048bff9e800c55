"""doctor: what is wrong with a set-up."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from skewless.cli import checks, store_checks
from skewless.config import Config
from tests.cli.running import data_of, ran, run_in
from tests.cli.test_upkeep import FEATURES, write


def findings(folder: Path, *words: str, code: int = 0) -> dict[str, dict[str, str]]:
    found = data_of(run_in(folder, "doctor", "--json", *words), code)
    assert found["healthy"] is (code == 0)
    return {f"{f['status']} {f['check']}": f for f in found["findings"]}


def statuses(folder: Path, code: int = 0) -> dict[str, str]:
    return {key.partition(" ")[2]: key.partition(" ")[0] for key in findings(folder, code=code)}


def test_sound_set_up_is_all_ok(shop: Path) -> None:
    assert set(statuses(shop).values()) <= {"ok"}
    result = ran(run_in(shop, "doctor", "--strict"))
    assert " 0 warn, 0 fail." in result.stdout


def test_doctor_changes_nothing_for_others(shop: Path) -> None:
    before = ran(run_in(shop, "get", "Spend:usual_amount", "card_id=c1", "--json")).stdout
    ran(run_in(shop, "doctor"))
    after = ran(run_in(shop, "get", "Spend:usual_amount", "card_id=c1", "--json")).stdout
    assert before.partition("rows")[2] == after.partition("rows")[2]


def test_repo_that_is_not_there_fails(tmp_path: Path) -> None:
    result = ran(run_in(tmp_path, "doctor", "--repo", "nowhere"), 1)
    assert "fail" in result.stdout
    assert "skewless init" in result.stdout


def test_settings_that_are_wrong_fail(shop: Path) -> None:
    (shop / "skewless.toml").write_text("projct = 'x'\n")
    assert "Did you mean 'project'?" in findings(shop, code=1)["fail settings"]["text"]


def test_nothing_applied_yet_warns(new_shop: Path) -> None:
    found = findings(new_shop)
    assert "skewless apply" in found["warn registry"]["hint"]
    assert findings(new_shop, "--strict", code=1)


def test_folder_without_definitions_warns(tmp_path: Path) -> None:
    assert "there are none" in findings(tmp_path)["warn definitions"]["text"]


def test_definitions_that_differ_from_the_registry_warn(shop: Path) -> None:
    file = shop / "features.py"
    file.write_text(file.read_text().replace('payments.count("24h")', 'payments.count("48h")'))
    assert "skewless plan" in findings(shop)["warn definitions"]["hint"]


def test_definitions_that_cannot_be_read_fail(shop: Path) -> None:
    (shop / "features.py").write_text("import skewless as sl\nsl.Entity('a b', x=str)\n")
    assert statuses(shop, code=1)["definitions"] == "fail"


def test_registry_of_a_newer_release_fails_and_stops(shop: Path) -> None:
    with closing(sqlite3.connect(shop / ".skewless" / "registry.db")) as connection, connection:
        connection.execute("UPDATE facts SET value = 99 WHERE name = 'format'")
    connection.close()
    found = statuses(shop, code=1)
    assert found["registry"] == "fail"
    assert "event log" not in found


def test_registry_that_is_damaged_fails(shop: Path) -> None:
    for rest in ("-wal", "-shm"):
        (shop / ".skewless" / f"registry.db{rest}").unlink(missing_ok=True)
    (shop / ".skewless" / "registry.db").write_bytes(b"not a database, whatever it says")
    assert "damaged" in findings(shop, code=1)["fail registry"]["text"]


def test_rows_set_aside_warn(shop: Path) -> None:
    ran(run_in(shop, "push", "payments", "-", input='{"payment_id": "x", "paid_at": "soon"}'), 1)
    assert "skewless quarantine payments" in findings(shop)["warn quarantine"]["hint"]


def test_history_pushed_without_backdate_warns_with_the_remedy(new_shop: Path) -> None:
    ran(run_in(new_shop, "apply", "--yes"))
    old = (new_shop / "data" / "payments.csv").read_text().replace("2026-", "2016-")
    assert "2016-" in old or pytest.skip("the synthetic rows lie in another year")
    (new_shop / "old.csv").write_text(old)
    ran(run_in(new_shop, "push", "payments", "old.csv"))
    assert "--backdate" in findings(new_shop)["warn known time"]["hint"]


def test_sunset_that_has_passed_warns(shop: Path) -> None:
    ran(run_in(shop, "deprecate", "Spend:jump", "use usual_amount", "--sunset", "2020-01-01"))
    assert "Spend:jump" in findings(shop)["warn sunset"]["text"]


def test_promise_of_freshness_that_is_broken_warns(shop: Path) -> None:
    file = shop / "features.py"
    file.write_text(file.read_text().replace('freshness="1d"', 'freshness="1s"'))
    ran(run_in(shop, "apply", "--yes"))
    assert "promised is 1s" in findings(shop)["warn freshness"]["text"]


def test_lost_files_of_the_event_log_fail(shop: Path) -> None:
    ran(run_in(shop, "compact"))
    files = sorted((shop / ".skewless" / "offline").rglob("*.parquet"))
    assert files
    files[0].unlink()
    assert statuses(shop, code=1)["event log"] == "fail"


@pytest.fixture
def tabled(tmp_path: Path) -> Path:
    (tmp_path / "features.py").write_text(FEATURES)
    write(tmp_path, "1.parquet", 1.0, 2.0)
    ran(run_in(tmp_path, "apply", "--yes", "--no-build"))
    return tmp_path


def test_table_that_reads_as_declared_is_counted(tabled: Path) -> None:
    found = findings(tabled)
    assert "2 rows" in found["ok table of payments"]["text"]
    assert "skewless materialize" in found["warn online states"]["hint"]
    ran(run_in(tabled, "materialize"))
    assert statuses(tabled)["online states"] == "ok"


def test_table_that_is_damaged_fails(tabled: Path) -> None:
    (tabled / "history" / "1.parquet").write_bytes(b"PAR1 and nothing else PAR1")
    assert statuses(tabled, code=1)["table of payments"] == "fail"


def test_table_whose_schema_changed_fails(tabled: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(tabled / "history" / "1.parquet")
    text = pa.array(["much", "more"])
    pq.write_table(table.set_column(1, "amount", text), tabled / "history" / "1.parquet")
    found = findings(tabled, code=1)
    assert "amount" in found["fail table of payments"]["text"]


def test_kernels_that_are_not_compiled_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("skewless.aggregations.kernels.implementation", "numpy")
    (finding,) = checks.kernels()
    assert (finding.status, "SKEWLESS_KERNELS" in finding.hint) == ("warn", True)


def test_library_that_is_missing_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "installed", lambda name: None if name == "lmdb" else "1.0")
    found = [finding for finding in checks.python() if finding.check == "libraries"]
    assert [(f.status, f.hint) for f in found] == [("fail", "Install them with: pip install lmdb")]


def test_folder_that_cannot_be_written_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> Iterator[None]:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    (finding,) = checks.folders(Config.read(tmp_path))
    assert (finding.status, "Permission denied" in finding.text) == ("fail", True)


@pytest.mark.parametrize(
    ("free", "status"), [(1 << 20, "fail"), (1 << 30, "warn"), (50 << 30, "ok")]
)
def test_disk_that_is_filling_up_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, status: str
) -> None:
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(100 << 30, 0, free))
    (finding,) = checks.folders(Config.read(tmp_path))
    assert finding.status == status


def test_slow_and_forgetful_store_warns(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shop / "skewless.toml").write_text('[online]\nkind = "memory"\n')
    monkeypatch.setattr(store_checks, "SLOW_ROUND_TRIP", 0.0)
    found = run_in(shop, "doctor", "--json")
    texts = [f["text"] for f in data_of(found)["findings"] if f["check"] == "online store"]
    assert ["round trip" in text or "lose" in text for text in texts] == [True, True]
