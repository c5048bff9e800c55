"""``skewless subject``: what is held of one entity, and where."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from skewless.cli.options import command, pairs, typed
from skewless.cli.output import emit, note, say, table
from skewless.errors import StoreError


@command(
    "subject",
    example="skewless subject card_id=c1\nskewless subject card_id=c1 --out c1.json",
    no="Nothing is held of it.",
)
@click.argument("key", nargs=-1, required=True, metavar="KEY=VALUE...")
@click.option("--entity", metavar="NAME", help="Of which entity.  [default: by the join keys]")
@click.option("--out", metavar="FILE", help="Write all of it to a new file, as JSON.")
@click.pass_context
def subject_command(
    ctx: click.Context,
    /,
    *,
    repo: str,
    as_json: bool,
    key: tuple[str, ...],
    entity: str | None,
    out: str | None,
) -> None:
    """Show all that is held of an entity, and where.

    --out and --json give the whole of it: rows of sources (every version), values online, rows set
    aside, answers in the served log, training sets whose spine is where it was, accesses on record.
    What was not looked at is listed too.
    """
    from skewless.store import FeatureStore
    from skewless.subjects.subject import NOT_LOOKED_AT, entity_of

    given = pairs(key)
    with FeatureStore(repo) as fs:
        name = entity or entity_of(fs.runtime.state(fresh=True), given)
        known = fs.entities.get(name)
        row: dict[str, Any] = dict(given) if known is None else typed(
            given, dict(known.join_keys), name)  # fmt: skip
        report = fs.subject(row, name)
    if out is not None:
        _write(Path(out), report.to_dict())
    if as_json:
        emit(report)
    else:
        say(table(["where", "how much", ""], report.places()))
        note("Not looked at: " + "; ".join(NOT_LOOKED_AT))
    if not report.is_known:
        ctx.exit(1)


def _write(file: Path, data: dict[str, Any]) -> None:
    """Write a new file that this user alone may read."""
    try:
        opened = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as problem:
        got = problem.strerror
        raise StoreError("the file cannot be written", got=got, where=str(file)) from None
    with os.fdopen(opened, "w", encoding="utf-8") as written:
        json.dump(data, written, indent=1, ensure_ascii=False)
