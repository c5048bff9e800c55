"""Push: rows are durable and readable when it returns, once each, whoever pushes beside."""

import random
import threading
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import InputError, MissingColumn, UnknownName
from skewless.testing.memory import MemoryStore
from tests.shop import (
    CARD,
    DAY,
    HOUR,
    MINUTE,
    NOON,
    cards,
    check_parity,
    open_store,
    pay,
    payments,
    rows_of,
    spend_of,
)

ALL = cards("c1", "c2", "nobody")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


def served(fs, feature="total_1h", *names):
    found = fs.get_online_features([f"Spend:{feature}"], cards(*(names or ("c1",))))
    return found.to_dict()[feature]


# --------------------------------------------------------------------------------- kinds of rows


def frames():
    rows = [pay("a", NOON - MINUTE, 2.5), pay("b", NOON - 2 * MINUTE, None, city=None)]
    table = pa.Table.from_pylist(rows)
    yield "dicts", lambda: rows
    yield "tuple of dicts", lambda: tuple(rows)
    yield "generator", lambda: (row for row in rows)
    yield "arrow table", lambda: table
    yield "arrow batch", lambda: table.to_batches()[0]
    yield (
        "arrow reader",
        lambda: pa.RecordBatchReader.from_batches(table.schema, [*table.to_batches()]),
    )
    yield "polars", lambda: pytest.importorskip("polars").from_arrow(table)
    yield "pandas", lambda: table.to_pandas()
    yield (
        "dictionary text",
        lambda: table.set_column(4, "city", table["city"].combine_chunks().dictionary_encode()),
    )
    yield "shuffled columns", lambda: table.select(table.column_names[::-1])
    yield "parquet", None


@pytest.mark.parametrize(
    ("kind", "make"), list(frames()), ids=lambda x: x if isinstance(x, str) else ""
)
def test_rows_of_every_kind_go_in_alike(folder, kind, make):
    spend = spend_of(payments())
    with open_store(folder, spend) as fs:
        if make is None:
            from tests.shop import write_part

            rows = [pay("a", NOON - MINUTE, 2.5), pay("b", NOON - 2 * MINUTE, None, city=None)]
            made = str(write_part(folder / "rows.parquet", rows))
        else:
            made = make()
        result = fs.push("pays", made)
        assert (result.accepted, result.quarantined, result.sequence) == (2, (), 2)
        assert served(fs) == [2.5]
        assert served(fs, "count_1d") == [2]
        check_parity(fs, spend, ALL)


def test_one_row_alone_needs_no_list(folder):
    with open_store(folder, spend_of(payments())) as fs:
        assert fs.push("pays", pay("a", NOON)).accepted == 1
        assert served(fs) == [1.0]


def test_row_is_readable_online_when_push_returns_and_durable(folder):
    spend = spend_of(payments())
    with open_store(folder, spend) as fs:
        for number in range(5):
            fs.push("pays", [pay(f"p{number}", NOON - number)])
            assert served(fs) == [number + 1.0]
        clock = fs.runtime.clock
    with sl.FeatureStore(folder, clock=clock) as again:
        assert served(again) == [5.0]
        check_parity(again, spend, ALL)


def test_row_in_any_time_zone_is_the_same_moment(folder):
    moment = from_micros(NOON - MINUTE)
    zone = timezone(timedelta(hours=5, minutes=30))
    forms = [moment, moment.astimezone(zone), moment.astimezone(zone).isoformat(),
             moment.isoformat().replace("+00:00", "Z")]  # fmt: skip
    with open_store(folder, spend_of(payments())) as fs:
        fs.push("pays", [pay(f"p{n}", at) for n, at in enumerate(forms)])
        assert [row.event for row in rows_of(fs, "pays")] == [NOON - MINUTE] * 4


def test_nothing_pushed_changes_nothing(folder):
    with open_store(folder, spend_of(payments())) as fs:
        empty = pa.Table.from_pylist([pay("a", NOON)]).slice(0, 0)
        for rows in ([], empty, empty.to_pandas()):
            result = fs.push("pays", rows)
            assert (result.accepted, result.quarantined, result.sequence) == (0, (), 0)


