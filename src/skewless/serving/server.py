"""Running the application: one process with one of large reads, or workers and two behind them.

    serve("repo/", Settings(port=6566, workers=2))

The process that was started listens, starts the others and restarts them when they die; each
worker has a socket of its own on one port (``SO_REUSEPORT``), which outlives it and listens while
it runs. An online store that only one process can open is served by that one alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.config import Config
from skewless.errors import ConfigError, MissingDependency
from skewless.serving.operate import systemd
from skewless.serving.operate.logs import event
from skewless.serving.settings import Settings
from skewless.serving.signals import end_at_hangup
from skewless.serving.sockets import BACKLOG, announce, listen
from skewless.serving.tls import Certificate, context_of

if TYPE_CHECKING:
    import uvicorn

    from skewless.serving.app import App

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
STAND_BACK = 5
"""How much nicer the process of large reads is than those that answer small ones."""
_OWN_FILES = 256
"""Files that a server has open for itself."""
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


def most_connections() -> int:
    """Let this process open as many files as it may, and return how many may be connections."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # some systems allow less than they say
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 20 if soft == resource.RLIM_INFINITY else max(64, soft - _OWN_FILES)


def check_installed() -> None:
    """Raise `MissingDependency` unless what a server needs is installed."""
    from importlib.util import find_spec

    for name in _NEEDED:
        if find_spec(name) is None:
            raise MissingDependency.of(name, "serve", needed_for="skewless serve")


def run(app: App, settings: Settings, sockets: Sequence[socket.socket]) -> None:
    """Run an application in this process until SIGTERM or SIGINT, then let requests finish.

    Raises:
        SkewlessError: it cannot start.
    """
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
        http=type(
            "LimitedConnection",
            (Connection,),
            {"patience": settings.slow_client, "most": most_connections()},
        ),
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
    end_at_hangup(lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        server.run(sockets=list(sockets))
    except SystemExit:  # of uvicorn, which has told its log
        if app.refused is None:
            raise
    if app.refused is not None:
        raise app.refused
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
    from skewless.serving.app import App
    from skewless.serving.workers import Aside, Supervisor
    from skewless.store import FeatureStore

    config = Config.read(repo)
    with FeatureStore(config) as store:
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
        Supervisor(config, settings).run()
        return
    sockets = listen(settings, 1)
    with FeatureStore(config) as store, contextlib.ExitStack() as stack:
        if many:
            aside = Aside(config, settings)
            stack.callback(aside.close)
            app = App(store, settings, folder=aside.folder, large=aside.forward)
        else:
            app = App(store, settings)
        app.writer.jobs.apart = many
        app.upkeep.beat = systemd.beat()
        announce(sockets[0], settings)
        run(app, settings, sockets)


def check_access(store: Any, settings: Settings) -> None:
    """Raise `ConfigError` when other machines could come in without a key, and nobody said so."""
    from skewless.serving.operate.keys import keyring_of

    if settings.loopback or settings.anonymous or store.config.oidc is not None:
        return
    if not keyring_of(store.runtime, None).required:
        raise ConfigError(
            "other machines could read without a key",
            got=f"--host {settings.host}",
            hint="Make a key with: skewless keys create; or say --anonymous.",
        )


def main() -> None:
    """Be a worker, the writer or the process of large reads: what `workers` starts."""
    import json

    role, _, folder, number, descriptor, signs, given = sys.argv[1:]
    settings = Settings(**json.loads(given))
    aside = settings.workers == 1
    if aside:  # before the imports, which take longest: small reads are answered meanwhile
        os.nice(STAND_BACK)
    from skewless.serving.app import App
    from skewless.serving.excuse import reason_of
    from skewless.serving.handover import taken
    from skewless.serving.http.forward import LARGE_READS as TO_LARGE_READS
    from skewless.serving.http.forward import Forward
    from skewless.serving.workers import (
        LARGE_READS,
        SOCKETS,
        WORKER,
        WRITER,
        beat,
        cannot_start,
    )
    from skewless.store import FeatureStore

    path = Path(folder)
    listening = socket.socket(fileno=int(descriptor))
    try:
        with FeatureStore(taken(sys.stdin.buffer.readline())) as store:
            outer = role == WORKER
            large = Forward(str(path / SOCKETS[LARGE_READS]), settings, TO_LARGE_READS)
            app = App(
                store, settings, folder=path, worker=int(number), inner=not outer,
                writer=str(path / SOCKETS[WRITER]) if outer else None,
                large=large if outer else None,
                stands_back=STAND_BACK if role == LARGE_READS and not aside else 0,
            )  # fmt: skip
            app.upkeep.beat = beat(int(signs))
            app.writer.jobs.apart = True
            run(app, settings, [listening])
    except Exception as problem:  # noqa: BLE001 - whatever it is, who watches this process is told
        listening.close()
        cannot_start(int(signs), role, reason_of(problem))
        sys.exit(1)


if __name__ == "__main__":
    main()
