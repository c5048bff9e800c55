"""Where in a file of the audit an entity, an actor or a list of features is named.

A file of the audit that no more is appended to has an index beside it: ``00000001.idx``. It is made
of the file, holds nothing that the file does not, and is made again where it is missing or damaged.

    SKWAUDIT | size of the file | entries | CRC-32 of these | entries ...

Each number has 8 bytes, the most significant first. An entry is the first 8 bytes of a hash and
the place of the line in the file; entries are in order, so that one is found in some 20 reads.
"""

from __future__ import annotations

import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self

import msgspec

from skewless.audit.events import ACCESS, FEATURES
from skewless.ledger.chain import last_seal
from skewless.ledger.lines import parse_seal

_MAGIC = b"SKWAUDIT"
_HEAD = struct.Struct(">8sQQQ")
_ENTRY = struct.Struct(">8sQ")
_MARKS = tuple(b',"kind":"%s"' % kind.encode() for kind in (ACCESS, FEATURES))


class _Data(msgspec.Struct):
    actor: str = ""
    entities: list[str] = []
    id: str = ""


class _Line(msgspec.Struct):
    kind: str
    data: _Data


_decode = msgspec.json.Decoder(_Line).decode


class Term(NamedTuple):
    """What is looked for.

    Attributes:
        entry: how an index names it.
        text: what stands in the lines of a file that names it, and seldom in others.
    """

    entry: bytes
    text: bytes

    @classmethod
    def of_subject(cls, subject: str) -> Self:
        """Return what is looked for to find an entity, by its keyed hash."""
        return cls(_of_subject(subject), subject.encode())

    @classmethod
    def of_actor(cls, actor: str) -> Self:
        """Return what is looked for to find an actor."""
        return cls(_of_actor(actor), b'"actor":' + msgspec.json.encode(actor))

    @classmethod
    def of_list(cls, name: str) -> Self:
        """Return what is looked for to find a list of features."""
        return cls(_of_list(name), b'"id":' + msgspec.json.encode(name))


def growing_places(file: Path, term: Term) -> Iterator[int]:
    """Yield where the sealed lines begin that name something in a file that may grow."""
    data = memoryview(file.read_bytes())[: last_seal(file)[1]].tobytes()
    at = data.find(term.text)
    while at >= 0:
        yield data.rfind(b"\n", 0, at) + 1
        end = data.find(b"\n", at)
        at = data.find(term.text, end) if end >= 0 else -1


def places(file: Path, term: Term) -> Iterator[int]:
    """Yield where the lines begin that name something in a file that has an index.

    The index is made first where it is missing, damaged or of another file.
    """
    index = index_of(file)
    with index.open("rb") as opened:
        _, _, count, _ = _HEAD.unpack(opened.read(_HEAD.size))
        low, high = 0, count
        while low < high:
            middle = (low + high) // 2
            if _entry(opened, middle)[0] < term.entry:
                low = middle + 1
            else:
                high = middle
        before = -1
        while low < count:
            found, place = _entry(opened, low)
            if found != term.entry:
                return
            if place != before:
                yield place
            low, before = low + 1, place


def index_of(file: Path) -> Path:
    """Return the index of a file, made if there is none that fits."""
    index = file.with_suffix(".idx")
    if not _fits(index, file):
        own = index.with_name(f"{index.name}.{secrets.token_hex(8)}")
        try:
            opened = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(opened, "wb") as written:
                written.write(made_of(file))
            own.replace(index)
        finally:
            own.unlink(missing_ok=True)
    return index


def made_of(file: Path) -> bytes:
    """Return the index of a file as bytes."""
    entries = sorted(_ENTRY.pack(term, place) for term, place in named(file))
    body = b"".join(entries)
    return _HEAD.pack(_MAGIC, file.stat().st_size, len(entries), zlib.crc32(body)) + body


def named(file: Path) -> Iterator[tuple[bytes, int]]:
    """Yield what the sealed lines of a file name, and where these begin."""
    waiting: list[tuple[bytes, int]] = []
    place = 0
    with file.open("rb") as lines:
        for line in lines:
            if line.endswith(b"\n") and parse_seal(line) is not None:
                yield from waiting
                waiting = []
            elif any(mark in line[:160] for mark in _MARKS):
                waiting += [(term, place) for term in _terms(line)]
            place += len(line)


def _terms(line: bytes) -> Sequence[bytes]:
    try:
        said = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ()
    if said.kind == FEATURES:
        return (_of_list(said.data.id),)
    terms = [_of_actor(said.data.actor)]
    with suppress(ValueError):
        terms += {_of_subject(each) for each in said.data.entities if each}
    return terms


def _of_subject(subject: str) -> bytes:
    return bytes.fromhex(subject)[:8]


def _of_actor(actor: str) -> bytes:
    return blake2b(actor.encode(errors="replace"), digest_size=8, person=b"actor").digest()


def _of_list(name: str) -> bytes:
    return blake2b(name.encode(), digest_size=8, person=b"features").digest()


def _fits(index: Path, file: Path) -> bool:
    """Return whether an index is whole, and of this file."""
    with suppress(FileNotFoundError):
        data = index.read_bytes()
        if len(data) >= _HEAD.size:
            magic, size, count, crc = _HEAD.unpack_from(data)
            body = memoryview(data)[_HEAD.size :]
            of_it = bool(magic == _MAGIC and size == file.stat().st_size)
            return of_it and len(body) == count * _ENTRY.size and zlib.crc32(body) == crc
    return False


def _entry(opened: BinaryIO, number: int) -> tuple[bytes, int]:
    opened.seek(_HEAD.size + number * _ENTRY.size)
    term, place = _ENTRY.unpack(opened.read(_ENTRY.size))
    return term, place
