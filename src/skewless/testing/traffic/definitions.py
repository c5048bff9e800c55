"""Random definitions: every aggregation over every window it can have, on all kinds of columns.

Aggregations and windows take turns, so that every pair of them has its turn before one
comes again; the rest (column, filter, offset, resolution, default) is chance.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

from skewless.aggregations import AGGREGATIONS, Aggregation
from skewless.aggregations.approximate import need_sketches
from skewless.aggregations.ordering import Ewma
from skewless.aggregations.standing import standing
from skewless.aggregations.windows import lifetime, session, tumbling
from skewless.definitions import Entity, FeatureView, OnDemandView, Source
from skewless.definitions.aggregate import build, rows_of
from skewless.definitions.derived import derived
from skewless.definitions.expressions import Expression, Request, if_else, now
from skewless.definitions.source import Rows
from skewless.definitions.tables import Files, Parquet
from skewless.errors import DefinitionError, MissingDependency
from skewless.types import Decimal, DType, Float32, Int32, Json, List, Vector

SCHEMA: Mapping[str, object] = {
    "row": str, "user": str, "shop": int, "amount": float, "weight": Float32, "number": int,
    "small": Int32, "price": Decimal(12, 2), "word": str, "flag": bool, "day": date,
    "moment": datetime, "blob": bytes, "note": Json, "tags": List(str), "place": Vector(2),
}  # fmt: skip
ENTITIES = (
    Entity("customer", user=str),
    Entity("store", shop=int),
    Entity("visit", user=str, shop=int),
    Entity("everything"),
)
UNITS = (1, 1_000, 1_000_000, 60_000_000, 3_600_000_000, 86_400_000_000)
"""Microseconds, seconds, days: what windows and the gaps between rows are multiples of."""

KINDS: tuple[tuple[Aggregation, bool], ...] = tuple(
    (example, of_rows)
    for kind in AGGREGATIONS.values()
    for example in kind.examples()
    for of_rows in ((False, True) if kind.takes_rows else (False,))
)
"""Every form of every aggregation there is, of a column and of whole rows."""
STREAMED = ("json", "parquet")
"""Formats of streamed files."""
WINDOWS = ("sliding", "resolution", "last", "tumbling", "session", "standing", "lifetime", "newest")
_NUMBERS = ("amount", "amount", "weight", "number", "small", "price", "made")


@dataclass(frozen=True)
class TrafficDefinitions:
    """What scenarios are made of.

    Attributes:
        unit: microseconds that windows and gaps are multiples of.
        source: of the rows.
        views: in the order in which they are applied.
        mode: how rows come to be known: ``pushed``, ``stream`` (lines and files that a stream
            worker takes in), ``column``, ``delay`` or ``table``.
        tastes: a view of vectors, applied first.
        asked: what is computed of it for a request, at its moment.
    """

    unit: int
    source: Source
    views: tuple[FeatureView, ...]
    mode: str
    tastes: FeatureView
    asked: OnDemandView

    @property
    def lasting(self) -> bool:
        """Whether what was known at a moment never changes later."""
        return self.mode in ("pushed", "stream")


def newest_and_sum(rows: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the newest row of a group, with the sum of its amounts; some have none."""
    newest = {name: values[-1] for name, values in rows.items()}
    if newest["word"] == "b":
        return None
    return newest | {"amount": math.fsum(rows["amount"])}


def _of_groups(chance: random.Random, source: Source) -> Source:
    """Return a source with the same columns, of groups of the rows of another or of groups."""
    made = source
    for name, by in (("groups", ("user", "shop")), ("groups_of_groups", ("user",))):
        made = derived(
            source=made,
            by=by,
            rows=chance.choice((1, 1, 2, 3)),
            most=chance.choice((4, 100)),
            returns={name: dtype for name, dtype in SCHEMA.items() if name not in by},
            name=name,
        )(newest_and_sum)
        if chance.random() < 0.6:
            break
    return made


class Rotation:
    """Pairs of aggregation and window in an order that a seed shuffled, over and over.

    Args:
        seed: of the order.
        start: how many had their turn before.
    """

    def __init__(self, seed: int, start: int = 0) -> None:
        self._pairs = [(kind, window) for kind in range(len(KINDS)) for window in WINDOWS]
        random.Random(f"{seed}.deck").shuffle(self._pairs)
        self._next = start

    def next_pair(self) -> tuple[int, str]:
        """Return the number of an aggregation of `KINDS`, and a window."""
        self._next += 1
        return self._pairs[(self._next - 1) % len(self._pairs)]


