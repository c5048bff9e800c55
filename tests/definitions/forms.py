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
WINDOWS: dict[str, dict[str, Any]] = {
    "sliding": {"windows": ("1h",)},
    "sliding, resolution": {"windows": ("24h",), "resolution": "5m"},
    "sliding, offset": {"windows": ("1h",), "offset": "1d"},
    "last n": {"windows": (), "last": 100},
    "last n, offset": {"windows": (), "last": 100, "offset": "1d"},
    "tumbling": {"windows": (tumbling("1h"),)},
    "tumbling, offset": {"windows": (tumbling("1h"),), "offset": "1d"},
    "session": {"windows": (session("30m"),)},
    "lifetime": {"windows": (lifetime(),)},
}


def over(method: Any, window: str, *first: Any, **more: Any) -> Expression:
    """The aggregate that a method (``ROWS.x.mean``) makes over a window of `WINDOWS`."""
    options = dict(WINDOWS[window])
    made: Expression = method(*first, *options.pop("windows"), **options, **more)
    return made


AGGREGATES: dict[str, Any] = {
    "count": lambda w: over(ROWS.x.count, w),
    "count of rows": lambda w: over(ROWS.count, w),
    "count of some rows": lambda w: over(ROWS.where(ROWS.flag).count, w),
    "sum": lambda w: over(ROWS.x.sum, w),
    "sum of whole numbers": lambda w: over(ROWS.n.sum, w, default=7),
    "sum of decimals": lambda w: over(ROWS.cents.sum, w, default="1.50"),
    "mean": lambda w: over(ROWS.x.mean, w, default=0.5),
    "mean of an expression": lambda w: over((ROWS.x * 2 + ROWS.n).mean, w),
    "min": lambda w: over(ROWS.city.min, w, default="z"),
    "max": lambda w: over(ROWS.born.max, w, default=datetime(2026, 1, 1, tzinfo=UTC)),
    "max of bytes": lambda w: over(ROWS["raw"].max, w, default=b"\x00\xff"),
    "std": lambda w: over(ROWS.x.std, w, ddof=1),
    "var": lambda w: over(ROWS.x.var, w),
    "skew": lambda w: over(ROWS.x.skew, w),
    "kurtosis": lambda w: over(ROWS.x.kurtosis, w),
    "slope": lambda w: over(ROWS.x.slope, w),
    "n_unique": lambda w: over(ROWS.city.n_unique, w),
    "quantile": lambda w: over(ROWS.x.quantile, w, 0.9),
    "approx_unique": lambda w: over(ROWS.city.approx_unique, w, precision=14),
    "approx_quantile": lambda w: over(ROWS.x.approx_quantile, w, 0.99, accuracy=0.001),
    "sum by city": lambda w: over(ROWS.x.sum, w, by="city", default={"a": 1.0}),
    "rows by text": lambda w: over(ROWS.count, w, by=ROWS.n.cast(str)),
    "median": lambda w: over(ROWS.x.median, w),
    "mode": lambda w: over(ROWS.city.mode, w),
    "top_k": lambda w: over(ROWS.city.top_k, w, 3, default=["a"]),
    "histogram": lambda w: over(ROWS.x.histogram, w, [0, 10, 20]),
    "trend": lambda w: over(ROWS.x.trend, w, recent=5),
    "ewma": lambda w: over(ROWS.x.ewma, w, "6h"),
    "since_last": lambda w: over(ROWS.x.since_last, w),
    "since_last of rows": lambda w: over(ROWS.since_last, w),
    "rate": lambda w: over(ROWS.rate, w),
    "last_n": lambda w: over(ROWS.x.last_n, w, 5),
    "first_n": lambda w: over(ROWS.x.first_n, w, 5),
    "first": lambda w: over(ROWS.x.first, w, skip_nulls=True),
    "latest": lambda w: over(ROWS.x.latest, w),
}
MEANINGLESS = {
    *(("rate", w) for w in ("last n", "last n, offset", "session", "lifetime")),
    *((name, "lifetime") for name in ("trend", "ewma")),
    *((name, "sliding, resolution") for name in ("trend", "ewma")),
}
"""What is refused, with a reason: see test_wrong_definitions."""

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
