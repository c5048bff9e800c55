"""Running the catalogue: a process of its own, for this machine alone or for who has a key."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from skewless.clock import Clock, SettableClock, SystemClock
from skewless.errors import ConfigError, MissingDependency, SkewlessError
from skewless.store import FeatureStore

_NEEDED = ("starlette", "jinja2", "uvicorn")
_SELF = ("localhost", "::1")


def serve(
    repo: str, *, host: str, port: int, at: int | None, tls: tuple[str, str] | None = None
) -> None:
    """Show the catalogue of a repo until SIGTERM or Ctrl-C.

    Args:
        repo: its folder.
        host: the address to listen on, of this machine.
        port: 0 takes any free one.
        at: the present that pages show, UTC microseconds; None: that of the clock.
        tls: paths of the certificate and its key, PEM; None: plain HTTP.

    Raises:
        MissingDependency: what it needs is not installed.
        ConfigError: an address that other machines could reach without TLS and keys, or that
            cannot be taken.
        SkewlessError: the registry or the online store cannot be opened.
    """
    for name in _NEEDED:
        if find_spec(name) is None:
            raise MissingDependency.of(name, "ui", needed_for="skewless ui")
    local = is_local(host)
    if not local and tls is None:
        raise _open(host, "over plain HTTP whoever listens reads keys and values")
    import uvicorn

    from skewless.ui.app import make_app
    from skewless.ui.security import LOOPBACK

    clock: Clock = SystemClock() if at is None else SettableClock(at)
    with FeatureStore(repo, clock=clock) as store:
        store.runtime.state(fresh=True)
        keys = None if local else _keys_of(store)
        if keys is not None and not keys(None).required:
            raise _open(host, "no key was made yet: skewless keys create")
        certificate, key = tls or (None, None)
        config = uvicorn.Config(
            make_app(store, {*LOOPBACK, host}, keys),
            ssl_certfile=certificate,
            ssl_keyfile=key,
            lifespan="off",
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
        )
        listening = _listen(host, port)
        shown, taken = (f"[{host}]" if ":" in host else host), listening.getsockname()[1]
        scheme = "http" if tls is None else "https"
        print(f"skewless shows the catalogue at {scheme}://{shown}:{taken}", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def is_local(host: str) -> bool:
    """Return whether only this machine can reach an address.

    >>> is_local("127.0.0.1"), is_local("0.0.0.0")
    (True, False)
    """
    return host in _SELF or host.startswith("127.")


def _keys_of(store: FeatureStore) -> Callable[[Any], Any]:
    """Return what looks up the keys of a repo, those of its servers, and notes their last use."""
    keys = import_module("skewless.serving.operate.keys")
    noted: dict[str, int] = {}

    def look(before: Any) -> Any:
        ring = keys.keyring_of(store.runtime, before)
        with suppress(SkewlessError):  # a registry that can only be read
            keys.note_uses(store.runtime.registry, ring, noted)
        return ring

    return look


def _open(host: str, why: str) -> ConfigError:
    return ConfigError(
        "the catalogue shows values to whoever opens it: other machines need TLS and a key",
        got=f"--host {host}: {why}",
        expected="--tls-cert and --tls-key, and a key of the repo; or 127.0.0.1, ::1, localhost",
        hint="Or use a tunnel: ssh -L 6567:127.0.0.1:6567 HOST.",
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
    except OSError as problem:
        made.close()
        raise ConfigError(
            "cannot listen there",
            got=f"{host}:{port}: {problem.strerror}",
            hint="Name another port: --port.",
        ) from None
    made.listen()
    return made
