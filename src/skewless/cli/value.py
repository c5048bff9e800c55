"""``skewless value``: what the repo is worth, from measured figures and a file of assumptions."""

from __future__ import annotations

from pathlib import Path

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say


@command(
    "value",
    example="skewless value --template > value.toml\nskewless value\n"
    "skewless value --assumptions plan.toml --html value.html --json",
)
@click.option(
    "--assumptions", type=click.Path(path_type=Path), metavar="FILE",
    help="What is assumed: prices, salaries, hours.  [default: value.toml of the repo]",
)  # fmt: skip
@click.option(
    "--html", type=click.Path(path_type=Path), metavar="FILE", help="Write the report as a page."
)
@click.option("--template", is_flag=True, help="Print a file of assumptions to fill in.")
def value_command(
    repo: str, as_json: bool, *, assumptions: Path | None, html: Path | None, template: bool
) -> None:
    """Compute what the repo is worth, from measures and assumptions.

    Measured are the reuse of features (registry), training sets and what their point-in-time joins
    keep above naive ones (ledger, backtests), and how long reads take (now). What a feature, an
    hour or a point of AUC is worth stands in the file alone. Each line says where its figures come
    from; one that lacks a figure is not counted.
    """
    from skewless.store import FeatureStore
    from skewless.value.assumptions import FILE, TEMPLATE, Assumptions
    from skewless.value.measures import measures
    from skewless.value.report import report_of

    if template:
        say(TEMPLATE.rstrip())
        return
    with FeatureStore(repo) as fs:
        assumed = Assumptions.read(assumptions or fs.config.folder / FILE)
        report = report_of(measures(fs), assumed)
    if html is not None:
        html.write_text(report.to_html(), encoding="utf-8")
        note(f"Written to {html}.")
    emit(report.to_dict()) if as_json else say(str(report))
