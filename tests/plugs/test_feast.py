"""A registry of Feast, made by Feast, translated and proven against Feast."""

import http.client
import json
import socket
import sqlite3
import subprocess
import sys
import textwrap
import time
import urllib.request
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.clock import from_micros
from tests.cli.running import run_in
from tests.plugs.real import needs
from tests.shop import HOUR, NOON, open_store, pay, payments, spend_of

needs("feast")

from skewless.plugs.feast.prove import prove  # noqa: E402
from skewless.plugs.feast.registry import dump  # noqa: E402
from skewless.plugs.feast.translate import translate  # noqa: E402

PATIENCE = 60.0  # seconds, of a server that starts or answers
DAY = datetime(2026, 1, 1, tzinfo=UTC)
DEFINITIONS = """
from datetime import timedelta
import pandas as pd
from feast import Entity, FeatureService, FeatureView, Field, FileSource, PushSource, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Array, Bool, Float32, Float64, Int64, String
from feast.value_type import ValueType

card = Entity(name="card", join_keys=["card_id"], value_type=ValueType.INT64)
shop = Entity(name="shop", join_keys=["shop"], value_type=ValueType.STRING)
rows = FileSource(name="rows", path="rows.parquet", timestamp_field="at", created_timestamp_column="made")
plain = FileSource(name="plain", path="rows.parquet", timestamp_field="at", field_mapping={"n": "many"})
pushed = PushSource(name="pushed", batch_source=rows)
FIELDS = [Field(name="amount", dtype=Float64), Field(name="n", dtype=Int64, description="how many"),
          Field(name="word", dtype=String), Field(name="ok", dtype=Bool), Field(name="class", dtype=Int64),
          Field(name="list", dtype=Array(Float32))]
spend = FeatureView(name="spend", entities=[card], ttl=timedelta(hours=3), schema=FIELDS, source=rows,
                    tags={"team": "risk"}, owner="ada")
ever = FeatureView(name="ever", entities=[card], ttl=timedelta(0), schema=FIELDS[:2], source=pushed)
pair = FeatureView(name="pair", entities=[card, shop], ttl=timedelta(days=1),
                   schema=[Field(name="many", dtype=Int64)], source=plain)
asked = RequestSource(name="asked", schema=[Field(name="limit", dtype=Float64)])

@on_demand_feature_view(sources=[spend, asked], schema=[Field(name="share", dtype=Float64)])
def ratio(inputs: pd.DataFrame) -> pd.DataFrame:
    df = pd.DataFrame()
    df["share"] = inputs["amount"] / inputs["limit"]
    return df

model = FeatureService(name="fraud-model", features=[spend[["amount", "word"]], ratio], owner="ada")
"""


