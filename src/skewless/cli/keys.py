"""``skewless keys``: who may come in to ``skewless serve``."""

from __future__ import annotations

import importlib
from typing import Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say, table
from skewless.errors import InputError


@command(
    "keys",
    example="skewless keys create --scope read --service fraud_model --note checkout\n"
    "skewless keys list\n"
    "skewless keys revoke 4f6c1d2e8a90",
)
@click.argument("action", type=click.Choice(["create", "revoke", "list"]))
@click.argument("key", required=False)
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "admin"]),
    default="read",
    show_default=True,
    help="create: read values; push rows too; materialize too.",
)
@click.option("--service", multiple=True, help="create: only this feature service (repeatable).")
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=0.0,
    help="create: small requests a second it may make of a worker.  [default: any number]",
)
@click.option("--note", "remark", default="", help="create: whose it is.")
def keys_command(*, repo: str, as_json: bool, action: str, key: str | None, **given: Any) -> None:
    """Make, revoke and list keys of the HTTP server.

    create: print a new key, once; only its hash is kept, in the registry. From the first key on,
    servers let nobody in without one.

    revoke: make a KEY worthless, by its id; running servers know within seconds.

    list: show what keys there are.
    """
    from skewless.store import FeatureStore

    keys = importlib.import_module("skewless.serving.operate.keys")
    if (action == "revoke") != (key is not None):
        raise InputError(
            f"keys {action} needs the id of a key" if key is None else f"keys {action} takes no key"
        )
    with FeatureStore(repo) as fs:
        registry = fs.runtime.registry
        if action == "create":
            state = fs.runtime.state(fresh=True)
            for name in given["service"]:
                state.service(name)
            made = keys.create(
                registry,
                scope=given["scope"],
                services=given["service"],
                rate=given["rate"],
                note=given["remark"],
                now=fs.runtime.clock.now(),
            )
            keys.keyring_of(fs.runtime, None)  # noted beside the registry as well
            _created(made, as_json)
        elif action == "revoke":
            keys.revoke(registry, key)
            keys.keyring_of(fs.runtime, None)
            if as_json:
                emit({"revoked": key})
            else:
                say("Revoked. Running servers know within seconds.")
        else:
            found = keys.keyring_of(fs.runtime, None).keys
            _list([one.to_dict() for one in found.values()], as_json)


def _created(key: str, as_json: bool) -> None:
    if as_json:
        emit({"key": key, "id": key.split("_")[1]})
        return
    say(key)
    note("Keep it: it cannot be shown again. Clients send it as Authorization: Bearer <key>")


def _list(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit(found)
    elif found:
        rows = [
            [k["id"], k["scope"], ", ".join(k["services"]) or "all", k["note"], k["created"][:19]]
            for k in found
        ]
        say(table(["id", "scope", "services", "note", "created"], rows))
    else:
        say("There are no keys.")
