"""The signal of a terminal that went away, which otherwise would end a server at once."""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType


def end_at_hangup(end: Callable[[int, FrameType | None], object]) -> None:
    """Let SIGHUP do what SIGTERM does, unless it is ignored (``nohup``).

    Args:
        end: what ends the server, after the requests under way.
    """
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, end)
