"""``skewless cost``: what features cost, which nobody uses, and which there are twice."""

from __future__ import annotations

import click

from skewless.cli.options import command
from skewless.cli.output import emit, say


@command("cost", example="skewless cost\nskewless cost --days 90 --equal --json")
@click.option("--days", type=click.IntRange(1), default=60, show_default=True, help="Looked back.")
@click.option("--equal", is_flag=True, help="Also find features whose values are the same.")
def cost_command(repo: str, as_json: bool, days: int, equal: bool) -> None:
    """Show what each feature costs: bytes online, reads a day, rows behind it, time of jobs.

    With [prices] in skewless.toml, what that is a month. Below: what no service pins and no server
    or training set has read, and features that are computed alike.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        report = fs.cost(days=days, equal=equal)
    emit(report) if as_json else say(str(report))
