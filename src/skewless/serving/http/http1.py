"""HTTP/1.1 as a client speaks it: one request, one answer, over asyncio streams."""

from __future__ import annotations

from asyncio import IncompleteReadError, LimitOverrunError, StreamReader
from collections.abc import Mapping

Answer = tuple[int, dict[str, str], bytes]
"""Status, headers by lower-case name, body."""


class BadAnswer(Exception):
    """What came back is no HTTP, or ended in the middle."""


def request_bytes(
    method: str, target: str, host: str, headers: Mapping[str, str], body: bytes
) -> bytes:
    """Return a request as it goes over the wire."""
    lines = [f"{method} {target} HTTP/1.1", f"host: {host}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def read_answer(reader: StreamReader) -> Answer:
    """Return the next answer of a connection.

    Raises:
        BadAnswer: it is none, or the connection ended before or within it.
    """
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            status, headers = parse_head(head)
            if status >= 200:  # "100 Continue" is followed by the answer
                break
        if headers.get("transfer-encoding", "").lower() == "chunked":
            return status, headers, await _chunks(reader)
        if status in (204, 304):
            return status, headers, b""
        length = headers.get("content-length")
        if length is None:
            return status, headers, await reader.read()
        return status, headers, await reader.readexactly(int(length))
    except IncompleteReadError as problem:
        what = "no answer" if not problem.partial else "an answer that ended in the middle"
        raise BadAnswer(what) from None
    except (LimitOverrunError, ValueError) as problem:
        raise BadAnswer(str(problem)) from None


def parse_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Return status and headers of an answer's head; `ValueError` if it is none."""
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, _, rest = first.partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(f"not HTTP: {first[:60]!r}")
    headers = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    return int(rest[:3]), headers


async def _chunks(reader: StreamReader) -> bytes:
    parts: list[bytes] = []
    while True:
        size = int((await reader.readuntil(b"\r\n")).split(b";")[0], 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return b"".join(parts)
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
