"""Apache Spark: spines and training sets are DataFrames, and the work is done by its executors.

    [engine]
    kind = "spark"
    master = "spark://spark:7077"          # default: the session that is there, else local[*]

    set_ = fs.get_historical_features(frame, "fraud", timestamp="at", engine="spark")
    set_.native.write.parquet("s3://lake/training")         # a DataFrame; nothing came here

A session that is active is used as it is; else one is made with the options given. Executors need
the same Python, pyarrow and skewless; that is looked at once, before anything is computed.

Rows are shuffled once for each entity and source, twice where a source has row ids: a correction
may change the entity. A task holds the spine of its partition and works on rows from a temporary
file once they are many, so a key with most of all rows takes time, not memory.
"""

from __future__ import annotations

import itertools
import os
import platform
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import pyarrow as pa

from skewless.engines.history import SourceHistory
from skewless.engines.partitioned import PartitionedEngine, share_batches
from skewless.engines.row_form import BUCKET, ROWS_A_BATCH
from skewless.engines.shares import shares_of
from skewless.engines.shipping import Batches, Task, packed
from skewless.engines.tasks import SHARES, ReadRows, TakeRows
from skewless.errors import ConfigError, MissingDependency, SkewlessError, StoreError
from skewless.forks import cached_property
from skewless.plan.retrieval import RetrievalPlan
from skewless.stores.offline.history import History
from skewless.stores.offline.tables.spark import SparkTableReader
from skewless.version import __version__

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PAYS_FROM = 300_000_000
"""Rows of history below which one machine is done sooner: a shuffle takes several times the CPU of
the kernels, so it takes a cluster, and a history that one machine works on for many minutes."""
_NO_JAVA = "JAVA_GATEWAY_EXITED"
_INSTALL = (
    "Install skewless[spark] on every worker, or ship an environment: spark.archives, with"
    " spark.pyspark.python inside it."
)


