"""Loads and prices, from files; no figure of either stands in the code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from skewless.config import read_toml
from skewless.errors import ConfigError

TEMPLATE = """\
# capacity.toml: a load. Views and sources are those of the repo.
history_days = 730              # how long the log is kept
copies = 2                      # of each state, on different machines
busy = 0.6                      # the part of a core, and of a machine's memory, that may be in use
rebuild_hours = 24              # within which all states must be built again

[sources.payments]
events_per_second = 1_000
entities = {card = 1_000_000}   # how many have states
hottest_share = 0.0001          # the part of the rows that belong to one entity, at most

[reads]
Spend = 5_000                   # vectors of one entity a second, by view

[prices]
source = ""                     # where they are from
date = ""                       # when they held
currency = "USD"
storage_gb_month = 0.0
# [prices.machines.NAME]
# cores = 16
# memory_gb = 64
# an_hour = 0.0
"""
_KEYS = ("history_days", "copies", "busy", "rebuild_hours", "sources", "reads", "prices")


@dataclass(frozen=True)
class SourceRate:
    """How many rows a source gets, and of how many entities.

    Attributes:
        events_per_second: rows.
        entities: entity to how many of it have states.
        hottest_share: part of the rows that one entity has at most.
    """

    events_per_second: float
    entities: Mapping[str, int] = field(default_factory=dict)
    hottest_share: float = 0.0


@dataclass(frozen=True)
class Machine:
    """A machine that can be had.

    Attributes:
        name: what it is called.
        cores, memory_gb, an_hour: what it has, and costs.
    """

    name: str
    cores: float
    memory_gb: float
    an_hour: float


@dataclass(frozen=True)
class Prices:
    """A price table.

    Attributes:
        source, date: where the prices are from, and when they held.
        currency: of them.
        machines: that can be had.
        storage_gb_month: of the log's files.
    """

    source: str
    date: str
    currency: str
    machines: tuple[Machine, ...]
    storage_gb_month: float


@dataclass(frozen=True)
class Load:
    """What is asked of a repo.

    Attributes:
        where: the file.
        sources: rates of each.
        reads: view to vectors of one entity a second.
        history_days: how long the log is kept.
        copies: of each state.
        busy: part of a core and of memory that may be in use.
        rebuild_hours: within which all states must be built again.
        prices: None: none were given.
    """

    where: str
    sources: Mapping[str, SourceRate]
    reads: Mapping[str, float]
    history_days: float
    copies: int
    busy: float
    rebuild_hours: float
    prices: Prices | None = None

    @classmethod
    def read(cls, path: Path) -> Load:
        """Read a file.

        Raises:
            ConfigError: there is none, or it is wrong.
        """
        hint = "skewless capacity --template > capacity.toml"
        absent = ConfigError("there is no such file of rates", got=str(path), hint=hint)
        return cls.of(read_toml(path, absent), str(path))

    @classmethod
    def of(cls, data: Mapping[str, Any], where: str) -> Load:
        """Return the load that a file says.

        Raises:
            ConfigError: something is missing, unknown or out of range.
        """
        unknown = sorted(data.keys() - set(_KEYS))
        if unknown or not data.get("sources"):
            got = ", ".join(unknown) or "no [sources.NAME]"
            raise ConfigError(
                "not a file of rates", got=got, expected=", ".join(_KEYS), where=where
            )
        try:
            rates = {name: SourceRate(**each) for name, each in data["sources"].items()}
            priced = data.get("prices")
            load = cls(
                where,
                rates,
                dict(data.get("reads", {})),
                data["history_days"],
                data["copies"],
                data["busy"],
                data["rebuild_hours"],
                None if priced is None else _prices(priced),
            )
        except (KeyError, TypeError, AttributeError) as problem:
            raise ConfigError(
                "a file of rates lacks something, or has too much", got=str(problem), where=where,
                hint="skewless capacity --template shows all of it.",
            ) from None  # fmt: skip
        numbers = [*load.reads.values(), load.history_days, load.copies, load.rebuild_hours]
        numbers += [each.events_per_second for each in rates.values()]
        counts = [count for each in rates.values() for count in each.entities.values()]
        if min(numbers, default=0) < 0 or min(counts, default=1) < 1 or not 0 < load.busy <= 1:
            raise ConfigError(
                "a rate that is none", expected="numbers of 0 and more, busy up to 1", where=where
            )
        return load


def _prices(data: Mapping[str, Any]) -> Prices:
    machines = tuple(Machine(name, **each) for name, each in data["machines"].items())
    if not machines or not data["source"] or not data["date"]:
        raise KeyError("prices: source, date or machines")
    return Prices(
        data["source"], str(data["date"]), data["currency"], machines, data["storage_gb_month"]
    )
