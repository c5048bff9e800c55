"""Every aggregation over every window on columns of every kind: what the laws are held for.

Nothing here names an aggregation or a window: both come from their registries, so that a new one is
held to the laws as soon as it is registered.
"""

import random
from dataclasses import replace
from operator import itemgetter

from skewless.aggregations import AGGREGATIONS
from skewless.aggregations.approximate import need_sketches
from skewless.aggregations.windows import WINDOWS
from skewless.clock import from_micros
from skewless.definitions import Aggregate, Entity, FeatureView, Source
from skewless.engines.reference import HistoryRow
from skewless.errors import DefinitionError, MissingDependency
from skewless.types import Decimal, Float32, Int32, Vector

KEY = Entity("key", key=str)
SCHEMA = {
    "key": str, "x": float, "n": int, "single": Float32, "small": Int32, "price": Decimal(12, 2),
    "word": str, "flag": bool, "taste": Vector(2),
}  # fmt: skip
COLUMNS = {name: itemgetter(name) for name in SCHEMA if name != "key"} | {
    "x and n": lambda of: of.x._operation("pair", of.n),
    "single and x": lambda of: of.single._operation("pair", of.x),
    "rows": lambda of: None,
}
"""What is aggregated, of a source."""
WINDOW_EXAMPLES = tuple(window for kind in WINDOWS.values() for window in kind.examples())
MOMENTS = (3, 10, 17, 25, 26, 40, 61)


def source(closed="right"):
    return Source("rows", schema=SCHEMA, event_time="at", known_time="seen", closed=closed)


def aggregates(name, of=None):
    """Every aggregate that an aggregation can be part of: forms, columns, windows, filter, groups."""
    of = of or source()
    found = []
    for kind in AGGREGATIONS[name].examples():
        for column in COLUMNS.values():
            for number, window in enumerate(WINDOW_EXAMPLES):
                for shifted in (window, replace(window, offset=3)):
                    more = {}
                    if number % 3 == 1 and shifted.offset:
                        more["where"] = of.flag
                    if number % 3 == 2 and shifted.offset:
                        more["by"] = of.word
                    if number % 3 == 0 and shifted.offset and shifted.most_rows == 1:
                        more["ttl"] = 5
                    aggregate = made(kind, column(of), shifted, of, **more)
                    if aggregate is not None:
                        found.append(aggregate)
    return found


def made(kind, column, window, of, *, where=None, by=None, ttl=None):
    """The aggregate; None where it has no meaning."""
    if column is None and not kind.takes_rows:
        return None
    try:
        if kind.name == "approx_unique":
            need_sketches()
        return Aggregate(kind, column, where, window, source=of.name, by=by, ttl=ttl)
    except (DefinitionError, MissingDependency):
        return None


def view_of(found, of):
    """A view with these aggregates as its features."""
    features = {f"f{number}": aggregate for number, aggregate in enumerate(found)}
    return FeatureView("View", entity=KEY, source=of, features=features)


NUMBERS = (0.0, -0.0, 1.0, 0.1, 0.1, -3.5, 1e15, -1e15, 1e-310, 1e9 + 1, 1e9 - 1)
WHOLE = (0, 1, 1, -3, 7, 2**31 - 1, 2**53 + 1, 2**62, 2**62, -(2**62))

VECTORS = ([0.1, -3.0], [0.0, 3e38], [1.5, 3e38], [-0.0, 1e-40], [float("inf"), 1.0], None)


def history(seed, numbers=NUMBERS):
    """Rows of one key with ties, late and null ones, in the order in which they came to be known."""
    chance = random.Random(seed)
    rows = []
    for number in range(26):
        event = chance.randint(0, 40)
        known = event + chance.choice((0, 0, 0, 2, 15))
        values = {
            "key": "k",
            "x": chance.choice((*numbers, None)),
            "n": chance.choice((*WHOLE, None)),
            "single": chance.choice((0.5, -0.0, 0.0, 0.10000000149011612, 3.0, None)),
            "small": chance.choice((-3, 0, 1, 2**31 - 1, None)),
            "price": SCHEMA["price"].coerce(chance.choice(("0.10", "-19.99", "3.00"))),
            "word": chance.choice(("a", "b", "c", "ä", f"w{number}", None)),
            "flag": chance.choice((True, True, False, None)),
            "taste": SCHEMA["taste"].coerce(chance.choice(VECTORS)),
            "at": from_micros(event),
            "seen": from_micros(known),
        }
        rows.append((known, values, event))
    rows.sort(key=lambda row: row[0])
    return [
        HistoryRow(values, event, known, place + 1)
        for place, (known, values, event) in enumerate(rows)
    ]


HISTORIES = {
    "right": history(1),
    "left": history(2, (*NUMBERS, float("inf"), float("-inf"))),
    "right, zeros of both signs": history(3, (0.0, -0.0, 0.0, -0.0, 5e-324, -5e-324)),
}
"""By the side on which windows are closed, and what is special."""


def closed(name):
    """The side on which windows are closed for a history."""
    return name.split(",")[0]
