"""Which variant a key is given: by a hash of the experiment's name and the key, and nothing else.

>>> assigned("new_velocity", {"card_id": "c1"}, 0.5)
'control'
>>> f"{fraction('new_velocity', {'card_id': 'c1'}):.6f}"
'0.755892'

The fraction of a key is the first 53 bits of the SHA-256 of the UTF-8 text
``["new_velocity",{"card_id":"c1"}]``, over 2**53: JSON without blanks, keys in order of their
names, text as it is, values as `skewless.codec.to_json` gives them. Below the share it is the
treatment. So any program in any language assigns alike, a key keeps its variant, and two
experiments are independent.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from skewless.codec import to_json

CONTROL, TREATMENT = "control", "treatment"
_BITS = 53


def fraction(experiment: str, keys: Mapping[str, Any]) -> float:
    """Return where in [0, 1) a key lies; ``keys`` are join keys in their canonical types."""
    plain = {name: to_json(keys[name]) for name in sorted(keys)}
    text = json.dumps([experiment, plain], separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(text.encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / (1 << _BITS)


def assigned(experiment: str, keys: Mapping[str, Any], share: float) -> str:
    """Return the variant of a key: ``treatment`` for a ``share`` of all keys, else ``control``."""
    return TREATMENT if fraction(experiment, keys) < share else CONTROL
