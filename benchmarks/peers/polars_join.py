"""The point-in-time join by hand in Polars: sort, then join_asof."""

from __future__ import annotations

from typing import Any

from benchmarks.child import Clock
from benchmarks.oracles import wrong_rows


def join(clock: Clock, features: str, labels: str, expected: str | None) -> dict[str, Any]:
    """Sort rows by event and creation time, so that the last of tied rows is the newest."""
    import polars as pl

    with clock:
        history = pl.scan_parquet(features).sort("event_at", "created_at").drop("created_at")
        spine = pl.scan_parquet(labels).sort("label_at")
        joined = spine.join_asof(
            history, left_on="label_at", right_on="event_at", by="entity", check_sortedness=False
        ).collect()
    if expected is None:
        return {}
    joined = joined.sort("label_row")
    columns = [name for name in joined.columns if name.startswith("f")]
    values = {name: joined[name].to_numpy() for name in columns}
    return {"wrong_rows": wrong_rows(expected, values)}
