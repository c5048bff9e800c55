"""What ``skewless serve`` may be told: addresses, limits, deadlines."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How a server behaves. Limits of requests are per worker, sizes per request.

    Attributes:
        host: the address to listen on; by default only this machine can reach it.
        port: 0 takes any free one.
        workers: processes that answer; with more than one, a process of its own writes.
        anonymous: whether callers without a key may come in from other machines.
        certificate: PEM file of the TLS certificate chain; None: no TLS.
        private_key: PEM file of its key.
        max_body: bytes of a request.
        max_entities: entities of one read.
        max_features: features of one read.
        max_requests: requests in progress at once; more are refused with 503.
        max_waiting: calls of the store that may wait for a thread.
        threads: calls of a store across the network, and large reads, at once.
        max_lag: seconds the event loop may be behind before reads are refused with 503.
        timeout: seconds a read may take.
        write_timeout: seconds a push may take, a synchronous materialization a hundred times that.
        slow_client: seconds a client may take to send a request or to take an answer.
        keep_alive: seconds an idle connection is kept.
        drain: seconds that requests in progress are given at the end.
        served_log: the fraction of entities whose answers are logged.
        log: ``errors`` or ``requests``: which requests are logged.
        traces: whether OpenTelemetry traces are made.
        feast_building: what clients of Feast get for a value that is `building`: ``not-found``, or
            ``unavailable`` (503 for the whole answer).
        cors_origins: pages of these origins may call, ``*``: of any; none: no page may.
    """

    host: str = "127.0.0.1"
    port: int = 6566
    workers: int = 1
    anonymous: bool = False
    certificate: str | None = None
    private_key: str | None = None
    max_body: int = 16 << 20
    max_entities: int = 10_000
    max_features: int = 2_000
    max_requests: int = 1_000
    max_waiting: int = 64
    threads: int = 16
    max_lag: float = 1.0
    timeout: float = 2.0
    write_timeout: float = 30.0
    slow_client: float = 10.0
    keep_alive: float = 75.0
    drain: float = 20.0
    served_log: float = 0.0
    log: str = "errors"
    traces: bool = False
    feast_building: str = "not-found"
    cors_origins: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")
