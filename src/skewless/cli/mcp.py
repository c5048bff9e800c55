"""``skewless mcp``: the catalogue for assistants and agents."""

from __future__ import annotations

import importlib

import click

from skewless.cli.options import command
from skewless.errors import MissingDependency


@command("mcp", example="skewless mcp --repo features\nskewless mcp --no-values")
@click.option(
    "--values/--no-values",
    default=True,
    show_default=True,
    help="Whether explain is among the tools: it shows rows of an entity.",
)
def mcp_command(*, repo: str, as_json: bool, values: bool) -> None:
    """Answer an assistant's questions of the catalogue, over standard input and output.

    The protocol is the Model Context Protocol. The tools search, show, freshness, lineage, snippet
    and explain read; none writes. An assistant starts this command itself: name it in its settings,
    with the folder of the repo.
    """
    del as_json  # the protocol is JSON
    try:
        plug = importlib.import_module("skewless.plugs.mcp")
    except ModuleNotFoundError as problem:
        raise MissingDependency.of("mcp", "mcp", needed_for="skewless mcp") from problem
    plug.serve(repo, values=values)
