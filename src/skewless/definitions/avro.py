"""Schemas from Avro files: ``schema=Avro("payment.avsc")``, words included.

A record's fields become columns; ``doc`` is the description. A union with null is its other type,
times in milliseconds or microseconds are timestamps, enums are text, fixed is bytes. Times of day,
local times and UUIDs are text, as streams give them. A logical type counts where the format has it,
on a type that carries it, and elsewhere is the type it stands on; so are those that decoders do not
know: ``timestamp-nanos`` is a whole number, for ``event_time=sl.Epoch(name, "ns")``.

The format: https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from skewless.definitions.decoded_values import LOCAL_TIME, TIME_OF_DAY, UNIQUE_ID
from skewless.definitions.words import Column
from skewless.errors import DefinitionError
from skewless.plugins import repo_folder
from skewless.types import (
    Bool,
    Bytes,
    Date,
    Decimal,
    DType,
    Float32,
    Float64,
    Int32,
    Int64,
    List,
    Map,
    String,
    Struct,
    Timestamp,
)

_PLAIN = {
    "boolean": Bool, "int": Int32, "long": Int64, "float": Float32, "double": Float64,
    "string": String, "bytes": Bytes, "fixed": Bytes, "enum": String,
}  # fmt: skip
_LOGICAL = {
    ("long", "timestamp-millis"): Timestamp,
    ("long", "timestamp-micros"): Timestamp,
    ("long", "local-timestamp-millis"): LOCAL_TIME.column,
    ("long", "local-timestamp-micros"): LOCAL_TIME.column,
    ("int", "time-millis"): TIME_OF_DAY.column,
    ("long", "time-micros"): TIME_OF_DAY.column,
    ("int", "date"): Date,
    ("string", "uuid"): UNIQUE_ID.column,
}
"""What the decoder reads otherwise than the types that carry it, beside decimals."""


def Avro(path: str) -> dict[str, Column]:
    """Return the columns of a record in an Avro schema file, for ``schema=``.

    Args:
        path: of the ``.avsc`` file, relative to the repo's folder while its definitions are read.

    Raises:
        DefinitionError: there is no such file, it holds no record, or a field has a type that no
            column can have; the error names the field.
    """
    file = Path(repo_folder.get(Path())) / path
    try:
        schema = json.loads(file.read_text(encoding="utf-8"))
    except OSError as problem:
        raise DefinitionError(
            "an Avro schema that cannot be read", got=problem.strerror, where=str(file)
        ) from None
    except ValueError as problem:
        raise DefinitionError("not JSON", got=str(problem), where=str(file)) from None
    if not isinstance(schema, dict) or schema.get("type") != "record":
        raise DefinitionError("an Avro schema of no record", got=path, expected='"type": "record"')
    named: dict[str, DType] = {}
    columns = {}
    at = path
    try:
        space = _space(schema, "")
        for field in schema["fields"]:
            at = f"field {field['name']!r} of {path}"
            nullable = isinstance(field["type"], list) and "null" in field["type"]
            dtype = _dtype(field["type"], named, at, space)
            said = {} if nullable else {"nulls": False}
            columns[field["name"]] = Column(dtype, field.get("doc", ""), **said)
    except (LookupError, TypeError, AttributeError) as problem:
        got = f"{type(problem).__name__}: {problem}"
        raise DefinitionError("no Avro schema", got=got, where=at) from None
    return columns


def _space(avro: Mapping[str, Any], around: str) -> str:
    """Return the namespace of a type that has a name: what it says itself, or that around it."""
    said: str = avro.get("namespace", around)
    return avro.get("name", "").rpartition(".")[0] or said


def _full(name: str, space: str) -> str:
    """Return a name with its namespace."""
    return name if "." in name or not space else f"{space}.{name}"


def _dtype(avro: Any, named: dict[str, DType], where: str, space: str) -> DType:
    """Return the column type of a type as it stands in a schema.

    ``named`` are the types with a name that came before. One that holds itself is not among them
    yet where it does so: no column has such a type.
    """
    if isinstance(avro, list):
        others = [each for each in avro if each != "null"]
        if len(others) != 1:
            raise DefinitionError("a union of several types is no column", got=avro, where=where)
        return _dtype(others[0], named, where, space)
    if isinstance(avro, str):
        if avro in _PLAIN:
            return _PLAIN[avro]
        for name in (_full(avro, space), avro):
            if name in named:
                return named[name]
        raise DefinitionError("an Avro type that no column can have", got=avro, where=where)
    if "name" not in avro:
        return _unnamed(avro, named, where, space)
    space = _space(avro, space)
    found = _unnamed(avro, named, where, space)
    named |= {avro["name"]: found, _full(avro["name"], space): found}
    return found


def _unnamed(avro: Mapping[str, Any], named: dict[str, DType], where: str, space: str) -> DType:
    """Return the column type of what a type says of itself beside its name."""
    kind, logical = avro["type"], avro.get("logicalType")
    if isinstance(kind, str) and isinstance(logical, str):
        if (kind, logical) in _LOGICAL:
            return _LOGICAL[kind, logical]
        if logical == "decimal" and kind in ("bytes", "fixed"):
            return Decimal(avro["precision"], avro.get("scale", 0))
    if kind == "array":
        return List(_dtype(avro["items"], named, where, space))
    if kind == "map":
        return Map(_dtype(avro["values"], named, where, space))
    if kind == "record":
        fields = {f["name"]: _dtype(f["type"], named, where, space) for f in avro["fields"]}
        return Struct(fields)
    return _dtype(kind, named, where, space)
