"""A declared unit counts at every door: a number is one moment, whoever sends it and in what form."""

import itertools
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import EPOCH_UNITS, to_micros
from skewless.ingest.stream.worker import StreamWorker
from skewless.serving.app import App
from skewless.serving.settings import Settings
from skewless.stores.offline.cast import cast_column
from skewless.testing.clock import SettableClock
from skewless.types import epoch
from tests.serving.calling import call

NOW = 1_790_000_000_000_000
MOMENTS = st.integers(NOW - 10**15, NOW - 1)
KEYS = map(str, itertools.count())
Row = dict[str, Any]


def view_of(unit: str) -> sl.FeatureView:
    """The newest row of a key; both its times are numbers of the unit."""
    source = sl.Source(
        f"rows_{unit}",
        schema={"k": str, "v": float},
        event_time=sl.Epoch("ts", unit),
        known_time=sl.Epoch("seen", unit),
        stream=sl.Files(f"live_{unit}/"),
    )
    entity = sl.Entity("e", k=str)
    features = source.latest("v", "ts", "seen")
    return sl.FeatureView(f"V_{unit}", entity=entity, source=source, features={"newest": features})


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    folder = tmp_path_factory.mktemp("units")
    with sl.FeatureStore(folder, clock=SettableClock(NOW)) as store:
        for unit in EPOCH_UNITS:
            (folder / f"live_{unit}").mkdir()
        store.apply([view_of(unit) for unit in EPOCH_UNITS])
        made = App(store, Settings())
        made.start()
        yield made


def number_of(micros: int, unit: str, *, fraction: bool) -> int | float:
    """The moment in a unit: whole, or with a fraction as a float has it."""
    nanos = micros * 1_000
    return nanos / EPOCH_UNITS[unit] if fraction else nanos // EPOCH_UNITS[unit]


def over_http(app: App, unit: str, row: Row) -> None:
    body = {"source": f"rows_{unit}", "rows": [row]}
    answer = call(app, "POST", "/v1/push", body)
    assert (answer.status, answer.data["accepted"]) == (200, 1), answer.body


def in_arrow(app: App, unit: str, row: Row) -> None:
    sink = pa.BufferOutputStream()
    table = pa.Table.from_pylist([row])
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    answer = call(
        app, "POST", f"/v1/push?source=rows_{unit}", body=sink.getvalue().to_pybytes(),
        headers={"content-type": "application/vnd.apache.arrow.stream"},
    )  # fmt: skip
    assert (answer.status, answer.data["accepted"]) == (200, 1), answer.body


def feast(target: str, rename: dict[str, str]) -> Callable[[App, str, Row], None]:
    def write(app: App, unit: str, row: Row) -> None:
        df = {rename.get(name, name): [value] for name, value in row.items()}
        to = {"push_source_name": f"rows_{unit}", "feature_view_name": f"V_{unit}"}
        answer = call(app, "POST", target, {"df": df} | to)
        assert (answer.status, answer.body) in ((200, b""), (200, b"null")), answer.body

    return write


def in_process(form: Callable[[Row], Any]) -> Callable[[App, str, Row], None]:
    def push(app: App, unit: str, row: Row) -> None:
        assert app.store.push(f"rows_{unit}", form(row)).accepted == 1

    return push


def streamed(app: App, unit: str, row: Row) -> None:
    folder = Path(app.store.config.folder) / f"live_{unit}"
    (folder / f"{row['k']}.json").write_text(json.dumps(row) + "\n")
    StreamWorker(app.store.runtime, f"rows_{unit}").run(once=True)


FEASTS = {"ts": "event_timestamp", "seen": "created"}
DOORS: dict[str, Callable[[App, str, Row], None]] = {
    "dicts": in_process(lambda row: [row]),
    "arrow": in_process(lambda row: pa.Table.from_pylist([row])),
    "pandas": in_process(lambda row: pa.Table.from_pylist([row]).to_pandas()),
    "http": over_http,
    "http in arrow": in_arrow,
    "feast push": feast("/push", {}),
    "feast push, its names": feast("/push", FEASTS),
    "feast write": feast("/write-to-online-store", FEASTS),
    "stream": streamed,
}


@pytest.mark.parametrize("unit", EPOCH_UNITS)
@pytest.mark.parametrize("door", DOORS)
@given(moments=st.tuples(MOMENTS, MOMENTS), form=st.tuples(st.booleans(), st.booleans()))
@settings(max_examples=4, deadline=None)
def test_a_number_is_the_same_moment_at_every_door(
    app: App, door: str, unit: str, moments: tuple[int, int], form: tuple[bool, bool]
) -> None:
    fraction, as_text = form
    row: Row = {"k": next(KEYS), "v": 1.0}
    ts, seen = (number_of(each, unit, fraction=fraction) for each in moments)
    row |= {"ts": ts, "seen": seen}
    if as_text:
        row |= {"ts": format(Decimal(ts), "f"), "seen": format(Decimal(seen), "f")}
    DOORS[door](app, unit, row)
    read = app.store.get_online_features(f"V_{unit}", [{"k": row["k"]}])
    dtype = epoch(unit)
    wanted = (dtype.coerce(ts), dtype.coerce(seen))
    assert (read["ts"][0], read["seen"][0]) == wanted
    assert read.to_event_times()["v"] == [wanted[0]]
    nanos = EPOCH_UNITS[unit]
    apart = to_micros(wanted[0]) - moments[0]
    assert abs(apart) <= max(1, nanos // 1_000)


@pytest.mark.parametrize("unit", EPOCH_UNITS)
@given(numbers=st.lists(st.tuples(MOMENTS, st.booleans()), min_size=1, max_size=20))
@settings(max_examples=30, deadline=None)
def test_a_column_of_a_file_has_the_moments_of_its_numbers(
    unit: str, numbers: list[tuple[int, bool]]
) -> None:
    dtype = epoch(unit)
    given = [number_of(micros, unit, fraction=fraction) for micros, fraction in numbers]
    whole = [number_of(micros, unit, fraction=False) for micros, _ in numbers]
    floats = pa.array([*map(float, given)], pa.float64())
    columns = [pa.array(whole, pa.int64()), floats, pa.array([*map(str, whole)])]
    for column in columns:
        found = cast_column(pa.chunked_array([column]), dtype, where="a file").to_pylist()
        assert found == [dtype.coerce(each) for each in column.to_pylist()]
