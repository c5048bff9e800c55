"""Definitions written from the files of other feature stores: they load, and values are right."""

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl
from skewless.plugs.migrate import chronon, hopsworks, sagemaker
from skewless.plugs.migrate.hive import type_of
from tests.cli.running import data_of, run_in

DAY = datetime(2026, 1, 1, tzinfo=UTC)


def written(folder, made):
    """Open a repo of translated definitions."""
    (folder / "features.py").write_text(made.code)
    return sl.FeatureStore(folder)


def saved(folder, data, name="export.json"):
    path = folder / name
    path.write_text(json.dumps(data))
    return path


def hopsworks_group(**changes):
    """A group in the form of Hopsworks' REST interface."""
    columns = [
        ("cc_num", "bigint", True), ("datetime", "timestamp", False), ("amount", "double", False),
        ("category", "string", False), ("class", "int", False), ("tags", "array<string>", False),
        ("odd", "interval", False),
    ]  # fmt: skip
    features = [
        {
            "name": n,
            "type": t,
            "primary": p,
            "partition": False,
            "onlineType": t,
            "description": f"the {n}",
        }
        for n, t, p in columns
    ]
    group = {
        "type": "streamFeatureGroupDTO", "featurestoreId": 67, "featurestoreName": "shop_featurestore",
        "id": 15, "name": "transactions", "version": 1, "description": 'Card "payments"', "features": features,
        "eventTime": "datetime", "timeTravelFormat": "HUDI", "onlineEnabled": True,
        "location": "hopsfs://10.0.2.15:8020/apps/hive/warehouse/shop.db/transactions_1",
        "creator": {"email": "ada@example.com"}, "onlineTopicName": "119_15_transactions_1_onlinefs",
        "expectationSuite": {"expectations": [{"expectation_type": "x"}]},
    }  # fmt: skip
    return group | changes


def test_a_group_of_hopsworks_is_a_source_and_its_newest_row(tmp_path):
    old = hopsworks_group()
    made = hopsworks.translate(
        saved(tmp_path, {"items": [hopsworks_group(version=2), old], "count": 2})
    )
    with written(tmp_path, made) as fs:
        fs.apply(fs.plan())
        row = {
            "cc_num": 7,
            "datetime": DAY,
            "amount": 2.5,
            "category": "food",
            "class": 1,
            "tags": ["a"],
        }
        fs.push(
            "transactions_rows", [row, row | {"datetime": DAY + timedelta(hours=1), "amount": 4.0}]
        )
        found = fs.get_online_features("transactions", {"cc_num": 7}).to_rows()[0]
        assert fs.views["transactions"].labels["owner"] == "ada@example.com"
        assert fs.sources["transactions_rows"].words["amount"].description == "the amount"
    assert found == {"amount": 4.0, "category": "food", "the_class": 1, "tags": ["a"]}
    assert made.mapped == {"feature groups": (1, 1)}
    said = [f"{name}: {note}" for name, note in made.notes]
    for part in (
        "version 1 left out",
        "no type for interval",
        "called the_class",
        "HUDI",
        "1 expectations",
        "topic",
    ):
        assert any(part in each for each in said), part


def test_a_time_that_is_a_number_needs_its_unit(tmp_path):
    group = hopsworks_group(eventTime="made", ttl=3600, ttlEnabled=True)
    group["features"].append({"name": "made", "type": "bigint", "primary": False})
    group["features"][0]["type"] = "int"
    path = saved(tmp_path, group)
    with pytest.raises(sl.InputError, match="--epoch"):
        hopsworks.translate(path)
    made = hopsworks.translate(path, epoch="ms")
    assert 'event_time=sl.Epoch("made", "ms")' in made.code
    with written(tmp_path, made) as fs:
        fs.apply(fs.plan())
        hours = DAY + timedelta(hours=1)
        row = {"cc_num": 7, "amount": 2.5, "made": int(DAY.timestamp() * 1000)}
        fs.push("transactions_rows", [row], backdate=True)
        asked = [{"cc_num": 7, "at": moment} for moment in (hours - timedelta(seconds=1), hours)]
        found = fs.get_historical_features(asked, ["transactions:amount"], timestamp="at")
    assert found["amount"] == [2.5, None]  # an hour is over


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({"eventTime": None}, "no event time"),
        ({"features": [{"name": "datetime", "type": "timestamp"}]}, "no primary key"),
    ],
)
def test_a_group_without_history_is_left_out_and_said(tmp_path, changes, note):
    made = hopsworks.translate(saved(tmp_path, [hopsworks_group(**changes)]))
    assert made.mapped == {"feature groups": (0, 1)}
    assert note in made.notes[-1][1]


