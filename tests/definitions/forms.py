"""Every form a definition may take: expressions, aggregations, windows."""

from datetime import UTC, datetime
from typing import Any

from skewless.aggregations.windows import lifetime, session, tumbling
from skewless.definitions import Entity, Expression, FeatureView, Source, if_else
from skewless.types import Decimal, Float32, Int32, List, Vector

KEYS = Entity("card", card_id=str)
SCHEMA: dict[str, Any] = {
    "card_id": str, "x": float, "y": float, "n": int, "flag": bool, "city": str,
    "born": datetime, "cents": Decimal(18, 2), "small": Int32, "single": Float32, "raw": bytes,
    "vector": Vector(3), "many": List(float),
}  # fmt: skip


def source(**changes: Any) -> Source:
    return Source(
        "rows", **({"schema": SCHEMA, "event_time": "at", "known_time": "seen"} | changes)
    )


def view(**features: Expression) -> FeatureView:
    return FeatureView("Seen", entity=KEYS, source=source(), features=features)


ROWS = source()
AGGREGATES: dict[str, Expression] = {
    "count of some rows": ROWS.where(ROWS.flag).count("1h"),
    "sum of whole numbers": ROWS.n.sum(last=100, default=7, offset="1d"),
    "sum of decimals": ROWS.cents.sum(session("30m"), default="1.50"),
    "mean of an expression": (ROWS.x * 2 + ROWS.n).mean("24h", resolution="5m"),
    "min": ROWS.city.min(tumbling("1h"), default="z"),
    "max": ROWS.born.max("1h", default=datetime(2026, 1, 1, tzinfo=UTC)),
    "max of bytes": ROWS["raw"].max(lifetime(), default=b"\x00\xff"),
    "std": ROWS.x.std(tumbling("1h"), offset="1d", ddof=1),
    "quantile": ROWS.x.quantile(0.9, "1h"),
    "approx_unique": ROWS.city.approx_unique("1h", precision=14),
    "approx_quantile": ROWS.x.approx_quantile(0.99, "1h", accuracy=0.001),
    "sum by city": ROWS.x.sum("1h", by="city", default={"a": 1.0}),
    "rows by text": ROWS.count("1h", by=ROWS.n.cast(str)),
    "top_k": ROWS.city.top_k(3, "1h", default=["a"]),
    "histogram": ROWS.x.histogram([0, 10, 20], "1h"),
    "trend": ROWS.x.trend("1h", recent=5),
    "ewma": ROWS.x.ewma("6h", "1h"),
    "last_n": ROWS.x.last_n(5, "1h"),
    "first": ROWS.x.first("1h", skip_nulls=True),
}
"""Aggregations as users write them, with what only some of them take; see also `laws.grid`."""

EXPRESSIONS: dict[str, Any] = {
    "arithmetic": lambda x, y: (x + y - 2) * y / 3 % 5,
    "power and signs": lambda x, y: abs(-x) ** y,
    "comparisons": lambda x, y: (x > 1) & (y <= 2) | ~(x == y) & (x != 3) & (x >= 0) & (y < 9),
    "functions": lambda x, y: (x.sqrt() + y.log() + x.exp()).floor() + y.ceil(),
    "nulls": lambda x, y: if_else(x.is_null() | y.is_not_null(), x.fill_null(0.0), y),
    "choice": lambda x, y: x.is_in([1.0, 2.0]) & y.cast(int).is_in([3]),
}
TEXT_AND_TIME: dict[str, Expression] = {
    "text": (ROWS.city.lower() + ROWS.city.upper()).strip().length(),
    "text tests": ROWS.city.contains("a") | ROWS.city.starts_with("b") | ROWS.city.ends_with("c"),
    "time": ROWS.born.year() + ROWS.born.month() + ROWS.born.day() + ROWS.born.hour(),
    "time test": ROWS.born > datetime(2026, 1, 1, tzinfo=UTC),
    "weekday": ROWS["at"].weekday(),
    "age": ROWS["seen"] - ROWS["at"],
    "cast": ROWS.city.cast(float),
    "columns": ROWS.x * ROWS.small + ROWS.single,
}