def random_definitions(
    chance: random.Random, rotation: Rotation, name: str, features: int
) -> TrafficDefinitions:
    """Return random definitions.

    Args:
        chance: where all chance comes from.
        rotation: of aggregations and windows.
        name: what the names of the views begin with.
        features: how many a view has, about.
    """
    unit = chance.choice(UNITS)
    mode = chance.choice(("pushed", "pushed", "stream", "stream", "column", "delay", "table"))
    column = mode == "column" or (mode == "table" and chance.random() < 0.5)
    delay = 0 if column else chance.choice((0, 0, unit, 3 * unit))
    source = Source(
        "rows",
        schema=SCHEMA,
        event_time="at",
        known_time="seen" if column else None,
        delay=f"{delay}us",
        row_id=chance.choice((None, "row", "row", ("row", "shop"))),
        closed=chance.choice(("right", "right", "left")),
        lateness=chance.choice((None, None, f"{chance.randint(0, 40) * unit}us")),
        extra=chance.choice(("ignore", "quarantine")),
        future=f"{4 * unit}us",
        table=Parquet("table/*.parquet") if mode == "table" else None,
        stream=Files("stream", chance.choice(STREAMED)) if mode == "stream" else None,
    )
    first, second = chance.sample(ENTITIES, 2)
    plan = [("A", first), ("B", chance.choice((first, second))), ("A", first)]
    over = dict.fromkeys("AB", source)
    if source.table is None and source.lateness is None:  # else nothing can be derived of it
        over[chance.choice("AB")] = _of_groups(chance, source)
    views = tuple(
        _view(
            chance, rotation, f"{name}{letter}", (entity, over[letter]), unit=unit, count=features
        )
        for letter, entity in plan[: chance.choice((1, 2, 2, 3))]
    )
    tastes = _tastes(chance, f"{name}Tastes", source, unit)
    return TrafficDefinitions(unit, source, views, mode, tastes, _asked(f"{name}Asked", tastes))


def _tastes(chance: random.Random, name: str, source: Source, unit: int) -> FeatureView:
    """Return a view of a column of vectors, and of one of times."""
    wide, narrow = (f"{chance.randint(1, 60) * unit}us" for _ in range(2))
    features = {
        "total": source.place.sum(wide),
        "mean": source.place.mean(narrow),
        "mean_of_3": source.place.mean(last=3),
        "newest": source.place.latest(),
        "seen": source.moment.latest(),
    }
    return FeatureView(name, entity=ENTITIES[0], source=source, features=features)


def _asked(name: str, tastes: FeatureView) -> OnDemandView:
    """Return what a vector and a time of a request are compared with."""
    query, since = Request("query", Vector(2)), Request("since", datetime)
    return OnDemandView(
        name,
        features={
            "alike": tastes["mean"].cosine(query),
            "near": tastes["newest"].dot(query),
            "between": tastes["total"].cosine(tastes["newest"]),
            "age": (now() - tastes["seen"]).days(),
            "waited": (now() - since).days(),
            "hour": now().hour(),
        },
    )


def _view(
    chance: random.Random,
    rotation: Rotation,
    name: str,
    over: tuple[Entity, Source],
    *,
    unit: int,
    count: int,
) -> FeatureView:
    entity, source = over
    features: dict[str, Expression] = {}
    while len(features) < count:
        kind, window = rotation.next_pair()
        try:
            made = _feature(chance, source, kind, window, unit)
        except (DefinitionError, MissingDependency):
            continue  # no meaning over the window or column, or skewless[sketches] is missing
        features[f"f{len(features)}_{KINDS[kind][0].name}_{window}"] = made
    for number, made in enumerate(_derived(chance, list(features.values()))):
        features[f"derived{number}"] = made
    where = chance.choice((None, None, source.flag, source.number >= 0))
    closed = chance.choice((None, None, "left", "right"))
    return FeatureView(
        name, entity=entity, source=source, features=features, where=where, closed=closed
    )


