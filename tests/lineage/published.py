"""The published schemas of OpenLineage, as its own client has them: classes made of them.

What the client leaves open is closed here: a field that the schema does not name is refused.
"""

import importlib
import inspect
import pkgutil
import types
import typing
from enum import Enum
from functools import cache
from typing import Any

import attr
from jsonschema import Draft202012Validator
from openlineage.client import generated
from openlineage.client.generated import base

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean"}
_URI = {"type": "string", "pattern": "^[a-z][a-z0-9+.-]*:[^ ]+$"}
_FORMATS: dict[str, dict[str, Any]] = {
    "eventTime": {"format": "date-time"}, "nominalStartTime": {"format": "date-time"},
    "nominalEndTime": {"format": "date-time"}, "runId": {"format": "uuid"},
    "producer": _URI, "schemaURL": _URI, "_producer": _URI, "_schemaURL": _URI,
}  # fmt: skip
_ALWAYS = {"producer", "schemaURL", "_producer", "_schemaURL"}
"""Required by the schemas; the client fills them in."""
_HOLDERS = (
    base.DatasetFacet, base.InputDatasetFacet, base.OutputDatasetFacet, base.JobFacet, base.RunFacet
)  # fmt: skip
_NAMES = {"datasetVersion": "version", "processingEngine": "processing_engine"}
"""Names under which facets stand where these are not those of their classes."""


@cache
def validator(kind: str) -> Draft202012Validator:
    """Return what holds an event to its schema: RunEvent, DatasetEvent or JobEvent."""
    defs: dict[str, Any] = {}
    schema = _of(getattr(base, kind), defs) | {"$defs": defs}
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)


def _of(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a type, and put those of the classes within it into `defs`."""
    origin, given = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_of(each, defs) for each in given if each is not type(None)]}
    if origin is typing.Literal:
        return {"enum": list(given)}
    if origin is list:
        return {"type": "array", "items": _of(given[0], defs)}
    if origin is dict and given[1] in _HOLDERS:
        facets = {name: _of(each, defs) for name, each in _facets(given[1]).items()}
        return {"type": "object", "properties": facets, "additionalProperties": False}
    if origin is dict:
        return {"type": "object", "additionalProperties": _of(given[1], defs)}
    if issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    name = f"{kind.__module__.rpartition('.')[2]}.{kind.__name__}"
    if name not in defs:
        defs[name] = {}
        defs[name].update(_of_class(kind, defs))
    return {"$ref": f"#/$defs/{name}"}


def _of_class(kind: type, defs: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    fields = attr.fields(kind)
    properties = {each.name: _of(hints[each.name], defs) for each in fields}
    properties = {name: each | _FORMATS.get(name, {}) for name, each in properties.items()}
    for name in ("schemaURL", "_schemaURL"):
        if name in properties:
            properties[name] = {"const": kind._get_schema()}  # type: ignore[attr-defined]
    required = [
        each.name for each in fields if each.default is attr.NOTHING or each.name in _ALWAYS
    ]
    return {
        "type": "object", "properties": properties, "required": required,
        "additionalProperties": False,
    }  # fmt: skip


def _facets(holder: type) -> dict[str, type]:
    """Return the facets of a kind by the names under which they stand."""
    found = {}
    for each in pkgutil.iter_modules(generated.__path__):
        module = importlib.import_module(f"{generated.__name__}.{each.name}")
        for _, made in inspect.getmembers(module, inspect.isclass):
            if made.__module__ == module.__name__ and holder in made.__bases__:
                name = made.__name__.removesuffix(holder.__name__)
                name = name[0].lower() + name[1:]
                found[_NAMES.get(name, name)] = made
    return found
