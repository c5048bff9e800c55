"""``skewless verify``: the proof that what is served is what history gives, bit for bit."""

from __future__ import annotations

import secrets
from typing import Any

import click

from skewless.cli.options import command, listed
from skewless.cli.output import emit, progress, say
from skewless.plugins import find


@command(
    "verify",
    example="skewless verify\n"
    "skewless verify Spend --entities 5000 --json\n"
    "skewless verify --served-log .skewless/served\n"
    "skewless verify --generate 100000 --seed 7\n"
    "skewless verify --generate 100000 --lifecycle",
    no="A value differs, or there was nothing to compare.",
    repo="any",
)
@click.argument("views", nargs=-1, metavar="[VIEW]...")
@click.option(
    "--served-log",
    type=click.Path(exists=True),
    metavar="PATH",
    help="What was served: a file of the served log, or its folder.",
)
@click.option(
    "--entities",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="How many of each view to read now.",
)
@click.option(
    "--generate",
    type=click.IntRange(1),
    metavar="N",
    help="Compare N values of generated views and streams, in a store of its own.",
)
@click.option(
    "--lifecycle",
    is_flag=True,
    help="With --generate: over whole lives of stores, whose definitions and clocks change.",
)
@click.option("--seed", type=int, help="Of what is chosen or generated.  [default: by chance]")
@click.pass_context
def verify_command(
    ctx: click.Context, /, *, repo: str, as_json: bool, views: tuple[str, ...], **given: Any
) -> None:
    """Prove that what is served is what history gives, bit for bit.

    Reads entities of every view (or of the VIEWs named) online, now and at moments back to
    rewind, and compares each value with a training set for the same entities and moments. For
    what differs, the rows responsible are shown.
    """
    if given["lifecycle"]:
        _walk(ctx, given, as_json=as_json)
        return
    from skewless.store import FeatureStore

    with FeatureStore(repo) as fs, progress() as report:
        found = fs.verify(
            listed(views),
            served=given["served_log"],
            entities=given["entities"],
            generate=given["generate"],
            seed=given["seed"],
            progress=report,
        )
    if as_json:
        emit(found)
    else:
        say(str(found))
    if not found.ok or not found.values:
        ctx.exit(1)


def _walk(ctx: click.Context, given: dict[str, Any], *, as_json: bool) -> None:
    """Live lives of stores, and compare everything that can be read after every step."""
    if given["generate"] is None:
        raise click.UsageError("--lifecycle makes its own stores: say how much with --generate N.")
    seed = secrets.randbelow(2**32) if given["seed"] is None else given["seed"]
    walk: Any = find("traffic", "lifecycle")
    with progress() as report:
        found = walk(given["generate"], seed=seed, progress=report)
    if as_json:
        emit(found)
    else:
        say(str(found))
    if not found.ok:
        ctx.exit(1)
