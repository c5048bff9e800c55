"""What systemd is told: that the server is ready, that it lives, that it stops (``sd_notify``).

With ``Type=notify`` a unit counts as started once requests are answered, and with ``WatchdogSec=``
a server whose event loop hangs is killed and restarted.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable

_VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
READY, STOPPING, ALIVE = "READY=1", "STOPPING=1", "WATCHDOG=1"


def tell(state: str) -> None:
    """Tell systemd a state, if it started this process and wants to know."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@"):
        return
    if address.startswith("@"):  # an abstract socket
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifying,
    ):
        notifying.setblocking(False)
        notifying.sendto(state.encode(), address)


def beat() -> Callable[[], None]:
    """Return what is called often while requests are answered: the first time says so."""
    micros = os.environ.get("WATCHDOG_USEC", "")
    every = int(micros) / 3e6 if micros.isdecimal() else float("inf")
    state, told = READY, float("-inf")

    def give() -> None:
        nonlocal state, told
        now = time.monotonic()
        if now - told >= every or state == READY:
            tell(state)
            state, told = ALIVE, now

    return give


def apart() -> dict[str, str]:
    """Return the environment of processes for which this one speaks."""
    return {name: value for name, value in os.environ.items() if name not in _VARIABLES}
