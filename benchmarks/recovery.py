"""How long stores and servers are away when something breaks, and what is lost.

A fault is made, then rows are read (and written) again and again; what is told is how long that
failed, counted from the fault. Servers run on this machine, so that the network costs nothing.

    python -m benchmarks recovery
"""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks import server_faults
from benchmarks.harness import Figures, Line, Options
from benchmarks.stores import OPTIONS, write_configuration

ROWS = [(b"%d" % number, b"value %d" % number) for number in range(1_000)]
KEYS, VALUES = [key for key, _ in ROWS], [value for _, value in ROWS]
ENTITIES = 20_000
HEADINGS = {
    "reads_s": "reads fail for, s",
    "writes_s": "writes fail for, s",
    "lost": "acknowledged rows lost",
}
LIMIT_SECONDS = 120.0
TIMEOUTS = {"redis": 1.0, "postgres": 2.0, "dynamodb": 2.0}


def run(options: Options) -> Figures:
    """Make every fault."""
    os.environ.update(AWS_ACCESS_KEY_ID="benchmark", AWS_SECRET_ACCESS_KEY="benchmark")
    wanted = options.only or ("",)

    def measured(faults: dict[str, Callable[[], dict[str, Any]]]) -> list[Figures]:
        return [
            {"name": name, **_figures(measure)}
            for name, measure in faults.items()
            if any(part in name for part in wanted)
        ]

    processes = {"title": "Processes of a server", "contenders": measured(server_faults.FAULTS)}
    return {"title": "Stores", "contenders": measured(FAULTS), "parts": [processes]}


def _figures(measure: Callable[[], dict[str, Any]]) -> Figures:
    try:
        return measure()
    except Missing as reason:
        return {"skipped": str(reason)}


class Missing(Exception):
    """A server that cannot be started here."""


@contextlib.contextmanager
def server(name: str) -> Iterator[Any]:
    """Start a server."""
    import pytest

    from skewless.testing.servers import running

    with contextlib.ExitStack() as started:
        try:
            found = started.enter_context(running(name))
        except pytest.skip.Exception as reason:
            raise Missing(str(reason)) from None
        yield found


def opened(kind: str, url: str) -> Any:
    """Open a store."""
    from skewless.plugins import find

    return find("online_store", kind)(**OPTIONS[kind](url), timeout=TIMEOUTS[kind])


def until(call: Callable[[], Any], began: float) -> float:
    """Call until that succeeds; return the seconds since the fault."""
    from skewless.errors import StoreUnavailable

    while True:
        try:
            call()
            return time.monotonic() - began
        except StoreUnavailable:
            if time.monotonic() - began > LIMIT_SECONDS:
                raise


def outage(store: Any, fault: Callable[[], Any]) -> dict[str, Any]:
    """Make a fault; return how long reads and writes failed, and how many rows are gone."""
    store.write("rows", ROWS)
    began = time.monotonic()
    fault()
    reads = until(lambda: store.read("rows", KEYS), began)
    writes = until(lambda: store.write("more", ROWS), began)
    found = store.read("rows", KEYS)
    lost = sum(a != b for a, b in zip(found, VALUES, strict=True))
    return {"reads_s": round(reads, 3), "writes_s": round(writes, 3), "lost": lost}


def cut(kind: str) -> dict[str, Any]:
    """Cut every connection."""
    from skewless.testing.proxy import Proxy

    with server(kind) as running:
        port = urlsplit(running.url).port
        with Proxy(port) as proxy:
            url = running.url.replace(f":{port}", f":{proxy.port}")
            with opened(kind, url) as store:
                return outage(store, proxy.drop)


def restarted(name: str, kind: str, how: signal.Signals) -> dict[str, Any]:
    """Kill a server and start it again on its files."""
    with server(name) as running, opened(kind, running.url) as store:
        return outage(store, lambda: running.restart(how=how))


def failover() -> dict[str, Any]:
    """Kill the master of a cluster that has a replica."""
    with server("redis-cluster-replica") as running, opened("redis", running.url) as store:

        def kill() -> None:
            running.processes[2].kill()
            running.processes[2].wait()

        return outage(store, kill)


def forgotten() -> dict[str, Any]:
    """Restart a Redis without persistence under a repo; the next push rebuilds its states."""
    import skewless as sl

    card = sl.Entity("card", card_id=int)
    pays = sl.Source("pays", schema={"card_id": int, "amount": float}, event_time="at")
    total = {"total": pays.amount.sum(sl.lifetime())}
    view = sl.FeatureView("Spend", entity=card, source=pays, features=total)
    at = "2026-01-01T00:00:00Z"
    rows = [{"card_id": number, "amount": 1.5, "at": at} for number in range(ENTITIES)]
    with tempfile.TemporaryDirectory() as folder, server("redis") as running:
        write_configuration(Path(folder), "redis", running.url)
        with sl.FeatureStore(folder) as store:
            store.apply(store.plan(view))
            store.push("pays", rows, backdate=True)
            asked = [{"card_id": number} for number in range(ENTITIES)]
            began = time.monotonic()
            running.restart()
            writes = until(lambda: store.push("pays", rows[:1], backdate=True), began)
            reads = until(lambda: store.get_online_features(view, asked[:1]), began)
            found = store.get_online_features(view, asked).to_dict()["total"]
            lost = found.count(0.0)
    return {"reads_s": round(reads, 3), "writes_s": round(writes, 3), "lost": lost}


FAULTS: dict[str, Callable[[], dict[str, Any]]] = {
    "Redis: connections are cut": lambda: cut("redis"),
    "PostgreSQL: connections are cut": lambda: cut("postgres"),
    "DynamoDB Local: connections are cut": lambda: cut("dynamodb"),
    "Valkey, durable: killed and started again": lambda: restarted(
        "valkey", "redis", signal.SIGKILL
    ),
    "PostgreSQL: killed and started again": lambda: restarted(
        "postgres", "postgres", signal.SIGQUIT
    ),
    "Redis Cluster: a master is killed, its replica takes over": failover,
    f"Redis without persistence comes back empty, under a repo of {ENTITIES:,} entities": forgotten,
}


def summary(result: Figures) -> list[Line]:
    """Return no line for the table of the README."""
    del result
    return []
