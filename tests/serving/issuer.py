"""An issuer of tokens on this machine: real keys, its addresses over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from joserfc import jwk, jwt

RSA = jwk.RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = jwk.ECKey.generate_key("P-256", {"kid": "ec", "use": "sig"})
STRANGER = jwk.RSAKey.generate_key(2048, {"kid": "rsa"})
"""A key of somebody else, under the name of the issuer's."""


class LocalIssuer:
    """Answers with its keys; `away` answers nothing but errors."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[Any] = [RSA, EC]
        self.more: list[dict[str, Any]] = []
        self.name = url
        self.jwks = f"{url}/keys"
        self.away = False
        self.asked: list[str] = []

    def answer(self, path: str) -> tuple[int, Any]:
        self.asked.append(path)
        if self.away:
            return 500, "away"
        if path == "/.well-known/openid-configuration":
            return 200, {"issuer": self.name, "jwks_uri": self.jwks}
        if path == "/keys":
            return 200, {"keys": [key.as_dict(private=False) for key in self.keys] + self.more}
        if path == "/elsewhere":
            return 302, self.url + "/keys"
        return 404, None

    def token(
        self, now: int, *, key: Any = RSA, alg: str = "RS256", header: Any = None, **claims: Any
    ) -> str:
        """A token that ends five minutes after ``now``, UTC microseconds; None leaves a claim out."""
        seconds = now // 1_000_000
        said: dict[str, Any] = {
            "iss": self.url, "aud": "skewless", "sub": "ada", "groups": ["fraud-team"],
            "iat": seconds, "exp": seconds + 300,
        }  # fmt: skip
        said = {name: value for name, value in (said | claims).items() if value is not None}
        named = {"alg": alg, "kid": key.kid} | (header or {})
        named = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(named, said, key, algorithms=[alg])


@contextmanager
def local_issuer() -> Iterator[LocalIssuer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, said = issuer.answer(self.path)
            body = json.dumps(said).encode()
            self.send_response(status)
            if status == 302:
                self.send_header("location", said)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer = LocalIssuer(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
