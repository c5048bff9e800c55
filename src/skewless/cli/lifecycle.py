"""``skewless history``, ``retire``, ``deprecate``, ``rows``: the life of definitions."""

from __future__ import annotations

from datetime import date, datetime

import click

from skewless.cli.options import command
from skewless.cli.output import emit, say, table
from skewless.definitions.references import split_view
from skewless.errors import InputError


@command("history", example="skewless history --limit 5\nskewless history --json")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many.")
def history_command(repo: str, as_json: bool, limit: int) -> None:
    """List the changes of the registry, newest first."""
    from skewless.clock import iso
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        revisions = fs.runtime.registry.history(limit)
    if as_json:
        fields = ("number", "who", "summary", "plan")
        emit([{"at": iso(r.at), **{name: getattr(r, name) for name in fields}} for r in revisions])
    elif revisions:
        rows = [[r.number, iso(r.at)[:19] + "Z", r.who, r.summary] for r in revisions]
        say(table(["revision", "at", "who", "change"], rows))
    else:
        say("Nothing was applied yet. Apply the definitions with: skewless apply")


@command("retire", example="skewless retire Spend@v1")
@click.argument("version", metavar="VIEW@vN")
@click.option("--who", default="", help="Who makes the change.  [default: user@host]")
def retire_command(repo: str, as_json: bool, version: str, who: str) -> None:
    """End the service of an old version of a view.

    The current version cannot be retired, nor one that a feature service is pinned to.
    """
    from skewless.online.apply import retire
    from skewless.store import FeatureStore

    view, number = split_view(version)
    if number is None:
        raise InputError("not a version of a view", got=version, expected="such as Spend@v1")
    with FeatureStore(repo) as fs:
        revision = retire(fs.runtime, view, number, who=who)
    if as_json:
        emit({"retired": version, "revision": revision})
    else:
        say(f"{version} is retired: the registry is at revision {revision}.")


@command(
    "deprecate",
    example='skewless deprecate Spend:mean_7d "use mean_24h" --sunset 2027-06-30\n'
    "skewless deprecate Spend:mean_7d --undo",
)
@click.argument("target")
@click.argument("reason", default="")
@click.option("--sunset", metavar="DATE", help="The last day it is promised to work.")
@click.option("--undo", is_flag=True, help="Take the notice back.")
@click.option("--who", default="", help="Who says so.  [default: user@host]")
def deprecate_command(
    *, repo: str, as_json: bool, target: str, reason: str, sunset: str | None, undo: bool, who: str
) -> None:
    """Say that something should no longer be used.

    TARGET is a view (Spend), a version (Spend@v1), a feature (Spend:mean) or a feature service.
    """
    from skewless.store import FeatureStore

    if undo == bool(reason):
        raise InputError("a deprecation needs a reason, or --undo")
    with FeatureStore(repo) as fs:
        revision = fs.runtime.registry.deprecate(target, reason, sunset=_day(sunset), who=who)
    if as_json:
        emit({"target": target, "reason": reason, "sunset": sunset, "revision": revision})
    else:
        done = "no longer deprecated" if undo else "deprecated"
        say(f"{target} is {done}: the registry is at revision {revision}.")


def _day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").date()  # noqa: DTZ007 - a day has no zone
    except ValueError:
        raise InputError("no date", got=text, expected="2027-06-30", where="--sunset") from None


@command(
    "rows",
    example="skewless rows\nskewless rows drop payments --yes\nskewless rows restore payments",
)
@click.argument("action", type=click.Choice(["list", "drop", "restore"]), default="list")
@click.argument("source", required=False)
@click.option("--yes", is_flag=True, help="drop: do not ask.")
def rows_command(repo: str, as_json: bool, action: str, source: str | None, yes: bool) -> None:
    """List, drop or give back the rows of removed sources.

    The rows that were pushed to a source are kept when it is removed, apart: a source that is
    defined again under the name begins without them.

    drop: for good.

    restore: to the source that has the name now, if it has no rows of its own yet.
    """
    from skewless.cli.plan import confirmed
    from skewless.store import FeatureStore

    if (source is None) != (action == "list"):
        raise InputError(f"rows {action} {'takes no' if source else 'needs a'} source")
    with FeatureStore(repo) as fs:
        if action == "list":
            logs = fs.kept_rows()
            kept = [{n: getattr(log, n) for n in ("source", "rows", "quarantined")} for log in logs]
            shown = "\n".join(
                f"{log.source}: {log.rows:,} rows"
                + (f", {log.quarantined:,} quarantined" if log.quarantined else "")
                for log in logs
            )
            emit(kept) if as_json else say(shown or "No rows of removed sources are kept.")
            return
        if action == "drop" and not yes and not confirmed("Drop them for good?"):
            return
        done = (fs.drop_rows if action == "drop" else fs.restore_rows)(source or "")
    if as_json:
        emit({"source": source, "rows": done})
    else:
        say(f"{source}: {done:,} rows {'dropped' if action == 'drop' else 'given back'}.")
