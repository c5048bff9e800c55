"""``skewless recommend``: what to try next in a feature service."""

from __future__ import annotations

import click

from skewless.cli.options import command
from skewless.cli.output import emit, say


@command(
    "recommend", example="skewless recommend fraud_model\nskewless recommend fraud_model --json"
)
@click.argument("service")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many.")
def recommend_command(repo: str, as_json: bool, service: str, limit: int) -> None:
    """Show what a service could try next, and how far that repeats what it has.

    Features of its entities that it does not have and nobody deprecated: those that other services
    have and training sets were made with come first. Of each, which feature of the service orders
    entities most like it (rank correlation over entities that are online): what repeats comes last.
    """
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs:
        found = fs.recommend(service, limit)
    emit(found) if as_json else say(str(found))