def test_tables_of_hopsworks_that_can_be_read_are_named(tmp_path):
    delta = hopsworks_group(timeTravelFormat="DELTA", location="s3://lake/transactions_1")
    outside = hopsworks_group(
        name="outside", query="SELECT * FROM T",
        storageConnector={"storageConnectorType": "SNOWFLAKE"},
    )  # fmt: skip
    outside["creator"] = None
    code = hopsworks.translate(saved(tmp_path, [delta])).code
    assert 'table=sl.Delta("s3://lake/transactions_1", timezone="UTC")' in code
    code = hopsworks.translate(saved(tmp_path, [outside])).code
    assert 'table=sl.Snowflake(query="SELECT * FROM T")' in code


def sagemaker_group(folder, **changes):
    """A group in the form of describe-feature-group."""
    group = {
        "FeatureGroupArn": "arn:aws:sagemaker:eu-west-1:123456789012:feature-group/customers-fg",
        "FeatureGroupName": "customers-fg",
        "RecordIdentifierFeatureName": "customer_id",
        "EventTimeFeatureName": "event_time",
        "FeatureDefinitions": [
            {"FeatureName": "customer_id", "FeatureType": "Integral"},
            {"FeatureName": "event_time", "FeatureType": "String"},
            {"FeatureName": "avg-spend", "FeatureType": "Fractional"},
            {"FeatureName": "segment", "FeatureType": "String"},
            {
                "FeatureName": "embedding", "FeatureType": "Fractional", "CollectionType": "Vector",
                "CollectionConfig": {"VectorConfig": {"Dimension": 2}},
            },
        ],
        "OnlineStoreConfig": {"EnableOnlineStore": True, "TtlDuration": {"Unit": "Days", "Value": 30}},
        "OfflineStoreConfig": {
            "S3StorageConfig": {"S3Uri": "s3://lake/", "ResolvedOutputS3Uri": str(folder / "offline")},
            "DisableGlueTableCreation": False,
            "DataCatalogConfig": {"TableName": "customers_fg_1", "Catalog": "AwsDataCatalog", "Database": "sagemaker_featurestore"},
        },
        "FeatureGroupStatus": "Created", "Description": "Customers.",
    }  # fmt: skip
    return group | changes


def offline_rows(folder):
    """Files as the offline store lays them out; the last row deletes."""
    rows = [
        {
            "customer_id": 1, "event_time": "2026-01-01T00:00:00Z", "avg-spend": 2.5, "segment": "a",
            "embedding": [1.0, 2.0], "api_invocation_time": DAY + timedelta(minutes=5),
            "write_time": DAY + timedelta(minutes=20), "is_deleted": False,
        },
        {
            "customer_id": 1, "event_time": "2026-01-03T00:00:00Z", "avg-spend": None, "segment": None,
            "embedding": None, "api_invocation_time": DAY + timedelta(days=2),
            "write_time": DAY + timedelta(days=2), "is_deleted": True,
        },
    ]  # fmt: skip
    place = folder / "offline/year=2026/month=01"
    place.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), place / "part.parquet")


