"""``skewless replay``: what a request was answered, what history gives, and why they differ."""

from __future__ import annotations

from typing import Any

import click

from skewless.cli.inputs import types_asked
from skewless.cli.options import asked_for, command, pairs, typed
from skewless.cli.output import emit, say
from skewless.errors import InputError


@command(
    "replay",
    example="skewless replay 5f1c0e7a9b21-7\n"
    "skewless replay card_id=c1 --at 2026-01-31T10:00:00Z\n"
    "skewless replay card_id=c1 --features fraud_model --json",
    no="A value was wrong when it was served.",
)
@click.argument("asked", nargs=-1, required=True, metavar="REQUEST_ID | KEY=VALUE...")
@click.option("--at", metavar="TIME", help="The newest answer at or before.  [default: the newest]")
@click.option("--features", metavar="NAMES", help="What to compute where nothing was logged.")
@click.option("--served-log", metavar="PATH", help="A file or folder.  [default: .skewless/served]")
@click.pass_context
def replay_command(
    ctx: click.Context, /, repo: str, as_json: bool, asked: tuple[str, ...], **given: str | None
) -> None:
    """Show what a request was answered, and why history differs, and who else is hit.

    The id of a request is in its answer (x-request-id) and in the served log, which a server keeps
    with --served-log. History gives each value twice: of what was known then, and by now.
    """
    from skewless.store import FeatureStore

    by_id = len(asked) == 1 and "=" not in asked[0]
    if by_id and given["at"] is not None:
        raise InputError("a request has its own time", got="--at")
    features = None if given["features"] is None else asked_for(given["features"])
    entity: dict[str, Any] | None = None if by_id else dict(pairs(asked))
    with FeatureStore(repo) as fs:
        if entity is not None and features is not None:
            entity = typed(entity, types_asked(fs, features), "replay")
        found = fs.replay(
            asked[0] if by_id else "",
            entity=entity,
            at=given["at"],
            features=features,
            served=given["served_log"],
        )
    emit(found) if as_json else say(str(found))
    if not found.ok:
        ctx.exit(1)
