"""What the online store serves against the oracle: values to the last bit, and statuses."""

import struct
import tempfile

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.config import Config
from skewless.definitions import Source
from skewless.engines.reference import HistoryRow, view_values
from skewless.testing.clock import SettableClock
from skewless.testing.memory import MemoryStore
from tests.engines import cases

ENTITIES = [{"key": "k"}, {"key": "j"}, {"key": "nobody"}]


def bits(value):
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, dict):
        return [(key, bits(item)) for key, item in value.items()]
    return [bits(item) for item in value] if isinstance(value, list) else value


@st.composite
def sources(draw):
    """Sources whose known time is the push, or a column; with and without row ids."""
    pushed = draw(st.booleans())
    return Source(
        "rows",
        schema=cases.SCHEMA,
        event_time="at",
        known_time=None if pushed else "seen",
        row_id="word" if draw(st.booleans()) else None,
        closed=draw(st.sampled_from(["right", "left"])),
        lateness=draw(st.sampled_from([None, None, "6us"])),
    )


@st.composite
def pushes(draw, source):
    """Batches of rows, each with the moment it is pushed at."""
    rows = draw(cases.histories(source, table=False))
    if source.known_time is None:
        rows = [{k: v for k, v in row.values.items() if k != "seen"} for row in rows]
    else:
        rows = [dict(row.values) for row in rows]
    batches, now = [], 0
    while rows:
        size = draw(st.integers(1, len(rows)))
        now += draw(st.integers(0, 15))
        batches.append((now, rows[:size]))
        rows = rows[size:]
    return batches


def late_flags(source, history):
    newest, flags = None, []
    for row in history:
        late = source.lateness is not None and newest is not None
        flags.append(late and row.event < newest - source.lateness)
        newest = row.event if newest is None else max(newest, row.event)
    return flags


def as_history(source, arrived):
    """The rows as the oracle sees them: known when pushed (or as they say), in sequence."""
    rows = []
    for number, (now, values) in enumerate(arrived):
        event = sl.clock.to_micros(values["at"])
        known = now if source.known_time is None else sl.clock.to_micros(values["seen"])
        row_id = (values["word"],) if source.row_id else None
        rows.append(HistoryRow(values, event, known, number + 1, row_id=row_id))
    flags = late_flags(source, rows)
    found, last = [], {}
    for row, late in zip(rows, flags, strict=True):
        known, content = row.known, {**row.values, "seen": None}
        before, known_before = last.get(row.row_id, (None, known))
        if row.row_id is not None and not late and content != before:
            known = max(known, known_before)  # no correction is known before what it replaces
            last[row.row_id] = content, known
        found.append(
            HistoryRow(row.values, row.event, known, row.tiebreak, late=late, row_id=row.row_id)
        )
    return found


@pytest.fixture(params=["grown by half", "at once"])
def letting_go(request):
    """When states let old rows go: as they do, or with every row, so that few rows prove it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "at once":
            patch.setattr("skewless.state.blob.grown", lambda rows: rows)
            patch.setattr("skewless.state.prepend.grown", lambda rows: rows)
        yield


@pytest.mark.usefixtures("letting_go")
@pytest.mark.parametrize("materialized", [False, True])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_served_values_and_statuses_are_those_of_the_reference(materialized, data):
    source = data.draw(sources())
    view = data.draw(cases.views(source))
    batches = data.draw(pushes(source))
    moments = data.draw(st.lists(st.integers(0, 60), min_size=1, max_size=4).map(sorted))
    for name, expression in view.expressions.items():
        note(f"{name} = {expression!r}")
    clock = SettableClock()
    with tempfile.TemporaryDirectory() as folder:
        config = Config.of(folder_path(folder), {"rewind": "5us"})
        with sl.FeatureStore(config, clock=clock, online=MemoryStore()) as fs:
            fs.apply(fs.plan(view))
            arrived = []
            for now, rows in batches:
                clock.time = now
                fs.push("rows", rows)
                arrived += [(now, row) for row in rows]
            for t in moments:
                clock.time = max(clock.time, t)
                if materialized:
                    fs.materialize()
                check(fs, view, source, arrived, clock.time)
                check(fs, view, source, arrived, max(clock.time - 5, 0))


def check(fs, view, source, arrived, t):
    found = fs.get_online_features("View", ENTITIES, at=t)
    history = as_history(source, arrived)
    for entity, values, statuses in zip(ENTITIES, found.values, found.statuses, strict=True):
        expected = view_values(view, history, entity, t, t)
        actual = dict(zip(found.names, zip(values, statuses, strict=True), strict=True))
        assert {n: (bits(v), str(s)) for n, (v, s) in actual.items()} == {
            n: (bits(v), str(s)) for n, (v, s) in expected.items()
        }


def folder_path(folder):
    from pathlib import Path

    return Path(folder)
