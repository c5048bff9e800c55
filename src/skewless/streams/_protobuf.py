"""A Protobuf message as plain values: fields by name, null where a field says that it is not set.

Wrappers (`google.protobuf.DoubleValue` and the like) are their value or null, `Timestamp` is a time
in UTC, `Duration` and enums keep what columns of several types may want of them, `Struct`, `Value`
and `ListValue` are the JSON they stand for.
"""

from __future__ import annotations

from datetime import UTC
from typing import Any

from skewless.definitions.decoded_values import JsonString, Seconds, Symbol

_KNOWN = "google.protobuf."
_JSON_TYPES = ("Struct", "Value", "ListValue")


def fields(message: Any) -> dict[str, Any]:
    """Return the fields of a message by name."""
    found: dict[str, Any] = {}
    for field in message.DESCRIPTOR.fields:
        value = getattr(message, field.name)
        if _repeated(field):
            found[field.name] = _many(field, value)
        elif field.has_presence and not message.HasField(field.name):
            found[field.name] = None
        else:
            found[field.name] = _one(field, value)
    return found


def _repeated(field: Any) -> bool:
    found = getattr(field, "is_repeated", None)  # releases before 6.31 have labels alone
    return bool(field.label == field.LABEL_REPEATED if found is None else found)


def _many(field: Any, values: Any) -> Any:
    kind = field.message_type
    if kind is not None and kind.GetOptions().map_entry:
        inner = kind.fields_by_name["value"]
        return {key: _one(inner, values[key]) for key in values}
    return [_one(field, value) for value in values]


def _one(field: Any, value: Any) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return Symbol(value, None if known is None else known.name)
    return value if field.message_type is None else _message(value)


def _message(message: Any) -> Any:
    name = message.DESCRIPTOR.full_name
    if not name.startswith(_KNOWN):
        return fields(message)
    short = name.removeprefix(_KNOWN)
    if short == "Timestamp":
        return message.ToDatetime(tzinfo=UTC)
    if short == "Duration":
        return Seconds(message.seconds * 1_000_000_000 + message.nanos, message.ToJsonString())
    if short.endswith("Value") and short not in _JSON_TYPES:
        return message.value
    if short in _JSON_TYPES:
        from google.protobuf.json_format import MessageToDict

        found = MessageToDict(message)
        return JsonString(found) if isinstance(found, str) else found
    return fields(message)
