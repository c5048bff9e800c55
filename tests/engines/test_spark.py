"""Spark gives the bits of the reference."""

import contextlib
import dataclasses
import importlib.util
import os
import shutil
import signal
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.engines.spark import SparkEngine, error_of
from skewless.materialize.verbs import materialize
from skewless.testing.clock import SettableClock
from skewless.testing.engine import EngineSuite
from skewless.testing.servers import missing

pytestmark = pytest.mark.server("spark")

CONF = {
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "700m",
    "spark.executor.memory": "700m",
    "spark.sql.shuffle.partitions": "3",
    "spark.log.level": "OFF",
}


@pytest.fixture(scope="module")
def spark(tmp_path_factory):
    """An engine over two workers; a task that fails is tried three times."""
    if importlib.util.find_spec("pyspark") is None:
        missing("pyspark is not installed; pip install 'skewless[spark]'")
    if shutil.which("java") is None and "JAVA_HOME" not in os.environ:
        missing("Java is not installed; on Debian: apt-get install default-jre-headless")
    conf = CONF | {"spark.local.dir": str(tmp_path_factory.mktemp("spark"))}
    with SparkEngine(master="local[2,3]", conf=conf, memory=1 << 20) as engine:
        yield engine


class TestSparkEngine(EngineSuite):
    seeds = (1,)

    @pytest.fixture
    def engine(self, spark):
        return spark


# -------------------------------------------------------------------------------------- DataFrames


@pytest.fixture
def shop(tmp_path, spark):
    """A repo with a table of payments, and a spine of a thousand rows as Spark has it."""
    random = np.random.default_rng(7)
    start = 1_767_225_600_000_000
    moments = pa.array(start + random.integers(0, 10**11, 5_000), pa.timestamp("us", "UTC"))
    cards = pa.array([f"c{number}" for number in random.integers(0, 40, 5_000)])
    amounts = pa.array(random.normal(size=5_000))
    pq.write_table(
        pa.table({"card_id": cards, "at": moments, "amount": amounts}), tmp_path / "pays.parquet"
    )
    pays = source("pays", sl.Parquet("pays.parquet"))
    with sl.FeatureStore(tmp_path, clock=SettableClock(start + 10**11)) as fs:
        fs.apply(fs.plan(views_of(pays)), build=False)
        asked = pa.array(start + random.integers(0, 10**11, 1_000), pa.timestamp("us", "UTC"))
        odd = pa.array([[1, number] for number in range(1_000)])
        spine = pa.table({"card_id": cards[:1_000], "when": asked, "a b.c": odd, "n": range(1_000)})
        yield fs, spine, spark.session.createDataFrame(spine)


def source(name, table):
    schema = {"card_id": str, "amount": float}
    return sl.Source(name, schema=schema, event_time="at", table=table)


def views_of(pays):
    card = sl.Entity("card", card_id=str)
    features = {"total": pays.amount.sum("1h"), "last": pays.amount.latest()}
    return [pays, sl.FeatureView("Spend", entity=card, source=pays, features=features)]


def in_order(made):
    return made.to_arrow().sort_by("n").to_pylist()


def test_a_spine_that_is_a_dataframe_gives_one_with_its_own_columns_untouched(shop, spark):
    fs, spine, frame = shop
    expected = in_order(fs.get_historical_features(spine, ["Spend"], timestamp="when"))
    made = fs.get_historical_features(frame, ["Spend"], timestamp="when", engine=spark)
    assert type(made.native) is type(frame)
    assert made.native.columns == ["card_id", "when", "a b.c", "n", "total", "last"]
    assert in_order(made) == expected
    assert len(made.head(3)) == 3
    assert [each.rows for each in fs.training_sets()] == [1_000]  # the one that came here


def test_a_training_set_is_written_by_the_executors(shop, spark, tmp_path):
    fs, spine, frame = shop
    made = fs.get_historical_features(frame, ["Spend"], timestamp="when", engine=spark)
    written = pq.read_table(made.to_parquet(tmp_path / "set"))
    expected = fs.get_historical_features(spine, ["Spend"], timestamp="when").to_arrow()
    assert written.cast(expected.schema).sort_by("n") == expected.sort_by("n")


def test_explain_says_what_spark_costs_and_from_what_size_it_pays(shop, spark):
    fs, _, frame = shop
    said = fs.get_historical_features(frame, ["Spend"], timestamp="when", engine=spark).explain()
    assert "it pays from about 300,000,000 rows of history on; here are 5,000" in said
    assert "engine='local' would be done sooner" in said


