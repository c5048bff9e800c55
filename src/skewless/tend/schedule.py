"""When what is due: each part of a pass, and of some parts each view or source by itself.

A part has a time at which it was last done. A view has one of its own once it failed, or where
``[tend.views.NAME]`` says how often it is due; until then it is done with its part.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skewless.clock import iso
from skewless.config import Config
from skewless.durations import parse_duration
from skewless.errors import ConfigError, DefinitionError, UnknownName
from skewless.online.runtime import Runtime
from skewless.tend.parts import CHECKPOINT, PARTS

OFF = -1
VIEWS = "views"
"""The section below ``[tend]`` with a section for each view."""
BY_VIEW = ("materialize", "check", "profile")
"""Parts that a view may have an interval of its own for."""
EVERY: Mapping[str, int] = {
    "materialize": parse_duration("1h"),
    "backfill": parse_duration("1d"),
    "compact": parse_duration("1d"),
    "check": parse_duration("1h"),
    "profile": parse_duration("1d"),
    "drift": parse_duration("1d"),
    "freshness": 0,
    "alerts": 0,
    CHECKPOINT: 0,
}
"""Part to how often it is due, microseconds."""
_DONE = "tend/"


@dataclass(frozen=True)
class Due:
    """When a part of a pass is due.

    Attributes:
        name: of the part.
        every: how often, microseconds; None: never by itself.
        last: when it was last done, UTC microseconds; None: never.
        of: the view or source; empty: the part.
    """

    name: str
    every: int | None
    last: int | None
    of: str = ""

    @property
    def next(self) -> int | None:
        """When it is due, UTC microseconds; None: never by itself, or it was never done."""
        return None if self.every is None or self.last is None else self.last + self.every

    def waits(self, now: int) -> int | None:
        """Return how long it is not due yet, microseconds; None: it is due, or off."""
        if self.every is None or self.last is None:
            return None
        # What was done in the future was done by a clock that was ahead: it is due.
        done = now - self.last
        return self.every - done if 0 <= done < self.every else None

    def to_dict(self, now: int) -> dict[str, Any]:
        """Return it as plain data; durations in microseconds, times of UTC."""
        return {
            "name": self.name, "of": self.of, "every": self.every, "waits": self.waits(now),
            "last": None if self.last is None else iso(self.last),
        }  # fmt: skip


class Schedule:
    """How often what is due, and when it was done.

    Args:
        runtime: of the repo.

    Raises:
        ConfigError: ``[tend]`` has something that is neither a duration nor ``"off"``.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        config = runtime.config
        of_views = config.tend.get(VIEWS, {})
        self._every = dict(EVERY) | _durations(_without_views(config), "[tend]", config)
        self._views = {
            name: _durations(_checked_keys(said, name, config), f"[tend.views.{name}]", config)
            for name, said in of_views.items()
        }
        self._done: dict[str, int] = runtime.registry.progress(_DONE)

    def part(self, name: str) -> Due:
        """Return when a part is due."""
        return self._due(name, "", self._every[name], self._done.get(_DONE + name))

    def item(self, part: str, item: str) -> Due:
        """Return when a part is due of a view or source."""
        own = self._own(part, item)
        last = self._done.get(f"{_DONE}{part}/{item}", self._done.get(_DONE + part))
        return self._due(part, item, self._every[part] if own is None else own, last)

    def apart(self, part: str, item: str) -> bool:
        """Return whether an item has a time of its own."""
        return self._own(part, item) is not None or f"{_DONE}{part}/{item}" in self._done

    def note(self, part: str, item: str, at: int) -> None:
        """Keep when something was done; 0: it failed, and is due again."""
        name = f"{_DONE}{part}/{item}" if item else _DONE + part
        self._runtime.registry.set_progress(name, at)
        self._done[name] = at

    def misnamed(self) -> list[str]:
        """Return what is wrong with names of views in the settings."""
        state = self._runtime.state(fresh=True)
        return [
            str(UnknownName.of("view", name, state.current, where="[tend.views]"))
            for name in self._views
            if name not in state.current
        ]

    def _own(self, part: str, item: str) -> int | None:
        return self._views.get(item.partition("@v")[0], {}).get(part)

    def _due(self, name: str, of: str, every: int, last: int | None) -> Due:
        return Due(name, None if every == OFF else every, last or None, of)


def due_parts(runtime: Runtime) -> list[Due]:
    """Return when each part is due, in the order in which a pass does them."""
    schedule = Schedule(runtime)
    return [schedule.part(name) for name in names(runtime)]


def due_items(runtime: Runtime, *, apart: bool = False) -> list[Due]:
    """Return when parts are due of each view or source, in the order of a pass.

    Args:
        runtime: of the repo.
        apart: those alone that have a time of their own.
    """
    schedule = Schedule(runtime)
    return [
        schedule.item(name, item)
        for name in names(runtime)
        if (items := PARTS[name].items) is not None
        for item in items(runtime)
        if not apart or schedule.apart(name, item)
    ]


def names(runtime: Runtime) -> list[str]:
    """Return the parts of a pass over a repo, in order."""
    return [name for name in PARTS if name != CHECKPOINT or runtime.ledger.is_signed]


def _without_views(config: Config) -> dict[str, Any]:
    return {name: said for name, said in config.tend.items() if name != VIEWS}


def _checked_keys(said: Any, view: str, config: Config) -> Mapping[str, Any]:
    where = f"[tend.views.{view}] of {config.file or config.folder}"
    if not isinstance(said, Mapping):
        raise ConfigError("no section of a view", got=said, expected=f"[tend.views.{view}]")
    for key in said:
        if key not in BY_VIEW:
            raise ConfigError(str(UnknownName.of("part of a view", key, BY_VIEW, where=where)))
    return said


def _durations(given: Mapping[str, Any], section: str, config: Config) -> dict[str, int]:
    found = {}
    for name, said in given.items():
        try:
            found[name] = OFF if said == "off" else parse_duration(said, what=name)
        except DefinitionError as problem:
            where = f"{name!r} in {section} of {config.file or config.folder}"
            expected = "a duration such as '15m', or 'off'"
            raise ConfigError(
                "not how often", got=problem.got, expected=expected, where=where
            ) from None
    return found


def earliest(dues: Iterable[Due], now: int) -> int:
    """Return how long until the first of some is due, microseconds."""
    return min(waits for each in dues if (waits := each.waits(now)) is not None)
