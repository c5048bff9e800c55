"""``skewless ui``: the catalogue in a browser."""

from __future__ import annotations

import importlib
from typing import Any

import click

from skewless.cli.options import at_option, command
from skewless.clock import to_micros
from skewless.errors import InputError


@command("ui", example="skewless ui\nskewless ui --port 8080 --at 2026-01-31T10:00:00Z")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address. Others than this machine's own need TLS and keys.",
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=6567, show_default=True, help="0: a free one."
)
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="PEM: certificates.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="PEM: private key.")
@at_option("The present that pages show, for a repo whose events are old.  [default: now]")
def ui_command(
    repo: str,
    as_json: bool,
    *,
    at: str | None,
    tls_cert: str | None,
    tls_key: str | None,
    **to: Any,
) -> None:
    """Show the catalogue in a browser, until SIGTERM or Ctrl-C.

    What needs a person, search, every definition with its distributions, and any entity: its values
    now and as they were known then, with the rows behind each. Definitions cannot be changed there.
    Only this machine can reach it, unless --host says otherwise: then it asks for a key of
    `skewless keys` (in a browser as the password). Every page is data too: ?format=json.
    """
    if (tls_cert is None) != (tls_key is None):
        raise InputError("TLS needs both", expected="--tls-cert and --tls-key")
    tls = None if tls_cert is None or tls_key is None else (tls_cert, tls_key)
    del as_json  # what it prints on stdout is one line
    moment = None if at is None else to_micros(at, where="--at")
    importlib.import_module("skewless.ui.server").serve(repo, **to, at=moment, tls=tls)
