"""The canonical text of JSON: sorted keys, no spaces, 1 for 1.0."""

from __future__ import annotations

import json
from collections.abc import Mapping

_EXACT = 2**53
"""Up to here every whole number is a float of its own."""


def json_text(value: object) -> str:
    """Return the canonical text of a value, or of text that is JSON.

    >>> json_text({"b": [1.0, 2.5], "a": 1})
    '{"a":1,"b":[1,2.5]}'

    Raises:
        TypeError, ValueError: it is none.
    """
    if isinstance(value, str):
        data = json.loads(value, parse_float=_json_number)
    else:
        data = _plain(value)
    return json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)


def _json_number(value: float | str) -> float | int:
    """Return a number of JSON, which does not tell 1.0 from 1: nor may where it comes from.

    A list of 1 and 2.5 has been 1.0 and 2.5 once it was a column of Arrow's.
    """
    number = float(value)
    return int(number) if number.is_integer() and abs(number) <= _EXACT else number


def _plain(value: object) -> object:
    """Return a value as JSON has it; mappings need keys of text: it would make text of others."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError("a key that is no text")
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, float):
        return _json_number(value)
    return [*map(_plain, value)] if isinstance(value, (list, tuple)) else value