# ------------------------------------------------------------------------------------- known time


def test_row_counts_from_the_moment_of_the_push_unless_it_is_backdated(folder):
    source = payments(delay="10m")
    spend = spend_of(source)
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay("a", NOON - 40 * MINUTE, 1.0)])
        fs.push("pays", [pay("b", NOON - 40 * MINUTE, 2.0)], backdate=True)
        assert [row.known for row in rows_of(fs, "pays")] == [NOON, NOON - 30 * MINUTE]
        spine = [{"card_id": "c1", "t": from_micros(NOON - 20 * MINUTE)}]
        found = fs.get_historical_features(spine, ["Spend:total_1h"], timestamp="t")
        assert found.to_dict()["total_1h"] == [2.0]
        assert served(fs) == [3.0]
        check_parity(fs, spend, ALL)


def test_named_known_time_is_when_the_row_counts_from(folder):
    spend = spend_of(payments(known_time="seen"))
    with open_store(folder, spend) as fs:
        late = from_micros(NOON + 2 * MINUTE)
        fs.push("pays", [pay("a", NOON - MINUTE, seen=late)])
        check_parity(fs, spend, ALL)
        assert served(fs) == [0.0]
        fs.runtime.clock.time += 2 * MINUTE
        assert served(fs) == [1.0]
        check_parity(fs, spend, ALL)


def test_late_rows_are_counted_unless_they_are_beyond_the_lateness(folder):
    spend = spend_of(payments(lateness="10m"))
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay("a", NOON - 10 * MINUTE)])
        on_edge = fs.push("pays", [pay("b", NOON - 20 * MINUTE)])
        beyond = fs.push("pays", [pay("c", NOON - 20 * MINUTE - 1, 100.0)])
        assert (on_edge.late, beyond.late, beyond.accepted) == (0, 1, 1)
        assert served(fs) == [2.0]
        check_parity(fs, spend, ALL)
        assert [row.late for row in rows_of(fs, "pays")] == [False, False, True]


# ----------------------------------------------------------------------------------------- row ids


def test_identical_row_again_is_a_duplicate_in_and_between_batches(folder):
    spend = spend_of(payments(row_id="pay_id"))
    with open_store(folder, spend) as fs:
        row = pay("a", NOON - MINUTE)
        first = fs.push("pays", [row, dict(row), row])
        again = fs.push("pays", [row])
        assert [(r.accepted, r.duplicates) for r in (first, again)] == [(1, 2), (0, 1)]
        assert served(fs) == [1.0]
        check_parity(fs, spend, ALL)


def test_zero_of_the_other_sign_is_another_content(folder):
    spend = spend_of(payments(row_id="pay_id"))
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay("a", NOON, 0.0)])
        assert fs.push("pays", [pay("a", NOON, -0.0)]).corrections == 1
        check_parity(fs, spend, ALL)


def test_correction_replaces_and_a_way_back_is_a_correction_too(folder):
    spend = spend_of(payments(row_id="pay_id"))
    with open_store(folder, spend) as fs:
        for amount, expected in [(1.0, 1.0), (5.0, 5.0), (1.0, 1.0)]:
            fs.runtime.clock.time += 1
            fs.push("pays", [pay("a", NOON - MINUTE, amount)])
            assert served(fs) == [expected]
            check_parity(fs, spend, ALL, fs.runtime.clock.time, fs.runtime.clock.time - 1)


def test_correction_may_move_a_row_to_another_entity(folder):
    spend = spend_of(payments(row_id="pay_id"))
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0, card="c1")])
        fs.runtime.clock.time += 1
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0, card="c2")])
        assert served(fs, "total_1h", "c1", "c2") == [0.0, 2.0]
        check_parity(fs, spend, ALL, fs.runtime.clock.time, fs.runtime.clock.time - 1)


