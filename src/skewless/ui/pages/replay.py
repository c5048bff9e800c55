"""A request replayed: what it was answered, what history gives, and who else was given the same."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from skewless.clock import iso, to_micros
from skewless.definitions.references import split_reference
from skewless.errors import SkewlessError
from skewless.replay.causes import RIGHT, SAME, SAYS
from skewless.replay.report import Replay, ReplayedRead
from skewless.ui.page import Page
from skewless.ui.render import key_parameters
from skewless.ui.site import Site

_NEWEST = 15
_TAIL = 200_000
"""Bytes of the end of the served log in which the newest requests are looked for."""


def page(site: Site, given: dict[str, str]) -> Page:
    """Return what was served and what history gives.

    Args:
        site: what is looked at.
        given: ``request`` (the id of an answer), or ``entity`` (``card_id=c1, ...``) with ``at``
            (a moment) and ``features`` (a service or view, where the log has no answer).
    """
    asked = {name: given.get(name, "").strip() for name in ("request", "entity", "at", "features")}
    folder = site.store.config.folder / ".skewless" / "served"
    data: dict[str, Any] = {
        **asked,
        "newest": _newest(folder),
        "services": sorted(site.state.pins),
        "problem": None,
        "replay": None,
    }
    shown: dict[str, Any] = {"explore_": {}, "means": SAYS, "right": RIGHT, "same": SAME}
    if asked["request"] or asked["entity"]:
        try:
            found = _replay(site, asked)
        except SkewlessError as problem:
            data["problem"] = problem.to_dict()
        else:
            data["replay"] = found.to_dict()
            shown["explore_"] = {
                number: _links(site, read) for number, read in enumerate(found.reads)
            }
    title = f"Replay {asked['request'] or asked['entity']}".strip()
    return Page("replay.html", title, data, shown, "replay")


def _replay(site: Site, asked: dict[str, str]) -> Replay:
    if asked["request"]:
        return site.store.replay(asked["request"])
    entity: dict[str, Any] = {}
    for pair in asked["entity"].replace(",", " ").split():
        name, _, value = pair.partition("=")
        entity[name] = value
    at = to_micros(asked["at"], where="the time") if asked["at"] else None
    return site.store.replay(entity=entity, at=at, features=asked["features"] or None)


def _links(site: Site, read: ReplayedRead) -> dict[str, dict[str, str]]:
    """Return, for each feature, the words by which the explorer shows the rows behind it."""
    keys = key_parameters(dict(read.entity))
    found = {}
    for value in read.values:
        view, version, _ = split_reference(value.feature)
        if version is not None and (view, version) in {**site.state.views, **site.state.on_demand}:
            found[value.feature] = {
                "of": f"{view}@v{version}", "at": iso(read.at), "feature": value.feature, **keys,
            }  # fmt: skip
    return found


def _newest(folder: Path) -> list[dict[str, Any]]:
    """Return the newest requests of a served log, newest first, each once."""
    found: dict[str, dict[str, Any]] = {}
    for line in _last_lines(folder):
        name = str(line.get("request", ""))
        if name and name not in found:
            found[name] = {
                "request": name,
                "at": iso(int(line["at"])),
                "entity": line["entity"],
                "features": len(line["features"]),
                "statuses": sorted(set(line["statuses"]) - {"present"}),
            }
        if len(found) == _NEWEST:
            break
    return list(found.values())


def _last_lines(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the last lines of the newest file, the last one first; what is cut is left out."""
    files = deque(sorted(folder.glob("served-*.jsonl")), maxlen=1)
    for file in files:
        size = file.stat().st_size
        with file.open("rb") as opened:
            opened.seek(max(0, size - _TAIL))
            lines = opened.read().split(b"\n")
        for text in reversed(lines[1:] if size > _TAIL else lines):
            try:
                line = json.loads(text)
            except ValueError:
                continue
            if isinstance(line, dict) and {"at", "entity", "features", "statuses"} <= set(line):
                yield line
