"""Plain data as JSON text and back, with the few values that JSON has no form for.

>>> from decimal import Decimal
>>> encode({"default": Decimal("1.50"), "edges": [0.0, 1.0]})
'{"default": {"$decimal": "1.50"}, "edges": [0.0, 1.0]}'
>>> decode('{"default": {"$decimal": "1.50"}}')
{'default': Decimal('1.50')}
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from skewless.errors import InputError

_READ: dict[str, Callable[[str], Any]] = {
    "$decimal": Decimal,
    "$time": datetime.fromisoformat,
    "$date": date.fromisoformat,
    "$bytes": bytes.fromhex,
}


def encode(data: Any) -> str:
    """Return plain data as JSON; the order of keys is kept.

    Raises:
        TypeError: it holds something that is not plain.
    """
    return json.dumps(data, default=_tagged)


def decode(text: str) -> Any:
    """Return the plain data that `encode` wrote."""
    return json.loads(text, object_hook=_untagged)


def encoded_pins(pins: Iterable[str], pending: Iterable[str]) -> str:
    """Return the pins of a definition as JSON, with those that are to follow if there are any."""
    waiting = list(pending)
    return encode({"pins": list(pins), "pending": waiting} if waiting else list(pins))


def decoded_pins(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the pins that serve, and those that are to follow."""
    found = decode(text)
    if isinstance(found, list):
        return tuple(found), ()
    return tuple(found["pins"]), tuple(found["pending"])


def _tagged(value: object) -> dict[str, str]:
    match value:
        case Decimal():
            return {"$decimal": str(value)}
        case datetime():
            return {"$time": value.isoformat()}
        case date():
            return {"$date": value.isoformat()}
        case bytes():
            return {"$bytes": value.hex()}
    raise TypeError(f"{value!r} ({type(value).__name__}) is not plain data")


def _untagged(data: dict[str, Any]) -> Any:
    if len(data) == 1:
        ((key, value),) = data.items()
        if key in _READ:
            return _READ[key](value)
    return data


def check_text(*texts: str) -> None:
    """Raise `InputError` unless each text can be kept: broken Unicode cannot."""
    for text in texts:
        if not text.isascii() and text.encode("utf-8", "replace").decode() != text:
            raise InputError("text that is not valid Unicode", got=repr(text)[:80])
