"""From the key of a message to the row id it names.

>>> from skewless.types import Int64, String
>>> row_id_of(b"W17", {"wafer_id": String}), row_id_of(b"17", {"wafer": Int64})
('W17', 17)
>>> row_id_of(b'{"lot": "L1", "wafer": 3}', {"lot": String, "wafer": Int64})
('L1', 3)
>>> row_id_of(None, {"wafer_id": String}) is None
True
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from skewless.codec import from_json, to_json
from skewless.definitions.decoded_values import value_for
from skewless.types import DType


def row_id_of(key: Any, columns: Mapping[str, DType]) -> Any:
    """Return the value (or the tuple of values) of the row id columns, None if the key has none.

    A key is a JSON object with the columns, a JSON value, or for one column of text, plain text. Of
    an object of Connect's, with ``schema`` and ``payload``, the payload counts.

    Args:
        key: bytes of a message; or what was decoded of them, columns by name or one value.
        columns: the columns of the row id, in order, with their types.
    """
    if not columns:
        return None
    try:
        typed = values_of_key(key, columns)
    except ValueError:
        return None
    if typed is None or any(value is None for value in typed):
        return None
    return typed[0] if len(typed) == 1 else tuple(typed)


def values_of_key(key: Any, columns: Mapping[str, DType]) -> list[Any] | None:
    """Return the values of some columns that a key has, see `row_id_of`; None if it has none.

    Raises:
        ValueError: it has a value that is none of a column's type.
    """
    if key is None:
        return None
    values = _values(key.decode(), columns) if isinstance(key, bytes) else _decoded(key, columns)
    if values is None:
        return None
    return [from_json(v, dtype) for v, dtype in zip(values, columns.values(), strict=True)]


def _values(text: str, columns: Mapping[str, DType]) -> list[Any] | None:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = text
    if isinstance(data, dict) and data.keys() == {"schema", "payload"} != columns.keys():
        data = data["payload"]
        text = data if isinstance(data, str) else json.dumps(data)
    if isinstance(data, dict):
        return [data.get(name) for name in columns]
    if len(columns) > 1:
        return data if isinstance(data, list) and len(data) == len(columns) else None
    (dtype,) = columns.values()
    # A text that looks like a number is a text all the same, unless it was written in quotes.
    return [data if dtype.kind != "str" or isinstance(data, str) else text]


def _decoded(key: Any, columns: Mapping[str, DType]) -> list[Any] | None:
    """Return the values of a key that a decoder has read, in the form that JSON has for them."""
    if isinstance(key, Mapping):
        return [to_json(value_for(key.get(name), dtype)) for name, dtype in columns.items()]
    if len(columns) > 1:
        return None
    (dtype,) = columns.values()
    return [to_json(value_for(key, dtype))]
