"""skewless: a feature store. Define a feature once; its value is the same number everywhere.

    import skewless as sl

    fab = sl.Entity("fab", fab_id=str)
    tests = sl.Source("tests", schema={"fab_id": str, "vdd": float}, event_time="tested_at")

    @sl.feature_view(entity=fab, source=tests)
    class FabRolling:
        vdd_mean = tests.vdd.mean("1h")

Names are imported when they are first used, so that ``import skewless`` costs little.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from skewless.version import __version__ as __version__

if TYPE_CHECKING:
    from skewless.aggregations.standing import standing
    from skewless.aggregations.windows import lifetime, session, tumbling
    from skewless.client.async_client import AsyncClient
    from skewless.client.client import Client
    from skewless.config import Config
    from skewless.definitions import (
        Entity,
        FeatureService,
        FeatureView,
        Grant,
        OnDemandView,
        Request,
        Source,
        feature_view,
        if_else,
        now,
        on_demand,
    )
    from skewless.definitions.avro import Avro
    from skewless.definitions.checks import Check
    from skewless.definitions.derived import derived
    from skewless.definitions.example import Example
    from skewless.definitions.freshness import Freshness
    from skewless.definitions.lookup import Lookup
    from skewless.definitions.message_parts import header, key, message_time
    from skewless.definitions.protobuf import Protobuf
    from skewless.definitions.source import Epoch
    from skewless.definitions.tables import (
        CSV,
        BigQuery,
        Delta,
        Files,
        Frame,
        Iceberg,
        Kafka,
        Kinesis,
        Parquet,
        Postgres,
        Redshift,
        Snowflake,
        SparkTable,
    )
    from skewless.definitions.words import Column
    from skewless.errors import (
        BreakingChange,
        CheckFailed,
        ConcurrentApply,
        ConfigError,
        CorruptData,
        DefinitionError,
        InputError,
        MissingColumn,
        MissingDependency,
        NaiveTime,
        RegistryError,
        RowsKept,
        RowsRefused,
        RulesBroken,
        SkewlessError,
        StoreError,
        StoreUnavailable,
        UnknownName,
    )
    from skewless.plan.results import OnlineResult, TrainingSet
    from skewless.state.status import Status
    from skewless.store import FeatureStore
    from skewless.types import (
        Bool,
        Bytes,
        Date,
        Decimal,
        Float32,
        Float64,
        Int32,
        Int64,
        Json,
        List,
        Map,
        String,
        Struct,
        Timestamp,
        Vector,
    )

_HOMES = {
    "skewless.aggregations.standing": "standing",
    "skewless.aggregations.windows": "lifetime session tumbling",
    "skewless.config": "Config",
    "skewless.definitions": "Entity FeatureService FeatureView Grant OnDemandView Request "
    "Source feature_view if_else now on_demand",
    "skewless.definitions.tables": "BigQuery CSV Delta Files Frame Iceberg Kafka Kinesis Parquet "
    "Postgres Redshift Snowflake SparkTable",
    "skewless.definitions.avro": "Avro",
    "skewless.definitions.protobuf": "Protobuf",
    "skewless.definitions.checks": "Check",
    "skewless.definitions.derived": "derived",
    "skewless.definitions.example": "Example",
    "skewless.definitions.freshness": "Freshness",
    "skewless.definitions.lookup": "Lookup",
    "skewless.definitions.message_parts": "header key message_time",
    "skewless.definitions.source": "Epoch",
    "skewless.definitions.words": "Column",
    "skewless.errors": "BreakingChange CheckFailed ConcurrentApply ConfigError CorruptData "
    "DefinitionError InputError MissingColumn MissingDependency NaiveTime RegistryError "
    "RowsKept RowsRefused RulesBroken SkewlessError StoreError StoreUnavailable UnknownName",
    "skewless.plan.results": "OnlineResult TrainingSet",
    "skewless.state.status": "Status",
    "skewless.client.async_client": "AsyncClient",
    "skewless.client.client": "Client",
    "skewless.store": "FeatureStore",
    "skewless.types": "Bool Bytes Date Decimal Float32 Float64 Int32 Int64 Json List Map String "
    "Struct Timestamp Vector",
}
_HOME = {name: home for home, names in _HOMES.items() for name in names.split()}

__all__ = [
    "AsyncClient", "Avro", "BigQuery", "CSV", "Bool", "BreakingChange", "Bytes", "Check",
    "CheckFailed", "Client", "Column", "ConcurrentApply", "Config", "ConfigError", "CorruptData",
    "Date", "Decimal",
    "DefinitionError", "Delta", "Entity", "Epoch", "Example", "FeatureService", "FeatureStore",
    "FeatureView", "Files", "Float32", "Float64", "Frame", "Freshness", "Grant", "Iceberg",
    "InputError", "Int32",
    "Int64", "Json", "Kafka", "Kinesis", "List", "Lookup", "Map", "MissingColumn",
    "MissingDependency", "NaiveTime", "OnDemandView",
    "OnlineResult", "Parquet", "Postgres", "Protobuf", "Redshift", "RegistryError", "Request",
    "RowsKept", "RowsRefused", "RulesBroken", "SkewlessError", "Snowflake", "Source", "SparkTable",
    "Status", "StoreError",
    "StoreUnavailable", "String", "Struct", "Timestamp", "TrainingSet", "UnknownName",
    "Vector", "derived", "feature_view", "header", "if_else", "key", "lifetime", "message_time",
    "now", "on_demand", "session", "standing", "tumbling",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'skewless' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
