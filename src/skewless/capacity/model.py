"""From figures of one core to machines, memory, partitions and money; and what gives way first.

Every line says how it comes about. Cores are those of the machine that was measured: a core of the
machine in the price table is taken to do as much.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from skewless.capacity.measure import Figures, SourceFigures
from skewless.capacity.rates import Load, Machine, SourceRate
from skewless.state.sizes import HEAVY_BYTES

DAY_SECONDS = 86_400
MONTH_HOURS = 730.0
GB = 1e9
ALIKE = 1.05
"""Rents within 5 % are alike: fewer machines are then preferred."""


@dataclass(frozen=True)
class Line:
    """A figure, and how it comes about."""

    what: str
    value: str
    because: str


@dataclass(frozen=True)
class Limit:
    """Something that there is only so much of.

    Attributes:
        what: of which.
        times: how many times what there is, is needed; above 1 it has given way.
        because: how that comes about.
        remedy: what to do.
    """

    what: str
    times: float
    because: str
    remedy: str


@dataclass(frozen=True)
class Capacity:
    """What a load needs.

    Attributes:
        lines: the figures.
        limits: the one that gives way first stands first.
        cost: of a month; None without prices.
        notes: what to know of the figures.
    """

    lines: tuple[Line, ...]
    limits: tuple[Limit, ...]
    cost: float | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return asdict(self)


def capacity(load: Load, figures: Figures) -> Capacity:
    """Return what a load needs, by figures that were measured."""
    sources = [each for each in figures.sources if each.source in load.sources]
    rated = [(each, load.sources[each.source]) for each in sources]
    write = sum(rate.events_per_second * each.row_seconds for each, rate in rated)
    read = sum(
        number * figures.read_seconds[view]
        for view, number in load.reads.items()
        if view in figures.read_seconds
    )
    states = sum(_entities(each, rate) * _state_bytes(each) for each, rate in rated)
    online = load.copies * sum(
        _entities(each, rate) * _state_bytes(each) * each.store_bytes for each, rate in rated
    )
    seconds = load.history_days * DAY_SECONDS
    per_row = {each.source: each.log_bytes for each in sources}
    log = sum(load.sources[n].events_per_second * seconds * b for n, b in per_row.items())
    built = sum(rate.events_per_second * seconds * each.rebuild_seconds for each, rate in rated)
    busy, rebuilding = load.busy, built / (load.rebuild_hours * 3600)
    cores = (write + read) / busy
    lines = [
        Line("cores that take rows in", _number(write / busy), f"{_number(write)} at {busy:.0%}"),
        Line("cores that read", _number(read / busy), f"{_number(read)} at {busy:.0%}"),
        Line("partitions of streams", f"{math.ceil(write / busy)}", "a worker of one core each"),
        Line("states", _bytes(states), _of_states(rated)),
        Line("online store", _bytes(online), f"its files, {load.copies} copies"),
        Line("log", _bytes(log), f"{load.history_days:g} days"),
        Line(
            "core hours of a rebuild", _number(built / 3600),
            f"{_number(rebuilding)} cores for {load.rebuild_hours:g} h",
        ),
    ]  # fmt: skip
    machine, cost = None, None
    if load.prices is not None:
        machine, count, rent = _cheapest(load.prices.machines, cores, online / GB, load)
        kept = log / GB * load.prices.storage_gb_month
        cost, unit = rent + kept, load.prices.currency
        lines += [
            Line("machines", f"{count:,} {machine.name}", f"{machine.cores:g} cores, "
                 f"{machine.memory_gb:g} GB, {machine.an_hour} {unit} an hour"),
            Line("a month", f"{cost:,.0f} {unit}", f"machines {rent:,.0f}, log {kept:,.0f}"),
        ]  # fmt: skip
    limits = _limits(load, sources, machine, (read, online, rebuilding))
    return Capacity(tuple(lines), limits, cost, tuple(_notes(load, figures, sources)))


def _entities(each: SourceFigures, rate: SourceRate) -> int:
    return rate.entities.get(each.entity, 1)


def _state_bytes(each: SourceFigures, rows: float | None = None) -> float:
    """Return the bytes of a state with so many rows; beyond those measured it grows evenly."""
    rows = each.rows_wanted if rows is None else rows
    return each.state_bytes + each.grows * max(0.0, rows - each.rows_each)


def _of_states(rated: Iterable[tuple[SourceFigures, SourceRate]]) -> str:
    return "; ".join(
        f"{_entities(each, rate):,} {each.entity} of {_state_bytes(each):,.0f} B"
        for each, rate in rated
    )


def _cheapest(
    machines: Sequence[Machine], cores: float, memory: float, load: Load
) -> tuple[Machine, int, float]:
    """Return the machine whose rent is least, the largest of those alike; how many; the rent."""

    def needed(machine: Machine) -> int:
        by_memory = memory / (machine.memory_gb * load.busy)
        return max(load.copies, 1, math.ceil(cores / machine.cores), math.ceil(by_memory))

    rents = {machine: needed(machine) * machine.an_hour * MONTH_HOURS for machine in machines}
    near = [machine for machine in machines if rents[machine] <= ALIKE * min(rents.values())]
    best = min(near, key=needed)
    return best, needed(best), rents[best]


def _limits(
    load: Load,
    sources: Sequence[SourceFigures],
    machine: Machine | None,
    needs: tuple[float, float, float],
) -> tuple[Limit, ...]:
    """Return what there is only so much of, the scarcest first."""
    read, online, rebuilding = needs
    waits = sum(load.sources[each.source].events_per_second * each.row_waits for each in sources)
    found = [
        Limit(
            "one journal", waits / load.busy,
            f"its writers come one after another, and need {_number(waits)} s of each second",
            "sources or projects with journals of their own; functions on DynamoDB; fewer bytes",
        )
    ]  # fmt: skip
    for each in sources:
        rate = load.sources[each.source]
        if rate.hottest_share:
            window = each.rows_wanted * _entities(each, rate) * rate.hottest_share
            size = _state_bytes(each, window)
            found.append(
                Limit(
                    f"the state of the hottest {each.entity}", size / HEAVY_BYTES,
                    f"{window:,.0f} rows in its windows, {_bytes(size)}; heavy from "
                    f"{_bytes(HEAVY_BYTES)}: each row of it reads and writes that",
                    "resolution= for long windows, or shorter ones",
                )
            )  # fmt: skip
    if machine is not None:
        found += [
            Limit(
                "the memory of one machine",
                online / load.copies / GB / machine.memory_gb / load.busy,
                f"{_bytes(online / load.copies)} of states, {machine.memory_gb:g} GB",
                "a store on several machines: Redis Cluster, Cassandra, DynamoDB",
            ),
            Limit(
                "the cores of one machine for reads", read / machine.cores / load.busy,
                f"{_number(read)} of {machine.cores:g}",
                "more machines that read: they share nothing but the store",
            ),
            Limit(
                "building all states again", rebuilding / machine.cores,
                f"{_number(rebuilding)} cores for {load.rebuild_hours:g} h, of {machine.cores:g}",
                'engine = "spark" for materialize',
            ),
        ]  # fmt: skip
    return tuple(sorted(found, key=lambda limit: -limit.times))


def _notes(load: Load, figures: Figures, sources: Sequence[SourceFigures]) -> list[str]:
    notes = [
        f"Measured on {figures.machine}, {figures.at}.",
        "Values were made up: in a log real ones compress less.",
        "Not counted: brokers, networks, what a server of the online store adds, and standby.",
    ]
    for each in sources:
        if each.rows_wanted > each.rows_each:
            notes.append(
                f"{each.source} by {each.entity}: measured with {each.rows_each:,} rows of an"
                f" entity, the windows have {each.rows_wanted:,}; beyond, states grow by"
                f" {each.grows:.1f} B a row."
            )
    lost = [view for view in load.reads if view not in figures.read_seconds]
    if lost:
        notes.append(f"Not measured, so not counted: reads of {', '.join(lost)}.")
    if load.prices is not None:
        notes.append(f"Prices: {load.prices.source}, {load.prices.date}.")
    return notes


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bytes(value: float) -> str:
    for unit, size in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{value / size:,.1f} {unit}"
    return f"{value:,.0f} B"
