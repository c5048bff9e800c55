"""Windowed aggregations by hand in DuckDB.

`cumulative`: running sums, and one ASOF join per edge of a window.
`frames`: the union of events and labels with RANGE frames: all aggregations, much slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.child import Clock
from benchmarks.window_oracle import WINDOWS, compare

if TYPE_CHECKING:
    import duckdb

RUNNING = """
CREATE TEMP TABLE running AS
SELECT entity, event_at, amount,
  row_number() OVER w AS n,
  sum(amount) OVER w AS s,
  sum(amount * amount) OVER w AS q,
  lead(amount) OVER w AS following,
  avg(amount) OVER l AS last100_mean, stddev_pop(amount) OVER l AS last100_std,
  min(amount) OVER l AS last100_min, max(amount) OVER l AS last100_max
FROM '{events}'
WINDOW w AS (PARTITION BY entity ORDER BY event_at ROWS UNBOUNDED PRECEDING),
       l AS (PARTITION BY entity ORDER BY event_at ROWS 99 PRECEDING)
"""

EDGE = """
CREATE TEMP TABLE edge_{name} AS
SELECT asked.label_row, running.n, running.s, running.q, running.following
FROM (SELECT *, label_at - INTERVAL {length} MICROSECONDS AS edge FROM '{spine}') AS asked
ASOF LEFT JOIN running ON asked.entity = running.entity AND asked.edge >= running.event_at
"""

END = """
CREATE TEMP TABLE at_label AS
SELECT asked.label_row, running.* EXCLUDE (entity, event_at, following), oldest
FROM '{spine}' AS asked
ASOF LEFT JOIN running ON asked.entity = running.entity AND asked.label_at >= running.event_at
LEFT JOIN (
  SELECT entity, arg_min(amount, event_at) AS oldest FROM running GROUP BY entity
) AS firsts ON asked.entity = firsts.entity
"""

DIFFERENCES = """
  coalesce(a.n, 0) - coalesce(e_{w}.n, 0) AS count_{w},
  coalesce(a.s, 0) - coalesce(e_{w}.s, 0) AS sum_{w},
  sum_{w} / nullif(count_{w}, 0) AS mean_{w},
  CASE WHEN count_{w} > 0
    THEN sqrt(greatest((a.q - coalesce(e_{w}.q, 0)) / count_{w} - mean_{w} * mean_{w}, 0))
  END AS std_{w},
  CASE WHEN count_{w} > 0 THEN coalesce(e_{w}.following, a.oldest) END AS first_{w},
  CASE WHEN count_{w} > 0 THEN a.amount END AS latest_{w}
"""

FRAME = """
  count(amount) OVER w_{w} AS count_{w}, sum(amount) OVER w_{w} AS sum_{w},
  avg(amount) OVER w_{w} AS mean_{w}, stddev_pop(amount) OVER w_{w} AS std_{w},
  min(amount) OVER w_{w} AS min_{w}, max(amount) OVER w_{w} AS max_{w},
  first_value(amount IGNORE NULLS) OVER w_{w} AS first_{w},
  last_value(amount IGNORE NULLS) OVER w_{w} AS latest_{w},
  count(DISTINCT merchant) OVER w_{w} AS n_unique_{w}
"""


def cumulative(clock: Clock, events: str, spine: str, expected: str) -> dict[str, Any]:
    """Everything but min, max and n_unique over time windows."""
    connection = connect()
    with clock:
        connection.execute(RUNNING.format(events=events))
        connection.execute(END.format(spine=spine))
        for window, length in WINDOWS.items():
            connection.execute(EDGE.format(name=window, length=length, spine=spine))
        features = ",".join(DIFFERENCES.format(w=window) for window in WINDOWS)
        joins = " ".join(f"JOIN edge_{w} AS e_{w} USING (label_row)" for w in WINDOWS)
        table = connection.sql(
            f"SELECT label_row, COLUMNS('last100.*'), {features} FROM at_label AS a {joins}"
        ).to_arrow_table()
    return compare(expected, table.sort_by("label_row"))


def frames(clock: Clock, events: str, spine: str, expected: str) -> dict[str, Any]:
    """Everything, with frames that end at each row of the union; the last 100 as above."""
    connection = connect()
    features = ",".join(FRAME.format(w=window) for window in WINDOWS)
    # A frame is closed on both sides; with whole microseconds one less opens its start.
    windows = ",".join(
        f"w_{w} AS (PARTITION BY entity ORDER BY event_at"
        f" RANGE BETWEEN INTERVAL {length - 1} MICROSECONDS PRECEDING AND CURRENT ROW)"
        for w, length in WINDOWS.items()
    )
    with clock:
        connection.execute(RUNNING.format(events=events))
        connection.execute(END.format(spine=spine))
        table = connection.sql(
            f"""
            WITH rows AS (
              SELECT entity, event_at, amount, merchant, NULL AS label_row FROM '{events}'
              UNION ALL BY NAME
              SELECT entity, label_at AS event_at, label_row FROM '{spine}'
            )
            SELECT * FROM (SELECT label_row, {features} FROM rows WINDOW {windows})
            JOIN (SELECT label_row, COLUMNS('last100.*') FROM at_label) USING (label_row)
            """
        ).to_arrow_table()
    return compare(expected, table.sort_by("label_row"))


def connect() -> duckdb.DuckDBPyConnection:
    """Return a database in memory that knows only UTC."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    return connection
