"""A row id is one thing: a push, a stream or a deletion corrects the row that the table holds."""

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.ingest.stream.worker import StreamWorker
from skewless.online import table_index
from skewless.online.sizes import estimated_sizes
from skewless.stores.offline import table_ids
from skewless.stores.offline.history import History
from skewless.stores.offline.tables.frame import FrameReader
from skewless.testing.memory import MemoryStore
from tests.ingest.test_push import TwoStores
from tests.shop import (
    DAY,
    HOUR,
    MINUTE,
    NOON,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    spend_of,
    write_part,
)

ALL = cards("c1", "c2", "nobody")
STORES = pytest.mark.parametrize("one_store", [True, False])


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def with_table(folder, **options):
    return payments(table=sl.Parquet(str(folder / "data")), row_id="pay_id", **options)


def stored(folder, rows, name="a"):
    return write_part(folder / "data" / f"{name}.parquet", rows)


def opened(folder, view, one_store=True):
    fs = open_store(folder, view, using=MemoryStore() if one_store else TwoStores())
    fs.materialize()
    return fs


def windows_of_time(pays):
    """Features whose states are never rebuilt for a correction: they need no older rows."""
    return {"total_1h": pays.amount.sum("1h"), "count_1d": pays.count("1d")}


def value(fs, feature, card="c1"):
    return fs.get_online_features(f"Spend:{feature}", cards(card)).to_dict()[feature][0]


@STORES
def test_identical_row_of_the_table_is_a_duplicate(folder, one_store):
    row = pay("a", NOON - MINUTE, 5.0)
    stored(folder, [row])
    view = spend_of(with_table(folder))
    with opened(folder, view, one_store) as fs:
        for _ in range(2):
            result = fs.push("pays", [row])
            assert (result.accepted, result.duplicates, result.corrections) == (0, 1, 0)
            check_parity(fs, view, ALL)
        assert value(fs, "total_1h") == 5.0
        # It is kept all the same: a table may lose the row again.
        stored(folder, [pay("z", NOON - HOUR)])
        fs.materialize()
        check_parity(fs, view, ALL)
        assert value(fs, "total_1h") == 5.0


@STORES
@pytest.mark.parametrize("card", ["c1", "c2"])
def test_row_of_the_table_is_corrected(folder, one_store, card):
    stored(folder, [pay("a", NOON - MINUTE, 5.0), pay("b", NOON - 2 * MINUTE)])
    view = spend_of(with_table(folder))
    with opened(folder, view, one_store) as fs:
        assert fs.push("pays", [pay("a", NOON - MINUTE, 7.0, card=card)]).corrections == 1
        check_parity(fs, view, ALL)
        assert fs.push("pays", [pay("a", NOON - 2 * MINUTE, 9.0, card=card)]).corrections == 1
        check_parity(fs, view, ALL)
        fs.compact()
        fs.materialize()
        check_parity(fs, view, ALL)


@STORES
def test_row_of_the_table_is_deleted_and_may_come_back(folder, one_store):
    stored(folder, [pay("a", NOON - MINUTE, 5.0), pay("b", NOON - 2 * MINUTE, card="c2")])
    view = spend_of(with_table(folder))
    with opened(folder, view, one_store) as fs:
        assert fs.delete("pays", ["a", "nothing"]).accepted == 1
        check_parity(fs, view, ALL)
        assert value(fs, "count_1d") == 0
        assert fs.delete("pays", ["a"]).accepted == 0
        fs.push("pays", [pay("a", NOON - MINUTE, 5.0)])
        check_parity(fs, view, ALL)
        assert value(fs, "count_1d") == 1


@STORES
def test_correction_of_a_row_of_the_table_counts_where_windows_of_time_are_all_there_is(
    folder, one_store
):
    stored(folder, [pay(name, NOON - minute * MINUTE, 5.0) for minute, name in enumerate("abc")])
    view = spend_of(source := with_table(folder), **windows_of_time(source))
    with opened(folder, view, one_store) as fs:
        fs.delete("pays", ["b"])
        check_parity(fs, view, ALL)
        assert value(fs, "count_1d") == 2
        fs.push("pays", [pay("c", NOON - MINUTE, 7.0)])
        check_parity(fs, view, ALL)
        assert value(fs, "total_1h") == 12.0


def test_row_of_the_table_that_is_to_be_known_later_is_deleted_for_good(folder):
    stored(folder, [pay("a", NOON - MINUTE, 5.0)])
    view = spend_of(with_table(folder, delay="1h"))
    with opened(folder, view) as fs:
        assert fs.delete("pays", ["a"]).accepted == 1
        fs.push("pays", [pay("b", NOON - HOUR)])
        for later in (0, HOUR, 2 * HOUR):
            fs.runtime.clock.time = NOON + later
            check_parity(fs, view, ALL)
        assert value(fs, "sum_n") == 1


