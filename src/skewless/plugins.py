"""Find an implementation by its kind: the built-in ones by name, others by entry point.

>>> find("online_store", "sqlite").__name__
'SQLiteStore'
>>> find("online_store", "sqlit")  # doctest: +ELLIPSIS
Traceback (most recent call last):
    ...
skewless.errors.UnknownName: skewless has no online store 'sqlit'. \
Online stores: ... Did you mean 'sqlite'?

A package of its own plugs in by an entry point of the group ``skewless.<group>``, named after the
kind:

    [project.entry-points."skewless.online_store"]
    aerospike = "skewless_aerospike:AerospikeStore"
"""

from __future__ import annotations

import importlib
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from skewless.errors import ConfigError, MissingDependency, SkewlessError, UnknownName

repo_folder: ContextVar[Path] = ContextVar("repo_folder")
"""The folder that relative paths of tables start from; where unset, the current directory."""

reading: ContextVar[Path | None] = ContextVar("reading", default=None)
"""The file whose definitions are being read."""

table_settings: ContextVar[Any] = ContextVar("table_settings", default=None)
"""The `config.TableSettings` for tables that are read while definitions are; None: none."""

BUILT_IN: dict[str, dict[str, str]] = {
    "online_store": {
        "bigtable": "skewless.stores.online.bigtable.store:BigtableStore",
        "cassandra": "skewless.stores.online.cassandra.store:CassandraStore",
        "dynamodb": "skewless.stores.online.dynamodb.store:DynamoDBStore",
        "lmdb": "skewless.stores.online.lmdb.store:LMDBStore",
        "memory": "skewless.testing.memory:MemoryStore",
        "mongodb": "skewless.stores.online.mongodb.store:MongoDBStore",
        "postgres": "skewless.stores.online.postgres.store:PostgresStore",
        "redis": "skewless.stores.online.redis.store:RedisStore",
        "sqlite": "skewless.stores.online.sqlite.store:SQLiteStore",
    },
    "table": {
        "parquet": "skewless.stores.offline.tables.parquet:ParquetReader",
        "csv": "skewless.stores.offline.tables.csv:CSVReader",
        "delta": "skewless.stores.offline.tables.delta:DeltaReader",
        "frame": "skewless.stores.offline.tables.frame:FrameReader",
        "iceberg": "skewless.stores.offline.tables.iceberg:IcebergReader",
        "postgres": "skewless.stores.offline.tables.postgres:PostgresReader",
        "redshift": "skewless.stores.offline.tables.redshift:RedshiftReader",
        "snowflake": "skewless.stores.offline.tables.snowflake:SnowflakeReader",
        "bigquery": "skewless.stores.offline.tables.bigquery:BigQueryReader",
        "spark": "skewless.stores.offline.tables.spark:SparkTableReader",
    },
    "stream": {
        "files": "skewless.streams.files:FilesReader",
        "kafka": "skewless.streams.kafka:KafkaReader",
        "kinesis": "skewless.streams.kinesis:KinesisReader",
    },
    "registry": {
        "sqlite": "skewless.registry.sqlite:SQLiteRegistry",
        "postgres": "skewless.registry.postgres:PostgresRegistry",
    },
    "engine": {
        "local": "skewless.engines.local:LocalEngine",
        "spark": "skewless.engines.spark:SparkEngine",
    },
    "aggregation": {},
    "log": {
        "delta": "skewless.stores.offline.log.lake_delta:DeltaLog",
        "iceberg": "skewless.stores.offline.log.lake_iceberg:IcebergLog",
    },
    "traffic": {
        "generated": "skewless.testing.traffic:run_scenarios",
        "lifecycle": "skewless.testing.lifecycle:walk",
    },
}
"""Group to kind to ``module:Class``; imported when it is first asked for."""

EXTRAS = {
    "adbc_driver_postgresql": "postgres",
    "boto3": "dynamodb",
    "botocore": "dynamodb",
    "cassandra": "cassandra",
    "confluent_kafka": "kafka",
    "deltalake": "delta",
    "google": "bigtable",
    "joserfc": "oidc",
    "psycopg": "postgres",
    "psycopg_pool": "postgres",
    "pyiceberg": "iceberg",
    "pymongo": "mongodb",
    "pyspark": "spark",
    "redis": "redis",
    "snowflake": "snowflake",
    "sqlglot": "postgres",
}
"""Module of a third party to the extra of skewless that installs it."""


