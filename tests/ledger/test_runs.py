"""Every job that runs is in the ledger, with what became of it; recording fails no job."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import SkewlessError, UnknownName
from skewless.ledger.runs import run, runs
from tests.shop import NOON, open_store, pay, payments, spend_of


@pytest.fixture
def fs(tmp_path: Path) -> sl.FeatureStore:
    fs = open_store(tmp_path / "shop", spend_of(payments(row_id="pay_id")), build=True)
    fs.push("pays", [pay("p1", NOON - 5)])
    return fs


def test_jobs_are_in_the_ledger_newest_first(fs: sl.FeatureStore) -> None:
    fs.materialize("Spend")
    fs.backfill()
    fs.compact("pays")
    fs.verify(seed=1)
    found = {each.job: each for each in fs.runs()}
    assert list(found) == ["verify", "compact", "backfill", "materialize", "apply"]
    assert {each.status for each in found.values()} == {"done"}
    assert found["materialize"].about == {"views": ["Spend"]}
    assert found["compact"].result == {"rows": {"pays": 1}}
    assert found["backfill"].result["tables"][0]["entities"] == 1
    assert found["verify"].result["ok"] is True
    assert found["apply"].result == {"revision": 1}
    assert [each.job for each in fs.runs("compact")] == ["compact"]
    assert fs.runtime.ledger.verify().ok


def test_a_job_that_fails_says_why(fs: sl.FeatureStore) -> None:
    with pytest.raises(UnknownName):
        fs.materialize("Spent")
    newest = fs.runs()[0]
    assert (newest.job, newest.status) == ("materialize", "failed")
    assert newest.error is not None
    assert newest.error["error"] == "UnknownName"


def test_what_a_job_calls_is_no_run_of_its_own(fs: sl.FeatureStore) -> None:
    before = len(fs.runs())
    fs.backfill()
    assert len(fs.runs()) == before + 1


def test_a_run_whose_process_was_killed_is_seen(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys, skewless as sl\n"
        "from skewless.ledger.runs import run\n"
        "fs = sl.FeatureStore(sys.argv[1])\n"
        "with run(fs.runtime.ledger, 'compact', {}):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=False)
    with sl.FeatureStore(tmp_path) as fs:
        (found,) = fs.runs()
        assert (found.status, found.ended, found.seconds) == ("killed", None, None)
        with run(fs.runtime.ledger, "verify", {}):
            assert [each.status for each in fs.runs()] == ["running", "killed"]


def test_a_ledger_that_cannot_be_written_fails_no_job_and_the_gap_is_told(
    fs: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
        assert fs.runtime.ledger.record("check", {"view": "Spend"}) is None
        assert fs.runtime.ledger.record("check", {"view": "Spend"}) is None
    assert fs.runtime.ledger.dropped == 2
    fs.compact()
    (gap,) = fs.runtime.ledger.records(kinds=["gap"])
    assert gap.data == {"dropped": 2}
    assert fs.runtime.ledger.dropped == 0
    assert fs.runtime.ledger.verify().ok


def test_a_registry_that_cannot_keep_the_head_fails_no_job(
    fs: sl.FeatureStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise SkewlessError("the registry cannot be reached")

    monkeypatch.setattr(fs.runtime.registry, "set_progress", refuse)
    fs.compact()
    assert fs.runs()[0].status == "done"


def test_projects_have_ledgers_of_their_own(tmp_path: Path) -> None:
    for project in ("one", "two"):
        with open_store(tmp_path, project=project) as fs:
            with run(fs.runtime.ledger, project, {}):
                pass
            assert [each.job for each in fs.runs()] == [project]
            assert fs.runtime.ledger.verify().records == 2


def test_a_chain_of_another_host_is_not_taken_for_removed(fs: sl.FeatureStore) -> None:
    fs.runtime.registry.set_progress("ledger/db2", {"seal": "0" * 63 + "1", "n": 7, "file": 1})
    report = fs.runtime.ledger.verify()
    assert (report.ok, report.elsewhere) == (True, ["db2"])


def test_removed_files_are_named(fs: sl.FeatureStore) -> None:
    for file in fs.runtime.ledger.chain.files():
        file.unlink()
    report = fs.runtime.ledger.verify()
    assert not report.ok
    assert "the newest are gone" in str(report)


def test_reads_are_not_recorded(fs: sl.FeatureStore) -> None:
    before = fs.runtime.ledger.verify().records
    fs.get_online_features("Spend", [{"card_id": "c1"}])
    fs.push("pays", [pay("p2", NOON - 4)])
    assert fs.runtime.ledger.verify().records == before
    assert runs(fs.runtime.ledger)[0].job == "apply"
