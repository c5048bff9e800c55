"""``skewless sql``: a query over sources, feature views and the ledger."""

from __future__ import annotations

import importlib

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say, table
from skewless.errors import MissingDependency


@command(
    "sql",
    example='skewless sql "SELECT card_id, max(total) FROM Spend GROUP BY card_id"\n'
    'skewless sql "SELECT * FROM payments WHERE amount > 100" --out large.parquet\n'
    'skewless sql "SELECT * FROM Spend_now ORDER BY total DESC LIMIT 10"',
)
@click.argument("query")
@click.option("--out", type=click.Path(dir_okay=False), help="Parquet file to write instead.")
def sql_command(*, repo: str, as_json: bool, query: str, out: str | None) -> None:
    """Answer one SELECT over what the store holds.

    Tables: each source (the rows that count), each feature view (every change of its values), a
    view with _now behind its name (the values of each entity now), training_sets, runs, freshness.
    """
    from skewless.store import FeatureStore

    try:
        plug = importlib.import_module("skewless.plugs.duckdb")
    except ModuleNotFoundError as problem:
        raise MissingDependency.of("duckdb", "sql", needed_for="skewless sql") from problem
    with FeatureStore(repo) as fs, plug.connect(fs) as connection:
        found = connection.sql(query)
    if out is not None:
        import pyarrow.parquet as pq

        pq.write_table(found, out)
        note(f"{found.num_rows:,} rows written to {out}")
    elif as_json:
        emit(found.to_pylist())
    else:
        say(table(found.column_names, zip(*found.to_pydict().values(), strict=True)))
