"""Reading what was exported: a file of JSON, or a folder of such files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from skewless.errors import InputError

Spec = Mapping[str, Any]


def documents(path: Path, *, what: str) -> list[Spec]:
    """Return the objects of a file, of all files below a folder, or of lists within them.

    In a folder, what is no JSON is passed over; a file that is named has to be.

    Args:
        path: of a file or folder.
        what: is looked for, for the message.

    Raises:
        InputError: there is nothing to read.
    """
    files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
    found: list[Spec] = []
    for each in files:
        try:
            found += _objects(json.loads(each.read_text("utf-8")))
        except ValueError as problem:
            if each == path:
                raise InputError(
                    "this is no JSON", got=str(problem), where=str(path), expected=what
                ) from problem
    if not found:
        raise InputError("nothing to import", got="no JSON objects", where=str(path), expected=what)
    return found


def _objects(data: Any) -> Iterator[Spec]:
    if isinstance(data, list):
        for each in data:
            yield from _objects(each)
    elif isinstance(data, Mapping):
        if isinstance(data.get("items"), list):  # a page of a REST interface
            yield from _objects(data["items"])
        else:
            yield data
