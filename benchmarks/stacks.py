"""What HTTP itself costs: servers that answer every post with the same bytes.

    python -m benchmarks.stacks protocol 8080      # or: uvicorn
    python -m benchmarks.stacks                    # microseconds of Python a request, no sockets

They need what `skewless[serve]` needs. `benchmarks.serving` measures them beside the real server,
whose answers are as long as theirs. Without sockets and with the least of many rounds the figures
are steady on a busy machine too; what the kernel does for a request comes on top of all of them.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from typing import Any

ANSWER = (
    b'{"at":"2026-01-01T00:00:00.000000Z","values":{"f0":[100.1234],"f1":[100.1234],"f2":[100.1234]'
    b',"f3":[100.1234],"f4":[100.1234],"f5":[100.1234],"f6":[100.1234],"f7":[100.1234],'
    b'"f8":[100.1234],"f9":[100.1234]},"statuses":{"f0":["present"],"f1":["present"],'
    b'"f2":["present"],"f3":["present"],"f4":["present"],"f5":["present"],"f6":["present"],'
    b'"f7":["present"],"f8":["present"],"f9":["present"]}}'
)


class Constant(asyncio.Protocol):
    """The least a server in Python can do: httptools parses, one write answers."""

    def connection_made(self, transport: Any) -> None:
        import httptools

        self.transport = transport
        self.parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_message_complete(self) -> None:
        self.transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
            % (len(ANSWER), ANSWER)
        )


async def application(scope: Any, receive: Any, send: Any) -> None:
    """The least an ASGI application can do with a post."""
    if scope["type"] == "http":
        while (await receive()).get("more_body"):
            pass
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(ANSWER)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": ANSWER})


class Sink(asyncio.Transport):
    """Takes what is written."""

    written = 0

    def write(self, _data: Any) -> None:
        self.written += 1

    def get_extra_info(self, _name: Any, default: Any = None) -> Any:
        return default

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


async def least(protocol: Any, requests: list[bytes], rounds: int = 20) -> float:
    """Return the least microseconds of CPU that a connection took for a request."""
    sink = Sink()
    protocol.connection_made(sink)
    found = []
    for _ in range(rounds):
        began = time.thread_time()
        for request in requests:
            before = sink.written
            protocol.data_received(request)
            while sink.written == before:
                await asyncio.sleep(0)
        found.append((time.thread_time() - began) / len(requests) * 1e6)
    return round(min(found), 1)


async def without_sockets() -> dict[str, float]:
    """Return microseconds of Python a request of 1 x 10 features, for every way to answer it."""
    from uvicorn import Config
    from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
    from uvicorn.server import ServerState

    from benchmarks import data, online
    from skewless.serving.app import App
    from skewless.serving.http.connection import Connection
    from skewless.serving.settings import Settings

    names = [f"Rows:f{number}" for number in range(10)]
    bodies = [json.dumps({"features": names, "entities": {"entity": [n]}}) for n in range(100, 300)]

    def requests(more: str = "") -> list[bytes]:
        kind = "content-type: application/json\r\n"
        return [
            f"POST /v1/features HTTP/1.1\r\nhost: x\r\n{kind}{more.format(number)}"
            f"content-length: {len(body)}\r\n\r\n{body}".encode()
            for number, body in enumerate(bodies)
        ]

    def config(app: Any) -> Config:
        made = Config(app, lifespan="off", proxy_headers=False, access_log=False, log_config=None)
        made.load()
        return made

    state, newest = ServerState(), str(data.newest_rows(1_000, online.WIDTH))
    with tempfile.TemporaryDirectory() as folder, online.filled(folder, newest) as store:
        app = App(store, Settings())
        app.start()

        def own() -> Connection:
            return Connection(config(app), state, {})

        constant = HttpToolsProtocol(config(application), state, {})
        long, every = "content-encoding: identity\r\n", "x-request-id: {}\r\n"
        return {
            "a protocol of uvloop, a constant": await least(Constant(), requests()),
            "uvicorn, a constant": await least(constant, requests()),
            "skewless, all of ASGI": await least(own(), requests(long)),
            "skewless, the short cut": await least(own(), requests(every)),
            "skewless, the short cut, a head seen before": await least(own(), requests()),
        }


async def protocol(port: int) -> None:
    """Serve `Constant` for ever."""
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve what the command line names, or measure without sockets."""
    if len(sys.argv) == 1:
        import uvloop

        print(json.dumps(uvloop.run(without_sockets()), indent=1))
        return
    kind, port = sys.argv[1], int(sys.argv[2])
    if kind == "uvicorn":
        import uvicorn

        uvicorn.run(
            application, port=port, loop="uvloop", http="httptools", ws="none", lifespan="off",
            access_log=False, log_level="error", server_header=False,
        )  # fmt: skip
    else:
        import uvloop

        uvloop.run(protocol(port))


if __name__ == "__main__":
    main()
