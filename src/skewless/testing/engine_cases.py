"""Random histories, views and spines that make engines disagree: what the engine suite runs.

Each is made from a seed: late rows, rows known late, corrections that change the entity, deletions,
re-deliveries, ties to the last place, null keys, on the table's side and the log's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from skewless.aggregations import AGGREGATIONS
from skewless.aggregations.windows import WINDOWS
from skewless.clock import ALWAYS, from_micros
from skewless.definitions import Aggregate, Entity, FeatureView, Source
from skewless.definitions.tables import Parquet
from skewless.engines.reference import HistoryRow
from skewless.errors import DefinitionError
from skewless.plugins import table_reader
from skewless.stores.offline.hashing import content_hash
from skewless.stores.offline.history import History
from skewless.stores.offline.log.log import EventLog
from skewless.testing.memory import MemoryStore

CARD = Entity("card", card_id=str)
SHOP = Entity("shop", shop_id=int)
SCHEMA = {
    "card_id": str, "shop_id": int, "x": float, "n": int, "word": str, "flag": bool, "id": str,
}  # fmt: skip
KEYS = ("c1", "c1", "c1", "c2", "c3", None)
SHOPS = (1, 1, 2, None)
FLOATS = (0.0, -0.0, 1.0, 0.1, 1e15, -1e15, 1e-310, 1e9 + 1, 1e9 - 1)
LAST = 60
"""Microseconds: all rows and moments lie between 0 and it."""


@dataclass(frozen=True, eq=False)
class Case:
    """A source with its history, as engines and as the reference have it.

    Attributes:
        source: whose rows.
        history: what an engine reads.
        rows: the same, for the reference.
    """

    source: Source
    history: History
    rows: Sequence[HistoryRow]


def source_of(folder: Path, *, name: str = "rows", **options: Any) -> Source:
    """Return a source with a table of two Parquet files."""
    given = {"known_time": "seen", "row_id": None} | options
    table = Parquet(str(folder / f"{name}-*.parquet"))
    return Source(name, schema=SCHEMA, event_time="at", table=table, **given)


def case_of(source: Source, folder: Path, seed: int, *, settled: bool = False) -> Case:
    """Return a history: half of it in the table, half in the log.

    Args:
        source: as `source_of` makes it.
        folder: for its files.
        seed: of the random numbers.
        settled: whether most rows of the log are in files, as after a compaction.
    """
    chance = random.Random(seed)
    table = [_values(chance) for _ in range(70)]
    table += [dict(row) for row in chance.sample(table, 6)]  # delivered again
    of_table = [_typed(source, part) for part in (table[::2], table[1::2], [])]
    for number, part in enumerate(of_table):
        pq.write_table(part, folder / f"{source.name}-{number}.parquet")
    rows = [row for part in of_table for row in _of_table(source, part)]
    log = EventLog(source, MemoryStore(), folder)
    for number in range(7):
        rows += _pushed(source, log, chance)
        if settled and number == 4:
            log.settle()
    return Case(source, History(source, table_reader(source.table, folder), log), rows)


def _values(chance: random.Random) -> dict[str, Any]:
    """Return a random row."""
    event = chance.randrange(LAST)
    known = max(0, event + chance.choice((0, 0, 0, 2, 15, -3)))
    return {
        "card_id": chance.choice(KEYS),
        "shop_id": chance.choice(SHOPS),
        "x": chance.choice((None, chance.choice(FLOATS), chance.uniform(-5, 5))),
        "n": chance.choice((None, chance.randrange(-3, 4), chance.randrange(-(2**62), 2**62))),
        "word": chance.choice(("a", "b", "c", None)),
        "flag": chance.choice((None, True, True, False)),
        "id": chance.choice((None, *(f"i{n}" for n in range(40)))),
        "at": from_micros(event) if chance.random() > 0.03 else None,
        "seen": from_micros(known),
    }


def _typed(source: Source, rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows as a table of the source's types."""
    schema = pa.schema([(name, dtype.arrow()) for name, dtype in source.columns.items()])
    return pa.Table.from_pylist([{n: row[n] for n in schema.names} for row in rows], schema=schema)


