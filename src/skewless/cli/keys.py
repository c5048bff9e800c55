"""``skewless keys``: who may come in to ``skewless serve``."""

from __future__ import annotations

import importlib
from typing import Any

import click

from skewless.cli.options import command
from skewless.cli.output import emit, note, say, table
from skewless.clock import NEVER, iso, to_micros
from skewless.durations import parse_duration
from skewless.errors import DefinitionError, InputError

_NEED_A_KEY = ("revoke", "rotate")


@command(
    "keys",
    example="skewless keys create --scope read --service fraud_model --for service:checkout "
    "--expires 90d\n"
    "skewless keys list\n"
    "skewless keys rotate 4f6c1d2e8a90 --overlap 24h\n"
    "skewless keys revoke 4f6c1d2e8a90",
)
@click.argument("action", type=click.Choice(["create", "rotate", "revoke", "list"]))
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
@click.option(
    "--for", "actor", default="", help="create: who acts by it, user:NAME or service:NAME."
)
@click.option(
    "--expires",
    metavar="TIME",
    help="create, rotate: when it ends, such as 90d or 2027-01-01T00:00:00Z.  [default: never;"
    " rotate: as long as the old one was made for]",
)
@click.option(
    "--overlap",
    metavar="DURATION",
    default="24h",
    show_default=True,
    help="rotate: how long the old key counts yet.",
)
def keys_command(*, repo: str, as_json: bool, action: str, key: str | None, **given: Any) -> None:
    """Make, rotate, revoke and list keys of the HTTP server.

    create: print a new key, once; only its hash is kept, in the registry. From the first key on,
    servers let nobody in without one.

    rotate: print a new key that may do what KEY may. The old one ends after --overlap, in which
    clients are given the new one.

    revoke: make a KEY worthless, by its id; running servers know within seconds.

    list: show what keys there are, when they end and when each was used last (to five minutes).
    """
    from skewless.store import FeatureStore

    keys = importlib.import_module("skewless.serving.operate.keys")
    if (action in _NEED_A_KEY) != (key is not None):
        raise InputError(
            f"keys {action} needs the id of a key" if key is None else f"keys {action} takes no key"
        )
    with FeatureStore(repo) as fs:
        registry, now = fs.runtime.registry, fs.runtime.clock.now()
        expires = _moment(given["expires"], now) if given["expires"] else 0
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
                actor=given["actor"],
                expires=expires,
                now=now,
            )
            keys.keyring_of(fs.runtime, None)  # noted beside the registry as well
            _created(made, as_json)
        elif action == "rotate":
            overlap = _duration(given["overlap"], "--overlap")
            made = keys.rotate(registry, key, overlap=overlap, expires=expires, now=now)
            keys.keyring_of(fs.runtime, None)
            _created(made, as_json)
        elif action == "revoke":
            keys.revoke(registry, key)
            keys.keyring_of(fs.runtime, None)
            if as_json:
                emit({"revoked": key})
            else:
                say("Revoked. Running servers know within seconds.")
        else:
            found, used = keys.keyring_of(fs.runtime, None).keys, keys.last_uses(registry)
            _list([_shown(one.to_dict(), used.get(number)) for number, one in found.items()],
                  as_json)  # fmt: skip


def _moment(text: str, now: int) -> int:
    """Return a moment that is given as one or as a duration from now on."""
    try:
        return min(now + parse_duration(text), NEVER)
    except DefinitionError:
        return to_micros(text, where="--expires")


def _duration(text: str, where: str) -> int:
    try:
        return parse_duration(text, what=where)
    except DefinitionError as problem:
        raise InputError(
            f"{where} is no duration", got=problem.got, expected=problem.expected
        ) from None


def _created(key: str, as_json: bool) -> None:
    if as_json:
        emit({"key": key, "id": key.split("_")[1]})
        return
    say(key)
    note("Keep it: it cannot be shown again. Clients send it as Authorization: Bearer <key>")


def _shown(key: dict[str, Any], used: int | None) -> dict[str, Any]:
    return key | {"last_used": None if used is None else iso(used)}


def _list(found: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        emit(found)
    elif found:
        rows = [
            [k["id"], k["scope"], k["actor"] or "-", ", ".join(k["services"]) or "all", k["note"],
             k["created"][:19], (k["expires"] or "never")[:19], (k["last_used"] or "-")[:19]]
            for k in found
        ]  # fmt: skip
        headers = ["id", "scope", "for", "services", "note", "created", "expires", "last used"]
        say(table(headers, rows))
    else:
        say("There are no keys.")
