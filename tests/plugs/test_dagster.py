"""The plug of Dagster: assets, partitions and checks, run by Dagster itself."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

import skewless as sl
from tests.plugs.real import needs
from tests.shop import CARD, pay, payments, spend_of

dg = needs("dagster")

from skewless.plugs.dagster import assets_of, checks_of  # noqa: E402

NOW = datetime.now(UTC).replace(microsecond=0)


def rows(count, first=0):
    return [
        pay(f"p{n}", NOW - timedelta(hours=n), float(n), card=f"c{n % 3}")
        for n in range(first, first + count)
    ]


@pytest.fixture
def repo(tmp_path):
    pays = payments(row_id="pay_id", checks=[sl.Check.between("amount", 0, 5)])
    total = {"total": pays.amount.sum("1d"), "n": pays.count(sl.lifetime())}
    spend = sl.FeatureView(
        "Spend", entity=CARD, source=pays, features=total, owner="risk", freshness="2h"
    )
    (tmp_path / "features").mkdir()
    with sl.FeatureStore(tmp_path / "features") as fs:
        fs.apply(fs.plan(CARD, pays, spend, spend_of(pays, "Other", n=pays.count("1h"))))
        fs.push("pays", rows(5), backdate=True)
    return tmp_path / "features"


def run(repo, **options):
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [*assets_of(repo, ["Spend"]), *checks_of(repo, ["Spend"])], instance=instance,
            raise_on_error=False, **options,
        )  # fmt: skip
        (event,) = result.asset_materializations_for_node("Spend")
        passed = {
            each.check_name: (each.passed, each.severity.value)
            for each in result.get_asset_check_evaluations()
        }
        return event, passed


def test_an_asset_brings_the_online_store_up_to_date_and_says_so(repo):
    event, checks = run(repo)
    assert event.metadata["dagster/row_count"].value in (0, 3)  # pushes are online already
    assert event.metadata["newest event"].value == NOW.isoformat()
    assert event.metadata["version"].value == 1
    assert checks == {
        "freshness": (True, "ERROR"), "quality": (True, "WARN"), "parity": (True, "ERROR"),
    }  # fmt: skip


def test_the_data_version_changes_with_what_is_served_and_not_else(repo):
    first, second = (run(repo)[0].tags["dagster/data_version"] for _ in range(2))
    assert first == second
    with sl.FeatureStore(repo) as fs:
        newer = pay("p99", NOW + timedelta(seconds=1), 1.0)
        fs.push("pays", [newer])
    assert run(repo)[0].tags["dagster/data_version"] != first


def test_checks_that_fail_are_warnings_unless_they_block(repo):
    with sl.FeatureStore(repo) as fs:
        fs.push("pays", [pay("p98", NOW, 500.0)])
    _, checks = run(repo)
    assert checks["quality"] == (False, "WARN")
    assert checks["parity"] == (True, "ERROR")


def test_a_view_that_is_not_fresh_fails_its_check(tmp_path):
    pays = payments(row_id="pay_id")
    view = sl.FeatureView(
        "Spend", entity=CARD, source=pays, features={"n": pays.count("30d")}, freshness="1h"
    )
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan(CARD, pays, view))
        fs.push("pays", rows(2, first=30), backdate=True)
    _, checks = run(tmp_path)
    assert checks["freshness"] == (False, "ERROR")


def test_days_are_partitions_and_a_range_of_them_is_one_run(repo):
    start = (NOW - timedelta(days=3)).date().isoformat()
    assets = assets_of(repo, ["Spend"], start=start)
    (spend,) = [each for each in assets if isinstance(each, dg.AssetsDefinition)]
    keys = spend.partitions_def.get_partition_keys()
    assert keys[0] == start
    assert spend.backfill_policy == dg.BackfillPolicy.single_run()
    for chosen in (
        {"partition_key": keys[-1]},
        {
            "tags": {
                "dagster/asset_partition_range_start": keys[0],
                "dagster/asset_partition_range_end": keys[-1],
            }
        },
    ):
        with dg.DagsterInstance.ephemeral() as instance:
            result = dg.materialize(assets, instance=instance, **chosen)
        assert result.success
        (event,) = result.asset_materializations_for_node("Spend")[:1]
        assert event.metadata["dagster/row_count"].value <= 3
    with sl.FeatureStore(repo) as fs:
        assert fs.verify("Spend").ok


def test_assets_depend_on_their_sources_and_have_owners(repo):
    defs = dg.Definitions(assets=assets_of(repo), asset_checks=checks_of(repo))
    graph = defs.resolve_asset_graph() if hasattr(defs, "resolve_asset_graph") else None
    if graph is None:
        graph = defs.get_asset_graph()
    spend, pays = dg.AssetKey("Spend"), dg.AssetKey("pays")
    assert graph.get(spend).parent_keys == {pays}
    assert not graph.get(pays).is_materializable
    assert len(graph.asset_check_keys) == 6


def test_the_command_line_of_dagster_runs_the_example_of_the_docs(repo):
    from tests.plugs.docs_example import PAGE

    page = PAGE.read_text("utf-8").partition("\n## Dagster\n")[2]
    example = page.partition("```python\n")[2].partition("```")[0]
    day = (NOW - timedelta(days=1)).date().isoformat()
    (repo.parent / "defs.py").write_text(example.replace("2026-01-01", day))
    command = [
        sys.executable, "-m", "dagster", "asset", "materialize", "--select", "Spend", "-f",
        "defs.py", "--partition", day,
    ]  # fmt: skip
    done = subprocess.run(
        command, cwd=repo.parent, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    assert "Spend" in done.stderr


def test_names_that_are_not_there_are_said(repo):
    with pytest.raises(sl.UnknownName, match="Spend"):
        assets_of(repo, ["Spent"])
    with pytest.raises(sl.UnknownName, match="parity"):
        checks_of(repo, which=["verify"])
