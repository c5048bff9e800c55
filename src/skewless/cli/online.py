"""``skewless online``: move the online store, look at its mirror, rebuild it, say who writes it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, progress, say, table
from skewless.errors import InputError
from skewless.formatting import count_of

if TYPE_CHECKING:
    from skewless.materialize.materialize import MaterializeResult
    from skewless.store import FeatureStore


@command(
    "online",
    example="skewless online status\nskewless online copy --to next\nskewless online rebuild Spend"
    "\nskewless online adopt"
    "\nskewless online begin payments --stream arn:aws:kinesis:eu-west-1:1234:stream/payments",
    no="status: the mirror lacks rows, or could not be written to.",
)
@click.argument("action", type=click.Choice(["status", "copy", "rebuild", "adopt", "begin"]))
@click.argument("views", nargs=-1, metavar="[VIEW|SOURCE]...")
@click.option("--to", metavar="NAME", help="copy: the store of [stores.NAME] in skewless.toml.")
@click.option("--stream", metavar="ARN", help="begin: what functions read the source from.")
@click.pass_context
def online_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, action: str, **given: Any
) -> None:
    """Move the online store, look at its mirror, rebuild it, say who writes it.

    status: which store is read, which is its mirror, and what the mirror still lacks.

    copy: copy all that is online to another store and verify it, row by row. It goes on where a
    copy that was stopped had come to. Writers go on too; with the store as mirror it misses none
    of what they write.

    rebuild: make the states of some views, or of all, exactly what history says.

    adopt: take the states over from whoever wrote them (a machine or container that is no more, a
    journal restored from a backup) and build them from the log of this repo. Until then writing to
    them is refused. The writer before is refused afterwards.

    begin: have AWS Lambda functions keep up the states of a source, without a journal; what cannot
    be exact so is refused. This repo then reads them, and may not push.
    """
    from skewless.store import FeatureStore

    views, to, stream = given["views"], given["to"], given["stream"]
    if views and action not in ("rebuild", "begin"):
        raise InputError(f"online {action} takes no views", got=", ".join(views))
    if (action == "begin") != (stream is not None) or (action == "begin" and len(views) != 1):
        raise InputError("online begin needs a source and --stream ARN, and nothing else takes one")
    if (to is not None) != (action == "copy"):
        raise InputError(
            "online copy needs --to NAME" if to is None else f"online {action} takes no --to"
        )
    with FeatureStore(repo) as fs:
        if action == "copy":
            _copy(fs, to, as_json)
        elif action == "rebuild":
            _rebuild(fs, list(views) or None, as_json)
        elif action == "adopt":
            _adopt(fs, as_json)
        elif action == "begin":
            _begin(fs, views[0], stream, as_json)
        elif not _status(fs, as_json):
            ctx.exit(1)


def _copy(fs: FeatureStore, to: str, as_json: bool) -> None:
    from skewless.online.move.copy import copy_online

    with progress() as report:
        result = copy_online(fs.runtime, to, progress=report)
    if as_json:
        emit(dataclasses.asdict(result))
        return
    headers = ["table", "rows", "bytes", "copied", "repaired", "removed", "checksum"]
    say(table(headers, [[getattr(t, name) for name in headers] for t in result.tables]))
    say(f"\n{to} holds the same {count_of(sum(t.rows for t in result.tables), 'row')}.")
    if result.mirrored:
        note(f"To use it: stop writers, set store = {to!r} in [online], start them.")
    else:
        note(f"To use it: set store = {to!r} in [online] before anything is written. Else")
        note(f"stop writers, or set mirror = {to!r} first and restart them, and copy again.")


def _rebuild(fs: FeatureStore, views: list[str] | None, as_json: bool) -> None:
    from skewless.materialize.verbs import rebuild

    with progress() as report:
        results: list[MaterializeResult] = rebuild(fs.runtime, views, progress=report)
    if as_json:
        emit([vars(result) for result in results])
    elif results:
        say(
            table(
                ["table", "entities", "rows read"], [[r.table, r.entities, r.rows] for r in results]
            )
        )
    else:
        note("There are no views. Apply some with: skewless apply")


def _adopt(fs: FeatureStore, as_json: bool) -> None:
    from skewless.materialize.recovery import adopt

    with progress() as report:
        before = adopt(fs.runtime, progress=report)
    found = None if before is None else {"writer": before.writer, "place": before.place}
    if as_json:
        emit({"before": found})
    elif found is None:
        say("Adopted: the store named no writer.")
    else:
        say(f"Adopted: it was written by {found['writer']} of {found['place']}.")


def _begin(fs: FeatureStore, source: str, stream: str, as_json: bool) -> None:
    from skewless.ingest.lanes.begin import begin

    found = begin(fs.runtime, source, stream)
    tables = [layout.table for layout in found.layouts]
    if as_json:
        emit({"source": source, "stream": found.stream, "tables": tables})
        return
    say(f"Functions keep up {', '.join(tables)}, from {found.stream}.")
    note("The first must begin at the stream's first record: StartingPosition TRIM_HORIZON.")


def _status(fs: FeatureStore, as_json: bool) -> bool:
    """Show how the online store and its mirror stand; return whether the mirror has all rows."""
    from skewless.online.ownership import Mark

    runtime = fs.runtime
    store, mirror = runtime.home.states, runtime.mirror
    if mirror is not None:
        mirror.settle()
    found = None if mirror is None else mirror.status()
    writer = None if runtime.one_store else Mark.read(store)
    if as_json:
        place = {"kind": fs.config.online.kind, "where": store.where}
        emit(
            {
                "online": place,
                "writer": None if writer is None else dataclasses.asdict(writer),
                "mirror": None if found is None else dataclasses.asdict(found),
            }
        )
    else:
        say(f"online  {fs.config.online.kind} at {store.where}")
        if writer is not None:
            say(f"writer  {writer.writer} of {writer.place}")
        if found is not None:
            lacks = f"lacks {count_of(found.pending, 'row')}" if found.pending else "has every row"
            say(f"mirror  {found.name} {lacks}")
            if found.problem:
                say(f"        {found.problem}")
    return found is None or not (found.pending or found.problem)
