"""Windowed aggregations by hand in Polars.

`cumulative`: running sums, and one as-of join per edge of a window; also first, latest, last 100.
`rolling`: the union of events and labels, grouped by rolling windows; also min and max.
`both`: each of the two for what it does best.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.child import Clock
from benchmarks.window_oracle import WINDOWS, compare

if TYPE_CHECKING:
    import polars as pl


def cumulative(clock: Clock, events: str, spine: str, expected: str) -> dict[str, Any]:
    """Everything but min, max and n_unique over time windows."""
    with clock:
        frame = _cumulative(events, spine)
    return compare(expected, frame.sort("label_row").to_arrow())


def rolling(
    clock: Clock, events: str, spine: str, expected: str, aggregations: list[str]
) -> dict[str, Any]:
    """The aggregations that are asked for over time windows."""
    with clock:
        frame = _rolling(events, spine, aggregations)
    return compare(expected, frame.sort("label_row").to_arrow())


def both(clock: Clock, events: str, spine: str, expected: str, rolled: list[str]) -> dict[str, Any]:
    """Everything that running sums can do, and other aggregations rolling."""
    with clock:
        sums = _cumulative(events, spine)
        frame = sums.join(_rolling(events, spine, rolled), on="label_row", how="left")
    return compare(expected, frame.sort("label_row").to_arrow())


def _cumulative(events: str, spine: str) -> pl.DataFrame:
    """A window's sum is the running sum at its end less that before its start."""
    import polars as pl

    amount = pl.col("amount")
    running = (
        pl.scan_parquet(events)
        .select("entity", "event_at", "amount")
        .sort("entity", "event_at")
        .with_columns(
            pl.int_range(1, pl.len() + 1).over("entity").alias("n"),
            amount.cum_sum().over("entity").alias("s"),
            (amount * amount).cum_sum().over("entity").alias("q"),
            amount.shift(-1).over("entity").alias("following"),
            amount.first().over("entity").alias("oldest"),
            amount.rolling_mean(100, min_samples=1).over("entity").alias("last100_mean"),
            amount.rolling_std(100, min_samples=1, ddof=0).over("entity").alias("last100_std"),
            amount.rolling_min(100, min_samples=1).over("entity").alias("last100_min"),
            amount.rolling_max(100, min_samples=1).over("entity").alias("last100_max"),
        )
        .collect()
    )
    labels = pl.read_parquet(spine).sort("label_at")
    joined = _newest(labels, running, "label_at").with_columns(
        pl.col("n").fill_null(0), pl.col("s", "q").fill_null(0.0)
    )
    edges = running.select("entity", "event_at", n0="n", s0="s", q0="q", next0="following")
    found = [joined.select("label_row", pl.selectors.starts_with("last100"))]
    for window in WINDOWS:
        start = joined.with_columns(
            start=pl.col("label_at") - pl.duration(microseconds=WINDOWS[window])
        )
        inside = _newest(start, edges, "start")
        found.append(inside.select(**_differences(window)))
    return pl.concat(found, how="horizontal")


def _newest(asked: pl.DataFrame, rows: pl.DataFrame, edge: str) -> pl.DataFrame:
    return asked.join_asof(
        rows, left_on=edge, right_on="event_at", by="entity", check_sortedness=False
    )


def _differences(window: str) -> dict[str, Any]:
    import polars as pl

    count = pl.col("n") - pl.col("n0").fill_null(0)
    total = pl.col("s") - pl.col("s0").fill_null(0.0)
    squares = pl.col("q") - pl.col("q0").fill_null(0.0)
    mean = total / count
    some = pl.when(count > 0)
    features = {
        "count": count,
        "sum": total,
        "mean": some.then(mean),
        "std": some.then((squares / count - mean * mean).clip(0).sqrt()),
        "first": some.then(pl.coalesce("next0", "oldest")),
        "latest": some.then(pl.col("amount")),
    }
    return {f"{name}_{window}": expression for name, expression in features.items()}


def _rolling(events: str, spine: str, aggregations: list[str]) -> pl.DataFrame:
    """Labels become rows without an amount; only theirs are kept of what is computed for all."""
    import polars as pl

    amount = pl.col("amount")
    made = {
        "count": amount.count(),
        "sum": amount.sum(),
        "mean": amount.mean(),
        "std": amount.std(ddof=0),
        "min": amount.min(),
        "max": amount.max(),
        "first": amount.drop_nulls().first(),
        "latest": amount.drop_nulls().last(),
        "n_unique": pl.col("merchant").drop_nulls().n_unique(),
    }
    rows = pl.read_parquet(events, columns=["entity", "event_at", "amount", "merchant"])
    asked = pl.read_parquet(spine).rename({"label_at": "event_at"})
    union = pl.concat([rows, asked], how="diagonal").sort("entity", "event_at")
    place = union.select("label_row", "entity", "event_at")
    found = [asked.select("label_row").sort("label_row")]
    for window in WINDOWS:
        grouped = union.rolling(
            "event_at", period=f"{WINDOWS[window]}us", closed="right", group_by="entity"
        ).agg(**{f"{name}_{window}": made[name] for name in aggregations})
        labelled = pl.concat(
            [place.select("label_row"), grouped.drop("entity", "event_at")], how="horizontal"
        )
        kept = labelled.filter(pl.col("label_row").is_not_null())
        found.append(kept.sort("label_row").drop("label_row"))
    return pl.concat(found, how="horizontal")
