"""The lines of a ledger's files: records, and the seals that chain them. Pure.

A file is JSON, line by line::

    {"ledger":1,"chain":"db1","file":1,"after":0,"prev":"000...","cuts":[],"crc":"9b3c1d20"}
    {"n":1,"at":1767261600000000,"kind":"run","data":{...},"crc":"1a2b3c4d"}
    {"records":1,"n":1,"at":1767261600000000,"seal":"5d41..."}

The first line says which file of which chain it is, and what it follows. A record carries its
number in the chain and a CRC-32 of itself. A seal is the SHA-256 of the seal before and of every
byte since, its own line up to ``,"seal"`` included: it stands for everything up to there. The lines
between two seals are a segment: what was written at once.

>>> line = record_line(1, 5, "run", {"job": "compact"})
>>> parse_record(line).data
{'job': 'compact'}
>>> parse_record(line.replace(b"compact", b"comqact")) is None
True
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

FORMAT = 1
GENESIS = "0" * 64
"""The seal before the first."""
SEAL_START = b'{"records":'
HEADER_START = b'{"ledger":'
_SEAL_KEY = b',"seal":"'
_CRC_KEY = b',"crc":"'
_CRC_END = len(_CRC_KEY) + 8 + len(b'"}')
_encode = msgspec.json.Encoder(enc_hook=str).encode


@dataclass(frozen=True)
class Record:
    """Something that happened.

    Attributes:
        n: its number in its chain, 1 and up.
        at: when, UTC microseconds.
        kind: ``run``, ``training_set``, ``check`` and so on.
        data: what is said of it, as plain data.
        chain: who wrote it: the host's name.
    """

    n: int
    at: int
    kind: str
    data: dict[str, Any]
    chain: str = ""

    @property
    def id(self) -> str:
        """What it is called: ``chain:number``."""
        return f"{self.chain}:{self.n}"


@dataclass(frozen=True)
class Seal:
    """The end of a segment.

    Attributes:
        records: in the segment.
        n: number of the last record before it.
        at: when, UTC microseconds.
        seal: the hash that stands for everything up to here.
    """

    records: int
    n: int
    at: int
    seal: str


@dataclass(frozen=True)
class Cut:
    """What a write that was cut off left at the end of a file, behind its last seal.

    Attributes:
        file: number of the file.
        at: where it begins, bytes.
        bytes: how long it is.
        sha256: of it.
    """

    file: int
    at: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Header:
    """The first line of a file.

    Attributes:
        ledger: the format.
        chain: whose file it is.
        file: its number, 1 and up.
        after: number of the last record that was sealed before.
        prev: the seal it follows.
        cuts: what writes that were cut off have left since that seal, in files before this one.
    """

    ledger: int
    chain: str
    file: int
    after: int
    prev: str
    cuts: tuple[Cut, ...] = ()


def record_line(n: int, at: int, kind: str, data: Mapping[str, Any]) -> bytes:
    """Return a record as a line, its end included."""
    record = {"n": n, "at": at, "kind": kind, "data": data}
    try:
        return _with_crc(_encode(record))
    except UnicodeEncodeError:  # what a caller has named may be no text that can be written
        return _with_crc(_encode(_writable(record)))


def _writable(value: Any) -> Any:
    """Return data with question marks for halves of characters."""
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, Mapping):
        return {_writable(name): _writable(item) for name, item in value.items()}
    return [*map(_writable, value)] if isinstance(value, (list, tuple)) else value


def parse_record(line: bytes, chain: str = "") -> Record | None:
    """Return the record of a line; None where it is none, or its CRC does not fit."""
    fields = _checked(line)
    try:
        return None if fields is None else Record(**fields, chain=chain)
    except TypeError:
        return None


def header_line(header: Header) -> bytes:
    """Return the first line of a file."""
    return _with_crc(_encode(header))


def parse_header(line: bytes) -> Header | None:
    """Return the header of a line; None where it is none, or its CRC does not fit."""
    fields = _checked(line)
    try:
        return None if fields is None else msgspec.convert(fields, Header)
    except msgspec.ValidationError:
        return None


def sealed(prev: str, segment: bytes, records: int, n: int, at: int) -> tuple[Seal, bytes]:
    """Return the seal of a segment, and its line.

    Args:
        prev: the seal before.
        segment: every byte since its line.
        records: how many records that are.
        n: number of the last record.
        at: the moment.
    """
    said = _encode({"records": records, "n": n, "at": at})[:-1]
    seal = seal_of(prev, segment, said)
    return Seal(records, n, at, seal), said + _SEAL_KEY + seal.encode() + b'"}\n'


def seal_of(prev: str, segment: bytes | memoryview, said: bytes) -> str:
    """Return the seal of a segment: what its line must say behind ``said``."""
    hashed = hashlib.sha256(prev.encode())
    hashed.update(segment)
    hashed.update(said)
    return hashed.hexdigest()


def parse_seal(line: bytes) -> Seal | None:
    """Return the seal of a line, None where it is none; whether it fits is for `seal_of`."""
    if not line.startswith(SEAL_START):
        return None
    try:
        return msgspec.json.decode(line, type=Seal)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def said_by(line: bytes) -> bytes:
    """Return the part of a seal's line that its seal covers."""
    return line[: line.rfind(_SEAL_KEY)]


def _with_crc(line: bytes) -> bytes:
    said = line[:-1]
    return said + _CRC_KEY + b"%08x" % zlib.crc32(said) + b'"}\n'


def _checked(line: bytes) -> dict[str, Any] | None:
    """Return the fields of a line whose CRC fits, without it."""
    line = line.removesuffix(b"\n")
    said, crc = line[:-_CRC_END], line[-_CRC_END:]
    if crc != _CRC_KEY + b"%08x" % zlib.crc32(said) + b'"}':
        return None
    try:
        fields = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if not isinstance(fields, dict):
        return None
    fields.pop("crc", None)
    return fields
