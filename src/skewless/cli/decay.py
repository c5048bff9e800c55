"""``skewless decay``: whether a model still predicts as well as it did."""

from __future__ import annotations

from typing import Any

import click

from skewless.cli.options import command, listed
from skewless.cli.output import emit, say


@command(
    "decay",
    example="skewless decay fraud --prediction scores.score --label chargebacks.fraud\n"
    "skewless decay fraud --prediction scores.score --label chargebacks.fraud --on payment_id \\\n"
    "  --within 60d --otherwise 0 --json",
    no="The newest period is worse than the first, by more than chance.",
)
@click.argument("service")
@click.option("--prediction", required=True, metavar="SOURCE.COLUMN", help="What was predicted.")
@click.option("--label", required=True, metavar="SOURCE.COLUMN", help="What happened.")
@click.option("--on", multiple=True, metavar="COLUMN", help="What joins them; repeatable.")
@click.option("--within", default="30d", show_default=True, help="A label comes at most so late.")
@click.option("--every", default="7d", show_default=True, help="Length of a period.")
@click.option("--otherwise", type=float, help="The label of what got none within that time.")
@click.pass_context
def decay_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, service: str, **given: Any
) -> None:
    """Join delayed labels to the predictions that were logged, and say how good these were.

    Predictions and labels are rows of sources. A prediction has the first label of its keys at its
    moment or later; only labels that are known by now count. Labels of two values give AUC, others
    RMSE, with an interval that a bootstrap over entities gives.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        report = fs.decay(service, **{**given, "on": listed(given["on"])})
    emit(report) if as_json else say(str(report))
    if not report.ok:
        ctx.exit(1)
