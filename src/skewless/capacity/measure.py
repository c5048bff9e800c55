"""What one core of this machine does with some definitions, measured with rows made up for them.

Rows of each source are made as its rates say and pushed to an embedded store in a folder that goes
afterwards; then what they cost is counted: bytes of states, of the store's files and of the log's
files, seconds of the processor of a row taken in, of a vector read, and of a row when all states
are built again. Nothing is assumed but that entities are alike.
"""

from __future__ import annotations

import os
import platform
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from skewless.capacity.rates import Load, SourceRate
from skewless.clock import SECOND, from_micros
from skewless.definitions import Entity, FeatureView, Source
from skewless.definitions.repo import Definitions
from skewless.errors import InputError
from skewless.materialize.verbs import rebuild
from skewless.online.storage import is_states
from skewless.plugins import create
from skewless.store import FeatureStore
from skewless.stores.online.base import OnlineStore
from skewless.stores.online.sealed import sealed
from skewless.types import DType

MOST_ROWS = 100_000
"""Rows that are made of a source; entities with more in their windows are measured with fewer."""
BATCH = 1_000
READS = 300
DAY = 86_400 * SECOND


@dataclass(frozen=True)
class SourceFigures:
    """What the rows of a source, and the states of its entities, cost.

    Attributes:
        source, entity: their names.
        rows_each: rows that each entity was given.
        rows_wanted: rows that the rates give each in the longest window; more than ``rows_each``
            where the measure stopped there.
        state_bytes, largest_bytes: of a state, with its key: mean, and largest.
        grows: bytes that a state grows with each further row of an entity.
        store_bytes: of the files of an embedded store, for each byte of states.
        log_bytes: of the log's files, for each row.
        row_seconds: of the processor, for each row taken in, in batches of a thousand.
        row_waits: seconds that passed for each row taken in, by one writer: disk and all.
        rebuild_seconds: of the processor, for each row when states are built from the log.
    """

    source: str
    entity: str
    rows_each: int
    rows_wanted: int
    state_bytes: float
    largest_bytes: int
    grows: float
    store_bytes: float
    log_bytes: float
    row_seconds: float
    row_waits: float
    rebuild_seconds: float


@dataclass(frozen=True)
class Figures:
    """What was measured.

    Attributes:
        machine: where.
        at: when, UTC.
        sources: a line for each source and entity.
        read_seconds: of the processor, for the features of one entity, by view.
    """

    machine: str
    at: str
    sources: tuple[SourceFigures, ...]
    read_seconds: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return the figures as plain data; `from_dict` takes them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Figures:
        """Return the figures that `to_dict` gave."""
        sources = tuple(SourceFigures(**each) for each in data["sources"])
        return cls(data["machine"], data["at"], sources, dict(data["read_seconds"]))


def measure(definitions: Definitions, load: Load, machine: str) -> Figures:
    """Measure views over the sources that a load names.

    Args:
        definitions: with the views.
        load: rates of their sources.
        machine: what this machine is called.

    Raises:
        InputError: no view is over a source that the load names.
    """
    groups: dict[tuple[str, str], list[FeatureView]] = {}
    for view in definitions.views.values():
        if view.source.name in load.sources and view.source.derivation is None:
            groups.setdefault((view.source.name, view.row_entity.name), []).append(view)
    if not groups:
        raise InputError(
            "no view is over a source that the rates name",
            got=", ".join(load.sources),
            expected=", ".join(definitions.sources),
            where=load.where,
        )
    sources, reads = [], dict[str, float]()
    for (name, _), views in groups.items():
        found, seconds = _measured(views, load.sources[name])
        sources.append(found)
        reads.update(seconds)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return Figures(machine, now, tuple(sources), reads)


