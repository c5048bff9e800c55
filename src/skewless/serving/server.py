"""Running the application: one process that does everything, or workers and two behind them.

    serve("repo/", Settings(port=6566, workers=2))

The process that was started listens, starts the others and restarts them when they die; each
worker has a socket of its own on one port (``SO_REUSEPORT``), which outlives it and listens while
it runs.
"""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.errors import ConfigError, MissingDependency
from skewless.serving.operate import systemd
from skewless.serving.operate.logs import event
from skewless.serving.settings import Settings
from skewless.serving.sockets import BACKLOG, announce, listen
from skewless.serving.tls import Certificate, context_of

if TYPE_CHECKING:
    import uvicorn

    from skewless.serving.app import App

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
STAND_BACK = 5
"""How much nicer the process of large reads is than those that answer small ones."""
_NEEDED = ("uvicorn", "orjson", "httptools")


def tune() -> None:
    """Keep freed memory for the next answer, and let threads that write not hold reads up.

    Large answers would otherwise be mapped and unmapped again each time, which costs more than
    writing them; where the C library is not glibc, they are. A thread that computes gives the
    interpreter away ten times as often as by default.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 512 << 20)
        mallopt(_M_TOP_PAD, 16 << 20)
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(0.0005)


def check_installed() -> None:
    """Raise `MissingDependency` unless what a server needs is installed."""
    from importlib.util import find_spec

    for name in _NEEDED:
        if find_spec(name) is None:
            raise MissingDependency.of(name, "serve", needed_for="skewless serve")


def run(app: App, settings: Settings, sockets: Sequence[socket.socket]) -> None:
    """Run an application in this process until SIGTERM or SIGINT, then let requests finish."""
    import uvicorn

    from skewless.serving.http.connection import Connection

    traced: Any = app
    if settings.traces:
        from skewless.serving.operate.traces import traced as make

        traced = make(app)
    _log_as_json()
    tls = context_of(settings)
    if tls is not None:
        app.upkeep.also = Certificate(settings, tls).look
    config = uvicorn.Config(
        traced,
        loop="uvloop" if _has_uvloop() else "asyncio",
        http=type("LimitedConnection", (Connection,), {"patience": settings.slow_client}),
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        timeout_keep_alive=int(settings.keep_alive),
        timeout_graceful_shutdown=int(settings.drain),
        ssl_context_factory=None if tls is None else lambda *_: tls,
    )
    server = _server_of(config, app)
    tune()
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal that ended it once more, for handlers that were there before.
        signal.signal(number, _ignore)
    server.run(sockets=list(sockets))
    event("stopped")


def _server_of(config: uvicorn.Config, app: App) -> uvicorn.Server:
    import uvicorn

    class Server(uvicorn.Server):
        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.draining = True
            for connection in list(self.server_state.connections):
                connection.shutdown()  # after the request under way, which will say so
            event("stopping")
            systemd.tell(systemd.STOPPING)
            await super().shutdown(sockets)

    return Server(config)


def _ignore(*_: object) -> None:
    """Do nothing about a signal that was seen to."""


def _has_uvloop() -> bool:
    from importlib.util import find_spec

    return find_spec("uvloop") is not None


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        trace = None
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
        event("server", level=record.levelname, text=record.getMessage(), trace=trace)


def _log_as_json() -> None:
    logger = logging.getLogger("uvicorn.error")
    logger.handlers, logger.propagate = [_Lines()], False
    logger.setLevel(logging.WARNING)


def serve(repo: str, settings: Settings) -> None:
    """Serve a repo until SIGTERM or SIGINT.

    Raises:
        ConfigError: an address, a TLS file, or access for everybody without having said so.
        SkewlessError: the registry or the online store cannot be opened.
    """
    check_installed()
    from skewless.serving.workers import Supervisor
    from skewless.store import FeatureStore

    with FeatureStore(repo) as store:
        check_access(store, settings)
        context_of(settings)
        store.runtime.state(fresh=True)
        many = store.runtime.online.capabilities.shared_by_processes
    if not many and settings.workers > 1:
        raise ConfigError(
            "this online store lives in one process",
            got=f"--workers {settings.workers}", expected="--workers 1",
        )  # fmt: skip
    if settings.workers > 1:
        Supervisor(repo, settings).run()
        return
    from skewless.serving.app import App

    sockets = listen(settings, 1)
    with FeatureStore(repo) as store:
        app = App(store, settings)
        app.writer.jobs.apart = many
        app.upkeep.beat = systemd.beat()
        announce(sockets[0], settings)
        run(app, settings, sockets)


def check_access(store: Any, settings: Settings) -> None:
    """Raise `ConfigError` when other machines could come in without a key, and nobody said so."""
    from skewless.serving.operate.keys import keyring_of

    if settings.loopback or settings.anonymous:
        return
    if not keyring_of(store.runtime, None).required:
        raise ConfigError(
            "other machines could read without a key",
            got=f"--host {settings.host}",
            hint="Make a key with: skewless keys create; or say --anonymous.",
        )


def main() -> None:
    """Be a worker or the writer: what `workers.Supervisor` starts."""
    import json

    role, repo, folder, number, descriptor, signs, given = sys.argv[1:]
    settings = Settings(**json.loads(given))
    from skewless.serving.app import App
    from skewless.serving.workers import LARGE_READS, SOCKETS, WORKER, WRITER, beat
    from skewless.store import FeatureStore

    if role == LARGE_READS:
        os.nice(STAND_BACK)
    path = Path(folder)
    listening = socket.socket(fileno=int(descriptor))
    with FeatureStore(repo) as store:
        outer = role == WORKER
        app = App(
            store, settings, folder=path, worker=int(number), inner=not outer,
            writer=str(path / SOCKETS[WRITER]) if outer else None,
            large=str(path / SOCKETS[LARGE_READS]) if outer else None,
        )  # fmt: skip
        app.upkeep.beat = beat(int(signs))
        app.writer.jobs.apart = True
        run(app, settings, [listening])


if __name__ == "__main__":
    main()