def _derived(chance: random.Random, features: list[Expression]) -> Iterator[Expression]:
    vectors = [f for f in features if f.dtype.kind == "vector"]
    if vectors:
        one, other = chance.choice(vectors), chance.choice(vectors)
        yield chance.choice((one.cosine(other), one.dot(other)))
    numbers = [f for f in features if f.dtype.is_numeric and f.dtype.kind != "decimal"]
    for _ in range(2 if len(numbers) > 1 else 0):
        one, other = chance.choice(numbers), chance.choice(numbers)
        yield chance.choice(
            (one - other * 2, one / other, if_else(one > other, one * 1.0, other * 1.0))
        )


def _feature(
    chance: random.Random, source: Source, kind: int, window: str, unit: int
) -> Expression:
    found, of_rows = KINDS[kind]
    options: dict[str, Any] = {}
    if chance.random() < 0.3:
        options["offset"] = f"{chance.randint(1, 8) * unit}us"
    rows = _filtered(chance, source)
    windows = _window(chance, window, unit, options)
    if chance.random() < 0.12:
        options["by"] = rows[chance.choice(("word", "user"))]
    if found.name == "approx_unique":
        need_sketches()
    if isinstance(found, Ewma):
        found = replace(found, half_life=f"{chance.randint(1, 9) * unit}us")
    column = _column(chance, rows, found)
    if window == "newest":
        if found.name != "latest" or "by" in options:
            raise DefinitionError("only latest has a newest row without a window")
        ttl = chance.choice((None, f"{chance.randint(1, 12) * unit}us"))
        return column.latest(ttl=ttl, **options)
    if not of_rows and chance.random() < 0.2:
        options["default"] = _default(found.result_type(column.dtype))
    return build(found, None if of_rows else column, rows_of(column), windows, options)


def _window(
    chance: random.Random, window: str, unit: int, options: dict[str, Any]
) -> tuple[Any, ...]:
    """Return the window as users write it; what is no argument goes into ``options``."""
    width = chance.choice((chance.randint(1, 6), chance.randint(5, 60))) * unit
    match window:
        case "sliding":
            return (f"{width}us",)
        case "resolution":
            options["resolution"] = f"{chance.randint(1, max(1, width // unit)) * unit}us"
            return (f"{width}us",)
        case "tumbling":
            return (tumbling(f"{width}us"),)
        case "session":
            return (session(f"{chance.randint(1, 5) * unit}us"),)
        case "standing":
            return (standing(f"{width}us"),)
        case "lifetime":
            return (lifetime(),)
        case "last":
            options["last"] = chance.choice((1, 2, 3, 4, 7, 12, 40))
    return ()


def _filtered(chance: random.Random, source: Source) -> Rows:
    filters: tuple[Callable[[], Expression], ...] = (
        lambda: source.number > 0,
        lambda: source.flag,
        lambda: source.word == "a",
        lambda: source.amount.is_not_null() & ~source.flag,
        lambda: source.small.fill_null(0) <= 1,
    )
    return source.where(chance.choice(filters)()) if chance.random() < 0.3 else source


def _column(chance: random.Random, rows: Rows, kind: Aggregation) -> Expression:
    """Return a column, or something computed from columns, that the aggregation may take."""
    names = [name for name in SCHEMA if name != "row" and _takes(kind, rows[name])]
    numbers = _NUMBERS if _takes(kind, rows.amount) else ()
    if not (names or numbers):
        return rows.amount._operation("pair", chance.choice((rows.number, rows.small)))
    name = chance.choice((*numbers, *names))
    if name != "made":
        return rows[name]
    return chance.choice(
        (
            rows.amount * 2 + rows.number,
            rows.number * rows.small,
            rows.amount / rows.number,
            if_else(rows.flag, rows.amount, 1.5),
            rows.word.length(),
            -rows.small,
        )
    )


def _takes(kind: Aggregation, column: Expression) -> bool:
    try:
        kind.result_type(column.dtype)
    except DefinitionError:
        return False
    return True


def _default(dtype: DType) -> Any:
    """Return a default of a type; one that does not fit leads to another feature."""
    if dtype.kind == "str":
        return "nothing"
    return 7 if dtype.is_numeric else None


def table_folder(folder: Path) -> Path:
    """Return where a source's table has its files, in a repo's folder."""
    return folder / "table"


def stream_folder(folder: Path) -> Path:
    """Return where a source's stream has its files, in a repo's folder."""
    return folder / "stream"
