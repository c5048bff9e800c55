"""``skewless explain``: the rows behind a value."""

from __future__ import annotations

import click

from skewless.cli.inputs import types_asked
from skewless.cli.options import at_option, command, pairs, typed
from skewless.cli.output import emit, say
from skewless.errors import InputError


@command(
    "explain",
    example="skewless explain FabRolling:vdd_mean fab_id=f1\n"
    "skewless explain FabRolling:vdd_mean fab_id=f1 --at 2026-01-31T10:00:00Z --json",
)
@click.argument("feature", metavar="VIEW:FEATURE")
@click.argument("entity", nargs=-1, required=True, metavar="KEY=VALUE...")
@at_option("The moment asked about.  [default: now]")
def explain_command(
    repo: str, as_json: bool, feature: str, entity: tuple[str, ...], at: str | None
) -> None:
    """Show the rows behind a value: which counted, which did not and why, cut-offs, the value."""
    from skewless.store import FeatureStore

    if ":" not in feature:
        raise InputError("not a feature", got=feature, expected="View:feature")
    with FeatureStore(repo) as fs:
        keys = typed(pairs(entity), types_asked(fs, [feature]), feature)
        found = fs.explain(feature, keys, at=at)
    if as_json:
        emit(found)
    else:
        say(str(found))
