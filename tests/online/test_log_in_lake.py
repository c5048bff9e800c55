"""A repo whose event logs settle into a lakehouse: walls between sources, projects and journals."""

import shutil

import pytest

from skewless.errors import StoreError
from tests.online.test_removed_sources import count, other, removed
from tests.shop import NOON, cards, check_parity, open_store, pay, payments, spend_of

ALL = cards("c1", "c2", "nobody")
SPEND = spend_of(payments(row_id="pay_id"))


@pytest.fixture(params=["delta", "iceberg"])
def options(request, tmp_path):
    """Settings of a repo whose logs lie in one lake."""
    if request.param == "delta":
        pytest.importorskip("deltalake")
        return {"offline": {"log": {"kind": "delta", "path": str(tmp_path / "lake")}}}
    pytest.importorskip("pyiceberg")
    pond = {
        "type": "sql",
        "uri": f"sqlite:///{tmp_path}/catalog.db",
        "warehouse": f"file://{tmp_path}/warehouse",
    }
    log = {"kind": "iceberg", "catalog": "pond", "namespace": "logs"}
    return {"offline": {"log": log}, "connections": {"pond": pond}}


def test_a_source_that_comes_back_does_not_see_what_it_had_settled(tmp_path, options, caplog):
    with open_store(tmp_path / "repo", SPEND, other(), **options) as fs:
        fs.push("pays", [pay("a", NOON), pay("b", NOON)])
        fs.compact()
        removed(fs)
        assert [(log.source, log.rows) for log in fs.kept_rows()] == [("pays", 2)]
        fs.apply(fs.plan(SPEND, other()))
        assert count(fs) == 0
        assert fs.push("pays", [pay("a", NOON)]).accepted == 1
        fs.compact()
        check_parity(fs, SPEND, ALL)
        assert count(fs) == 1
        assert fs.drop_rows("pays") == 2
        assert "settled rows of pays are still in" in caplog.text
        check_parity(fs, SPEND, ALL)


def test_rows_in_a_lake_are_given_back_on_purpose(tmp_path, options):
    with open_store(tmp_path / "repo", SPEND, other(), **options) as fs:
        fs.push("pays", [pay("a", NOON), pay("b", NOON)])
        fs.compact()
        removed(fs)
        fs.apply(fs.plan(SPEND, other()))
        assert fs.restore_rows("pays") == 2
        assert count(fs) == 2
        check_parity(fs, SPEND, ALL)


def test_projects_on_one_lake_never_meet(tmp_path, options):
    stores = [
        open_store(tmp_path / f"repo{number}", SPEND, project=name, **options)
        for number, name in enumerate(("default", "fraud", "fraud & risk"))
    ]
    for number, fs in enumerate(stores, start=1):
        fs.push("pays", [pay(f"p{n}", NOON) for n in range(number)])
        assert fs.compact() == {"pays": number}
    for number, fs in enumerate(stores, start=1):
        check_parity(fs, SPEND, ALL)
        assert count(fs) == number
        fs.close()


@pytest.mark.parametrize("backup", [False, True], ids=["no backup", "an old backup"])
def test_a_journal_from_before_what_the_lake_has_takes_no_rows(tmp_path, options, backup):
    folder = tmp_path / "repo"
    with open_store(folder, SPEND, **options) as fs:
        fs.push("pays", [pay("a", NOON)])
        fs.compact()
    shutil.copytree(folder / ".skewless", tmp_path / "backup")
    with open_store(folder, **options) as fs:
        fs.push("pays", [pay("b", NOON)])
        fs.compact()
    shutil.rmtree(folder / ".skewless")
    if backup:
        shutil.copytree(tmp_path / "backup", folder / ".skewless")
    with open_store(folder, SPEND, **options) as fs:
        for _ in range(2):
            with pytest.raises(StoreError, match="settle"):
                fs.push("pays", [pay("c", NOON)])
        assert fs.runtime.log(SPEND.source).last_sequence() == int(backup)
