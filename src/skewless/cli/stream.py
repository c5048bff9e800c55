"""``skewless stream``: the worker of a source's stream, and how streams stand."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say, table
from skewless.errors import InputError
from skewless.formatting import count_of

if TYPE_CHECKING:
    from skewless.ingest.stream.metrics import StreamMetrics
    from skewless.store import FeatureStore

_TOLD_EVERY_SECONDS = 10.0
_GIVE_UP_SECONDS = 60.0


@command(
    "stream",
    example="skewless stream run wafer_tests\n"
    "skewless stream run wafer_tests --once --json\n"
    "skewless stream status",
)
@click.argument("action", type=click.Choice(["run", "status", "reset"]))
@click.argument("source", required=False)
@click.option("--once", is_flag=True, help="run: end when nothing is left to read.")
@click.option(
    "--max-rows",
    type=click.IntRange(1),
    default=10_000,
    show_default=True,
    help="run: rows of a batch at most.",
)
@click.option(
    "--start",
    default="earliest",
    show_default=True,
    metavar="earliest|latest|TIME",
    help="run: where to begin a stream that was never read.",
)
@click.option(
    "--share",
    is_flag=True,
    help="run: share the stream's partitions with other workers that do.",
)
def stream_command(*, repo: str, as_json: bool, action: str, **given: Any) -> None:
    """Run the worker of a source's stream, or show how streams stand.

    run: take rows in until SIGTERM or Ctrl-C; the batch at hand is finished first. Rows and the
    position behind them are kept as one, so it may be killed and started again at any moment.
    Of several workers of one source, one works and the others wait; with --share on each of them
    they divide the partitions among themselves, and those of one that is killed move to the others.

    status: state, position, lag and counts of one stream or of all.

    reset: forget the position; the next run begins at --start.
    """
    from skewless.store import FeatureStore

    source = given["source"]
    if source is None and action != "status":
        raise InputError(f"stream {action} needs the name of a source")
    with FeatureStore(repo) as fs:
        if action == "run":
            _run(fs, source, as_json, given)
        elif action == "status":
            _status(fs, source, as_json)
        else:
            _reset(fs, source, as_json)


def _run(fs: FeatureStore, source: str, as_json: bool, given: dict[str, Any]) -> None:
    from skewless.clock import to_micros
    from skewless.ingest.stream.worker import StreamWorker, until_signalled

    start = given["start"]
    worker = StreamWorker(
        fs.runtime,
        source,
        max_rows=given["max_rows"],
        start=start if start in ("earliest", "latest") else to_micros(start, where="--start"),
        give_up=_GIVE_UP_SECONDS if given["once"] else None,
        share=given["share"],
    )
    told = time.monotonic()

    def tell(metrics: StreamMetrics) -> None:
        nonlocal told
        if time.monotonic() - told >= _TOLD_EVERY_SECONDS:
            told = time.monotonic()
            note(_line(metrics))

    with until_signalled(worker):
        metrics = worker.run(once=given["once"], tell=tell)
    if as_json:
        emit(metrics)
    else:
        say(_line(metrics))


def _line(metrics: StreamMetrics) -> str:
    parts = [
        f"{count_of(metrics.rows, 'row')} taken in ({metrics.rows_per_second:,.0f}/s)",
        count_of(metrics.duplicates, "duplicate"),
        f"{metrics.quarantined:,} quarantined",
        "lag unknown" if metrics.lag is None else f"lag {metrics.lag:,} {metrics.lag_unit}",
    ]
    if metrics.late:
        parts.insert(2, f"{metrics.late:,} too late to count")
    if metrics.retries:
        parts.append(f"{metrics.retries:,} retries")
    return f"{metrics.source}: {', '.join(parts)}."


def _status(fs: FeatureStore, source: str | None, as_json: bool) -> None:
    from skewless.ingest.stream.status import stream_status

    found = stream_status(fs.runtime, None if source is None else [source])
    if as_json:
        emit([status.to_dict() for status in found])
    elif found:
        heads = ["source", "stream", "state", "rows", "lag", "quarantined", "worker"]
        rows = []
        for status in found:
            counted, worker = status.metrics or {}, status.worker
            lag = counted.get("lag")
            rows.append(
                [
                    status.source,
                    status.stream["kind"],
                    status.state,
                    counted.get("rows", ""),
                    "" if lag is None else f"{lag:,} {counted['lag_unit']}",
                    counted.get("quarantined", ""),
                    "" if worker is None else _who(worker, len(status.workers)),
                ]
            )
        say(table(heads, rows))
    else:
        say("No source has a stream.")


def _who(worker: dict[str, Any], workers: int) -> str:
    return f"{workers} workers" if workers > 1 else f"{worker['pid']} on {worker['host']}"


def _reset(fs: FeatureStore, source: str, as_json: bool) -> None:
    from skewless.ingest.stream.status import forget_position

    known = forget_position(fs.runtime, source)
    if as_json:
        emit({"source": source, "had_position": known})
    elif known:
        say(f"{source}: the position is forgotten; the next run begins at --start.")
    else:
        say(f"{source}: its stream was never read.")
