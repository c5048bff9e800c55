"""Random views, histories and spines for engines, with everything that makes them disagree."""

from hypothesis import strategies as st

import skewless as sl
from skewless.clock import ALWAYS, from_micros
from skewless.definitions import Entity, FeatureView, Source
from skewless.engines.reference import HistoryRow

SCHEMA = {"key": str, "x": float, "n": int, "word": str, "flag": bool}
KEY = Entity("key", key=str)
WINDOWS = ["7us", "20us", sl.tumbling("10us"), sl.session("4us"), sl.lifetime()]

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


@st.composite
def aggregates(draw, source):
    rows, column = columns(draw, source)
    windows = draw(st.sampled_from(WINDOWS))
    options = {"offset": draw(st.sampled_from([None, None, "3us"]))}
    if draw(st.booleans()):
        options["last"], windows = draw(st.integers(1, 4)), ()
    else:
        windows = (windows,)
        if isinstance(windows[0], str) and draw(st.booleans()):
            options["resolution"] = "5us"
    if draw(st.integers(0, 3)) == 0:
        options["by"] = draw(st.sampled_from(["word", rows.n.cast(str)]))
    kinds = ["count", "rows", "first", "latest", "newest", "last_n", "since_last"]
    if column.dtype.kind != "bool" or draw(st.booleans()):
        kinds += ["min", "max", "n_unique", "mode", "top_k", "approx_unique"]
    if column.dtype.is_numeric:
        kinds += ["sum", "mean", "var", "std", "sample", "median", "quantile", "slope", "trend"]
        kinds += ["approx_quantile"]
    kind = draw(st.sampled_from(kinds))
    return made(kind, rows, column, windows, options)


def made(kind, rows, column, windows, options):
    fine = not windows or options.get("resolution") is None
    if kind == "rows":
        return rows.count(*windows, **options)
    if kind == "newest" and "by" not in options:
        return column.latest(ttl="9us", offset=options["offset"])
    kind = "latest" if kind == "newest" else kind
    if kind in ("last_n", "top_k"):
        return getattr(column, kind)(2, *windows, **options)
    if kind in ("quantile", "approx_quantile"):
        return getattr(column, kind)(0.3, *windows, **options)
    if kind == "sample":
        return column.var(*windows, ddof=1, **options)
    if kind == "trend":
        usable = fine and not (windows and windows[0] == sl.lifetime())
        usable = usable and options.get("last", 9) > 2
        return (
            column.trend(*windows, recent=2, **options)
            if usable
            else column.mean(*windows, **options)
        )
    return getattr(column, kind)(*windows, **options)


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
