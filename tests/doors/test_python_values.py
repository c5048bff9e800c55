"""Odd Python values at every door for rows: an error of skewless, or what was given reads back."""

import contextlib
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.client.calls import push_call
from skewless.clock import SettableClock, from_micros, to_micros
from skewless.errors import SkewlessError
from skewless.ingest.validation import validate
from skewless.stores.offline.as_table import as_table
from skewless.stores.offline.cast import cast_column
from skewless.stores.offline.history import History
from skewless.stores.offline.python_columns import kind_of
from skewless.stores.offline.tables.frame import FrameReader
from skewless.types import DType, dtype_of, python_values
from tests.doors.odd import AT, DTYPES, VALUES, bits, says, told

NOW = AT + timedelta(minutes=1)
CLOCK = SettableClock(to_micros(NOW))


def store_of(folder: Any, dtype: DType, **options: Any) -> sl.FeatureStore:
    source = sl.Source("s", schema={"k": int, "x": dtype}, event_time="at", **options)
    features = {"x": source.x.latest(), "all": source.x.last_n(2, last=2)}
    entity = sl.Entity("e", k=int)
    fs = sl.FeatureStore(folder, clock=CLOCK)
    fs.apply(sl.FeatureView("V", entity=entity, source=source, features=features))
    return fs


def rows_as(door: str, number: int, value: Any) -> Any:
    """Return one row in the form of a door, None where that form cannot hold the value at all."""
    row = {"k": number, "x": value, "at": AT}
    match door:
        case "dicts":
            return [row]
        case "columns":  # of Arrow, as Arrow itself understands the value
            try:
                made = {"k": [number], "x": pa.array([value]), "at": pa.array([AT])}
                return pa.table(made)
            except (pa.ArrowException, ValueError, TypeError, OverflowError):
                return None
            except Exception:  # noqa: BLE001 - a value may raise anything at others' doors
                return None
        case "pandas":
            frame = pd.DataFrame({"k": [number], "at": [AT]})
            frame["x"] = pd.Series([value], dtype=object)
            return frame
        case "category":
            try:
                return pd.DataFrame({"k": [number], "x": pd.Categorical([value]), "at": [AT]})
            except Exception:  # noqa: BLE001
                return None
        case "polars":
            try:
                return pl.DataFrame({"k": [number], "x": [value], "at": [AT]})
            except BaseException:  # noqa: BLE001 - Polars panics
                return None
    raise AssertionError(door)


@pytest.mark.parametrize("door", ["dicts", "columns", "pandas", "category", "polars"])
@pytest.mark.parametrize("name", DTYPES)
def test_a_pushed_value_is_refused_or_reads_back_as_it_was(tmp_path, name, door):
    dtype, taken, batches = DTYPES[name], {}, []
    with store_of(tmp_path, dtype) as fs:
        source = fs.runtime.source("s")
        for number, value in enumerate(VALUES):
            rows = rows_as(door, number, value)
            if rows is None:
                continue
            try:
                admitted = validate(source, rows, now=fs.runtime.clock.now(), backdate=False)
            except SkewlessError as problem:
                told(problem)
                continue
            assert len(admitted.event) + len(admitted.rejected) == 1, value
            if len(admitted.event):
                taken[number] = held_by(rows, value)
                batches.append(admitted.batch)
            else:
                assert "x" in admitted.rejected[0].reason
        if batches:
            assert fs.push("s", pa.Table.from_batches(batches)).accepted == len(taken)
            check_both_paths(fs, dtype, taken)


def held_by(rows, value):
    """Return what a frame holds: Polars makes text of an enumeration, Arrow a list of a set."""
    if isinstance(rows, pl.DataFrame):
        return rows["x"].to_list()[0]
    return rows["x"][0] if isinstance(rows, pa.Table) else value


def check_both_paths(fs, dtype, taken):
    """What was taken says what was given, online and in history, which are the same."""
    keys = [{"k": number} for number in taken]
    if not keys:
        return
    online = fs.get_online_features("V", keys).to_dict()
    spine = [{"k": number, "t": from_micros(fs.runtime.clock.now())} for number in taken]
    history = fs.get_historical_features(spine, "V", timestamp="t").to_dict()
    assert bits(online["x"]) == bits(history["x"])
    assert bits(online["all"]) == bits(history["all"])
    assert bits(online["all"]) == bits([[] if v is None else [v] for v in online["x"]])
    wrong = [
        (given, found)
        for given, found in zip(taken.values(), online["x"], strict=True)
        if not says(dtype, found, given)
    ]
    assert wrong == []
    assert str(fs.explain("V:x", keys[0]))


@pytest.mark.parametrize("name", DTYPES)
def test_a_value_of_a_frame_is_refused_or_reads_back_as_it_was(name):
    dtype = DTYPES[name]
    source = sl.Source("s", schema={"k": int, "x": dtype}, event_time="at")
    for number, value in enumerate(VALUES):
        for door in ("dicts", "pandas"):
            reader = FrameReader(sl.Frame(rows_as(door, number, value)))
            try:
                (chunk,) = History(source, reader).chunks(["x"])
            except SkewlessError as problem:
                told(problem)
                continue
            (found,) = python_values(chunk.table["x"])
            assert says(dtype, found, value), (value, found)


