"""The few pages of a Schema Registry that (de)serializers ask for, over HTTP, in memory."""

import contextlib
import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse


def guid_of(number: int) -> str:
    """The name of a schema in every registry."""
    return str(uuid.UUID(int=number))


class _Registry(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        path = urlparse(self.path).path.split("/")
        number = int(path[3]) if path[1:3] == ["schemas", "ids"] else -1
        if path[1:3] == ["schemas", "guids"]:
            number = next((n for n in self.server.schemas if guid_of(n) == path[3]), -1)
        if self.server.down:
            self._answer(503, {"error_code": 50301, "message": "down for a moment"})
        elif number in self.server.schemas:
            self._answer(200, self.server.schemas[number])
        else:
            self._answer(404, {"error_code": 40403, "message": "Schema not found"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        number = len(self.server.schemas) + 1
        self.server.schemas[number] = body | {"guid": guid_of(number), "id": number}
        subject = urlparse(self.path).path.split("/")[2]
        answer = {"id": number, "version": 1, "subject": subject, "schema": body["schema"]}
        answer["guid"] = guid_of(number)
        self._answer(200, answer)

    def _answer(self, status: int, data: Any) -> None:
        body = json.dumps(data).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/vnd.schemaregistry.v1+json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


class SchemaRegistry:
    """A registry at `url`, which can be made to fail."""

    def __init__(self) -> None:
        self._server: Any = ThreadingHTTPServer(("127.0.0.1", 0), _Registry)
        self._server.schemas, self._server.down = {}, False
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def numbers(self) -> list[int]:
        return list(self._server.schemas)

    def fail(self, down: bool) -> None:
        self._server.down = down


@contextlib.contextmanager
def schema_registry() -> Iterator[SchemaRegistry]:
    registry = SchemaRegistry()
    thread = threading.Thread(target=registry._server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield registry
    finally:
        registry._server.shutdown()
        thread.join()
        registry._server.server_close()