def find(group: str, kind: str) -> type[Any]:
    """Return the class (or function) that implements ``kind``.

    Args:
        group: ``online_store``, ``table``, ``stream``, ``registry``, ``engine``, ``log``,
            ``aggregation`` (beside those of `skewless.aggregations`) or ``traffic``.
        kind: the name under which the class is known.

    Raises:
        UnknownName: nothing of that kind is built in or installed.
        MissingDependency: a library it needs is not installed.
    """
    what = group.replace("_", " ")
    built_in = BUILT_IN[group]
    try:
        if kind in built_in:
            module, _, name = built_in[kind].partition(":")
            return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
        return _installed(group, kind)
    except ModuleNotFoundError as problem:
        library = (problem.name or "").partition(".")[0]
        if library in ("", "skewless"):
            raise
        needed_for = f"the {what} {kind!r}"
        if library in EXTRAS:
            raise MissingDependency.of(library, EXTRAS[library], needed_for=needed_for) from problem
        raise MissingDependency(
            f"{needed_for} needs {library}, which is not installed",
            hint=f"Install it with: pip install {library}",
        ) from problem


def _installed(group: str, kind: str) -> type[Any]:
    """Return the class that a package plugs in."""
    from importlib.metadata import entry_points  # takes 20 ms, and most need no plug-in

    points = {point.name: point for point in entry_points(group=f"skewless.{group}")}
    if kind not in points:
        known = {*BUILT_IN[group], *points}
        raise UnknownName.of(group.replace("_", " "), kind, known, where="skewless")
    from skewless.plugged_in import guard

    return guard(group, what_of(group, kind), points[kind].load())


def create(group: str, kind: str, options: dict[str, Any], *, where: str) -> Any:
    """Return a new instance of ``kind`` with the options of a section of ``skewless.toml``.

    Args:
        group: as for `find`.
        kind: as for `find`.
        options: arguments of the class, by name.
        where: named in errors, such as ``[online] of /repo/skewless.toml``.

    Raises:
        ConfigError: an option that the class does not take, or a required one is missing.
    """
    import inspect

    made = find(group, kind)
    parameters = inspect.signature(made).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        names = [p.name for p in parameters]
        for option in options:
            if option not in names:
                problem = UnknownName.of("option", option, names, where=f"{what_of(group, kind)}")
                raise ConfigError(str(problem), where=where)
    for p in parameters:
        optional = p.default is not p.empty or p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
        if not optional and p.name not in options:
            raise ConfigError(f"{what_of(group, kind)} needs the option {p.name!r}", where=where)
    try:
        return made(**options)
    except (AttributeError, LookupError, TypeError, ValueError) as problem:
        if isinstance(problem, SkewlessError):
            raise
        raise ConfigError(  # its text may hold a password
            f"{what_of(group, kind)} cannot take these options",
            got=type(problem).__name__,
            expected=f"values for {', '.join(options) or 'no options'} as the docs have them",
            where=where,
        ) from problem


def what_of(group: str, kind: str) -> str:
    """Return how people call an implementation: ``online store 'redis'``."""
    return f"{group.replace('_', ' ')} {kind!r}"


def table_reader(table: Any, base: Path | None = None, settings: Any = None) -> Any:
    """Return the reader of a source's table.

    Args:
        table: such as ``sl.Parquet("data/")``; its ``kind`` decides.
        base: where relative paths start; by default the repo's folder, else the current directory.
        settings: `config.TableSettings`; by default those of the repo that is being read.

    Raises:
        UnknownName: no reader is known for the kind.
        MissingDependency: a library it needs is not installed.
    """
    folder = base if base is not None else repo_folder.get(Path.cwd())
    known = settings if settings is not None else table_settings.get()
    reader = find("table", table.kind)(table, folder, known)
    if not table.options.get("columns"):
        return reader
    return importlib.import_module("skewless.stores.offline.tables.named").named(reader)
