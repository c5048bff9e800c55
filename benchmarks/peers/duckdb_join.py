"""The point-in-time join by hand in DuckDB: ASOF JOIN, as it is and made to respect ties."""

from __future__ import annotations

from typing import Any

from benchmarks.child import Clock
from benchmarks.oracles import wrong_rows

ASOF = """
SELECT labels.*, rows.* EXCLUDE (entity, event_at, created_at)
FROM '{labels}' AS labels
ASOF LEFT JOIN '{features}' AS rows
  ON labels.entity = rows.entity AND labels.label_at >= rows.event_at
"""

WITHOUT_TIES = """
WITH rows AS (
  SELECT * FROM '{features}'
  QUALIFY row_number() OVER (PARTITION BY entity, event_at ORDER BY created_at DESC) = 1
)
SELECT labels.*, rows.* EXCLUDE (entity, event_at, created_at)
FROM '{labels}' AS labels
ASOF LEFT JOIN rows
  ON labels.entity = rows.entity AND labels.label_at >= rows.event_at
"""


def join(
    clock: Clock, features: str, labels: str, expected: str | None, ties: bool
) -> dict[str, Any]:
    """Run the query to an Arrow table."""
    import duckdb

    query = (WITHOUT_TIES if ties else ASOF).format(features=features, labels=labels)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    with clock:
        joined = connection.sql(query).to_arrow_table()
    if expected is None:
        return {}
    joined = joined.sort_by("label_row")
    columns = [name for name in joined.column_names if name.startswith("f")]
    values = {name: joined[name].to_numpy() for name in columns}
    return {"wrong_rows": wrong_rows(expected, values)}