def test_a_group_of_sagemaker_reads_its_offline_store(tmp_path):
    offline_rows(tmp_path)
    made = sagemaker.translate(saved(tmp_path, sagemaker_group(tmp_path)))
    with written(tmp_path, made) as fs:
        fs.apply(fs.plan())
        moments = [DAY + timedelta(minutes=4), DAY + timedelta(minutes=5), DAY + timedelta(days=3)]
        asked = [{"customer_id": 1, "at": moment} for moment in moments]
        found = fs.get_historical_features(asked, "customers_fg", timestamp="at")
    assert found["avg_spend"] == [None, 2.5, None]  # not known yet, known, deleted
    assert found["segment"] == [None, "a", None]
    assert 'latest(ttl="30d")' in made.code
    assert ("customers-fg", "called customers_fg here") in made.notes


@pytest.mark.parametrize(
    ("offline", "code", "note"),
    [
        (None, None, "no offline store"),
        (
            {"TableFormat": "Iceberg", "S3StorageConfig": {"S3Uri": "s3://lake"}, "DataCatalogConfig": {"TableName": "t", "Database": "d"}},
            'sl.Iceberg("d.t", catalog="glue"', "connections.glue",
        ),
        ({"S3StorageConfig": {"S3Uri": "s3://lake/"}}, None, "give the source a table="),
    ],
)  # fmt: skip
def test_other_offline_stores_of_sagemaker(tmp_path, offline, code, note):
    times = [
        {"FeatureName": "customer_id", "FeatureType": "String"},
        {"FeatureName": "event_time", "FeatureType": "Fractional"},
        {"FeatureName": "kinds", "FeatureType": "String", "CollectionType": "Set"},
    ]
    group = sagemaker_group(tmp_path, OfflineStoreConfig=offline, FeatureDefinitions=times)
    made = sagemaker.translate(saved(tmp_path, group))
    assert 'event_time=sl.Epoch("event_time", "s")' in made.code
    assert (code or "known_time=") in made.code or code is None
    assert any(note in each for _, each in made.notes)
    with written(tmp_path, made) as fs:
        fs.apply(fs.plan())


def compiled(folder):
    """A folder as Chronon's compiler fills it: two GroupBys, and a Join with one of them and another."""
    days = [{"length": length, "timeUnit": 1} for length in (3, 14)]

    def meta(name):
        return {
            "name": name, "online": 1, "team": "shop", "outputNamespace": "default", "offlineSchedule": "@daily",
            "customJson": '{"lag": 0, "groupby_tags": null, "column_tags": {}}', "dependencies": ["{}"],
        }  # fmt: skip

    def events(name, column):
        query = {"selects": {"buyer": "buyer", column: column}, "timeColumn": "ts", "setups": []}
        return {
            "metaData": meta(f"shop.{name}.v1"), "keyColumns": ["buyer"],
            "sources": [{"events": {"table": f"lake.{name}", "topic": f"events/{name}", "query": query}}],
            "aggregations": [
                {"inputColumn": column, "operation": number, "argMap": {}, "windows": days} for number in (7, 6, 8)
            ],
        }  # fmt: skip

    query = {"selects": {"buyer": "buyer", "verified": "verified"}, "setups": []}
    buyers = {
        "metaData": meta("shop.buyers.v1"), "keyColumns": ["buyer"],
        "sources": [{"entities": {"snapshotTable": "lake.buyers", "query": query}}],
    }  # fmt: skip
    join = {
        "metaData": meta("shop.training.v1") | {"samplePercent": 100.0},
        "left": {"events": {"table": "lake.checkouts", "query": {"selects": {"buyer": "buyer"}, "timeColumn": "ts"}}},
        "joinParts": [{"groupBy": events("orders", "price")}, {"groupBy": events("refunds", "amount")}],
    }  # fmt: skip
    files = {
        "group_bys/shop/orders.v1": events("orders", "price"),
        "group_bys/shop/buyers.v1": buyers,
        "joins/shop/training.v1": join,
    }
    for name, content in files.items():
        path = folder / "production" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=2))
    (folder / "production/readme.txt").write_text("compiled")
    types = {
        "lake.orders": {"buyer": "string", "price": "bigint"},
        "lake.refunds": {"buyer": "string", "amount": "bigint"},
        "lake.buyers": {"buyer": "string", "verified": "boolean"},
    }
    return chronon.translate(folder / "production", saved(folder, types, "types.json"))


