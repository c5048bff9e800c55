"""``skewless ui``: the catalogue in a browser."""

from __future__ import annotations

import importlib

import click

from skewless.cli.options import at_option, command
from skewless.clock import to_micros


@command("ui", example="skewless ui\nskewless ui --port 8080 --at 2026-01-31T10:00:00Z")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address, of this machine.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=6567, show_default=True, help="0: a free one."
)
@at_option("The present that pages show, for a repo whose events are old.  [default: now]")
def ui_command(repo: str, as_json: bool, host: str, port: int, at: str | None) -> None:
    """Show the catalogue in a browser, until SIGTERM or Ctrl-C.

    What needs a person, search, every definition with its distributions, and any entity: its values
    now and as they were known then, with the rows behind each. Nothing can be changed there, and
    only this machine can reach it. Every page is data too: ?format=json.
    """
    del as_json  # what it prints on stdout is one line
    moment = None if at is None else to_micros(at, where="--at")
    importlib.import_module("skewless.ui.server").serve(repo, host=host, port=port, at=moment)
