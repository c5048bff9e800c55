"""What a server answers is the value of the reference: a sample of every aggregation."""

import math
from datetime import UTC, datetime

import pytest

import skewless as sl
from skewless.aggregations import AGGREGATIONS
from skewless.clock import to_micros
from skewless.engines.reference import HistoryRow, aggregate_value, visible
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.testing.clock import SettableClock
from tests.laws.grid import HISTORIES, SCHEMA, aggregates, view_of
from tests.serving.calling import call

NOW = to_micros(datetime(2026, 1, 1, 10, tzinfo=UTC))
STEP = 7
"""Of all aggregates of an aggregation, every so many is read."""


def as_json(value):
    """A value as the server's answers have it."""
    if isinstance(value, float) and math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: as_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A server over a store that rows were pushed to, its view, and the rows."""
    of = sl.Source("rows", schema=SCHEMA, event_time="at")
    found = [each for name in sorted(AGGREGATIONS) for each in aggregates(name, of)[::STEP]]
    view, shift = view_of(found, of), NOW - 45
    rows, pushed = [], []
    for row in HISTORIES["left"]:
        event = row.event + shift
        at = datetime.fromtimestamp(event // 10**6, UTC).replace(microsecond=event % 10**6)
        values = {name: row.values[name] for name in SCHEMA} | {"at": at}
        rows.append(HistoryRow(values, event, event, row.tiebreak))
        pushed.append(values)
    with sl.FeatureStore(tmp_path_factory.mktemp("laws"), clock=SettableClock(NOW)) as fs:
        fs.apply(fs.plan(view))
        fs.push("rows", pushed, backdate=True)
        app = App(fs, Settings())
        app.start()
        yield app, view, found, rows


def test_every_value_and_status_is_that_of_the_reference(served):
    app, view, found, rows = served
    assert len(found) >= 250
    body = {"features": ["View"], "entities": [{"key": "k"}]}
    answer = call(app, "POST", "/v1/features", body)
    assert answer.status == 200, answer.body
    seen = visible(rows, NOW)
    for aggregate, feature in zip(found, view.features, strict=True):
        value, status = aggregate_value(aggregate, view, seen, NOW)
        got = answer.data["values"][feature][0], answer.data["statuses"][feature][0]
        assert repr(got) == repr((as_json(value), status.value)), repr(aggregate)
