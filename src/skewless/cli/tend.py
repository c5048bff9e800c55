"""``skewless tend``: everything that is done from time to time, in one command."""

from __future__ import annotations

import click

from skewless.cli.options import command
from skewless.cli.output import emit, paint, say, table


@command(
    "tend",
    example="skewless tend\nskewless tend --everything --json",
    no="A part failed, a check does not hold, or a view is less fresh than promised.",
)
@click.option("--everything", is_flag=True, help="Do all of it, due or not.")
@click.pass_context
def tend_command(ctx: click.Context, /, *, repo: str, as_json: bool, everything: bool) -> None:
    """Do everything periodic that is due, once.

    Views are brought up to date and checks carried out every hour, event logs settled every day,
    and how fresh views are is noted every time. Run it as often as you like, from cron, a container
    or a DAG; of two at once, on any machines, one says that the other is at work. A part that fails
    keeps no other from being done.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        report = fs.tend(everything=everything)
    if as_json:
        emit(report)
    else:
        rows = [[part.name, _status(part.status, part.ok), part.said] for part in report.parts]
        say(table(["part", "status", ""], rows))
    if not report.ok:
        ctx.exit(1)


def _status(status: str, ok: bool) -> str:
    return status if ok else paint(status, "red")
