"""Rows that can still count, gathered while a history is read."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

import skewless as sl
from skewless.materialize import materialize as materialize_module
from skewless.stores.offline.tables import parquet_files


def test_rows_that_all_stay_are_sorted_a_few_times_however_many(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_files, "CHUNK_ROWS", 100)
    monkeypatch.setattr(materialize_module, "_WAITING", 100)
    sorted_rows = []
    order = materialize_module.Materialization._order

    def counting(self, rows):
        sorted_rows.append(len(rows))
        return order(self, rows)

    monkeypatch.setattr(materialize_module.Materialization, "_order", counting)
    now = datetime.now(UTC)
    at = [now - timedelta(minutes=number) for number in range(10_000)]
    table = pa.table({"key": [n % 7 for n in range(len(at))], "x": [1.0] * len(at), "at": at})
    pq.write_table(table, tmp_path / "rows.parquet")
    rows = sl.Source(
        "rows",
        schema={"key": int, "x": float},
        event_time="at",
        table=sl.Parquet(tmp_path / "rows.parquet"),
    )
    total = {"total": rows.x.sum("30d")}
    view = sl.FeatureView("V", entity=sl.Entity("key", key=int), source=rows, features=total)
    with sl.FeatureStore(tmp_path) as fs:
        fs.apply(fs.plan(view))
        assert fs.get_online_features("V", [{"key": 0}]).to_rows()[0]["total"] == 1429.0
    assert len(sorted_rows) > 100
    assert sum(sorted_rows) < 5 * len(at)