# Values that Arrow makes fit one another, if it is let.
ALIKE = [
    [at for at, v in enumerate(VALUES) if v is None or isinstance(v, kinds)]
    for kinds in (
        (bool, int, float, Decimal, np.number, np.bool_),
        (date, np.datetime64, type(pd.NaT), type(pd.NA)),
        (str, bytes, bytearray, memoryview),
        (list, tuple, np.ndarray, set),
        (dict,),
        (object,),
    )
]


@given(
    name=st.sampled_from(sorted(DTYPES)),
    places=st.sampled_from(ALIKE).flatmap(
        lambda alike: st.lists(st.sampled_from(alike), min_size=2, max_size=5)
    ),
    door=st.sampled_from(["dicts", "pandas", "columns", "spine"]),
)
@settings(max_examples=600, deadline=None)
def test_values_beside_one_another_keep_what_they_are(name, places, door):
    """Arrow takes the type of what comes first and makes the rest fit; the door does not."""
    dtype, given_ = DTYPES[name], [VALUES[place] for place in places]
    source = sl.Source("s", schema={"k": int, "x": dtype}, event_time="at")
    rows: Any = [{"k": n, "x": value, "at": AT} for n, value in enumerate(given_)]
    if door in ("pandas", "spine"):
        frame = pd.DataFrame({"k": range(len(rows)), "at": [AT] * len(rows)})
        rows = frame.assign(x=pd.Series(given_, dtype=object))
    elif door == "columns":
        rows = {name: [row[name] for row in rows] for name in ("k", "x", "at")}
    try:
        if door != "dicts":
            rows = as_table(rows)
        if door == "spine":
            found = python_values(cast_column(rows["x"], dtype, where="x"))
            taken = dict(enumerate(found))
        else:
            admitted = validate(source, rows, now=CLOCK.now(), backdate=False)
            batch = admitted.batch
            taken = dict(zip(batch["k"].to_pylist(), python_values(batch["x"]), strict=True))
            assert len(taken) + len(admitted.rejected) == len(given_)
    except SkewlessError as problem:
        told(problem)
        return
    if door != "dicts" and any(isinstance(value, Decimal) for value in given_):
        # Whole numbers in a column of decimals are decimals, which become the nearest float.
        given_ = [
            Decimal(int(v)) if kind_of(type(v)) == "number" and hasattr(v, "__index__") else v
            for v in given_
        ]
    wrong = [(given_[n], value) for n, value in taken.items() if not says(dtype, value, given_[n])]
    assert wrong == []


KEYS = [str, int, bytes, bool, date, datetime]


@pytest.mark.parametrize("kind", KEYS)
def test_an_odd_key_is_refused_or_is_the_key_it_says(tmp_path, kind):
    """Entities online, in spines of every form, in `explain` and `read_features`."""
    dtype = dtype_of(kind)
    source = sl.Source("s", schema={"k": kind, "n": int}, event_time="at")
    view = sl.FeatureView(
        "V", entity=sl.Entity("e", k=kind), source=source, features={"n": source.n.latest()}
    )
    known = {}
    with sl.FeatureStore(tmp_path, clock=CLOCK) as fs:
        fs.apply(view)
        for number, value in enumerate(VALUES):
            with contextlib.suppress(sl.RowsRefused):
                fs.push("s", [{"k": value, "n": number, "at": AT}])
                known[number] = value
        for value in VALUES:
            answers = set()
            for ask in asking(fs, value):
                try:
                    answers.add(ask())
                except SkewlessError as problem:
                    told(problem)
            assert len(answers) <= 1, (value, answers)
            for number in answers - {None}:
                key = dtype.coerce(known[number])
                assert says(dtype, key, value), (value, known[number])


def asking(fs, value):
    """Every way to ask for an entity; each gives the number of the row that it means."""
    frame = pd.DataFrame({"t": [NOW]})
    frame["k"] = pd.Series([value], dtype=object)

    def trained(spine):
        return fs.get_historical_features(spine, "V", timestamp="t").to_dict()["n"][0]

    yield lambda: fs.get_online_features("V", [{"k": value}]).to_dict()["n"][0]
    yield lambda: trained([{"k": value, "t": NOW}])
    yield lambda: trained({"k": [value], "t": [NOW]})
    yield lambda: trained(frame)
    yield lambda: fs.explain("V:n", {"k": value}).value


def test_the_client_lets_frames_in_by_the_same_door():
    times = pd.Series([AT, AT.replace(tzinfo=None)], dtype=object)
    with pytest.raises(sl.NaiveTime, match="'at' of what is pushed, row 1"):
        push_call("s", pd.DataFrame({"k": [1, 2], "at": times}), backdate=False)
