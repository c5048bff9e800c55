"""A TCP proxy between a client and a server that can be made to misbehave.

with Proxy(server_port) as proxy:
    store = RedisStore(f"redis://127.0.0.1:{proxy.port}")
    proxy.drop()                  # cuts every connection; new ones work
    proxy.delay = 2.0             # holds every answer back so long
    proxy.cut_answers_after(100)  # lets 100 more bytes of answers through, then cuts
    proxy.refuse()                # cuts every connection, and each new one at once
    proxy.forward_to(port)        # works again, with a server that was restarted
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self

HOST = "127.0.0.1"
PIECE_BYTES = 65_536


class Proxy:
    """Forwards a loopback port of its own to another one.

    Args:
        target: the port of the server.

    Attributes:
        port: where clients connect.
        delay: seconds that each answer is held back; a change counts from the next answer on.
        connections: how many there have been.
    """

    def __init__(self, target: int) -> None:
        self.delay = 0.0
        self.connections = 0
        self._target = target
        self._refuses = False
        self._answer_bytes_left: int | None = None
        self._pairs: set[_Pair] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def drop(self) -> None:
        """Cut every connection that is open now."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            pair.cut()

    def cut_answers_after(self, count: int | None) -> None:
        """Let ``count`` more bytes of answers through, then cut each that comes; None: let all."""
        self._answer_bytes_left = count

    def refuse(self) -> None:
        """Cut every connection, and new ones as soon as they are made."""
        self._refuses = True
        self.drop()

    def forward_to(self, target: int) -> None:
        """Forward new connections, to this port; those to the old one are cut."""
        self._target = target
        self._refuses = False
        self.drop()

    def close(self) -> None:
        """Cut everything and stop listening."""
        self._refuses = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join()
        self.drop()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._connect(client)

    def _connect(self, client: socket.socket) -> None:
        # Under the lock, so that `drop` misses no connection that a client or server knows of.
        with self._lock:
            try:
                if self._refuses:
                    raise ConnectionRefusedError
                server = socket.create_connection((HOST, self._target))
            except OSError:
                client.close()
                return
            for each in (client, server):
                each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            pair = _Pair(client, server)
            self._pairs.add(pair)
        for work in (self._forward_requests, self._forward_answers):
            threading.Thread(target=work, args=(pair,), daemon=True).start()

    def _forward_requests(self, pair: _Pair) -> None:
        with self._ending(pair):
            while request := pair.client.recv(PIECE_BYTES):
                pair.server.sendall(request)

    def _forward_answers(self, pair: _Pair) -> None:
        with self._ending(pair):
            while answer := pair.server.recv(PIECE_BYTES):
                if self.delay and pair.ended.wait(self.delay):
                    return
                left = self._answer_bytes_left
                if left is not None:
                    self._answer_bytes_left = max(0, left - len(answer))
                    answer = answer[:left]
                pair.client.sendall(answer)
                if left is not None and left <= len(answer):
                    return

    @contextlib.contextmanager
    def _ending(self, pair: _Pair) -> Iterator[None]:
        try:
            yield
        except OSError:
            pass  # cut
        finally:
            pair.cut()
            with self._lock:
                self._pairs.discard(pair)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Pair:
    """The two ends of one forwarded connection."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.ended = threading.Event()

    def cut(self) -> None:
        """End both; threads that wait on them wake up."""
        self.ended.set()
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