@pytest.mark.parametrize("settled", [False, True])
def test_older_rows_come_back_when_the_newest_are_taken_away(folder, settled):
    """States hold the newest rows alone; what a deletion uncovers is fetched from history."""
    source = payments(row_id="pay_id")
    spend = spend_of(source, last=source.amount.last_n(2, last=2), mean=source.amount.mean(last=3))
    with open_store(folder, spend, rewind="0s") as fs:
        for number in range(40):
            fs.runtime.clock.time += MINUTE
            fs.push("pays", [pay(f"p{number}", NOON + number * MINUTE, float(number))])
        if settled:
            fs.compact()
        fs.delete("pays", ["p39", "p38", "p36"])
        assert served(fs, "last") == [[35.0, 37.0]]
        check_parity(fs, spend, ALL)


def test_entity_whose_recent_rows_are_all_deleted_is_empty_and_not_unknown(folder):
    source = payments(row_id="pay_id")
    spend = spend_of(source, total=source.amount.sum("1h"))
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay("old", NOON - DAY)], backdate=True)
        fs.push("pays", [pay(f"p{n}", NOON - 10 * MINUTE + n) for n in range(30)], backdate=True)
        fs.delete("pays", [f"p{n}" for n in range(30)])
        found = fs.get_online_features(["Spend:total"], cards("c1"))
        assert found.to_statuses() == {"total": ["empty"]}
        check_parity(fs, spend, ALL)


def test_deleted_row_counts_no_more_and_may_come_back(folder):
    spend = spend_of(payments(row_id="pay_id"))
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0), pay("b", NOON - MINUTE, 4.0)])
        fs.runtime.clock.time += 1
        assert fs.delete("pays", ["a", "unknown"]).accepted == 1
        assert served(fs) == [4.0]
        assert fs.delete("pays", ["a"]).accepted == 0
        fs.runtime.clock.time += 1
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0)])
        assert served(fs) == [6.0]
        now = fs.runtime.clock.time
        check_parity(fs, spend, ALL, now, now - 1, now - 2)


@pytest.mark.parametrize(
    ("dtype", "stored", "given"),
    [
        (int, 7, 7),
        (datetime, from_micros(5), "1970-01-01T01:00:00.000005+01:00"),
        (date, date(2026, 1, 2), "2026-01-02"),
        (sl.Decimal(9, 2), Decimal("1.50"), "1.5"),
        (bytes, b"\x00\xff", bytearray(b"\x00\xff")),
        (bool, True, True),
    ],
)
def test_rows_are_deleted_by_ids_of_any_type(folder, dtype, stored, given):
    source = sl.Source(
        "pays", schema={"card_id": str, "x": float, "key": dtype}, event_time="at", row_id="key"
    )
    view = sl.FeatureView("Spend", entity=CARD, source=source, features={"n": source.count("1h")})
    with open_store(folder, view) as fs:
        fs.push("pays", [{"card_id": "c1", "x": 1.0, "key": stored, "at": from_micros(NOON)}])
        assert served(fs, "n") == [1]
        assert fs.delete("pays", [given]).accepted == 1
        assert served(fs, "n") == [0]


def test_ids_of_several_columns_are_told_apart(folder):
    source = payments(row_id=("pay_id", "n"))
    spend = spend_of(source)
    with open_store(folder, spend) as fs:
        rows = [pay("a", NOON, 1.0, n=1), pay("a", NOON, 2.0, n=2), pay("a,1", NOON, 4.0, n=1)]
        fs.push("pays", rows)
        assert served(fs) == [7.0]
        assert fs.delete("pays", [("a", 2)]).accepted == 1
        assert served(fs) == [5.0]
        check_parity(fs, spend, ALL)
        for wrong in ("a", ("a",), ("a", "two")):
            with pytest.raises(InputError, match="not a row id"):
                fs.delete("pays", [wrong])


def test_nothing_can_be_deleted_where_rows_have_no_id(folder):
    with open_store(folder, spend_of(payments())) as fs:
        with pytest.raises(InputError, match="no row id"):
            fs.delete("pays", ["a"])


