"""Fingerprints: a hash of everything in a definition that changes values.

>>> fingerprint({"b": 1, "a": 2}) == fingerprint({"a": 2, "b": 1})
True
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

_LABELS = frozenset(
    {"description", "owner", "tags", "freshness", "promise", "deprecated", "sunset", "words"}
    | {"checks", "was", "stored", "stored_columns"}
)


def fingerprint(data: Any) -> str:
    """Return the first 16 hex digits of the SHA-256 of plain data in canonical JSON."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def value_part(data: dict[str, Any]) -> dict[str, Any]:
    """Return a definition's plain data without what only describes it."""
    return {key: value for key, value in data.items() if key not in _LABELS}
