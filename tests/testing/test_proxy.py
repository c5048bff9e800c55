"""The proxy that the tests of faults put between a store and its server."""

import socket

import pytest

from skewless.testing.proxy import Proxy


def test_a_proxy_forwards_and_misbehaves_as_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as target:
        with Proxy(target.getsockname()[1]) as proxy:

            def connected() -> tuple[socket.socket, socket.socket]:
                client = socket.create_connection(("127.0.0.1", proxy.port))
                return client, target.accept()[0]

            client, served = connected()
            with client, served:
                client.sendall(b"ask")
                assert served.recv(10) == b"ask"
                proxy.cut_answers_after(3)
                served.sendall(b"answer")
                assert client.recv(10) == b"ans"
                assert client.recv(10) == b""
            proxy.cut_answers_after(None)
            client, served = connected()
            with client, served:
                proxy.drop()
                assert client.recv(10) == b""
            proxy.refuse()
            with socket.create_connection(("127.0.0.1", proxy.port)) as refused:
                assert refused.recv(10) == b""
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", proxy.port))
