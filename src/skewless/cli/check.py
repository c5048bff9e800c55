"""``skewless check``: carry out the checks of sources and views."""

from __future__ import annotations

import click

from skewless.cli.options import command, listed
from skewless.cli.output import emit, say


@command(
    "check",
    example="skewless check\nskewless check payments Spend --json\n"
    "skewless check --served .skewless/served",
    no="A check does not hold.",
)
@click.argument("names", nargs=-1, metavar="[SOURCE or VIEW]...")
@click.option(
    "--served", type=click.Path(exists=True), help="Look at what was served: a served log."
)
@click.pass_context
def check_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, names: tuple[str, ...], served: str | None
) -> None:
    """Carry out the checks of sources and views.

    Those of a source look at its whole history, those of a view at the values of all entities now,
    or at what was served. What is found goes into the ledger; `skewless status` says how often
    checks have held.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        report = fs.check(listed(names), served=served)
    emit(report) if as_json else say(str(report))
    if not report.ok:
        ctx.exit(1)