def test_version_that_comes_later_replaces_one_that_was_known_later(folder):
    spend = spend_of(payments(row_id="pay_id", known_time="seen"))
    with open_store(folder, spend) as fs:

        def at(minutes, amount, card="c1"):
            seen = from_micros(NOON - minutes * MINUTE)
            fs.push("pays", [pay("a", NOON - HOUR // 2, amount, card=card, seen=seen)])
            moments = [NOON - m * MINUTE for m in (0, 1, 2, 3, 4, 5)]
            check_parity(fs, spend, ALL, *moments)

        at(4, 1.0)
        at(1, 2.0)
        at(3, 3.0, "c2")
        at(2, 4.0)
        assert served(fs) == [4.0]


# ----------------------------------------------------------------------------------- several views


def test_one_push_reaches_every_entity_of_the_source(folder):
    source = payments()
    town = sl.Entity("town", city=str)
    pair = sl.Entity("pair", city=str, card_id=str)
    features = {"total": source.amount.sum("1h")}
    views = [
        sl.FeatureView(name, entity=entity, source=source, features=features)
        for name, entity in [("ByCard", CARD), ("ByTown", town), ("ByPair", pair)]
    ]
    with open_store(folder, *views) as fs:
        rows = [
            pay("a", NOON, 1.0),
            pay("b", NOON, 2.0, city="Köln"),
            pay("c", NOON, 4.0, card="c2"),
        ]
        fs.push("pays", rows)
        key = {"card_id": "c1", "city": "Bonn"}
        found = fs.get_online_features([f"{v.name}:total" for v in views], [key], full_names=True)
        assert found.values == [[3.0, 5.0, 1.0]]
        for view in views:
            check_parity(fs, view, [key, {"card_id": "c2", "city": "Köln"}])


def test_row_without_a_key_is_kept_and_counts_for_the_entities_it_has(folder):
    source = payments()
    town = sl.Entity("town", city=str)
    by_town = sl.FeatureView(
        "ByTown", entity=town, source=source, features={"n": source.count("1h")}
    )
    with open_store(folder, spend_of(source), by_town) as fs:
        fs.push("pays", [pay("a", NOON, card=None), pay("b", NOON, city=None)])
        assert served(fs, "count_1d") == [1]
        assert fs.get_online_features("ByTown", [{"city": "Bonn"}]).values == [[1]]
        assert len(rows_of(fs, "pays")) == 2


def test_source_that_no_view_uses_keeps_its_rows(folder):
    source = payments()
    with open_store(folder, source) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE)])
        fs.apply(fs.plan(spend_of(source)))
        fs.materialize()
        check_parity(fs, spend_of(source), ALL)


# ------------------------------------------------------------------------------------- concurrency


