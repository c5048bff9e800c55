"""``skewless access``: who may read what over HTTP, and by which grant."""

from __future__ import annotations

import click

from skewless.access.actors import checked_actor
from skewless.cli.options import command
from skewless.cli.output import emit, say


@command(
    "access",
    example="skewless access why service:checkout Spend:total\n"
    "skewless access why user:ada Spend@v1:total --group risk --json",
    no="The feature may not be read.",
)
@click.argument("action", type=click.Choice(["why"]))
@click.argument("who")
@click.argument("feature", metavar="VIEW:FEATURE")
@click.option("--group", "groups", multiple=True, help="A group of their token; repeatable.")
@click.pass_context
def access_command(
    ctx: click.Context,
    /,
    *,
    repo: str,
    as_json: bool,
    action: str,
    who: str,
    feature: str,
    groups: tuple[str, ...],
) -> None:
    """Say which grant decides whether somebody may read a feature.

    WHO is user:NAME or service:NAME, as keys and tokens have it, or * for whoever has no name. The
    grants are those that were applied; how they are meant says docs/access.md.
    """
    from skewless.lineage.access import Access, Asker
    from skewless.store import FeatureStore

    del action
    asker = Asker("" if who == "*" else checked_actor(who, where="WHO"), frozenset(groups))
    with FeatureStore(repo) as fs:
        state = fs.runtime.state(fresh=True)
    found = state.feature(feature)
    decision = Access(state).decide(asker, found.reference)
    if as_json:
        emit({"who": who, "feature": found.reference, **decision.to_dict()})
    else:
        may = "may" if decision.allowed else "may not"
        say(f"{who} {may} read {found.reference}: {decision.reason}")
    if not decision.allowed:
        ctx.exit(1)
