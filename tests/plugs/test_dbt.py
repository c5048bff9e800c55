"""The plug of dbt, against real builds with dbt-duckdb: models as sources, tests, exposures."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import skewless as sl
from skewless.errors import DefinitionError
from tests.plugs.docs_example import run_example
from tests.plugs.real import needs

needs("dbt.version", plug="dbt")
duckdb = needs("duckdb", plug="dbt")

from skewless.plugs.dbt import DbtProject, write_exposures  # noqa: E402

PROJECT = """
name: shop
version: "1.0"
profile: shop
flags: {send_anonymous_usage_stats: false}
models: {shop: {+materialized: external}}
"""
PROFILE = """
shop: {target: dev, outputs: {dev: {type: duckdb, path: shop.duckdb, threads: 1}}}
"""
PAYMENTS = """
select 'p' || i as payment_id, 'c' || (i % 3) as card_id, i * 1.5 as amount,
  case when i % 2 = 0 then 'eur' else 'usd' end as currency,
  timestamptz '2026-01-01 00:00:00+00' + interval (i) hour as "at"
from range(40) t(i)
"""
REFUNDS = """
select payment_id, card_id, amount, "at" from {{ ref('payments') }} where amount > 50
"""
SCHEMA = """
version: 2
models:
  - name: payments
    description: Card payments, cleaned.
    config:
      location: payments.parquet
      group: finance
      meta: {skewless: {entity: {card: card_id}, event_time: at, row_id: payment_id}}
    columns:
      - name: payment_id
        data_type: varchar
        description: Of the processor.
        data_tests: [unique, not_null]
      - {name: card_id, data_type: varchar, data_tests: [not_null]}
      - {name: amount, data_type: "double", data_tests: [not_null: {config: {severity: warn}}]}
      - name: currency
        data_type: varchar(3)
        data_tests: [accepted_values: {arguments: {values: [eur, usd]}}]
      - {name: at, data_type: timestamptz}
  - name: refunds
    config:
      location: refunds.parquet
      meta: {owner: refunds-team, skewless: {event_time: at, row_id: payment_id}}
    columns:
      - {name: payment_id, data_type: varchar}
      - {name: card_id, data_type: varchar}
      - {name: amount, data_type: "numeric(18, 2)", data_tests: [not_null: {config: {where: "amount > 0"}}]}
      - {name: at, data_type: timestamptz}
groups:
  - name: finance
    owner: {name: Finance, email: finance@example.org}
sources:
  - name: raw
    schema: main
    tables:
      - name: logins
        config:
          loaded_at_field: seen_at
          freshness: {warn_after: {count: 12, period: hour}, error_after: {count: 2, period: day}}
          meta: {skewless: {event_time: seen_at}}
        columns:
          - {name: card_id, data_type: text, data_tests: [not_null]}
          - {name: seen_at, data_type: timestamptz}
"""


def dbt(folder, *words):
    """Run dbt in a folder; its exit code."""
    code = "import sys; from dbt.cli.main import cli; cli(prog_name='dbt')"
    command = [sys.executable, "-c", code, *words, "--profiles-dir", "."]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return done.returncode


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A project that was built, and its results when its tests passed and when one failed."""
    folder = tmp_path_factory.mktemp("dbt")
    (folder / "models").mkdir()
    for name, text in {
        "dbt_project.yml": PROJECT, "profiles.yml": PROFILE, "models/payments.sql": PAYMENTS,
        "models/refunds.sql": REFUNDS, "models/schema.yml": SCHEMA,
    }.items():  # fmt: skip
        (folder / name).write_text(text)
    old = datetime.now(UTC) - timedelta(days=1)
    with duckdb.connect(str(folder / "shop.duckdb")) as base:
        base.execute("create table logins (card_id text, seen_at timestamptz)")
        base.execute("insert into logins values ('c1', ?)", [old])
    assert dbt(folder, "build") == 0
    results, made = folder / "target/run_results.json", folder / "payments.parquet"
    (folder / "target/passed.json").write_text(results.read_text())
    assert dbt(folder, "source", "freshness") == 0
    good = made.read_bytes()
    (folder / "models/payments.sql").write_text(PAYMENTS.replace("'usd'", "'gbp'"))
    assert dbt(folder, "build") == 1
    (folder / "target/failed.json").write_text(results.read_text())
    made.write_bytes(good)
    return folder


@pytest.fixture
def results(built):
    """Choose what the newest run of dbt has said."""

    def chosen(name):
        target = built / "target"
        (target / "run_results.json").write_text((target / f"{name}.json").read_text())
        return DbtProject(target)

    return chosen


def shop_of(project, folder):
    payments = project.source("payments", sl.Parquet(folder / "payments.parquet"))
    refunds = project.source("refunds", sl.Parquet(folder / "refunds.parquet"), partly=True)
    card = project.entity("payments")
    spend = sl.FeatureView(
        "Spend", entity=card, source=payments,
        features={"total": payments.amount.sum("7d"), "n": payments.count("1d")},
    )  # fmt: skip
    back = sl.FeatureView(
        "Back", entity=card, source=refunds, features={"n": refunds.count(sl.lifetime())}
    )
    service = sl.FeatureService("fraud", [spend], owner="risk", description='Of "fraud".')
    return spend, back, service


@pytest.fixture
def fs(built, results, tmp_path):
    with sl.FeatureStore(tmp_path) as store:
        store.apply(store.plan(*shop_of(results("passed"), built)), build=False)
        yield store


