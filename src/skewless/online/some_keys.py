"""Some of the entities whose states the online store holds: to look at, and to ask for.

some_keys(runtime, view, version=1, count=6)
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from skewless.definitions import FeatureView
from skewless.state.keys import KeyCodec

if TYPE_CHECKING:
    from skewless.online.runtime import Runtime


def some_keys(
    runtime: Runtime, view: FeatureView, version: int, count: int
) -> list[dict[str, Any]]:
    """Return the join keys of some entities of a view that are online, as they are asked for."""
    by = runtime.tables().serving().get((view.name, version))
    if by is None:
        return []
    codec = KeyCodec(by.layout.entity)
    names = dict(zip(view.row_entity.key_names, view.asked_entity.key_names, strict=True))
    rows = islice(runtime.online.scan(by.layout.table, limit=count), count)
    keys = (codec.decode(key) for key, _ in rows)
    return [
        {names.get(name, name): value for name, value in key.items()
         if names.get(name, name) not in view.constants}
        for key in keys
    ]  # fmt: skip