@pytest.mark.parametrize("one_store", [True, False])
def test_threads_that_push_the_same_entities_lose_and_double_nothing(folder, one_store):
    source = payments(row_id="pay_id")
    spend = spend_of(source, n=source.count(sl.lifetime()), total=source.amount.sum("1d"))
    online = None if one_store else TwoStores()
    with open_store(folder, spend, using=online) as fs:

        def push(writer):
            for number in range(12):
                rows = [
                    pay(f"{writer}-{number}-{n}", NOON - n, card=f"c{n % 2 + 1}") for n in range(4)
                ]
                fs.push("pays", rows)
                fs.push("pays", [pay("shared", NOON - HOUR, float(number), card="c1")])

        threads = [threading.Thread(target=push, args=(name,)) for name in "abc"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert served(fs, "n", "c1", "c2") == [3 * 24 + 1, 3 * 24]
        check_parity(fs, spend, ALL)


class TwoStores(MemoryStore):
    """States in a store without transactions; logs are then kept in a journal beside it."""

    capabilities = MemoryStore.capabilities.__class__(atomic_batch=True, verified=True)

    def transaction(self):
        raise self.unsupported("transactions", "")

    def write(self, table, items):
        with super().transaction() as rows:
            rows.write(table, items)

    def delete(self, table, keys):
        with super().transaction() as rows:
            rows.delete(table, keys)


class Lost(Exception):
    """Stands for a crash between the log and the states."""


@pytest.mark.parametrize("lost", [1, 3])
def test_rows_that_a_crash_kept_from_another_store_come_with_the_next_push(folder, lost):
    """Corrections, deletions and late rows among them."""
    source = payments(row_id="pay_id", lateness="6h")
    spend = spend_of(source)
    store = TwoStores()
    with open_store(folder, spend, using=store) as fs:
        rows = [pay(f"p{n}", NOON - n * MINUTE, float(n), card=f"c{n % 2 + 1}") for n in range(20)]
        fs.push("pays", rows)
        check_parity(fs, spend, ALL)
        write, store.write = store.write, broken
        crashes = [
            lambda: fs.push("pays", [pay("p3", NOON - 9 * MINUTE, 99.0, card="c1"),
                                     pay("new", NOON - 10 * MINUTE, 1.0, card="c2")]),
            lambda: fs.delete("pays", ["p0", "p1"]),
            lambda: fs.push("pays", [pay("late", NOON - 7 * HOUR, 1e6)]),
        ]  # fmt: skip
        for crash in crashes[:lost]:
            with pytest.raises(Lost):
                crash()
        store.write = write
        fs.push("pays", [pay("after", NOON - MINUTE, 1.0, card="c1")])
        check_parity(fs, spend, ALL)


def test_first_row_that_a_crash_kept_from_another_store_comes_with_the_next_push(folder):
    spend, store = spend_of(payments()), TwoStores()
    with open_store(folder, spend, using=store) as fs:
        write, store.write = store.write, broken
        with pytest.raises(Lost):
            fs.push("pays", [pay("a", NOON - MINUTE)])
        store.write = write
        fs.push("pays", [pay("b", NOON - MINUTE, card="c2")])
        check_parity(fs, spend, ALL)


def broken(table, items):
    raise Lost


def test_materialize_keeps_what_is_pushed_to_a_store_without_transactions(folder, monkeypatch):
    from skewless.materialize import materialize

    monkeypatch.setattr(materialize, "_BATCH", 1)
    source = payments(row_id="pay_id")
    spend = spend_of(source)
    with open_store(folder, spend, using=TwoStores()) as fs:
        fs.push("pays", [pay(f"p{n}", NOON - n, card=f"c{n % 2 + 1}") for n in range(10)])
        number = iter(range(100))
        fs.backfill(
            progress=lambda text, share: fs.push("pays", [pay(f"q{next(number)}", NOON - MINUTE)])
        )
        assert next(number) >= 3
        check_parity(fs, spend, ALL)


# ----------------------------------------------------------------------- any history, any batching


@st.composite
def histories(draw):
    """Batches of pushes and deletions of a few ids, with ties, late rows and both cards."""
    steps = []
    for number in range(draw(st.integers(1, 8))):
        if draw(st.integers(0, 5)) == 0:
            steps.append(draw(st.lists(st.integers(0, 9), max_size=3)))
            continue
        row = st.builds(
            lambda key, minutes, amount, card, city: pay(
                f"p{key}", NOON - minutes * MINUTE, amount, card=card, city=city, n=key
            ),
            st.integers(0, 9) | st.integers(100 * number, 100 * number + 20),
            st.sampled_from([0, 0, 1, 2, 9, 10, 11, 59, 60, 61, 119, 120, 1439, 1440]),
            st.sampled_from([None, 0.0, -0.0, 0.1, 1e15, 6.0]),
            st.sampled_from(["c1", "c1", "c2", None]),
            st.sampled_from(["Bonn", "Köln", None]),
        )
        steps.append(draw(st.lists(row, max_size=6)))
    return steps


@pytest.mark.parametrize("one_store", [True, False])
@settings(max_examples=max(10, settings.default.max_examples // 4))
@given(steps=histories(), rewind=st.sampled_from(["0s", "5m"]), moves=st.integers(0, 90))
def test_online_is_history_after_any_pushes_and_deletions(
    tmp_path_factory, one_store, steps, rewind, moves
):
    spend = spend_of(payments(row_id="pay_id"))
    folder = tmp_path_factory.mktemp("repo")
    online = MemoryStore() if one_store else TwoStores()
    with open_store(folder, spend, using=online, rewind=rewind) as fs:
        for step in steps:
            fs.runtime.clock.time += moves * MINUTE // 7
            if step and isinstance(step[0], int):
                fs.delete("pays", [f"p{key}" for key in step])
            else:
                fs.push("pays", step)
        now = fs.runtime.clock.time
        moments = [now] if rewind == "0s" else [now, now - 5 * MINUTE]
        check_parity(fs, spend, ALL, *moments)


def test_batching_changes_no_bit(folder, seed):
    """The same rows pushed one by one, all at once and in between: the same states' answers."""
    chance = random.Random(seed)
    source = payments(known_time="seen")
    spend = spend_of(source)
    rows = [
        pay(f"p{n}", NOON - chance.randrange(0, DAY, HOUR // 4), chance.uniform(-1e9, 1e9), seen=from_micros(NOON))
        for n in range(60)
    ]  # fmt: skip
    found = []
    for size in (1, 7, 60):
        with open_store(folder / str(size), spend, using=MemoryStore()) as fs:
            for low in range(0, len(rows), size):
                fs.push("pays", rows[low : low + size])
            check_parity(fs, spend, ALL)
            found.append(fs.get_online_features("Spend", ALL).values)
    assert found[0] == found[1] == found[2]


# --------------------------------------------------------------------------------------- bad verbs


def test_unknown_source_is_named_with_the_closest(folder):
    with open_store(folder, spend_of(payments())) as fs:
        for verb in (
            lambda: fs.push("pay", []),
            lambda: fs.delete("pay", []),
            lambda: fs.quarantine("pay"),
            lambda: fs.compact("pay"),
        ):
            with pytest.raises(UnknownName, match="no source 'pay'.*Did you mean 'pays'"):
                verb()


def test_store_with_nothing_applied_says_so(folder):
    with open_store(folder) as fs:
        for verb in (
            lambda: fs.push("pays", []),
            lambda: fs.get_online_features("Spend", []),
            lambda: fs.get_historical_features([], "Spend", timestamp="t"),
        ):
            with pytest.raises(UnknownName):
                verb()


def test_online_read_without_a_key_or_with_a_wrong_one_is_an_error(folder):
    with open_store(folder, spend_of(payments())) as fs:
        with pytest.raises(MissingColumn, match="lacks the column 'card_id'"):
            fs.get_online_features("Spend", [{"card": "c1"}])
        with pytest.raises(InputError, match="join key 'card_id'"):
            fs.get_online_features("Spend", [{"card_id": 5}])


def test_a_null_key_names_no_entity_and_the_others_are_answered(folder):
    with open_store(folder, spend_of(payments())) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE)])
        card = ALL[0]["card_id"]
        alone = fs.get_online_features("Spend", [{"card_id": card}, {"card_id": "never seen"}])
        beside = fs.get_online_features("Spend", [{"card_id": card}, {"card_id": None}])
        assert beside.values == alone.values
        assert beside.statuses == alone.statuses
        none = fs.get_online_features("Spend", [{"card_id": None}])
        assert (none.values, none.statuses) == (alone.values[1:], alone.statuses[1:])
        with pytest.raises(InputError, match="join key 'card_id'"):
            fs.get_online_features("Spend", [{"card_id": None}, {"card_id": 5}])


def test_moment_further_back_than_the_store_remembers_is_an_error(folder):
    with open_store(folder, spend_of(payments())) as fs:
        fs.push("pays", [pay("a", NOON)])
        fs.get_online_features("Spend", ALL, at=from_micros(NOON - 5 * MINUTE))
        with pytest.raises(InputError, match="further back than the online store remembers"):
            fs.get_online_features("Spend", ALL, at=from_micros(NOON - 5 * MINUTE - 1))
