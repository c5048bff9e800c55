"""Random views, histories and spines for engines, with everything that makes them disagree."""

from dataclasses import replace

from hypothesis import strategies as st

from skewless.aggregations import AGGREGATIONS, aggregation
from skewless.aggregations.windows import WINDOWS, LastN
from skewless.clock import ALWAYS, from_micros
from skewless.definitions import Aggregate, Entity, FeatureView, Source
from skewless.definitions.aggregate import rows_of
from skewless.engines.reference import HistoryRow
from skewless.errors import DefinitionError

SCHEMA = {"key": str, "x": float, "n": int, "word": str, "flag": bool}
KEY = Entity("key", key=str)
WINDOW_EXAMPLES = [window for kind in WINDOWS.values() for window in kind.examples()]

FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1e15, -1e15, 1e-310, 1e9 + 1, 1e9 - 1, 0.1]),
    st.floats(allow_nan=False, allow_infinity=False, width=64),
)


@st.composite
def sources(draw, *, row_ids=True):
    return Source(
        "rows",
        schema=SCHEMA,
        event_time="at",
        known_time="seen",
        row_id="word" if row_ids and draw(st.booleans()) else None,
        closed=draw(st.sampled_from(["right", "left"])),
    )


def columns(draw, source):
    """A column of the source, perhaps of filtered rows or computed."""
    rows = source.where(source.n > 0) if draw(st.booleans()) else source
    name = draw(st.sampled_from(["x", "n", "x", "word", "flag", "sum"]))
    return rows, (rows.x + rows.n if name == "sum" else rows[name])


KINDS = [example for kind in AGGREGATIONS.values() for example in kind.examples()]


@st.composite
def aggregates(draw, source):
    """Any aggregation of any column, over any window that it has a meaning over."""
    rows, column = columns(draw, source)
    kind = draw(st.sampled_from(KINDS))
    window = draw(st.sampled_from(WINDOW_EXAMPLES) | st.builds(LastN, n=st.integers(1, 4)))
    window = replace(window, offset=draw(st.sampled_from([0, 0, 3])))
    more = {"by": None, "ttl": None}
    if draw(st.integers(0, 3)) == 0:
        more["by"] = draw(st.sampled_from([rows.word, rows.n.cast(str)]))
    elif window.most_rows == 1 and draw(st.booleans()):
        more["ttl"] = 9
    _, where = rows_of(column)
    if kind.takes_rows and draw(st.booleans()):
        column = None
    try:
        return Aggregate(kind, column, where, window, source=source.name, **more)
    except DefinitionError:  # no meaning of such a column, or over such a window
        kind = aggregation("count")
        return Aggregate(kind, column, where, window, source=source.name, **more)


@st.composite
def views(draw, source):
    count = draw(st.integers(1, 4))
    features = {f"f{number}": draw(aggregates(source)) for number in range(count)}
    numeric = [f for f in features.values() if f.dtype.is_numeric and f.dtype.kind != "decimal"]
    if numeric:
        features["derived"] = numeric[0] * 2 - numeric[-1]
    where = source.flag if draw(st.booleans()) else None
    closed = draw(st.sampled_from([None, None, "left", "right"]))
    return FeatureView(
        "View", entity=KEY, source=source, features=features, where=where, closed=closed
    )


@st.composite
def histories(draw, source, *, table=True):
    """Rows of two keys within a few dozen microseconds: ties, late rows, corrections, nulls."""
    rows = []
    for number in range(draw(st.integers(0, 14))):
        event = draw(st.integers(0, 40))
        known = max(0, event + draw(st.sampled_from([0, 0, 0, 2, 15, -3])))
        word = draw(st.sampled_from(["a", "b", "c", f"w{number}", f"w{number}"]))
        values = {
            "key": draw(st.sampled_from(["k", "k", "k", "j"])),
            "x": draw(st.none() | FLOATS),
            "n": draw(st.none() | st.integers(-3, 3) | st.integers(-(2**62), 2**62)),
            "word": word,
            "flag": draw(st.none() | st.booleans()),
            "at": from_micros(event),
            "seen": from_micros(known),
        }
        hashed = table and draw(st.booleans())
        tiebreak = ALWAYS + 1 + number if hashed else number + 1
        row_id = (word,) if source.row_id else None
        rows.append(HistoryRow(values, event, known, tiebreak, row_id=row_id))
    return rows


@st.composite
def spines(draw):
    """Rows in any order, duplicates and unknown keys included."""
    row = st.tuples(st.sampled_from(["k", "k", "j", "nobody"]), st.integers(0, 60))
    return [{"key": key, "t": t} for key, t in draw(st.lists(row, min_size=1, max_size=8))]
