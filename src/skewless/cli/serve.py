"""``skewless serve``: feature vectors over HTTP."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import click

from skewless.cli.options import command
from skewless.errors import InputError

_Decorator = Callable[[Callable[..., None]], Callable[..., None]]
_BYTES = {"k": 1 << 10, "M": 1 << 20, "G": 1 << 30}
_NAMES = {"tls_cert": "certificate", "tls_key": "private_key"}


def _size(ctx: click.Context, parameter: click.Parameter, text: str) -> int:
    """Return bytes for a text such as ``16M``."""
    del ctx, parameter
    factor = _BYTES.get(text[-1:], 1)
    digits = text[:-1] if factor > 1 else text
    if not digits.isdecimal() or not int(digits):
        raise InputError("not a number of bytes", got=text, expected="such as 512k or 16M")
    return int(digits) * factor


def _seconds(name: str, default: float, text: str) -> _Decorator:
    """Return an option of seconds."""
    kind = click.FloatRange(0, min_open=True)
    return click.option(name, type=kind, default=default, show_default=True, help=text)


def _most(name: str, default: int, text: str) -> _Decorator:
    """Return an option that limits a number."""
    kind = click.IntRange(1)
    return click.option(name, type=kind, default=default, show_default=True, help=text)


@command(
    "serve",
    example="skewless serve\n"
    "skewless serve --port 8080 --workers 2\n"
    "skewless serve --host 0.0.0.0 --tls-cert chain.pem --tls-key key.pem",
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address; 0.0.0.0 is every network."
)
@click.option(
    "--port", type=click.IntRange(0, 65535), default=6566, show_default=True, help="0: a free one."
)
@_most("--workers", 1, "Processes that answer; with 2 or more another one writes.")
@click.option("--anonymous", is_flag=True, help="Ask nobody for a key.")
@click.option("--tls-cert", type=click.Path(exists=True, dir_okay=False), help="PEM: certificates.")
@click.option("--tls-key", type=click.Path(exists=True, dir_okay=False), help="PEM: private key.")
@click.option(
    "--max-body", default="16M", show_default=True, callback=_size, help="Size of a request."
)
@_most("--max-entities", 10_000, "Entities of a read.")
@_most("--max-features", 2_000, "Features of a read.")
@_most("--max-requests", 1_000, "Requests in progress at once, per worker.")
@_seconds("--timeout", 2.0, "Seconds a read may take.")
@_seconds("--slow-client", 10.0, "Seconds a client may take to send a request.")
@_seconds("--drain", 20.0, "Seconds requests are given to finish at the end.")
@click.option(
    "--served-log",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Fraction of entities whose answers are logged, for skewless verify.",
)
@click.option(
    "--log",
    type=click.Choice(["errors", "requests"]),
    default="errors",
    show_default=True,
    help="Log what fails or is slow, or every request.",
)
@click.option(
    "--cors-origin",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Pages of this origin may call (https://tool.example); * is any. Repeatable.",
)
@click.option(
    "--feast-building",
    type=click.Choice(["not-found", "unavailable"]),
    default="not-found",
    show_default=True,
    help="What clients of Feast get while a value is building: NOT_FOUND, or 503 for the answer.",
)
@click.option("--traces", is_flag=True, help="Make OpenTelemetry traces.")
def serve_command(repo: str, as_json: bool, **given: Any) -> None:
    """Serve features over HTTP, until SIGTERM or Ctrl-C.

    Only this machine can reach the server unless --host says otherwise, and then callers need a key
    (skewless keys create). The interface is described at /openapi.json; clients of Feast can be
    pointed here too. Logs are lines of JSON on stderr.
    """
    del as_json  # what it prints on stdout is one line
    if (given["tls_cert"] is None) != (given["tls_key"] is None):
        raise InputError("TLS needs both", expected="--tls-cert and --tls-key")
    settings = importlib.import_module("skewless.serving.settings").Settings(
        **{_NAMES.get(name, name): value for name, value in given.items()}
    )
    importlib.import_module("skewless.serving.server").serve(repo, settings)
