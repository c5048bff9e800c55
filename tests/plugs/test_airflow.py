"""The plug of Airflow 3: DAGs run by Airflow itself, over a database of its own."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap
from datetime import UTC, datetime, timedelta

import pytest

import skewless as sl
from skewless.clock import to_micros
from tests.plugs.real import needs
from tests.shop import CARD, pay, payments

needs("airflow.sdk", plug="airflow")

NOW = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
HEAD = """
from datetime import datetime, timedelta, timezone
from airflow.sdk import DAG
from skewless.plugs.airflow import *
from skewless.plugs.airflow import asset_of
"""
TAIL = """
if __name__ == "__main__":
    found = dag.test(logical_date=datetime.fromisoformat(sys.argv[1]))
    import sqlite3, os
    with sqlite3.connect(os.path.join(os.environ["AIRFLOW_HOME"], "airflow.db")) as base:
        events = base.execute("select extra from asset_event").fetchall()
    states = {each.task_id: str(each.state) for each in found.get_task_instances()}
    print("FOUND", json.dumps({"states": states, "events": [e for e, in events]}))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Airflow's folder, with its database."""
    folder = tmp_path_factory.mktemp("airflow")
    run(folder, "-m", "airflow", "db", "migrate")
    return folder


def run(home, *words, cwd=None):
    settings = {
        "AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__DAG_PROCESSOR__DISABLE_BUNDLE_VERSIONING": "True",
    }  # fmt: skip
    return subprocess.run(
        [sys.executable, *words], env=os.environ | settings, cwd=cwd or home, text=True,
        capture_output=True, timeout=400, check=False,
    )  # fmt: skip


@pytest.fixture
def repo(tmp_path):
    pays = payments(row_id="pay_id")
    view = sl.FeatureView(
        "Spend", entity=CARD, source=pays, features={"n": pays.count("30d")}, freshness="2d"
    )
    (tmp_path / "features").mkdir()
    with sl.FeatureStore(tmp_path / "features") as fs:
        fs.apply(fs.plan(CARD, pays, view))
        fs.push("pays", [pay("p1", NOW - timedelta(minutes=1))], backdate=True)
    return tmp_path / "features"


def dag_run(home, folder, body, logical=None):
    """Run a DAG of some tasks; the states of these, and the events of assets."""
    script = home / "dags" / f"{folder.name}.py"
    script.parent.mkdir(exist_ok=True)
    body = textwrap.indent(textwrap.dedent(body), "    ")
    start = f"datetime.fromisoformat({(NOW - timedelta(days=3)).isoformat()!r})"
    head = f"with DAG({folder.name!r}, schedule='@hourly', start_date={start}) as dag:\n"
    script.write_text(f"import json, sys\n{HEAD}{head}{body}\n{TAIL}")
    when = (logical or NOW - timedelta(hours=1)).isoformat()
    done = run(home, str(script), when)
    lines = [line for line in done.stdout.splitlines() if line.startswith("FOUND ")]
    assert lines, (done.stdout + done.stderr)[-3_000:]
    return json.loads(lines[0].removeprefix("FOUND ")), done.stdout + done.stderr


def test_views_are_brought_up_to_date_verified_and_announced(home, repo, tmp_path):
    found, _ = dag_run(
        home,
        tmp_path,
        f"""
        spend = asset_of("default", "Spend")
        built = MaterializeOperator(
            task_id="materialize", repo={str(repo)!r}, views=["Spend"], outlets=[spend]
        )
        built >> VerifyOperator(task_id="verify", repo={str(repo)!r}) >> TendOperator(
            task_id="tend", repo={str(repo)!r}
        )
        """,
    )
    assert found["states"] == dict.fromkeys(["materialize", "verify", "tend"], "success")
    with sl.FeatureStore(repo) as fs:
        assert fs.runs("materialize")
        assert fs.runs("tend")
    assert any("entities" in str(each) for each in found["events"])


def test_a_name_that_is_not_there_fails_without_a_retry(home, repo, tmp_path):
    found, said = dag_run(
        home,
        tmp_path,
        f"MaterializeOperator(task_id='no', repo={str(repo)!r}, views=['Spent'], retries=3)",
    )
    assert found["states"] == {"no": "failed"}
    assert "Did you mean 'Spend'" in said


def test_a_sensor_waits_until_events_reach_the_end_of_the_interval(home, repo):
    from skewless.plugs.airflow import FreshnessSensor

    sensor = FreshnessSensor(task_id="fresh", repo=str(repo), views=["Spend"])
    assert sensor.mode == "reschedule"
    hour = {"data_interval_start": NOW - timedelta(hours=2), "data_interval_end": NOW}
    assert not sensor.poke(hour)  # the newest event is a minute before its end
    assert sensor.poke(hour | {"data_interval_end": NOW - timedelta(hours=1)})
    assert sensor.poke({})  # as fresh as promised
    with sl.FeatureStore(repo) as fs:
        fs.push("pays", [pay("p2", NOW)])
    assert sensor.poke(hour)


def test_a_deferrable_sensor_leaves_the_waiting_to_the_triggerer(home, repo, tmp_path):
    later = sl.Source("later", schema={"card_id": str}, event_time="at")
    view = sl.FeatureView(
        "Later", entity=CARD, source=later, features={"n": later.count("1d")}, freshness="2d"
    )
    with sl.FeatureStore(repo) as fs:
        fs.apply(fs.plan(later, view))
    found, said = dag_run(
        home,
        tmp_path,
        f"""
        class Pushes(FreshnessSensor):  # once it has looked in vain, and before the trigger looks
            def defer(self, **options):
                import skewless as sl
                with sl.FeatureStore(self.repo) as fs:
                    fs.push("later", [{{"card_id": "c1", "at": datetime.now(timezone.utc)}}])
                super().defer(**options)

        Pushes(task_id="waits", repo={str(repo)!r}, views=["Later"], deferrable=True)
        """,
    )
    assert found["states"] == {"waits": "success"}
    assert "Later: newest event none" in said
    assert said.count("Later: newest event") >= 2, said[-3_000:]


def test_the_trigger_looks_until_the_events_are_there(repo):
    from skewless.plugs.airflow_trigger import FreshnessTrigger

    trigger = FreshnessTrigger(str(repo), ["Spend"], to_micros(NOW), 0.01)
    path, options = trigger.serialize()
    assert path == "skewless.plugs.airflow_trigger.FreshnessTrigger"
    json.dumps(options)  # as Airflow keeps them

    async def all_of_them():
        others = [first(FreshnessTrigger(**options)) for _ in range(3)]
        unknown = first(FreshnessTrigger(str(repo), ["Spent"], None, 0.01))
        return await asyncio.gather(*others, unknown, asyncio.to_thread(pushed))

    def pushed():
        with sl.FeatureStore(repo) as fs:
            fs.push("pays", [pay("p2", NOW)])

    *fired, unknown, _ = asyncio.run(all_of_them())
    assert fired == [{"problem": None}] * 3
    assert "Did you mean 'Spend'" in unknown["problem"]


async def first(trigger):
    async for event in trigger.run():
        return event.payload
    return None


def test_airflow_lists_the_provider(home):
    done = run(home, "-m", "airflow", "providers", "list", "--output", "json")
    listed = {
        each["package_name"]: each for each in json.loads(done.stdout[done.stdout.index("[") :])
    }
    assert listed["skewless"]["version"] == sl.__version__
    assert "Feature views" in listed["skewless"]["description"]
