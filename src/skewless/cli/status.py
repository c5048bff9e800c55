"""``skewless list``, ``show``, ``status``, ``search``, ``statistics``: looking at what there is."""

from __future__ import annotations

from collections.abc import Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, paint, say, short, table
from skewless.cli.plan import SIZES
from skewless.formatting import count_of

if TYPE_CHECKING:
    from skewless.alerts.alerts import Alert
    from skewless.monitoring.freshness import FreshnessReport
    from skewless.quality.check import Attainment

KINDS = ("entities", "sources", "views", "services")
_PLURALS = {
    "entity": "entities",
    "source": "sources",
    "feature view": "views",
    "on-demand view": "views",
    "feature service": "services",
}
STATUSES = ("stale", "building", "never", "late", "ok")
MOST = 30
"""Lines of a kind that are shown where nobody asks for all."""
DAYS, DAY = 30, 86_400_000_000
_COLOURS = {"stale": "red", "building": "magenta", "never": "yellow", "late": "yellow"}


@command(
    "status",
    example="skewless status\nskewless status --check --json\nskewless status --summary\n"
    "skewless status --owner fraud --only stale",
    no="With --check: a view is less fresh than its owner promised.",
)
@click.option("--check", is_flag=True, help="Exit with 1 if a promise of freshness is broken.")
@click.option("--owner", metavar="NAME", help="Views that this owner answers for alone.")
@click.option("--only", type=click.Choice(STATUSES), help="Views of this status alone.")
@click.option(
    "--summary/--all",
    default=None,
    help="Totals and owners, or every view.  [default: the first of what needs somebody]",
)
@click.pass_context
def status_command(
    ctx: click.Context,
    /,
    *,
    repo: str,
    as_json: bool,
    check: bool,
    owner: str | None,
    only: str | None,
    summary: bool | None,
) -> None:
    """Show how fresh each view is: totals first, then the views, those that need somebody first.

    That is the age of the newest event against what was promised. Below: how large the states of
    entities are online, by a sample: bytes and rows kept of the median, of 99 %, of the largest;
    and how often, in the last 30 days, the checks of each source and view have held, and each view
    was as fresh as promised when `skewless tend` looked. Of many of a kind the first are shown.
    """
    from skewless.monitoring.freshness import kept_promises
    from skewless.monitoring.state_sizes import stored_sizes
    from skewless.quality.check import attainment
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        report = fs.freshness().of(owner=owner, status=only)
        labels = {view.label for view in report.views}
        sources = {fs.runtime.state().view(v.view, v.version).source.name for v in report.views}
        sizes = [] if summary else stored_sizes(fs.runtime)
        since = fs.runtime.clock.now() - DAYS * DAY
        held = attainment(fs.runtime.ledger, since)
        kept = kept_promises(fs.runtime.ledger, since)
        alerts = fs.alerts()
    if owner is not None or only is not None:
        sizes = [size for size in sizes if size.source in sources]
        held = [each for each in held if each.of in labels | sources]
        kept = {view: counts for view, counts in kept.items() if view in labels}
        alerts = [alert for alert in alerts if alert.of in labels | sources]
    if as_json:
        states, checks = ([each.to_dict() for each in found] for found in (sizes, held))
        totals = {"statuses": report.totals, "alerts": len(alerts)}
        said = {"states": states, "checks": checks, "kept": kept, "totals": totals}
        emit({**report.to_dict(), **said})
    else:
        say(_totals(report, alerts))
        if summary:
            say(table(["owner", "views", *STATUSES], report.by_owner()))
        else:
            _say_views(report, everything=summary is False)
        if sizes:
            say(f"\nThe state of an entity online\n{SIZES}:\n")
            _say_first([f"  {size}" for size in sizes], everything=summary is False)
        _say_shares(held, kept, summary)
    if check and not report.ok:
        ctx.exit(1)


def _say_shares(
    held: Sequence[Attainment], kept: dict[str, tuple[int, int]], summary: bool | None
) -> None:
    """Say how often checks have held and promises were kept."""
    share = sum(each.held for each in held) / max(1, sum(each.checks for each in held))
    if held:
        rows = [[each.of, f"{each.share:.1%}", each.held, each.checks] for each in held]
        say(f"\nChecks of {DAYS} days: {share:.1%} held\n")
        _say_table(["of", "held", "times", "of"], rows, summary)
    if kept:
        fresh = [[v, ok / of, ok, of] for v, (ok, of) in kept.items()]
        fresh = [[v, f"{part:.1%}", *n] for v, part, *n in sorted(fresh, key=itemgetter(1, 0))]
        share = sum(ok for ok, _ in kept.values()) / sum(of for _, of in kept.values())
        say(f"\nAs fresh as promised in {DAYS} days: {share:.1%}\n")
        _say_table(["view", "kept", "times", "of"], fresh, summary)


def _totals(report: FreshnessReport, alerts: Sequence[Alert]) -> str:
    """Return how many views there are of each status, and how many alerts are open, in a line."""
    counts = [
        paint(f"{count:,} {status}", _COLOURS.get(status, "green"))
        for status, count in report.totals.items()
        if count
    ]
    line = f"{count_of(len(report.views), 'view')}: {', '.join(counts) or 'none'}"
    unheard = sum(not (alert.who or alert.silenced) for alert in alerts)
    told = f"; {count_of(len(alerts), 'alert')} open, {unheard} with nobody" if alerts else ""
    return f"{line}{told}\n"


def _say_views(report: FreshnessReport, *, everything: bool) -> None:
    lines = str(report).splitlines()
    found = []
    for line in lines:
        status = line.split()[1:2]
        colour = _COLOURS.get(status[0]) if status else None
        found.append(paint(line, colour) if colour else line)
    if everything or len(found) <= MOST + 1:
        say("\n".join(found))
    else:
        say("\n".join(found[: MOST + 1]))
        note(f"and {len(found) - MOST - 1:,} more views: skewless status --all")


def _say_first(lines: Sequence[str], *, everything: bool) -> None:
    say("\n".join(lines if everything else lines[:MOST]))
    if len(lines) > MOST and not everything:
        note(f"and {len(lines) - MOST:,} more: skewless status --all")


def _say_table(heads: Sequence[str], rows: Sequence[Sequence[Any]], summary: bool | None) -> None:
    """Say the first rows of a table, all of them, or of a summary none."""
    if not summary:
        shown = rows if summary is False else rows[:MOST]
        say(table(heads, shown))
        if len(rows) > len(shown):
            note(f"and {len(rows) - len(shown):,} more: skewless status --all")


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

    Filters: owner: entity: tag: view: source: service: type: unit: pii: phi: mnpi: status: with a
    value; a minus before one (within quotes) excludes; -deprecated is short for -status:deprecated;
    fresh keeps what is as fresh as promised. What is deprecated comes below what replaces it.
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