def test_a_table_of_a_catalog_is_read_by_spark(shop, spark, tmp_path):
    fs, spine, frame = shop
    expected = in_order(fs.get_historical_features(spine, ["Spend"], timestamp="when"))
    spark.session.read.parquet(str(tmp_path / "pays.parquet")).createOrReplaceTempView("pays")
    (tmp_path / "other").mkdir()
    with sl.FeatureStore(tmp_path / "other") as other:
        other.apply(other.plan(views_of(source("pays", sl.SparkTable("pays")))), build=False)
        other.push("pays", [{"card_id": "nobody", "amount": 1.0, "at": "2026-01-01T00:00:00Z"}])
        asked = {"timestamp": "when", "engine": spark}
        assert in_order(other.get_historical_features(frame, ["Spend"], **asked)) == expected
        here = other.get_historical_features(spine, ["Spend"], timestamp="when")
        assert in_order(here) == expected


def test_a_key_with_most_of_all_rows_is_worked_on_from_files(shop, spark, tmp_path):
    fs, spine, frame = shop
    count = 300_000  # 25 MB, where a task holds one
    at = pa.array(1_767_225_600_000_000 + np.arange(count) * 300_000, pa.timestamp("us", "UTC"))
    hot = pa.table({"card_id": ["c1"] * count, "at": at, "amount": np.arange(count) / 7})
    pq.write_table(hot, tmp_path / "pays.parquet")
    expected = in_order(fs.get_historical_features(spine, ["Spend"], timestamp="when"))
    made = fs.get_historical_features(frame, ["Spend"], timestamp="when", engine=spark)
    assert in_order(made) == expected


# ------------------------------------------------------------------------------------- what is wrong


def test_times_without_a_zone_are_refused_before_anything_runs(shop, spark):
    fs, _, frame = shop
    frame = frame.withColumn("when", frame["when"].cast("timestamp_ntz"))
    with pytest.raises(sl.NaiveTime, match="when"):
        fs.get_historical_features(frame, ["Spend"], timestamp="when", engine=spark)


def test_a_row_without_a_time_fails_with_the_reason_that_the_worker_gave(shop, spark):
    fs, spine, _ = shop
    times = pa.array([None, *spine["when"].to_pylist()[1:]], spine["when"].type)
    frame = spark.session.createDataFrame(spine.set_column(1, "when", times))
    with pytest.raises(sl.StoreError, match="a spine row without a time"):
        fs.get_historical_features(frame, ["Spend"], timestamp="when", engine=spark)


def test_executors_without_skewless_are_told_with_the_remedy(spark, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['skewless'] = None\n")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path}:$PYTHONPATH exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(spark.session.sparkContext, "pythonExec", str(python))
    with pytest.raises(sl.ConfigError, match="another skewless, or none") as told:
        SparkEngine(session=spark.session).session  # noqa: B018 - it looks at the executors
    assert "Install skewless[spark] on every worker" in str(told.value)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[JAVA_GATEWAY_EXITED] Java gateway process exited", "Spark needs Java 17"),
        ("x\n[PYTHON_VERSION_MISMATCH] 3.9 and 3.11", "has another Python"),
        ("Job aborted: ExecutorLostFailure (executor 1 exited unexpectedly)", "More partitions"),
        ("ModuleNotFoundError: No module named 'pyarrow'", "Install skewless"),
    ],
)
def test_what_spark_says_is_told_with_the_remedy(text, told):
    assert told in str(error_of(text))


# --------------------------------------------------------------------- states, and workers that die


def test_states_are_byte_for_byte_those_of_a_build_here(shop, spark):
    fs, _, _ = shop
    fs.push("pays", [{"card_id": "c1", "amount": 1.0, "at": "2026-01-01T00:00:00Z"}])
    (result,) = fs.materialize(engine=spark)
    built = states_of(fs)
    assert result.entities == sum(map(len, built.values())) == 40
    materialize(fs.runtime, None, None, None, everything=True)
    assert states_of(fs) == built


def states_of(fs):
    return {name: dict(fs.runtime.online.scan(name)) for name in fs.runtime.tables().tables}


def test_what_a_worker_did_that_was_killed_is_done_again(shop, spark, tmp_path):
    fs, spine, frame = shop
    expected = in_order(fs.get_historical_features(spine, ["Spend"], timestamp="when"))
    mortal = Mortal(session=spark.session)
    mortal.mark = tmp_path / "was killed"
    made = fs.get_historical_features(frame, ["Spend"], timestamp="when", engine=mortal)
    assert in_order(made) == expected
    assert mortal.mark.exists()


class Mortal(SparkEngine):
    """One worker is killed when its task has given its first rows."""

    def exchange(self, sides, task):
        return super().exchange(sides, KilledOnce(task, str(self.mark)))


@dataclasses.dataclass(frozen=True)
class KilledOnce:
    task: Any
    mark: str

    @property
    def schema(self):
        return self.task.schema

    def __call__(self, batches):
        for batch in self.task(batches):
            yield batch
            with contextlib.suppress(FileExistsError):
                os.close(os.open(self.mark, os.O_CREAT | os.O_EXCL))
                os.kill(os.getpid(), signal.SIGKILL)
