"""Small histories for tests of engines: one source, one entity, times of a few microseconds."""

from skewless.clock import from_micros
from skewless.definitions import Entity, FeatureView, Source
from skewless.engines.reference import HistoryRow, view_values

SCHEMA = {"key": str, "x": float, "n": int, "word": str}
KEY = Entity("key", key=str)


def source(**options):
    return Source("rows", schema=SCHEMA, event_time="at", **options)


def view_of(expression, *, where=None, of=None):
    return FeatureView(
        "View", entity=KEY, source=of or source(), features={"f": expression}, where=where
    )


def row(event, x=1.0, *, known=None, tiebreak=0, key="k", row_id=None, **more):
    """A row known when it happened, unless told otherwise."""
    flags = {name: more.pop(name) for name in ("late", "deleted") if name in more}
    at = None if event is None else from_micros(event)
    values = {"key": key, "x": x, "n": None, "word": None, "at": at} | more
    return HistoryRow(
        values,
        event,
        (event or 0) if known is None else known,
        tiebreak,
        row_id=None if row_id is None else (row_id,),
        **flags,
    )


def ask(expression, rows, t, *, k=None, where=None, of=None, key="k"):
    """Value and status of one feature at t, by default with the knowledge of t."""
    view = view_of(expression, where=where, of=of)
    value, status = view_values(view, rows, {"key": key}, t, t if k is None else k)["f"]
    return value, str(status)


def value(expression, rows, t, **options):
    return ask(expression, rows, t, **options)[0]