def test_group_bys_and_joins_of_chronon_keep_names_and_values(tmp_path):
    made = compiled(tmp_path)
    assert made.mapped == {"group bys": (3, 3), "joins": (1, 1)}
    # Without Spark rows are pushed: what the queries select, with their times in milliseconds.
    code = "".join(line for line in made.code.splitlines(True) if "table=sl.SparkTable" not in line)
    (tmp_path / "features.py").write_text(code)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan())
        start = int(DAY.timestamp() * 1000)
        rows = [
            {"buyer": "u", "price": price, "ts": start + hours * 3_600_000}
            for hours, price in ((0, 3), (24, 5), (96, 7))
        ]
        fs.push("shop_orders_v1_rows", rows, backdate=True)
        asked = [{"buyer": "u", "at": DAY + timedelta(hours=hours)} for hours in (96, 97)]
        found = fs.get_historical_features(asked, "shop_training_v1", timestamp="at")
    # A row of the moment itself does not count there; a window keeps its first moment.
    assert found["shop_orders_v1_price_sum_3d"] == [5, 7]
    assert found["shop_orders_v1_price_average_14d"] == [4.0, 5.0]
    assert found["shop_refunds_v1_amount_count_14d"] == [0, 0]


def test_queries_of_chronon_are_kept_as_they_are(tmp_path):
    code = compiled(tmp_path).code
    assert "SELECT buyer, price, ts FROM lake.orders" in code
    assert "CAST(date_add(ds, 1) AS TIMESTAMP) AS snapshot_end FROM lake.buyers" in code
    assert 'verified.latest(ttl="1d")' in code


def group_by(*aggregations, **changes):
    events = {
        "table": "db.clicks/system=mobile", "topic": "clicks", "isCumulative": True,
        "query": {
            "selects": {"user": "CAST(user_id AS STRING)", "price": "price", "item": "item"},
            "wheres": ["price > 0 OR item IS NULL"], "startPartition": "2026-01-01", "timeColumn": "ts",
        },
    }  # fmt: skip
    group = {
        "metaData": {"name": "team.clicks.v1", "team": "team"}, "sources": [{"events": events}],
        "keyColumns": ["user"], "aggregations": list(aggregations),
    }  # fmt: skip
    return group | changes


def aggregation(operation, column="price", **more):
    return {"inputColumn": column, "operation": operation} | more


CLICKS = {"db.clicks": {"user": "string", "price": "double", "item": "string"}}


def test_every_operation_of_chronon_is_translated_or_said(tmp_path):
    hour = [{"length": 12, "timeUnit": 0}]
    made = chronon.translate(
        saved(tmp_path, group_by(
            *(aggregation(number) for number in range(12)),
            aggregation(12, argMap={"percentiles": "[0.99, 0.5]"}, windows=hour),
            aggregation(13, argMap={"k": "3"}), aggregation(14, argMap={"k": "2"}, windows=hour),
            aggregation(15, argMap={"k": "2"}), aggregation(16, argMap={"k": "2"}),
            aggregation(17, "item", windows=hour), aggregation(18, "item", argMap={"k": "2"}),
            aggregation(7, buckets=["item"], windows=hour), aggregation(99),
        )),
        saved(tmp_path, CLICKS, "types.json"),
    )  # fmt: skip
    with written(tmp_path, made) as fs:
        fs.apply(fs.plan())
        features = set(fs.views["team_clicks_v1"].features)
    assert {
        "price_min", "price_variance", "price_kurtosis", "price_approx_percentile_p99_12h",
        "price_last3", "price_first2_12h", "item_histogram_12h", "price_sum_12h_by_item",
    } <= features  # fmt: skip
    left = [name for name, note in made.notes if "no equal" in note]
    assert [name.partition(":")[2] for name in left] == [
        "price_top_k", "price_bottom_k", "item_approx_histogram_k", "price_number 99",
    ]  # fmt: skip
    assert (
        "SELECT CAST(user_id AS STRING) AS user, price, item, ts FROM db.clicks WHERE system = 'mobile'"
        " AND (price > 0 OR item IS NULL) AND ds >= '2026-01-01'"
        " AND ds = (SELECT max(ds) FROM db.clicks)"
    ) in made.code


