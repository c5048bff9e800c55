"""Packed states for tests: rows as they are packed, states from them, and what states answer."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal as PyDecimal
from typing import Any

import numpy as np

import skewless as sl
from skewless.clock import ALWAYS, NEVER, from_micros
from skewless.definitions import Entity, FeatureView, Source
from skewless.plan.table_read import TableRead
from skewless.state.layout import StateLayout
from skewless.state.packed_rows import RowSet
from skewless.state.prepend import Inserter
from skewless.state.update import Replacement, update_states
from skewless.types import Decimal, Float32, Int32, Json, List, Map, Struct, Vector

KEY = Entity("key", key=str)
SCHEMA = {
    "key": str, "x": float, "n": int, "word": str, "flag": bool, "small": Int32, "weight": Float32,
    "price": Decimal(12, 2), "day": date, "moment": datetime, "blob": bytes, "note": Json,
    "tags": List(str), "place": Vector(2), "counts": Map(int), "pair": Struct({"a": int, "b": str}),
}  # fmt: skip
SOURCE = Source("rows", schema=SCHEMA, event_time="at")
WHOLE: dict[str, Any] = {
    "key": "k", "x": -0.0, "n": -(2**62), "word": "ä b", "flag": True, "small": -5, "weight": 0.5,
    "price": PyDecimal("-19.99"), "day": date(2024, 2, 29),
    "moment": datetime(2026, 1, 1, 1, 2, 3, 4, UTC), "blob": b"\x00xyz", "note": '{"k":[1,null]}',
    "tags": ["a", None, ""], "place": [0.5, -1.5], "counts": {"a": 1}, "pair": {"a": 1, "b": "c"},
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A row of a source on its way into a state."""

    values: dict[str, Any]
    event: int
    known: int
    sequence: int
    group: int = 0

    @property
    def order(self) -> tuple[int, int, int]:
        return self.event, self.known, self.sequence


def every_column() -> FeatureView:
    """A view that keeps every column of its rows."""
    columns = {name: SOURCE[name].latest() for name in SCHEMA if name != "key"}
    return FeatureView("Every", entity=KEY, source=SOURCE, features=columns)


def windows(source: Source = SOURCE) -> FeatureView:
    """A view over every kind of window, with tiles and without."""
    x, rows = source.x, source.where(source.flag)
    features = {
        "sliding": x.sum("20us"), "std": x.std("20us"), "last": x.mean(last=3),
        "words": source.word.last_n(3, "30us"), "session": source.count(sl.session("4us")),
        "hour": x.sum(sl.tumbling("10us")), "hour_max": x.max(sl.tumbling("10us")),
        "coarse": x.mean("20us", resolution="5us"), "coarse_first": x.first("20us", resolution="5us"),
        "ever": x.sum(sl.lifetime()), "spread": x.std(sl.lifetime()),
        "words_ever": source.word.n_unique(sl.lifetime()), "flags": rows.count(sl.lifetime()),
        "before": x.sum(sl.lifetime(), offset="6us"), "least": source.n.min(sl.lifetime()),
        "newest": source.word.latest(ttl="9us"), "quiet": source.since_last(),
    }  # fmt: skip
    return FeatureView("Windows", entity=KEY, source=source, features=features)


def layout_of(view: FeatureView) -> StateLayout:
    return StateLayout.of(view.entity, view.source, [view])


def row_set(layout: StateLayout, rows: Sequence[Row]) -> RowSet:
    """Rows as they are kept, by group and row order."""
    inserter = Inserter(layout)
    packed = [inserter.record(row.values, row.order) for row in rows]
    records = np.frombuffer(b"".join(record for record, _ in packed), layout.record)
    slots = [at for at, slot in enumerate(layout.slots) if not slot.fixed]
    tails = {slot: [tail[n] for _, tail in packed] for n, slot in enumerate(slots)}
    group = np.array([row.group for row in rows], np.int64)
    return RowSet(layout.slots, records, group, None, tails).sorted()


def updated(
    layout: StateLayout,
    state: bytes | None,
    rows: Sequence[Row],
    floor: int = ALWAYS,
    replacements: Sequence[Replacement] = (),
) -> bytes:
    """The state of one entity with rows added, the long way."""
    last = max((row.sequence for row in rows), default=0)
    found = update_states(
        layout, [state], row_set(layout, rows), sequence=last, floor=floor,
        replacements=replacements,
    )  # fmt: skip
    return found[0]


def answers(view: FeatureView, layout: StateLayout, state: bytes, t: int) -> dict[str, Any]:
    """What a state answers at a moment, as bits, with statuses."""
    part = TableRead(layout, [(view, 1, feature) for feature in view.features])
    ((values, statuses, _),) = part.answers([state], t, t)
    found = zip(view.features, values, statuses, strict=True)
    return {name: [bits(value), status.value] for name, value, status in found}


def bits(value: Any) -> Any:
    """A value as JSON that tells every bit."""
    if isinstance(value, float):
        return struct.pack("<d", value).hex()
    if isinstance(value, list):
        return [bits(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, str)) else repr(value)


def plain(number: int, **values: Any) -> dict[str, Any]:
    """The values of a row, all columns but a few null."""
    return dict.fromkeys(SCHEMA) | {"key": "k", "n": number, "at": from_micros(0)} | values


def never_superseded(rows: RowSet) -> bool:
    return not rows.corrected or bool((rows.superseded == NEVER).all())
