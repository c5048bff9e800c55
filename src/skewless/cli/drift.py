"""``skewless profile`` and ``drift``: how features are distributed, and whether they still are."""

from __future__ import annotations

import click

from skewless.cli.options import command, listed
from skewless.cli.output import emit, note, say, table


@command(
    "profile",
    example="skewless profile\nskewless profile Spend --json\n"
    "skewless profile --served .skewless/served",
)
@click.argument("views", nargs=-1, metavar="[VIEW]...")
@click.option(
    "--served", type=click.Path(exists=True), help="Of what was served in the last day: a log."
)
def profile_command(repo: str, as_json: bool, views: tuple[str, ...], served: str | None) -> None:
    """Take the profile of each feature, and keep it in the ledger.

    That is how its values and their statuses are distributed over all entities online, or over
    those that were served, each counted once. `skewless tend` does it once a day.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = fs.profile(listed(views), served=served)
    if as_json:
        emit([profile.to_dict() for profile in found])
    elif found:
        rows = []
        for each in found:
            quantiles = each.to_dict()["quantiles"].get("", {})
            marks = [
                f"{quantiles[m]:.6g}" if m in quantiles else "-" for m in ("0.05", "0.5", "0.95")
            ]
            missing = "-" if each.missing_share is None else f"{each.missing_share:.1%}"
            rows.append([each.of, each.entities, missing, each.distinct, *marks])
        say(table(["feature", "entities", "missing", "distinct", "5 %", "50 %", "95 %"], rows))
    else:
        note("No features.")


@command(
    "drift",
    example="skewless drift\nskewless drift fraud_model --json\n"
    "skewless drift Spend --reference weekday\n"
    'skewless drift Spend --accept day:2026-01-31 --who ada --why "new prices"',
    no="A feature drifted.",
)
@click.argument("name", required=False, metavar="[VIEW or SERVICE]")
@click.option(
    "--reference", metavar="REFERENCE", help="training, training:ID, trailing, weekday or day:DATE."
)
@click.option("--point", type=click.Choice(["served", "online"]), help="What is compared.")
@click.option("--accept", metavar="REFERENCE", help="Compare with this from now on; needs --who.")
@click.option("--who", default="", help="--accept: your name; it stands in the ledger.")
@click.option("--why", default="", help="--accept: the reason.")
@click.pass_context
def drift_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, name: str | None, **given: str | None
) -> None:
    """Say whether features are still distributed as they were.

    The newest profiles (of what was served, where there is a log of it; else of all entities) are
    compared with those of the newest training set, or with the days before. Every test is of
    entities and not of reads, and all p-values of a run are adjusted together; an alert needs an
    effect that matters too. A second window in a row with a large effect pages.
    """
    from skewless.errors import InputError
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        if given["accept"]:
            if name is None:
                raise InputError("--accept needs a view or a feature service")
            who, why = given["who"] or "", given["why"] or ""
            fs.accept_reference(name, given["accept"], who=who, why=why)
        report = fs.drift(name, reference=given["reference"], point=given["point"])
    emit(report) if as_json else say(str(report))
    if not report.ok:
        ctx.exit(1)