def test_row_that_landed_in_the_table_since_is_deleted_too(folder):
    stored(folder, [pay("a", NOON - MINUTE)])
    view = spend_of(with_table(folder))
    with opened(folder, view) as fs:
        stored(folder, [pay("b", NOON - MINUTE)], "b")
        assert fs.delete("pays", ["b"]).accepted == 1
        fs.materialize()
        check_parity(fs, view, ALL)
        assert value(fs, "count_1d") == 1


def test_stream_beside_a_table_counts_rows_once(folder):
    rows = [pay("a", NOON - MINUTE, 5.0), pay("b", NOON - MINUTE, 7.0)]
    stored(folder, rows)
    (folder / "in").mkdir()
    sent = [{**row, "at": row["at"].isoformat()} for row in (rows[0], pay("b", NOON - MINUTE, 9.0))]
    (folder / "in" / "1.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sent))
    view = spend_of(with_table(folder, stream=sl.Files(str(folder / "in"))))
    with opened(folder, view) as fs:
        metrics = StreamWorker(fs.runtime, "pays").run(once=True)
        assert (metrics.rows, metrics.duplicates, metrics.corrections) == (1, 1, 1)
        check_parity(fs, view, ALL)
        assert value(fs, "total_1h") == 14.0


def test_states_that_were_built_before_ids_of_the_table_were_indexed_are_healed(folder):
    stored(folder, [pay("a", NOON - MINUTE, 5.0)])
    view = spend_of(with_table(folder))
    with opened(folder, view) as fs:
        fs.runtime.journal.drop("skewless.table_ids")
        fs.runtime.forget_plans()
        fs.push("pays", [pay("a", NOON - MINUTE, 7.0)])
        assert value(fs, "total_1h") == 12.0
        fs.materialize()
        check_parity(fs, view, ALL)


def test_table_that_nothing_is_pushed_beside_is_not_indexed(folder):
    stored(folder, [pay("a", NOON - MINUTE, 5.0)])
    view = spend_of(with_table(folder))
    with opened(folder, view) as fs:
        assert not (fs.runtime.folder / "row_ids").exists()
        stored(folder, [pay("b", NOON - MINUTE, 5.0)], "b")
        fs.materialize()
        assert not (fs.runtime.folder / "row_ids").exists()
        fs.push("pays", [pay("b", NOON - MINUTE, 7.0)])
        assert len(list((fs.runtime.folder / "row_ids").iterdir())) == 1
        check_parity(fs, view, ALL)


def test_first_push_during_the_first_materialize_corrects_what_it_builds(folder, monkeypatch):
    from skewless.materialize import materialize

    monkeypatch.setattr(materialize, "_BATCH", 1)
    stored(folder, [pay(f"p{n}", NOON - MINUTE, card=f"c{n + 1}") for n in range(3)])
    view = spend_of(with_table(folder))
    with open_store(folder, view) as fs:
        number = iter(range(100))
        fs.materialize(
            progress=lambda text, share: fs.push(
                "pays", [pay(f"p{next(number) % 3}", NOON - MINUTE, 7.0, card="c2")]
            )
        )
        assert next(number) >= 3
        check_parity(fs, view, cards("c1", "c2", "c3"))


def test_damaged_index_is_no_index(folder):
    stored(folder, [pay("a", NOON - MINUTE, 5.0)])
    view = spend_of(with_table(folder))
    with opened(folder, view) as fs:
        fs.push("pays", [pay("b", NOON - MINUTE)])
        (path,) = (fs.runtime.folder / "row_ids").iterdir()
        data = bytearray(path.read_bytes())
        data[len(data) // 3] ^= 1
        path.write_bytes(bytes(data))
        table_index._VERIFIED.clear()
        fs.runtime.forget_plans()
        with pytest.raises(sl.CorruptData, match="an index of row ids is damaged"):
            fs.push("pays", [pay("c", NOON - MINUTE)])


def test_process_without_the_file_of_an_index_builds_its_own(folder):
    stored(folder, [pay("a", NOON - MINUTE, 5.0)])
    view = spend_of(with_table(folder))
    with opened(folder, view) as fs:
        fs.push("pays", [pay("b", NOON - MINUTE)])
        for path in (fs.runtime.folder / "row_ids").iterdir():
            os.unlink(path)
        fs.runtime.forget_plans()
        fs.push("pays", [pay("a", NOON - MINUTE, 7.0)])
        check_parity(fs, view, ALL)


def test_rows_of_the_table_that_tie_are_told_apart(folder):
    rows = [pay(f"p{n}", NOON - MINUTE, float(n)) for n in range(6)]
    stored(folder, rows)
    view = spend_of(
        with_table(folder),
        newest=payments().amount.latest(),
        last=payments().amount.last_n(2),
        n=payments().count("1h"),
    )
    for gone in range(6):
        with opened(folder / str(gone), view) as fs:
            fs.push("pays", [pay(f"p{gone}", NOON - MINUTE, 10.0)])
            fs.delete("pays", [f"p{(gone + 3) % 6}"])
            check_parity(fs, view, ALL)


# --------------------------------------------------------------------------- any order of anything

rows_drawn = st.lists(
    st.builds(
        lambda key, minutes, amount, card: pay(
            f"p{key}", NOON - minutes * MINUTE, amount, card=card, n=key
        ),
        st.integers(0, 5),
        st.sampled_from([0, 1, 2, 59, 60, 61, 1440]),
        st.sampled_from([1.0, -0.0, 2.0, None]),
        st.sampled_from(["c1", "c1", "c2"]),
    ),
    max_size=4,
)


@st.composite
def lives(draw):
    """Rows that are pushed and rows that land in the table, under the same few ids."""
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        kind = draw(st.sampled_from(["push", "push", "backdate", "delete", "land", "compact"]))
        ids = st.lists(st.integers(0, 5), max_size=2)
        move = draw(st.sampled_from([0, 1, 60, -1, -90])) * MINUTE
        steps.append((kind, move, draw(ids if kind == "delete" else rows_drawn)))
    return steps


@STORES
@settings(max_examples=max(15, settings.default.max_examples // 3), deadline=None)
@given(
    first=rows_drawn,
    steps=lives(),
    kind=st.tuples(
        st.sampled_from(["0s", "45m"]), st.sampled_from([lambda _: {}, windows_of_time])
    ),
)
def test_online_is_history_whatever_lies_in_table_and_log(
    tmp_path_factory, one_store, first, steps, kind
):
    folder = tmp_path_factory.mktemp("repo")
    types = {name: dtype.arrow() for name, dtype in payments().columns.items()}
    parts = 0

    def land(rows):
        nonlocal parts
        columns = {name: pa.array([row[name] for row in rows], types[name]) for name in types}
        (folder / "data").mkdir(exist_ok=True, parents=True)
        pq.write_table(pa.table(columns), folder / "data" / f"{parts}.parquet")
        parts += 1

    land(first)
    delay, features = kind
    source = with_table(folder, delay=delay, future="24h")
    view = spend_of(source, **features(source))
    with opened(folder, view, one_store) as fs:
        clock, last = fs.runtime.clock, NOON
        for step, move, what in steps:
            clock.time += move
            last = max(last, clock.time)
            if step == "delete":
                fs.delete("pays", [f"p{key}" for key in what])
            elif step == "land":
                land(what)
                fs.materialize()
            elif step == "compact":
                fs.compact()
            else:
                fs.push("pays", what, backdate=step == "backdate")
        check_parity(fs, view, ALL, last, last + DAY // 24)


# ------------------------------------------------------------------------------------- the index


def index_of(tmp_path, rows, **options):
    source = payments(row_id=options.pop("row_id", "pay_id"), **options)
    types = {name: dtype.arrow() for name, dtype in source.columns.items()}
    table = pa.table({name: pa.array([row[name] for row in rows], types[name]) for name in types})
    history = History(source, FrameReader(sl.Frame(table)))
    path = tmp_path / "index.arrow"
    table_ids.build(history, path, ["card_id"])
    return table_ids.TableIds(path, source.row_id), table.select(list(source.row_id))


@settings(max_examples=30, deadline=None)
@given(
    keys=st.lists(st.integers(0, 40), max_size=60),
    part=st.sampled_from([1, 3, 1000]),
    bits=st.sampled_from([2**64 - 1, 3]),
)
def test_every_id_of_the_table_is_found_and_no_other(tmp_path_factory, keys, part, bits):
    rows = [pay(f"p{key}", NOON + at, float(at)) for at, key in enumerate(keys)]
    newest = {row["pay_id"]: NOON + at for at, row in enumerate(rows)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_ids, "ROWS_A_PART", part)
        own = table_ids.id_bits
        patch.setattr(table_ids, "id_bits", lambda table: own(table) & bits | 1)
        index, _ = index_of(tmp_path_factory.mktemp("ids"), rows)
        assert len(index) == len(newest)
        asked = [f"p{n}" for n in range(60)]
        places = index.find(pa.table({"pay_id": asked}))
    found = {name: at for name, at in zip(asked, places.tolist(), strict=True) if at >= 0}
    assert set(found) == set(newest)
    for name, place in found.items():
        (held,) = index.take(np.array([place]), ["pay_id", table_ids.KNOWN, "card_id"])
        assert held == (name, newest[name], "c1")


def test_index_says_how_large_it_is(tmp_path):
    rows = [pay(f"p{n:014}", NOON) for n in range(10_000)]
    index, _ = index_of(tmp_path, rows)
    size = index.path.stat().st_size
    expected = 10_000 * table_ids.bytes_a_row(payments(row_id="pay_id"), ["card_id"])
    assert 0.7 * expected < size < 1.2 * expected


def test_plan_says_how_large_the_index_will_be(folder):
    stored(folder, [pay(f"p{n}", NOON) for n in range(1000)])
    view = spend_of(with_table(folder))
    with open_store(folder) as fs:
        (size,) = estimated_sizes(fs.runtime, fs.plan(view), view)
        assert str(size).endswith("index of the row ids of its table: 72.0 kB on disk")
