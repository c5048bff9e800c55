"""Code that reads some features, to copy: from Python, a shell, over HTTP."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from skewless.codec import to_json
from skewless.types import DType


def snippets(
    features: str | Sequence[str], entity: Mapping[str, Any], folder: str, at: str
) -> list[dict[str, str]]:
    """Return titles and code for a training set, an online read and the same over HTTP.

    Args:
        features: the name of a feature service, or references.
        entity: the join keys and request fields of an entity as an example.
        folder: of the repo.
        at: a moment as an example, ISO 8601.
    """
    asked = features if isinstance(features, str) else list(features)
    keys = to_json(dict(entity))
    spine = ", ".join(f"{name!r}: {value!r}" for name, value in {**keys, "asked_at": at}.items())
    named: dict[str, Any] = {"service": asked} if isinstance(asked, str) else {"features": asked}
    twice = len({each.partition(":")[2] for each in asked}) < len(asked)
    full = ", full_names=True" if "features" in named and twice else ""
    named |= {"full_names": True} if full else {}
    body = json.dumps({**named, "entities": [keys]}, ensure_ascii=False)
    words = [f"{name}={text_of(value)}" for name, value in keys.items()]
    listed = asked if isinstance(asked, str) else ",".join(asked)
    wanted = repr(asked)
    if len(asked) > 1 and not isinstance(asked, str):
        wanted = "[\n" + "".join(f"    {each!r},\n" for each in asked) + "]"
    return [
        {
            "title": "Training set",
            "code": "import skewless as sl\n\n"
            f"fs = sl.FeatureStore({folder!r})\n"
            f"spine = [{{{spine}}}]\n"
            f"features = {wanted}\n"
            f"training = fs.get_historical_features(spine, features, timestamp='asked_at'{full})\n"
            "training.to_dict()",
        },
        {
            "title": "Online",
            "code": "import skewless as sl\n\n"
            f"fs = sl.FeatureStore({folder!r})\n"
            f"features = {wanted}\n"
            f"fs.get_online_features(features, [{keys!r}]{full}).to_dict()",
        },
        {
            "title": "HTTP",
            "code": "curl -s http://127.0.0.1:6566/v1/features \\\n"
            f"  -H 'content-type: application/json' \\\n  -d {shlex.quote(body)}",
        },
        {
            "title": "Shell",
            "code": shlex.join(
                ["skewless", "get", listed, *words, *(["--full-names"] if full else [])]
            ),
        },
    ]


def example_of(types: Mapping[str, DType], known: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return join keys and request fields as an example: those that are known, else by type.

    Args:
        types: name to type of what is asked for.
        known: those that are known.
        at: a moment, ISO 8601.
    """
    by_kind = {"timestamp": at, "date": at[:10], "bool": True}
    by_kind |= dict.fromkeys(("int32", "int64"), 1) | dict.fromkeys(("float32", "float64"), 1.0)
    return {name: known.get(name, by_kind.get(dtype.kind, "...")) for name, dtype in types.items()}


def text_of(value: Any) -> str:
    """Return a value as text that `skewless.codec.from_text` reads."""
    plain = to_json(value)
    return plain if isinstance(plain, str) else json.dumps(plain)