def test_types_that_nobody_said_are_asked_for(tmp_path):
    with pytest.raises(sl.InputError, match=r'"db.clicks": \{"price": "\?", "user": "\?"\}'):
        chronon.translate(saved(tmp_path, group_by(aggregation(7))))


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ({"joinSource": {"join": {}}}, "over a join"),
        ({"entities": {"snapshotTable": "db.t", "query": {"selects": {}, "timeColumn": "ts"}}}, "mutations of entities"),
        ({"events": {"table": "db.t", "query": {"selects": {}}}}, "no time column"),
    ],
)  # fmt: skip
def test_group_bys_that_have_no_equal_are_left_out_and_said(tmp_path, source, why):
    path = saved(tmp_path, group_by(aggregation(7), sources=[source]))
    made = chronon.translate(path)
    assert made.mapped == {"group bys": (0, 1)}
    assert why in made.notes[0][1]


def test_parts_of_a_join_that_are_not_translated_are_said(tmp_path):
    join = {
        "metaData": {"name": "team.join.v1"}, "left": {},
        "joinParts": [{"groupBy": group_by(aggregation(7)), "keyMapping": {"buyer": "user"}, "prefix": "b"}],
        "derivations": [{"name": "share", "expression": "a / b"}, {"name": "*", "expression": "*"}],
        "onlineExternalParts": [{}], "labelPart": {}, "bootstrapParts": [{}],
    }  # fmt: skip
    made = chronon.translate(saved(tmp_path, join), saved(tmp_path, CLICKS, "types.json"))
    assert 'team_clicks_v1.of(prefix="b_team_clicks_v1_", user="buyer")' in made.code
    said = [note for name, note in made.notes if name == "team.join.v1"]
    assert len(said) == 3
    assert "share = a / b" in said[0]
    with written(tmp_path, made) as fs:
        fs.apply(fs.plan())
        found = fs.get_online_features("team_join_v1", {"buyer": "u"})
    assert found.to_dict().keys() == {"buyer", "b_team_clicks_v1_price_sum"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("BIGINT", "int"), ("varchar(20)", "str"), ("decimal(38,0)", "sl.Decimal(38, 0)"), ("decimal", "sl.Decimal(10, 0)"),
        ("array<struct<a:int,b:map<string,double>>>", 'sl.List(sl.Struct({"a": sl.Int32, "b": sl.Map(float)}))'),
        ("map<int,string>", None), ("array<void>", None), ("struct<a:void>", None), ("array<int", None),
    ],
)  # fmt: skip
def test_types_of_hive(text, code):
    assert type_of(text) == code


def test_the_command_writes_a_repo_and_a_report(tmp_path):
    saved(tmp_path, hopsworks_group())
    report = data_of(
        run_in(tmp_path, "import", "hopsworks", "export.json", "--out", "new", "--json")
    )
    assert report["mapped"] == {"feature groups": {"mapped": 1, "of": 1}}
    assert report["contract"]
    assert "transactions" in run_in(tmp_path / "new", "plan").output
    for words, said in (
        (("sagemaker", "export.json"), "describe-feature-group"),
        (("chronon", "export.json"), "compiled file"),
        (("chronon", "new/features.py"), "no JSON"),
        (("hopsworks", "export.json", "--types", "export.json"), "no option"),
        (("hopsworks", "new"), "nothing to import"),
    ):
        done = run_in(tmp_path, "import", *words, "--out", "other")
        assert done.exit_code == 2, words
        assert said in done.output
    assert not (tmp_path / "other").exists()