def test_a_model_is_a_source_with_columns_tests_and_owner(results):
    payments = results("passed").source("payments")
    assert (payments.owner, payments.description) == ("Finance", "Card payments, cleaned.")
    assert (payments.event_time, payments.row_id) == ("at", ("payment_id",))
    assert {name: repr(kind) for name, kind in payments.schema.items()} == {
        "payment_id": "String", "card_id": "String", "amount": "Float64", "currency": "String",
    }  # fmt: skip
    assert payments.words["payment_id"].description == "Of the processor."
    assert payments.table.options["path"] == "payments.parquet"
    assert sorted((str(each), each.action) for each in payments.checks) == [
        ("amount not null", "warn"), ("card_id not null", "block"),
        ("currency in eur, usd", "block"), ("payment_id not null", "block"),
        ("payment_id unique", "block"),
    ]  # fmt: skip


def test_a_table_of_its_sources_is_one_too_with_how_fresh_it_promises_to_be(results):
    logins = results("passed").source("raw.logins")
    assert logins.name == "raw_logins"
    assert [(str(each), each.action) for each in logins.checks] == [
        ("card_id not null", "block"), ("newest row at most 2d old", "block"),
        ("newest row at most 12h old", "warn"),
    ]  # fmt: skip


def test_what_a_model_does_not_say_is_asked_for(results):
    project = results("passed")
    with pytest.raises(sl.InputError, match="no counterpart.*not_null_refunds_amount"):
        project.source("refunds")
    assert project.source("refunds", partly=True).owner == "refunds-team"
    with pytest.raises(DefinitionError, match="no entity"):
        project.entity("refunds")
    with pytest.raises(sl.UnknownName, match="Did you mean 'payments'"):
        project.source("payment")
    with pytest.raises(sl.InputError, match=r"no manifest.*manifest\.json"):
        DbtProject("nowhere")


def test_values_are_those_of_sql_over_the_model(fs, built):
    at = datetime(2026, 1, 2, 6, 30, tzinfo=UTC)
    spine = [{"card_id": f"c{n}", "t": at} for n in range(3)]
    found = fs.get_historical_features(spine, "fraud", timestamp="t", as_of="event_time")
    with duckdb.connect() as base:
        query = (
            f"select sum(amount), count(*) filter (\"at\" > timestamptz '{at}' - interval 1 day)"
            f" from '{built}/payments.parquet' where \"at\" <= timestamptz '{at}'"
            " group by card_id order by card_id"
        )
        assert list(zip(found["total"], found["n"], strict=True)) == base.execute(query).fetchall()


def test_features_whose_tests_failed_are_refused_and_others_are_not(fs, results):
    results("passed").refuse_failed(fs, "fraud")
    assert len(results("passed").materialize(fs)) == 2
    project = results("failed")
    with pytest.raises(sl.CheckFailed, match="'Spend' are refused.*accepted_values_payments"):
        project.refuse_failed(fs, "fraud")
    with pytest.raises(sl.CheckFailed, match="not materialized: Spend") as problem:
        project.materialize(fs, ["Spend"])
    assert [each.failing for each in problem.value.results] == [1]  # a value that is not accepted


def test_a_model_that_was_skipped_and_a_test_without_result_are_no_success(fs, results, built):
    with pytest.raises(sl.CheckFailed, match="not materialized: Back, Spend"):
        results("failed").materialize(fs)  # refunds are made of payments: dbt skipped them
    target = built / "target"
    data = json.loads((target / "passed.json").read_text())
    data["results"] = [each for each in data["results"] if "unique" not in each["unique_id"]]
    (target / "run_results.json").write_text(json.dumps(data))
    with pytest.raises(sl.CheckFailed, match="unique_payments_payment_id: no result"):
        DbtProject(target).refuse_failed(fs, "fraud")


def test_results_are_noted_in_the_ledger(fs, results):
    project = results("failed")
    fs.apply(fs.plan(project.source("raw.logins")))
    report = project.note(fs)
    assert {each.of for each in report.results} == {"payments", "refunds", "raw_logins"}
    (late,) = [each for each in report.failed if each.check == "source logins"]
    assert (late.action, late.found.partition(":")[0]) == ("warn", "warn")
    assert "test accepted_values_payments_currency__eur__usd" in {e.check for e in report.failed}
    noted = list(fs.runtime.ledger.records(kinds=["check"]))
    assert {each.data["point"] for each in noted} == {"history, by dbt"}


def test_feature_services_are_exposures_that_dbt_reads(fs, results, built):
    path = built / "models/skewless.yml"
    assert write_exposures(fs, path, results("passed")) == ["fraud"]
    assert dbt(built, "parse") == 0
    manifest = json.loads((built / "target/manifest.json").read_text())
    exposure = manifest["exposures"]["exposure.shop.fraud"]
    path.unlink()
    assert exposure["type"] == "ml"
    assert exposure["owner"]["name"] == "risk"
    assert exposure["description"] == 'Of "fraud".'
    assert exposure["depends_on"]["nodes"] == ["model.shop.payments"]


def test_another_version_of_its_files_is_refused(built, tmp_path):
    data = json.loads((built / "target/manifest.json").read_text())
    data["metadata"]["dbt_schema_version"] = "https://schemas.getdbt.com/dbt/manifest/v11.json"
    (tmp_path / "manifest.json").write_text(json.dumps(data))
    with pytest.raises(sl.InputError, match="another version.*v12"):
        DbtProject(tmp_path)


def test_the_example_of_the_docs(built, results, tmp_path, monkeypatch):
    results("passed")
    (tmp_path / "dbt").mkdir()
    for name in ("target", "models", "refunds.parquet"):
        (tmp_path / "dbt" / name).symlink_to(built / name)
    names = run_example("dbt", monkeypatch, tmp_path)
    assert Path(tmp_path / "dbt/models/skewless.yml").exists()
    assert names["report"].ok
    (built / "models/skewless.yml").unlink()
