"""The sockets of a server: taken by the process that was started, handed to its workers."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import socket

from skewless.errors import ConfigError
from skewless.serving.operate.logs import event
from skewless.serving.settings import Settings

BACKLOG = 2048


def listen(settings: Settings, count: int) -> list[socket.socket]:
    """Return sockets of one port. One listens; of several each does once its worker is ready.

    Raises:
        ConfigError: the address cannot be taken.
    """
    port = settings.port
    found: list[socket.socket] = []
    try:
        family, _, _, _, address = socket.getaddrinfo(
            settings.host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        if port == 0 and count > 1:
            # A socket that was given any port loses it when it does not listen for a while.
            with _made(family, shared=True) as first:
                first.bind((address[0], port, *address[2:]))
                return listen(dataclasses.replace(settings, port=first.getsockname()[1]), count)
        for _ in range(count):
            made = _made(family, shared=count > 1)
            found.append(made)
            made.bind((address[0], port, *address[2:]))
            if count == 1:
                made.listen(BACKLOG)
            made.set_inheritable(True)
    except OSError as problem:
        for made in found:
            made.close()
        raise ConfigError(
            "cannot listen there",
            got=f"{settings.host}:{port}: {problem.strerror}",
            hint="Name another address or port: --host, --port",
        ) from None
    return found


def _made(family: int, *, shared: bool) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made


def shut(door: socket.socket) -> None:
    """Take no more connections, until somebody listens again.

    A door at which nobody listens yet (the worker died while it started) is left alone: Linux would
    note the shutdown, and cut each connection that is made there later as soon as it is made.
    """
    if door.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        with contextlib.suppress(OSError):  # not every system can listen there again
            door.shutdown(socket.SHUT_RDWR)


def announce(listening: socket.socket, settings: Settings) -> None:
    """Say where the server listens: on stdout, for people and for those who start it."""
    host, port = listening.getsockname()[:2]
    scheme = "https" if settings.certificate else "http"
    shown = f"[{host}]" if ":" in host else host
    print(f"skewless serves {scheme}://{shown}:{port}", flush=True)
    event("serving", address=f"{shown}:{port}", workers=settings.workers, pid=os.getpid())
