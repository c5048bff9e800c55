"""Amazon Redshift as the table of a source, by PostgreSQL's ADBC driver.

RedshiftReader(Redshift("shop.payments"), settings=settings)    # [connections.redshift] uri
"""

from __future__ import annotations

from typing import Any

from skewless.stores.offline.tables._sql import database
from skewless.stores.offline.tables.postgres import PostgresReader


class RedshiftReader(PostgresReader):
    """Reads `skewless.Redshift`."""

    dialect = "redshift"
    support = database("", "postgres")

    def _begin(self, cursor: Any) -> None:
        """Redshift knows no read-only transactions; the query only reads."""