@pytest.fixture(scope="module")
def repo(tmp_path_factory):
    """A repo of Feast with ties, late rows, nulls and a value of each type."""
    folder = tmp_path_factory.mktemp("feast")
    rows = [
        {
            "card_id": n % 5, "shop": f"s{n % 3}", "at": DAY + timedelta(hours=n // 2), "amount": n / 7,
            "n": None if n % 4 == 0 else n, "word": None if n % 6 == 0 else f"w{n}", "ok": n % 2 == 0,
            "class": n, "list": [n / 3, 1.0],
            "made": DAY + timedelta(hours=n // 2, minutes=n % 50),
        }
        for n in range(200)
    ]  # fmt: skip
    rows += [
        dict(row, amount=row["amount"] + 1, made=row["made"] + timedelta(seconds=1))
        for row in rows[::9]
    ]
    time = pa.timestamp("us", "UTC")
    types = {
        "card_id": pa.int64(), "shop": pa.string(), "at": time, "amount": pa.float64(), "n": pa.int64(),
        "word": pa.string(), "ok": pa.bool_(), "class": pa.int64(), "list": pa.list_(pa.float32()), "made": time,
    }  # fmt: skip
    pq.write_table(
        pa.Table.from_pylist(rows, pa.schema(list(types.items()))), folder / "rows.parquet"
    )
    (folder / "definitions.py").write_text(textwrap.dedent(DEFINITIONS))
    (folder / "feature_store.yaml").write_text(
        "project: shop\nregistry: registry.db\nprovider: local\noffline_store: {type: file}\n"
        "online_store: {type: sqlite, path: online.db}\nentity_key_serialization_version: 3\n"
    )
    subprocess.run(
        [sys.executable, "-m", "feast.cli.cli", "apply"],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


@pytest.fixture(scope="module")
def made(repo):
    return translate(dump(repo), repo)


def test_every_part_is_translated_or_said(made):
    assert made.mapped == {
        "entities": (2, 2), "feature views": (3, 3), "on-demand views": (1, 1), "feature services": (1, 1),
    }  # fmt: skip
    notes = {name for name, _ in made.notes}
    assert {"rows", "pushed", "spend:class", "fraud-model"} <= notes
    assert 'owner="ada"' in made.code
    assert "how many" in made.code


def test_values_are_those_of_feast_to_the_bit(made, repo, tmp_path):
    (tmp_path / "features.py").write_text(made.code)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan())
        proof = prove(fs, made.views, repo, python=None, rows=6000)
        served = fs.get_online_features("fraud_model", [{"card_id": 1, "limit": 2.0}])
    assert proof.values > 5_000
    assert proof.present > proof.values / 4
    assert proof.wrong == 0, str(proof)
    assert proof.ties < proof.values / 3  # of one row in nine there are two
    assert served.to_statuses()["amount"] == ["expired"]
    assert served["share"] == [None]


def test_a_seeded_difference_is_found(made, repo, tmp_path):
    (tmp_path / "features.py").write_text(made.code.replace('ttl="3h1us"', 'ttl="1h"'))
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan())
        proof = prove(fs, made.views, repo, python=None, rows=600)
    assert proof.wrong
    assert {each["feature"].partition(":")[0] for each in proof.differ} == {"spend"}


def test_the_command_writes_a_repo_and_a_report(repo, tmp_path):
    done = run_in(
        tmp_path, "import", "feast", str(repo), "--out", "new", "--prove", "300", "--json"
    )
    report = json.loads(done.stdout)
    assert done.exit_code == 0
    assert report["proof"]["wrong"] == 0
    assert report["mapped"]["feature views"] == {"mapped": 3, "of": 3}
    (tmp_path / "new/features.py").write_text("x = 1")
    again = run_in(tmp_path, "import", "feast", str(repo), "--out", "new")
    assert again.exit_code == 2
    assert "definitions already" in again.output


def test_what_is_no_repo_of_feast_is_said(tmp_path):
    with pytest.raises(sl.InputError, match="feature_store.yaml"):
        dump(tmp_path)
    (tmp_path / "feature_store.yaml").write_text("project: x\nregistry: r.db\nprovider: local\n")
    with pytest.raises(sl.InputError, match="no such Python"):
        dump(tmp_path, "/nowhere/python")


# -------------------------------------------------------- events of lineage, received by Feast

PAYS = payments(row_id="pay_id", owner="payments", description="What was paid.")
SPEND = spend_of(PAYS, total=PAYS.amount.sum("1h"), big=PAYS.where(PAYS.n > 5).count("1d"))


@pytest.fixture(scope="module")
def receiver(tmp_path_factory):
    """The address of Feast's lineage server, which asks for a key, and its database."""
    folder = tmp_path_factory.mktemp("lineage")
    (folder / "feature_store.yaml").write_text(
        "project: shop\nregistry: registry.db\nprovider: local\n"
        "online_store: {type: sqlite, path: online.db}\nentity_key_serialization_version: 3\n"
        "openlineage:\n  enabled: true\n  consumer:\n    enabled: true\n    api_key: secret\n"
        f"    connection_string: sqlite:///{folder}/lineage.db\n    retention_days: 0\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "feast.cli.cli", "serve_lineage", "--host", "127.0.0.1"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port)], cwd=folder, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}/api/v1/lineage"
            until(lambda: told(url, "jobs") is not None, server, folder / "log")
            yield url, folder / "lineage.db"
        finally:
            server.terminate()
            server.wait(PATIENCE)


def until(condition, server, log):
    """Wait for a condition, as long as the server runs."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert server.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.2)


def told(url, what):
    """What the receiver says of jobs, datasets, runs, or a dataset's columns; None: it is not there."""
    try:
        with urllib.request.urlopen(f"{url}/openlineage/{what}", timeout=PATIENCE) as answer:
            return json.load(answer)
    except (OSError, http.client.HTTPException):
        return None


def lineage_of(tmp_path, url, key):
    """Do one job of each kind; events sent and dropped."""
    settings = {"kind": "http", "url": url, "key": key}
    with open_store(tmp_path, SPEND, lineage=settings) as fs:
        fs.push("pays", [pay("p1", NOON - HOUR)], backdate=True)
        fs.materialize("Spend", start=NOON - HOUR, end=NOON)
        spine = [{"card_id": "c1", "t": from_micros(NOON)}]
        made = fs.get_historical_features(spine, SPEND, timestamp="t")
        emitter = fs._emitter
    return emitter, made


def test_events_of_lineage_reach_a_real_receiver(receiver, tmp_path):
    receiver, database = receiver
    emitter, made = lineage_of(tmp_path, receiver, "secret")
    assert (emitter.dropped, emitter.sent > 5) == (0, True)
    states = {run["job_name"]: run["state"] for run in told(receiver, "runs")["runs"]}
    assert states == {"materialize": "COMPLETE", "training_set": "COMPLETE"}
    datasets = {each["dataset_name"]: each for each in told(receiver, "datasets")["datasets"]}
    assert datasets.keys() == {"pays", "Spend@v1", "training_set.features"}
    assert datasets["pays"]["owner_name"] == "payments"
    assert datasets["pays"]["description"] == "What was paid."
    facets = json.loads(datasets["training_set.features"]["facets_json"])
    assert facets["version"]["datasetVersion"] == made.id
    edges = {
        (edge["source_name"], edge["target_name"]) for edge in told(receiver, "graph")["edges"]
    }
    assert {
        ("pays", "materialize"),
        ("materialize", "Spend@v1"),
        ("Spend@v1", "training_set"),
    } <= edges
    with sqlite3.connect(database) as base:
        columns = base.execute(
            "SELECT output_field, input_name, input_field, transformation_type"
            " FROM openlineage_column_lineage WHERE dataset_name = 'Spend@v1'"
        ).fetchall()
    assert ("total", "pays", "amount", "DIRECT") in columns
    assert ("big", "pays", "n", "INDIRECT") in columns


def test_a_receiver_that_refuses_the_key_costs_events_and_no_job(receiver, tmp_path):
    emitter, made = lineage_of(tmp_path, receiver[0], "wrong")
    assert (emitter.sent, emitter.dropped > 5) == (0, True)
    assert made["total"] == [0.0]
