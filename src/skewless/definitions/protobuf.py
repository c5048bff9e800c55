"""Schemas from Protobuf files: ``schema=Protobuf("payment.proto", "Payment")``, words included.

A message's fields become columns; the comment before a field is its description. A field without
presence is never null. Enums are text, maps have text for keys, wrappers are what they wrap,
``Timestamp`` is a time, ``Duration`` seconds, ``Struct`` and its like are JSON.

The format: https://protobuf.dev/reference/protobuf/proto3-spec/
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skewless.definitions.decoded_values import DURATION, ENUM
from skewless.definitions.words import Column
from skewless.errors import DefinitionError, MissingDependency, UnknownName
from skewless.plugins import repo_folder
from skewless.types import (
    Bool,
    Bytes,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    Json,
    List,
    Map,
    String,
    Struct,
    Timestamp,
)

_PLAIN = {
    "double": Float64, "float": Float32, "bool": Bool, "string": String, "bytes": Bytes,
    "int32": Int32, "sint32": Int32, "sfixed32": Int32, "int64": Int64, "sint64": Int64,
    "sfixed64": Int64, "uint32": Int64, "fixed32": Int64, "uint64": Decimal(20, 0),
    "fixed64": Decimal(20, 0), "enum": ENUM.column,
}  # fmt: skip
_KNOWN = {
    "Timestamp": Timestamp, "Duration": DURATION.column, "Struct": Json, "Value": Json,
    "ListValue": Json,
}  # fmt: skip
_MESSAGE_FIELDS, _MESSAGES, _NESTED = 2, 4, 3
"""Numbers of fields in a file's and a message's description, which lead to comments."""


def Protobuf(path: str, message: str) -> dict[str, Column]:
    """Return the columns of a message in a ``.proto`` file, for ``schema=``.

    Needs ``pip install 'skewless[protobuf]'``, which has the compiler.

    Args:
        path: of the file, relative to the repo's folder while its definitions are read. What it
            imports is looked for beside it.
        message: its name, ``Outer.Inner`` where it is nested, with or without the package.

    Raises:
        DefinitionError: there is no such file, it is wrong, or a field has a type that no column
            can have; the error names the field.
        UnknownName: no message is called so.
        MissingDependency: the compiler is not installed.
    """
    file = Path(repo_folder.get(Path())) / path
    pool, described = _compiled(file)
    messages = dict(_messages(described))
    package = f"{described.package}." if described.package else ""
    name = message.removeprefix(package)
    if name not in messages:
        raise UnknownName.of("message", message, messages, where=str(file))
    descriptor = pool.FindMessageTypeByName(package + name)
    comments = _comments(described, messages[name])
    columns = {}
    for place, field in enumerate(descriptor.fields):
        dtype = _dtype(field, f"field {field.name!r} of {path}", (descriptor.full_name,))
        said = {} if field.has_presence else {"nulls": False}
        columns[field.name] = Column(dtype, comments.get(place, ""), **said)
    return columns


def _compiled(file: Path) -> tuple[Any, Any]:
    """Return the pool of all that a file describes and imports, and its own description."""
    try:
        import google.protobuf.descriptor_pb2 as descriptions
        import grpc_tools
        from google.protobuf.descriptor_pool import DescriptorPool
    except ModuleNotFoundError:
        raise MissingDependency.of(
            "grpcio-tools", "protobuf", needed_for="a schema of Protobuf"
        ) from None
    if not file.is_file():
        raise DefinitionError("a Protobuf file that cannot be read", got="no file", where=str(file))
    known = Path(grpc_tools.__file__).parent / "_proto"
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "described"
        wanted = ["--include_imports", "--include_source_info", f"--descriptor_set_out={out}"]
        places = [f"-I{file.resolve().parent}", f"-I{known}"]
        command = [sys.executable, "-m", "grpc_tools.protoc", *places, *wanted, file.name]
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
        if ran.returncode:
            lines = ran.stderr.strip().splitlines()
            told = [each for each in lines if f"{file.name}:" in each and "] " not in each] or lines
            raise DefinitionError("not Protobuf", got="; ".join(told), where=str(file))
        described = descriptions.FileDescriptorSet.FromString(out.read_bytes())
    pool = DescriptorPool()
    for each in described.file:
        pool.Add(each)
    return pool, described.file[-1]


def _messages(file: Any) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name of each message of a file, nested ones too, and the path to it."""

    def below(
        found: Any, name: str, path: tuple[int, ...]
    ) -> Iterator[tuple[str, tuple[int, ...]]]:
        yield name, path
        for number, inner in enumerate(found.nested_type):
            if not inner.options.map_entry:
                yield from below(inner, f"{name}.{inner.name}", (*path, _NESTED, number))

    for number, message in enumerate(file.message_type):
        yield from below(message, message.name, (_MESSAGES, number))


def _comments(file: Any, path: tuple[int, ...]) -> dict[int, str]:
    """Return the comment of each field of a message, by its place."""
    found = {}
    for location in file.source_code_info.location:
        at = tuple(location.path)
        if at[:-1] == (*path, _MESSAGE_FIELDS):
            comment = location.leading_comments or location.trailing_comments
            found[at[-1]] = " ".join(comment.split())
    return found


def _dtype(field: Any, where: str, inside: tuple[str, ...]) -> DType:
    """Return the column type of a field, in messages of these names."""
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        return Map(_one(kind.fields_by_name["value"], where, inside))
    found = _one(field, where, inside)
    return List(found) if field.is_repeated else found


def _one(field: Any, where: str, inside: tuple[str, ...]) -> DType:
    kind = field.message_type
    if kind is None:
        return _PLAIN[_name_of(field)]
    package, _, short = kind.full_name.rpartition(".")
    if package == "google.protobuf":
        if short in _KNOWN:
            return _KNOWN[short]
        if short.endswith("Value"):
            return _one(kind.fields_by_name["value"], where, inside)
    if kind.full_name in inside or kind.full_name == "google.protobuf.Any":
        raise DefinitionError(
            "a Protobuf type that no column can have", got=kind.full_name, where=where
        )
    within = (*inside, kind.full_name)
    return Struct({each.name: _dtype(each, where, within) for each in kind.fields})


def _name_of(field: Any) -> str:
    """Return how a file calls the type of a field that is no message."""
    names = (name for name in dir(field) if name.startswith("TYPE_"))
    (found,) = (name for name in names if getattr(field, name) == field.type)
    return found.removeprefix("TYPE_").lower()
