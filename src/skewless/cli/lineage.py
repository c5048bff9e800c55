"""``skewless lineage``: from which columns something comes, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say


@command(
    "lineage",
    example="skewless lineage Spend:total --up 2\nskewless lineage payments.amount --down 4\n"
    "skewless lineage fraud_model --json\nskewless lineage Spend --svg spend.svg",
)
@click.argument("name")
@click.option(
    "--up", type=click.IntRange(0), default=2, show_default=True, help="Steps towards the columns."
)
@click.option(
    "--down", type=click.IntRange(0), default=2, show_default=True, help="Steps towards the models."
)
@click.option("--svg", type=click.Path(dir_okay=False), help="File to draw it into.")
def lineage_command(*, repo: str, as_json: bool, name: str, svg: str | None, **steps: int) -> None:
    """Show from which columns something comes, and what is made of it.

    NAME is a column (payments.amount), a source, a feature (Spend:total, Spend@v1:total), a view, a
    feature service, the id of a training set, or a model. It is read off the definitions: exact,
    filters, windows and keys included.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = fs.lineage(name, **steps)
    if svg is not None:
        Path(svg).write_text(found.to_svg(), encoding="utf-8")
        note(f"Drawn into {svg}")
    if as_json:
        emit(found)
    elif svg is None:
        say(str(found))
