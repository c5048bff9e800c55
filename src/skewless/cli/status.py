"""``skewless list``, ``show``, ``status``, ``search``, ``statistics``: looking at what there is."""

from __future__ import annotations

from typing import Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, paint, say, short, table
from skewless.cli.plan import SIZES

KINDS = ("entities", "sources", "views", "services")
_PLURALS = {
    "entity": "entities",
    "source": "sources",
    "feature view": "views",
    "on-demand view": "views",
    "feature service": "services",
}
DAYS, DAY = 30, 86_400_000_000
_COLOURS = {"stale": "red", "building": "magenta", "never": "yellow", "late": "yellow"}


@command(
    "status",
    example="skewless status\nskewless status --check --json",
    no="With --check: a view is less fresh than its owner promised.",
)
@click.option("--check", is_flag=True, help="Exit with 1 if a promise of freshness is broken.")
@click.pass_context
def status_command(ctx: click.Context, /, *, repo: str, as_json: bool, check: bool) -> None:
    """Show how fresh each view is.

    That is the age of the newest event against what was promised. Below: how large the states of
    entities are online, by a sample: bytes and rows kept of the median, of 99 %, of the largest;
    and how often, in the last 30 days, the checks of each source and view have held, and each view
    was as fresh as promised when `skewless tend` looked.
    """
    from skewless.monitoring.freshness import kept_promises
    from skewless.monitoring.state_sizes import stored_sizes
    from skewless.quality.check import attainment
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        report, sizes = fs.freshness(), stored_sizes(fs.runtime)
        since = fs.runtime.clock.now() - DAYS * DAY
        held = attainment(fs.runtime.ledger, since)
        kept = kept_promises(fs.runtime.ledger, since)
    if as_json:
        states, checks = ([each.to_dict() for each in found] for found in (sizes, held))
        emit({**report.to_dict(), "states": states, "checks": checks, "kept": kept})
    else:
        for line in str(report).splitlines():
            status = line.split()[1:2]
            colour = _COLOURS.get(status[0]) if status else None
            say(paint(line, colour) if colour else line)
        if sizes:
            say(f"\nThe state of an entity online\n{SIZES}:\n")
        for size in sizes:
            say(f"  {size}")
        if held:
            rows = [[each.of, f"{each.share:.1%}", each.held, each.checks] for each in held]
            say(f"\nChecks of {DAYS} days\n")
            say(table(["of", "held", "times", "of"], rows))
        if kept:
            fresh = [[view, f"{ok / of:.1%}", ok, of] for view, (ok, of) in sorted(kept.items())]
            say(f"\nAs fresh as promised in {DAYS} days\n")
            say(table(["view", "kept", "times", "of"], fresh))
    if check and not report.ok:
        ctx.exit(1)


@command(
    "search",
    example='skewless search "spend last month"\nskewless search "vdd owner:yield -deprecated"',
    no="Nothing fits.",
)
@click.argument("words", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.pass_context
def search_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, words: tuple[str, ...], limit: int
) -> None:
    """Find features by words: of names, descriptions, units, owners, tags and windows.

    Filters: owner: entity: tag: view: source: service: type: unit: pii: status: with a value; a
    minus before one (within quotes) excludes; -deprecated is short for -status:deprecated; fresh
    keeps what is as fresh as promised. What is deprecated comes below what replaces it.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = fs.search(" ".join(words), limit)
    if as_json:
        emit(found)
    elif found:
        say(table(["feature", "windows", "entity", "owner", "what", "why"], map(_hit, found)))
    else:
        note("Nothing fits.")
    if not found:
        ctx.exit(1)


def _hit(hit: dict[str, Any]) -> list[str]:
    """Return a feature that was found as cells of a row."""
    what = short(hit["description"] or hit["computes"])
    if hit["deprecated"]:
        until = f" until {hit['sunset']}" if hit["sunset"] else ""
        what = f"DEPRECATED{until}: {hit['deprecated']}"
    why = short("; ".join(hit["why"]))
    return [hit["feature"], " ".join(hit["windows"]), hit["entity"], hit["owner"], what, why]


@command("statistics", example="skewless statistics FabRolling\nskewless statistics FabRolling@v1")
@click.argument("view")
def statistics_command(repo: str, as_json: bool, view: str) -> None:
    """Show counts, nulls, range and quantiles of a view's features, over all entities."""
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = fs.statistics(view)
    if as_json:
        emit(found)
    else:
        say(str(found))


@command("list", example="skewless list\nskewless list views --json")
@click.argument("kind", required=False, type=click.Choice(KINDS))
def list_command(repo: str, as_json: bool, kind: str | None) -> None:
    """List what is defined: entities, sources, views and feature services, a line each."""
    from skewless.monitoring.catalog import listing
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = listing(fs.runtime.state())
    if kind is not None:
        found = [line for line in found if _PLURALS[line["kind"]] == kind]
    if as_json:
        emit(found)
    elif found:
        rows = [
            [line["kind"], line["name"], line["about"], line["owner"], short(line["description"])]
            for line in found
        ]
        say(table(["kind", "name", "about", "owner", "description"], rows))
    else:
        note("Nothing is applied yet. See what there is to apply: skewless plan")


@command("show", example="skewless show Spend\nskewless show Spend:total_1h --json")
@click.argument("name")
def show_command(repo: str, as_json: bool, name: str) -> None:
    """Show a view, source, entity, feature service or feature, with the words about it."""
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = fs.show(name)
    if as_json:
        emit(found)
    else:
        say(str(found))