class SparkEngine(PartitionedEngine["DataFrame"]):
    """Computes training sets on Spark 4 (``skewless[spark]``).

    Args:
        master: of the cluster, for a session of its own: ``spark://host:7077``, ``local[4]``,
            ``yarn``.
        conf: settings of such a session.
        session: to use in place of the one that is active.
        partitions: into how many the rows are shuffled; None: as the session says.
        memory: about how many bytes of rows a task holds; beyond it they are in temporary files.

    Raises:
        MissingDependency: pyspark is not installed.
        ConfigError: Spark cannot be started or reached, or its executors lack what they need
            (from the first verb).
    """

    kind = "spark"

    def __init__(
        self,
        *,
        master: str | None = None,
        conf: Mapping[str, str] | None = None,
        session: SparkSession | None = None,
        partitions: int | None = None,
        memory: int = 256 << 20,
    ) -> None:
        super().__init__(memory=memory)
        self._master, self._conf = master, dict(conf or {})
        self._given, self._own = session, False
        self._partitions = partitions

    @cached_property
    def session(self) -> SparkSession:
        """The session, its executors looked at."""
        try:
            from pyspark.sql import SparkSession
        except ImportError:
            raise MissingDependency.of("pyspark", "spark", needed_for="engine 'spark'") from None
        session = self._given or SparkSession.getActiveSession()
        with _translated():
            if session is None:
                if self._master is None or self._master.startswith("local"):
                    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
                builder = SparkSession.builder.appName("skewless")
                builder = builder if self._master is None else builder.master(self._master)
                session, self._own = builder.config(map=self._conf).getOrCreate(), True
            _check_executors(session)
        return session

    def explain(self, histories: Mapping[str, SourceHistory]) -> list[str]:
        """Return what Spark costs for the rows there are, and from how many on it pays."""
        rows = sum(cast(History, each).row_count() for each in histories.values())
        lines = ["engine spark: one shuffle for each entity and source, one more for row ids"]
        lines.append(f"it pays from about {PAYS_FROM:,} rows of history on; here are {rows:,}")
        return lines if rows >= PAYS_FROM else [*lines, "engine='local' would be done sooner"]

    def close(self) -> None:
        """Stop the session if it is the engine's own."""
        session = self.__dict__.pop("session", None)
        if session is not None and self._own:
            session.stop()

    # -------------------------------------------------------------------------------- four verbs

    def rows(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> DataFrame:
        """Return rows of this process as a DataFrame; shares of a history in a partition each."""
        table = pa.Table.from_batches(batches, schema)
        frame = self.session.createDataFrame(table, _spark_schema(schema))
        if schema is SHARES:
            return frame.coalesce(1).repartition(max(1, table.num_rows))
        return frame

    def map(self, rows: DataFrame, task: Task) -> DataFrame:
        """Return what a task makes of each partition."""
        return rows.mapInArrow(_worker(packed(task)), _spark_schema(task.schema))

    def exchange(self, sides: Sequence[DataFrame], task: Task) -> DataFrame:
        """Return what a task makes of partitions in which rows of equal buckets meet."""
        frame = sides[0]
        for side in sides[1:]:
            frame = frame.unionByName(side, allowMissingColumns=True)
        count = [] if self._partitions is None else [self._partitions]
        return self.map(frame.repartition(*count, BUCKET), task)

    def collect(self, rows: DataFrame) -> pa.Table:
        """Return the rows of a DataFrame, here."""
        with _translated():
            return rows.toArrow()

    def stream(self, rows: DataFrame) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a DataFrame, here, a partition at a time."""
        from pyspark.sql.pandas.types import to_arrow_schema

        schema = to_arrow_schema(rows.schema, timezone="UTC")
        with _translated():
            found = rows.toLocalIterator(prefetchPartitions=True)
            while some := [row.asDict() for row in itertools.islice(found, ROWS_A_BATCH)]:
                yield pa.RecordBatch.from_pylist(some, schema)

    def read(self, history: History, task: ReadRows) -> DataFrame:
        """Return the rows of a history; tables of its catalogs are read by Spark itself."""
        table = history.table_reader
        if not isinstance(table, SparkTableReader):
            return super().read(history, task)
        shares = shares_of(history, task.columns, task.start, task.end, with_table=False)
        of_log = self.map(self.rows(share_batches(shares), SHARES), task)
        with _translated():
            frame = self.session.sql(table.statement()).select(*task.columns)
        zone = [(k, v) for k, v in table.table.options.items() if k in ("timezone", "ambiguous")]
        return self.map(frame, TakeRows(task, tuple(zone))).unionByName(of_log)

    # ---------------------------------------------------------------------------------- frames

    def takes(self, data: object) -> bool:
        """Return whether a spine is a DataFrame of Spark."""
        module, name = type(data).__module__, type(data).__name__
        return name == "DataFrame" and module.partition(".")[0] == "pyspark"

    def columns_of(self, frame: DataFrame) -> pa.Schema:
        """Return the columns of a DataFrame."""
        from pyspark.sql.pandas.types import to_arrow_schema

        return to_arrow_schema(frame.schema, timezone="UTC")

    def retrieve_frame(
        self, plan: RetrievalPlan, frame: DataFrame, histories: Mapping[str, SourceHistory]
    ) -> DataFrame:
        """Return a DataFrame with the features beside its columns; nothing is computed yet.

        But for the least and the greatest time of the spine, which say what history is read.
        """
        from pyspark.sql.functions import col

        columns = self.columns_of(frame)
        numbered = frame.toDF(*(f"s{at}" for at in range(len(columns))))
        found = self.retrieve_rows(plan, numbered, columns, histories)
        names = {f"s{at}": name for at, name in enumerate(columns.names)}
        names |= {f"o{at}": each.name for at, each in enumerate(plan.selection.outputs)}
        return found.select(*(col(own).alias(name) for own, name in names.items()))

    def collect_frame(self, frame: DataFrame) -> pa.Table:
        """Return the rows of a DataFrame."""
        return self.collect(frame)

    def write_frame(self, frame: DataFrame, path: str) -> None:
        """Write a DataFrame to a folder of Parquet files."""
        with _translated():
            frame.write.parquet(path)

    def first_of(self, frame: DataFrame, rows: int) -> DataFrame:
        """Return at most so many rows of a DataFrame."""
        return frame.limit(rows)


def _spark_schema(schema: pa.Schema) -> Any:
    from pyspark.sql.pandas.types import from_arrow_schema

    return from_arrow_schema(schema)


def _worker(data: bytes) -> Any:
    """Return what an executor calls: it imports skewless over there."""

    def worked(batches: Batches) -> Batches:
        from skewless.engines.shipping import run

        return run(data, batches)

    return worked


def _versions(partitions: Iterator[Any]) -> Iterator[Any]:
    """Say what an executor has. It is sent whole, so that it runs without skewless."""
    import platform

    import pyarrow as pa

    for _ in partitions:
        try:
            import skewless.engines.tasks  # noqa: F401 - with all that it imports
            from skewless.version import __version__ as found
        except Exception as problem:  # noqa: BLE001 - whatever it is, it is told
            found = f"{type(problem).__name__}: {problem}"
        columns = [[platform.python_version()], [pa.__version__], [found]]
        yield pa.RecordBatch.from_arrays(columns, names=["python", "pyarrow", "skewless"])


def _check_executors(session: SparkSession) -> None:
    """Raise unless the executors have what this process has."""
    from pyspark import cloudpickle

    probe = cloudpickle.loads(_by_value(cloudpickle, _versions))
    own = {
        "python": platform.python_version(),
        "pyarrow": pa.__version__,
        "skewless": __version__,
    }
    count = 2
    frame = session.range(0, count, 1, count)
    found = frame.mapInArrow(probe, "python string, pyarrow string, skewless string").toArrow()
    for row in found.to_pylist():
        for name, here in own.items():
            if row[name] != here:
                raise ConfigError(
                    f"an executor of Spark has another {name}, or none",
                    got=row[name],
                    expected=here,
                    hint=_INSTALL,
                )


def _by_value(cloudpickle: Any, function: Any) -> bytes:
    """Return a function as bytes that hold its code, not the name of its module."""
    module = sys.modules[function.__module__]
    cloudpickle.register_pickle_by_value(module)
    try:
        data: bytes = cloudpickle.dumps(function)
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    return data


@contextmanager
def _translated() -> Iterator[None]:
    """Turn errors of Spark into those of this package, with the remedy."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    try:
        yield
    except SkewlessError:
        raise
    except (PySparkException, Py4JError, OSError) as problem:
        raise error_of(str(problem)) from problem


def error_of(text: str) -> SkewlessError:
    """Return the error that a text of Spark's tells."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("skewless.errors.")]
    first = own[-1] if own else (lines or ["no reason"])[0]
    if _NO_JAVA in text:
        return ConfigError(
            "Spark needs Java 17 or newer",
            got=first[:300],
            hint="Install it (Debian: apt-get install default-jre-headless), or set JAVA_HOME.",
        )
    if "PYTHON_VERSION_MISMATCH" in text:
        return ConfigError(
            "an executor of Spark has another Python",
            got=next(line for line in lines if "PYTHON_VERSION_MISMATCH" in line)[:300],
            expected=platform.python_version(),
            hint="Set PYSPARK_PYTHON or spark.pyspark.python to the same version there.",
        )
    if "No module named" in text:
        return ConfigError(
            "an executor of Spark lacks a module",
            got=next(line for line in lines if "No module named" in line)[:300],
            hint=_INSTALL,
        )
    if any(sign in text for sign in ("OutOfMemoryError", "exited unexpectedly", "ExecutorLost")):
        return StoreError(
            "a worker of Spark ended before its task did, perhaps out of memory",
            got=first[:300],
            hint="More partitions hold less each ([engine] partitions = ...), or give executors"
            " more spark.executor.memoryOverhead.",
        )
    return StoreError("Spark could not finish", got=first[:500])
