"""Running the catalogue: a process of its own, for this machine alone."""

from __future__ import annotations

import socket
from importlib.util import find_spec

from skewless.clock import Clock, SettableClock, SystemClock
from skewless.errors import ConfigError, MissingDependency
from skewless.store import FeatureStore

_NEEDED = ("starlette", "jinja2", "uvicorn")
_SELF = ("localhost", "::1")


def serve(repo: str, *, host: str, port: int, at: int | None) -> None:
    """Show the catalogue of a repo until SIGTERM or Ctrl-C.

    Args:
        repo: its folder.
        host: the address to listen on, of this machine.
        port: 0 takes any free one.
        at: the present that pages show, UTC microseconds; None: that of the clock.

    Raises:
        MissingDependency: what it needs is not installed.
        ConfigError: an address that other machines could reach, or that cannot be taken.
        SkewlessError: the registry or the online store cannot be opened.
    """
    for name in _NEEDED:
        if find_spec(name) is None:
            raise MissingDependency.of(name, "ui", needed_for="skewless ui")
    check_host(host)
    import uvicorn

    from skewless.ui.app import make_app
    from skewless.ui.security import LOOPBACK

    clock: Clock = SystemClock() if at is None else SettableClock(at)
    with FeatureStore(repo, clock=clock) as store:
        store.runtime.state(fresh=True)
        config = uvicorn.Config(
            make_app(store, {*LOOPBACK, host}),
            lifespan="off",
            ws="none",
            access_log=False,
            log_level="warning",
            server_header=False,
            proxy_headers=False,
        )
        listening = _listen(host, port)
        shown, taken = (f"[{host}]" if ":" in host else host), listening.getsockname()[1]
        print(f"skewless shows the catalogue at http://{shown}:{taken}", flush=True)
        uvicorn.Server(config).run(sockets=[listening])


def check_host(host: str) -> None:
    """Raise `ConfigError` for an address that other machines could reach.

    >>> check_host("127.0.0.1")
    >>> check_host("0.0.0.0")
    Traceback (most recent call last):
        ...
    skewless.errors.ConfigError: the catalogue shows values to whoever opens it, so it listens for \
this machine alone. Got: --host 0.0.0.0. Expected: 127.0.0.1, ::1 or localhost. From another \
machine, use a tunnel: ssh -L 6567:127.0.0.1:6567 HOST.
    """
    if host in _SELF or host.startswith("127."):
        return
    raise ConfigError(
        "the catalogue shows values to whoever opens it, so it listens for this machine alone",
        got=f"--host {host}",
        expected="127.0.0.1, ::1 or localhost",
        hint="From another machine, use a tunnel: ssh -L 6567:127.0.0.1:6567 HOST.",
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
