"""Values of wide types: maps at any depth and decimals of 38 digits read back as they were given."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import skewless as sl

NOW = datetime.now(UTC).replace(microsecond=0)
AT = NOW - timedelta(minutes=1)
WIDE = Decimal("12345678901234567890123456789012345678")
VALUES = [
    (sl.Map(int), {"a": 1, "b": None}),
    (sl.Map(list[int]), {"a": [1]}),
    (sl.List(sl.Map(int)), [{"a": 1}, {}]),
    (sl.Struct({"m": sl.Map(int)}), {"m": {"a": 1}}),
    (sl.Map(sl.Map(float)), {"a": {"b": 1.5}}),
    (sl.Decimal(38, 0), WIDE),
    (sl.Decimal(38, 0), Decimal(10**38 - 1)),
    (sl.Decimal(38, 10), WIDE.scaleb(-10)),
    (sl.Decimal(38, 38), Decimal("-0.12345678901234567890123456789012345678")),
    (sl.List(sl.Decimal(38, 0)), [WIDE]),
    (sl.Map(sl.Decimal(38, 0)), {"a": WIDE}),
    (sl.List(sl.Json), ['{"a":[1,2.5]}', "1", None]),
]


@pytest.mark.parametrize("door", ["dicts", "arrow", "table"])
@pytest.mark.parametrize(("dtype", "value"), VALUES, ids=str)
def test_wide_values_read_back_online_and_from_history(tmp_path, dtype, value, door):
    options = {"table": sl.Parquet("rows.parquet")} if door == "table" else {}
    source = sl.Source("s", schema={"k": int, "x": dtype}, event_time="at", **options)
    features = {"x": source.x.latest(), "first": source.x.first("1h"), "last": source.x.last_n(2)}
    entity = sl.Entity("e", k=int)
    view = sl.FeatureView("V", entity=entity, source=source, features=features)
    types = {name: each.arrow() for name, each in source.columns.items()}
    rows = [{"k": 1, "x": value, "at": AT}]
    table = pa.Table.from_pylist(rows, schema=pa.schema(types))
    if door == "table":
        pq.write_table(table, tmp_path / "rows.parquet")
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(view)
        if door == "table":
            fs.materialize()
        else:
            pushed = fs.push("s", table if door == "arrow" else rows, backdate=True)
            assert pushed.quarantined == ()
        online = fs.get_online_features("V", [{"k": 1}]).to_dict()
        spine = [{"k": 1, "t": NOW}]
        history = fs.get_historical_features(spine, "V", timestamp="t").to_dict()
        for found in (online, history):
            assert {name: found[name] for name in features} == {
                "x": [value], "first": [value], "last": [[value]]
            }  # fmt: skip
        assert str(fs.explain("V:x", {"k": 1}))


def test_sums_and_extremes_of_wide_decimals_are_exact(tmp_path):
    source = sl.Source("s", schema={"k": int, "x": sl.Decimal(38, 2)}, event_time="at")
    features = {"sum": source.x.sum("1h"), "min": source.x.min("1h"), "mode": source.x.mode("1h")}
    entity = sl.Entity("e", k=int)
    one, other = Decimal("100000000000000000000000000000000.01"), Decimal("0.02")
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(sl.FeatureView("V", entity=entity, source=source, features=features))
        fs.push("s", [{"k": 1, "x": x, "at": AT} for x in (one, other, one)], backdate=True)
        online = fs.get_online_features("V", [{"k": 1}]).to_dict()
        assert online == {"k": [1], "sum": [Decimal("200000000000000000000000000000000.04")],
                          "min": [other], "mode": [one]}  # fmt: skip


@pytest.mark.parametrize("text", ["1" + "0" * 38, "0." + "0" * 110 + "1", "1E+500", "NaN", "1e"])
def test_decimals_that_do_not_fit_are_set_aside_and_never_rounded(text):
    with pytest.raises(ValueError, match="Decimal"):
        sl.Decimal(38, 0).coerce(text)


def test_a_map_delivered_again_with_its_keys_in_another_order_is_no_correction(tmp_path):
    schema = {"id": str, "k": int, "m": sl.Map(int)}
    source = sl.Source("s", schema=schema, event_time="at", row_id="id")
    view = sl.FeatureView(
        "V", entity=sl.Entity("e", k=int), source=source, features={"m": source.m.latest()}
    )
    row = {"id": "a", "k": 1, "at": AT}
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(view)
        fs.push("s", [row | {"m": {"b": 1, "a": 2}}])
        table = pa.table({
            "id": ["a"], "k": [1], "at": [AT],
            "m": pa.array([[("a", 2), ("b", 1)]], pa.map_(pa.string(), pa.int64())),
        })  # fmt: skip
        again = fs.push("s", table)
        assert (again.accepted, again.duplicates, again.corrections) == (0, 1, 0)
        assert fs.push("s", [row | {"m": {"a": 2, "b": 1}}]).duplicates == 1
