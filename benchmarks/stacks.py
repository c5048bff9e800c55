"""What HTTP itself costs: servers that answer every post with the same bytes.

    python -m benchmarks.stacks protocol 8080      # or: uvicorn

They need what `skewless[serve]` needs. `benchmarks.serving` measures them beside the real server,
whose answers are as long as theirs.
"""

from __future__ import annotations

import asyncio
import sys
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


async def protocol(port: int) -> None:
    """Serve `Constant` for ever."""
    server = await asyncio.get_running_loop().create_server(Constant, "127.0.0.1", port)
    await server.serve_forever()


def main() -> None:
    """Serve what the command line names."""
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
