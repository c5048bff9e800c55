"""Synthetic data, the same for every contender, written once to ``.bench/``.

All of it is made up from a fixed seed: random numbers in the shapes that make the work hard
(unsorted files, ties, corrections, unknown entities, a few entities with most of the rows).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.harness import CACHE, note

if TYPE_CHECKING:
    import pyarrow as pa

Ints = npt.NDArray[np.int64]
Columns = dict[str, npt.NDArray[np.generic]]

SEED = 20_130_101
START = 1_735_689_600_000_000  # 2025-01-01T00:00:00Z in microseconds
SECOND = 1_000_000
DAY = 86_400 * SECOND
SPAN = 60 * DAY
ROW_GROUP = 1_000_000
FEATURES = tuple(f"f{number}" for number in range(10))
TIMES = ("event_at", "created_at", "label_at", "at")


def cached(name: str, write: Callable[[Path], None]) -> Path:
    """Return a file of the cache, written the first time it is asked for."""
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    path = CACHE / name
    if not path.exists():
        note(f"  writing synthetic data {path.name} ...")
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
        write(unfinished)
        unfinished.rename(path)
    return path


def feature_rows(rows: int, entities: int, width: int = len(FEATURES)) -> Path:
    """Rows of features: entity, event and creation time, floats; unsorted, 2 % tied corrections.

    A correction has the entity and event time of another row and another creation time, so the
    file alone does not say which of both counts: the one that was created later.
    """
    name = f"features-{rows}x{width}-{entities}.parquet"
    return cached(name, lambda path: write_parquet(path, _feature_chunks(rows, entities, width)))


def _feature_chunks(rows: int, entities: int, width: int) -> Iterator[Columns]:
    rng = np.random.default_rng(SEED)
    earlier: tuple[Ints, Ints] | None = None
    for start in range(0, rows, ROW_GROUP):
        size = min(ROW_GROUP, rows - start)
        corrections = size // 50
        fresh = size - corrections
        entity = rng.integers(0, entities, fresh)
        event = START + rng.integers(0, SPAN, fresh)
        if earlier is None:
            earlier = entity, event
        corrected = rng.choice(len(earlier[0]), min(corrections, len(earlier[0])), replace=False)
        entity = np.concatenate([entity, earlier[0][corrected]])
        event = np.concatenate([event, earlier[1][corrected]])
        earlier = entity[:fresh], event[:fresh]
        created = event + rng.integers(SECOND, 3_600 * SECOND, len(event))
        columns: Columns = {"entity": entity, "event_at": event, "created_at": created}
        for number in range(width):
            columns[f"f{number}"] = np.round(rng.normal(100, 15, len(event)), 4)
        order = rng.permutation(len(event))
        yield {name: values[order] for name, values in columns.items()}


def labels(rows: int, entities: int) -> Path:
    """Spine rows: entity, time, label and a row number; 1 % of the entities are unknown."""

    def write(path: Path) -> None:
        rng = np.random.default_rng(SEED + 1)
        entity = rng.integers(0, entities, rows)
        unknown = rng.random(rows) < 0.01
        entity[unknown] += entities
        columns: Columns = {
            "label_row": np.arange(rows),
            "entity": entity,
            "label_at": START + rng.integers(0, SPAN, rows),
            "label": rng.integers(0, 2, rows),
        }
        write_parquet(path, [columns])

    return cached(f"labels-{rows}-{entities}.parquet", write)


def zipf_entities(rng: np.random.Generator, rows: int, entities: int) -> Ints:
    """Entities drawn with probability proportional to 1 / rank: the first has 8 % of 100 k."""
    weights = np.cumsum(1.0 / np.arange(1, entities + 1))
    drawn = np.searchsorted(weights, rng.random(rows) * weights[-1], side="right")
    # Popular entities are spread over the numbers, as they would be.
    numbers = np.random.default_rng(SEED).permutation(entities)
    return np.asarray(numbers[drawn], np.int64)


def events(rows: int, entities: int, hot: int = 0) -> Path:
    """Events in time order: entity (zipf), a distinct time, an amount in cents, a merchant.

    Entity 0 has ``hot`` per cent of them, and of the spine.
    """

    def write(path: Path) -> None:
        rng = np.random.default_rng(SEED + 2)
        at = START + np.sort(rng.integers(0, SPAN, rows)) + np.arange(rows)
        columns: Columns = {
            "entity": _heated(rng, zipf_entities(rng, rows, entities), hot),
            "event_at": at,
            "amount": np.round(rng.lognormal(3, 1, rows), 2),
            "merchant": (rng.pareto(1.2, rows) * 20).astype(np.int64) % 1_000,
        }
        write_parquet(path, [columns])

    return cached(f"events-{rows}-{entities}{_hot(hot)}.parquet", write)


def _heated(rng: np.random.Generator, numbers: Ints, hot: int) -> Ints:
    return np.where(rng.random(len(numbers)) < hot / 100, 0, numbers) if hot else numbers


def _hot(hot: int) -> str:
    return f"-hot{hot}" if hot else ""


def spine(rows: int, entities: int, hot: int = 0) -> Path:
    """Spine rows with the popularity of the events."""

    def write(path: Path) -> None:
        rng = np.random.default_rng(SEED + 3)
        columns: Columns = {
            "label_row": np.arange(rows),
            "entity": _heated(rng, zipf_entities(rng, rows, entities), hot),
            "label_at": START + rng.integers(0, SPAN, rows),
        }
        write_parquet(path, [columns])

    return cached(f"spine-{rows}-{entities}{_hot(hot)}.parquet", write)


def newest_rows(entities: int, width: int) -> Path:
    """One row of features per entity, in random order: what an online store is filled with."""

    def write(path: Path) -> None:
        rng = np.random.default_rng(SEED + 4)
        event = START + rng.integers(0, SPAN, entities)
        columns: Columns = {
            "entity": rng.permutation(entities),
            "event_at": event,
            "created_at": event + SECOND,
        }
        for number in range(width):
            columns[f"f{number}"] = np.round(rng.normal(100, 15, entities), 4)
        write_parquet(path, [columns])

    return cached(f"newest-{entities}x{width}.parquet", write)


def write_parquet(path: Path, chunks: Iterator[Columns] | list[Columns]) -> None:
    """Write chunks as row groups of at most a million rows; time columns become UTC timestamps."""
    import pyarrow.parquet as pq

    writer = None
    for columns in chunks:
        table = as_table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=ROW_GROUP)
    if writer is not None:
        writer.close()


def as_table(columns: Columns) -> pa.Table:
    """Return columns as an Arrow table."""
    import pyarrow as pa

    utc = pa.timestamp("us", tz="UTC")
    return pa.table(
        {
            name: pa.array(values, type=utc if name in TIMES else None)
            for name, values in columns.items()
        }
    )


def read_columns(path: Path | str, names: list[str]) -> list[npt.NDArray[np.generic]]:
    """Return columns of a Parquet file as NumPy arrays, times as int64 microseconds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, columns=names)
    found = []
    for name in names:
        column = table[name]
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.int64())
        found.append(column.to_numpy())
    return found


def facts(path: Path) -> dict[str, object]:
    """Return what a file holds, for the results: said to be synthetic."""
    import pyarrow.parquet as pq

    held = pq.read_metadata(path)
    return {
        "file": path.name,
        "synthetic": True,
        "rows": held.num_rows,
        "columns": held.num_columns,
        "mb": round(path.stat().st_size / 1e6, 1),
    }