def _of_table(source: Source, table: pa.Table) -> list[HistoryRow]:
    columns = [name for name in source.columns if name != source.known_time]
    hashes = content_hash(table, columns) >> np.uint64(1)
    found = []
    for row, bits in zip(table.to_pylist(), hashes.tolist(), strict=True):
        event = _micros(row["at"])
        known = event if source.known_time is None else _micros(row["seen"])
        at = ALWAYS if event is None else event
        known = at if known is None else known
        found.append(_row(source, row, event, known + source.delay, ALWAYS + bits))
    return found


def _row(
    source: Source, row: dict[str, Any], event: int | None, known: int, tiebreak: int, **more: bool
) -> HistoryRow:
    ids = tuple(row[name] for name in source.row_id)
    row_id = None if not ids or None in ids else ids
    return HistoryRow(
        row, event, known, tiebreak, row_id=row_id, known_column=source.known_time, **more
    )


def _pushed(source: Source, log: EventLog, chance: random.Random) -> list[HistoryRow]:
    """Append some rows to the log, and return them for the reference."""
    given = [_values(chance) for _ in range(12)]
    table = _typed(source, given)
    known = [max(_micros(row["seen"]) or 0, chance.randrange(LAST)) for row in given]
    late = [chance.random() < 0.1 for _ in given]
    deleted = [bool(source.row_id) and row["id"] is not None and chance.random() < 0.15
               for row in given]  # fmt: skip
    (batch,) = table.combine_chunks().to_batches()
    with log._store.transaction() as rows:
        first = log.append(
            rows,
            batch,
            np.array(known, np.int64),
            late=np.array(late),
            deleted=np.array(deleted),
        )
    return [
        _row(source, row, _micros(row["at"]), known[at], first + at,
             late=late[at], deleted=deleted[at])
        for at, row in enumerate(table.to_pylist())
    ]  # fmt: skip


def _micros(moment: Any) -> int | None:
    return None if moment is None else round(moment.timestamp() * 1e6)


# ------------------------------------------------------------------------------------------- views


def aggregates(source: Source, seed: int, count: int, *, by: bool = False) -> dict[str, Aggregate]:
    """Return random aggregations of random columns over random windows, by name of the feature."""
    chance = random.Random(seed)
    kinds = [example for kind in AGGREGATIONS.values() for example in kind.examples()]
    windows = [window for kind in WINDOWS.values() for window in kind.examples()]
    found: dict[str, Aggregate] = {}
    while len(found) < count:
        window = replace(chance.choice(windows), offset=chance.choice((0, 0, 0, 3)))
        column = chance.choice((source.x, source.n, source.word, source.x + source.n, None))
        where = chance.choice((None, None, source.n > 0))
        group = source.word if by else None
        try:
            made = Aggregate(
                chance.choice(kinds), column, where, window, source=source.name, by=group
            )
        except (DefinitionError, TypeError, AttributeError):  # has no meaning over such rows
            continue
        found[f"f{len(found)}"] = made
    return found


def view_of(name: str, entity: Entity, source: Source, seed: int, **options: Any) -> FeatureView:
    """Return a view of random features, with one that is derived of two others."""
    count, by = options.pop("count", 24), options.pop("by", False)
    features: dict[str, Any] = dict(aggregates(source, seed, count, by=by))
    features["total"], features["rows"] = source.x.sum("20us"), source.count("20us")
    features["derived"] = (features["total"] + 1) / features["rows"]
    return FeatureView(name, entity=entity, source=source, features=features, **options)


def spine_of(seed: int, rows: int = 40) -> list[dict[str, Any]]:
    """Return a spine in no order: doubled rows, keys that nobody has, null keys."""
    chance = random.Random(seed)
    found = [
        {
            "card_id": chance.choice((*KEYS, "nobody")),
            "shop_id": chance.choice((*SHOPS, 99)),
            "t": chance.randrange(-2, LAST + 20),
        }
        for _ in range(rows)
    ]
    return [*found, *found[:3]]