def _measured(views: list[FeatureView], rate: SourceRate) -> tuple[SourceFigures, dict[str, float]]:
    source, entity = _plain(views[0].source), views[0].row_entity
    views = [FeatureView.from_dict(view.to_dict(), view.entity, source) for view in views]
    span, least = _span(views)
    entities = rate.entities.get(entity.name, 1)
    wanted = max(1, least, round(rate.events_per_second / entities * span / SECOND))
    each = max(2, min(wanted, MOST_ROWS // 10))
    some = max(1, min(entities, MOST_ROWS // each))
    with tempfile.TemporaryDirectory() as folder, FeatureStore(folder) as fs:
        fs.apply(views)
        made = _Made(source, entity, some, span, each)
        rows, half = each * some, each // 2 * some
        _push(fs, made.rows(0, half))
        before = [size for *_, size in _states(fs)]
        later = made.rows(half, rows)
        began = time.perf_counter()
        pushed = _cpu(lambda: _push(fs, later))
        passed = time.perf_counter() - began
        after = [size for *_, size in _states(fs)]
        log = fs.runtime.log(source)
        log.settle()
        settled = _bytes_below(log.folder)
        built = _cpu(lambda: rebuild(fs.runtime, None))
        reads = {view.name: _read(fs, view.name, made) for view in views}
        online = _stored(fs, Path(folder) / "states alone")
    mean = sum(after) / len(after)
    grown = (mean - sum(before) / len(before)) / (each - each // 2)
    found = SourceFigures(
        source=source.name,
        entity=entity.name,
        rows_each=each,
        rows_wanted=wanted,
        state_bytes=mean,
        largest_bytes=max(after),
        grows=max(0.0, grown),
        store_bytes=online / sum(after),
        log_bytes=settled / rows,
        row_seconds=pushed / len(later),
        row_waits=passed / len(later),
        rebuild_seconds=built / rows,
    )
    return found, reads


def _plain(source: Source) -> Source:
    """Return a source whose rows are pushed: without table, stream and what would refuse rows."""
    data = source.to_dict() | {"table": None, "stream": None}
    return Source.from_dict({k: v for k, v in data.items() if k not in ("checks", "screens")})


def _span(views: list[FeatureView]) -> tuple[int, int]:
    """Return the longest time and the most rows that windows look back."""
    windows = [aggregate.window for view in views for aggregate in view.aggregates]
    spans = [window.length for window in windows if window.length]
    return max(spans, default=DAY), max([w.most_rows or 1 for w in windows], default=1)


class _Made:
    """Rows, made up: those of an entity evenly over a time that ends now."""

    def __init__(self, source: Source, entity: Entity, entities: int, span: int, each: int) -> None:
        self._source, self._keys = source, dict(entity.join_keys)
        self._entities, self._step = entities, max(1, span // (each * entities))
        self._first = time.time_ns() // 1000 - self._step * each * entities
        self._random = random.Random(7)

    def key(self, number: int) -> dict[str, Any]:
        """Return the join keys of an entity."""
        return {name: _value(dtype, number) for name, dtype in self._keys.items()}

    def rows(self, first: int, last: int) -> list[dict[str, Any]]:
        """Return rows by their numbers."""
        return [self._row(number) for number in range(first, last)]

    def _row(self, number: int) -> dict[str, Any]:
        source, draw = self._source, self._random.randrange
        row = {name: _value(dtype, draw(1_000)) for name, dtype in source.schema.items()}
        row |= {name: _value(source.columns[name], number) for name in source.row_id}
        row |= self.key(number % self._entities)
        at = from_micros(self._first + number * self._step)
        times = (source.event_time, source.known_time)
        return row | {name: at for name in times if name is not None}


def _value(dtype: DType, number: int) -> Any:
    """Return a value of a type; null for types that are made of others."""
    day = datetime(2026, 1, 1, tzinfo=UTC)
    match dtype.kind:
        case "str":
            return f"v{number}"
        case "bytes":
            return b"v%d" % number
        case "bool":
            return number % 2 == 0
        case "int32" | "int64":
            return number
        case "float32" | "float64":
            return number * 0.37
        case "decimal":
            return Decimal(number % 100)
        case "timestamp":
            return day + timedelta(seconds=number)
        case "date":
            return day.date() + timedelta(days=number % 1_000)
        case "vector":
            return [number * 0.37 % 1] * dtype.size
    return None


def _push(fs: FeatureStore, rows: list[dict[str, Any]]) -> None:
    (name,) = fs.runtime.state().sources
    for at in range(0, len(rows), BATCH):
        fs.push(name, rows[at : at + BATCH], backdate=True)


def _states(fs: FeatureStore) -> Iterator[tuple[str, bytes, bytes, int]]:
    """Yield the states: table, key, value, and the bytes of key and value."""
    store = fs.runtime.online
    for name in filter(is_states, store.tables()):
        for key, value in store.scan(name):
            yield name, key, value, len(key) + len(value)


def _stored(fs: FeatureStore, folder: Path) -> int:
    """Return the bytes on the disk of a store that has the states and nothing else."""
    store: OnlineStore = create("online_store", "lmdb", {"path": str(folder)}, where="capacity")
    with sealed(store) as alone:
        for name, key, value, _ in _states(fs):
            alone.write(name, [(key, value)])
    return _bytes_below(folder)


def _read(fs: FeatureStore, view: str, made: _Made) -> float:
    """Return the seconds of the processor that a read of one entity takes."""
    keys = [[made.key(number)] for number in range(READS)]
    fs.get_online_features(view, keys[0])

    def read() -> None:
        for key in keys:
            fs.get_online_features(view, key)

    return _cpu(read) / READS


def _cpu(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _bytes_below(folder: Path) -> int:
    """Return the bytes that files have on the disk: some are made longer than what they hold."""
    return sum(f.stat().st_blocks * 512 for f in folder.rglob("*") if f.is_file())


def machine_name() -> str:
    """Return what this machine is: its processor and how many cores may be used."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor() or platform.machine()
    return f"{processor}, {os.cpu_count()} cores"
