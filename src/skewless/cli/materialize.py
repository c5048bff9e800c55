"""``skewless materialize``, ``backfill`` and ``compact``: upkeep of online states and logs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command, listed
from skewless.cli.output import emit, note, progress, say, table
from skewless.formatting import count_of

if TYPE_CHECKING:
    from skewless.materialize.materialize import MaterializeResult

_views = click.argument("views", nargs=-1, metavar="[VIEW]...")
_start = click.option("--start", metavar="TIME", help="Look for changes from here on.")
_end = click.option("--end", metavar="TIME", help="Look for changes before here only.")


@command(
    "materialize",
    example="skewless materialize\n"
    "skewless materialize FabRolling --end 2026-01-31T00:00:00Z --json",
)
@_views
@_start
@_end
def materialize_command(repo: str, as_json: bool, **given: Any) -> None:
    """Bring the online store up to date from history: of some views, or of all.

    Reads go on. Running it twice, or again after a kill, is harmless.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        _run(fs.materialize, as_json, given)


@command(
    "backfill", example="skewless backfill FabRolling\nskewless backfill --end 2026-01-31T00:00:00Z"
)
@_views
@_start
@_end
def backfill_command(repo: str, as_json: bool, **given: Any) -> None:
    """Rebuild online states from history, rows that came too late included."""
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        _run(fs.backfill, as_json, given)


def _run(
    verb: Callable[..., list[MaterializeResult]], as_json: bool, given: dict[str, Any]
) -> None:
    with progress() as report:
        results = verb(
            listed(given["views"]), start=given["start"], end=given["end"], progress=report
        )
    if as_json:
        emit([vars(result) for result in results])
        return
    if not results:
        note("There are no views. Apply some with: skewless apply")
        return
    rows = [[r.table, r.entities, r.resumed, r.rows, _outcome(r)] for r in results]
    say(table(["table", "entities", "resumed", "rows read", "outcome"], rows))


def _outcome(result: MaterializeResult) -> str:
    if result.skipped:
        return "up to date already"
    return "went on after a stop" if result.resumed else "done"


@command("compact", example="skewless compact\nskewless compact wafer_tests")
@click.argument("source", required=False)
def compact_command(repo: str, as_json: bool, source: str | None) -> None:
    """Settle event logs into Parquet files by date, of one source or of all."""
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        settled = fs.compact(source)
    if as_json:
        emit(settled)
    else:
        for name, rows in settled.items():
            say(f"{name}: {count_of(rows, 'row')} settled.")
