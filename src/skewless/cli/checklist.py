"""``skewless checklist``: what a feature service lacks to go into production, with evidence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, say

KEY = "SKEWLESS_KEY"


@command(
    "checklist",
    example="skewless checklist fraud_model\n"
    "skewless checklist fraud_model --server https://features:6566 --backup registry.json --json",
    no="An item is missing, or was not looked at.",
)
@click.argument("service")
@click.option("--server", default="", metavar="URL", help="A running server, for load and keys.")
@click.option("--backup", type=click.Path(path_type=Path), help="An export of the registry.")
@click.option("--rate", type=click.FloatRange(1), default=1000.0, show_default=True,
              help="Requests a second of the load.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(1, 600), default=10.0, show_default=True,
              help="How long the load goes on.")  # fmt: skip
@click.option("--p99", type=click.FloatRange(0.1), default=50.0, show_default=True,
              help="What 99 % of the answers have to be below, milliseconds.")  # fmt: skip
@click.pass_context
def checklist_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, service: str, **given: Any
) -> None:
    """Say what a service lacks to go into production, with evidence for each item.

    Owners, words, examples, pinned versions; freshness promised and kept, checks, drift, alerts;
    parity, verified now; the leakage receipt of its newest training set; a backup; and of a running
    server: keys and TLS, and a load of so many requests a second. A key for it is taken from
    SKEWLESS_KEY.
    """
    from skewless.checklist.checklist import Given, checklist
    from skewless.cli.test import carried_out
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        about = Given(
            examples=carried_out(Path(repo)),
            server=given["server"].rstrip("/"),
            key=os.environ.get(KEY, ""),
            backup=given["backup"],
            rate=given["rate"],
            seconds=given["seconds"],
            p99=given["p99"] / 1000,
        )
        report = checklist(fs.runtime, service, about)
    emit(report) if as_json else say(str(report))
    if not report.ok:
        ctx.exit(1)
