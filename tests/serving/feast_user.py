"""What a user of Feast does, run by the interpreter that has Feast: nothing here knows skewless.

python feast_user.py http://127.0.0.1:6566 folder  -> JSON of what was found, on stdout
"""

import json
import sys
from datetime import UTC, datetime, timedelta

import pandas as pd
from feast import (
    Entity,
    FeatureService,
    FeatureStore,
    FeatureView,
    Field,
    FileSource,
    PushSource,
    RepoConfig,
    ValueType,
)
from feast.errors import FeatureViewNotFoundException
from feast.types import Float64, Int64, String

url, folder = sys.argv[1:]
config = RepoConfig(
    project="shop",
    provider="local",
    registry=f"{folder}/registry.db",
    online_store={"type": "remote", "path": url},
    offline_store={"type": "duckdb"},
    entity_key_serialization_version=3,
)
store = FeatureStore(config=config)

card = Entity(name="card", join_keys=["card_id"], value_type=ValueType.STRING)
batch = FileSource(name="history", path=f"{folder}/none.parquet", timestamp_field="paid_at")
pushed = PushSource(name="payments", batch_source=batch)


def view(name: str, source: object, **fields: object) -> FeatureView:
    columns = {"card_id": String, **fields}
    schema = [Field(name=column, dtype=dtype) for column, dtype in columns.items()]
    return FeatureView(
        name=name, entities=[card], schema=schema, source=source, ttl=timedelta(0), online=True
    )


newest = view("Newest", pushed, payment_id=String, amount=Float64, country=String)
spend = view("Spend", batch, total=Float64, count=Int64)
missing = view("Elsewhere", batch, x=Float64)
store.registry.apply_entity(card, "shop")
for source in (batch, pushed):
    store.registry.apply_data_source(source, "shop")
for each in (newest, spend, missing):
    store.registry.apply_feature_view(each, "shop")
fraud = FeatureService(name="fraud", features=[spend])
store.registry.apply_feature_service(fraud, "shop")

found: dict = {}
cards = [{"card_id": "c1"}, {"card_id": "c9"}]
found["before"] = store.get_online_features(
    features=["Newest:amount", "Newest:country"], entity_rows=cards
).to_dict()
found["service"] = store.get_online_features(features=fraud, entity_rows=cards).to_dict()
found["full"] = store.get_online_features(
    features=["Spend:count"], entity_rows=cards, full_feature_names=True
).to_dict()

now = datetime.now(UTC)
row = {"payment_id": "f1", "card_id": "c9", "amount": 12.5, "country": "SE", "paid_at": now}
store.push("payments", pd.DataFrame([row]))
found["pushed"] = store.get_online_features(
    features=["Newest:amount", "Newest:country", "Newest:payment_id"], entity_rows=cards[1:]
).to_dict()
written = row | {"payment_id": "f2", "amount": 13.5, "event_timestamp": now}
store.write_to_online_store("Newest", pd.DataFrame([written]))
found["written"] = store.get_online_features(
    features=["Newest:amount"], entity_rows=cards[1:]
).to_dict()

store.materialize(now - timedelta(days=400), now, feature_views=["Spend"])
store.materialize_incremental(now, feature_views=["Newest"])
found["materialized"] = store.get_online_features(
    features=["Newest:amount"], entity_rows=cards
).to_dict()

try:
    store.get_online_features(features=["Elsewhere:x"], entity_rows=cards)
    found["error"] = None
except FeatureViewNotFoundException as problem:
    found["error"] = str(problem)
print(json.dumps(found, default=str))
