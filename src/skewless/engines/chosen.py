"""The engines of a repo: each is made when it is first asked for, and closed with the repo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skewless.config import Section
from skewless.plugins import create

if TYPE_CHECKING:
    from skewless.engines.base import Engine


class Engines:
    """What computes training sets, by kind.

    Args:
        section: ``[engine]`` of ``skewless.toml``: the default kind, and its options.
        where: how errors name that file.
    """

    def __init__(self, section: Section, where: str) -> None:
        self._section = section
        self._where = f"[engine] of {where}"
        self._made: dict[str, Engine] = {}

    def get(self, given: Engine | str | None = None) -> Engine:
        """Return an engine: one that is given, one of a kind, or by default that of ``[engine]``.

        Raises:
            UnknownName: there is no engine of that kind.
            ConfigError: the section has options that the engine does not take.
        """
        if given is not None and not isinstance(given, str):
            return given
        kind = self._section.kind if given is None else given
        if kind not in self._made:
            options = self._section.options if kind == self._section.kind else {}
            self._made[kind] = create("engine", kind, options, where=self._where)
        return self._made[kind]

    def close(self) -> None:
        """Close those that were made."""
        while self._made:
            self._made.popitem()[1].close()
