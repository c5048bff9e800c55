"""Materialize: states from history, whatever changed in it and whoever writes meanwhile."""

import random
import threading

import pyarrow as pa
import pytest

import skewless as sl
from skewless.clock import from_micros
from skewless.errors import InputError, UnknownName
from skewless.materialize import materialize as materialize_module
from skewless.materialize.materialize import PROGRESS
from skewless.materialize.recovery import adopt
from skewless.testing.memory import MemoryStore
from tests.shop import (
    ALL,
    DAY,
    HOUR,
    MINUTE,
    NOON,
    SECOND,
    answers,
    cards,
    check_parity,
    expected_answers,
    open_store,
    pay,
    payments,
    random_rows,
    spend_of,
    write_part,
)


def tabled(**options):
    pays = payments(table=sl.Parquet("pays"), **options)
    return pays, spend_of(pays)


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "repo"


# ------------------------------------------------------------------------------------ from a table


def test_table_is_served_as_history_has_it(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 200))
    with open_store(folder, spend) as fs:
        (result,) = fs.materialize()
        assert (result.entities, result.rows, result.skipped) == (3, 200, False)
        check_parity(fs, spend, ALL, NOON, NOON - 5 * MINUTE)
        fs.runtime.clock.time += 3 * HOUR
        check_parity(fs, spend, ALL)


def test_running_twice_does_nothing_more(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 50))
    with open_store(folder, spend) as fs:
        fs.materialize()
        before = answers(fs, spend, ALL, NOON)
        (again,) = fs.materialize()
        assert (again.skipped, again.entities, again.rows) == (True, 0, 0)
        assert answers(fs, spend, ALL, NOON) == before


def test_new_part_rebuilds_the_entities_it_has_rows_of(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 60))
    with open_store(folder, spend) as fs:
        fs.materialize()
        write_part(folder / "pays/b.parquet", [pay("new", NOON - MINUTE, card="c2")])
        (result,) = fs.materialize()
        assert result.entities == 1
        check_parity(fs, spend, ALL)


def test_new_part_of_late_rows_never_overwrites_newer_ones(folder):
    _, spend = tabled()
    write_part(folder / "pays/new.parquet", [pay("b", NOON - MINUTE, 2.0, city="new")])
    with open_store(folder, spend) as fs:
        fs.materialize()
        write_part(folder / "pays/old.parquet", [pay("a", NOON - 20 * MINUTE, 1.0, city="old")])
        fs.materialize()
        found = fs.get_online_features(["Spend:city", "Spend:total_1h"], cards("c1"))
        assert found.values == [["new", 3.0]]
        check_parity(fs, spend, ALL)


def test_replaced_part_leaves_nothing_of_the_old_one(folder):
    _, spend = tabled()
    part = folder / "pays/a.parquet"
    write_part(part, random_rows(1, 60))
    with open_store(folder, spend) as fs:
        fs.materialize()
        write_part(part, [pay("x", NOON - MINUTE, 5.0, card="c2")])
        fs.materialize()
        check_parity(fs, spend, ALL)
        assert fs.get_online_features(["Spend:city"], cards("c1")).to_statuses() == {
            "city": ["unknown"]
        }


def test_removed_part_takes_its_rows_away(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 40, cards=2))
    write_part(folder / "pays/b.parquet", random_rows(2, 40, first=100))
    with open_store(folder, spend) as fs:
        fs.materialize()
        (folder / "pays/b.parquet").unlink()
        fs.materialize()
        check_parity(fs, spend, ALL)


def test_entity_whose_only_part_is_removed_is_unknown_but_not_if_it_was_pushed(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", [pay("a", NOON - MINUTE, card="c1")])
    write_part(
        folder / "pays/b.parquet",
        [pay("b", NOON - MINUTE, card="c2"), pay("c", NOON - MINUTE, card="c3")],
    )
    with open_store(folder, spend) as fs:
        fs.materialize()
        fs.push("pays", [pay("d", NOON - MINUTE, card="c3")])
        (folder / "pays/b.parquet").unlink()
        fs.materialize()
        statuses = fs.get_online_features(["Spend:city"], ALL).to_statuses()
        assert statuses == {"city": ["present", "unknown", "present", "unknown"]}
        check_parity(fs, spend, ALL)


def test_correction_in_a_new_part_reaches_the_entity_it_takes_the_row_from(folder):
    _, spend = tabled(row_id="pay_id")
    write_part(folder / "pays/a.parquet", [pay("x", NOON - 9 * MINUTE, 3.0, card="c1")])
    with open_store(folder, spend) as fs:
        fs.materialize()
        write_part(folder / "pays/b.parquet", [pay("x", NOON - 8 * MINUTE, 4.0, card="c2")])
        fs.materialize()
        check_parity(fs, spend, ALL)
        assert fs.get_online_features(["Spend:total_1h"], ALL).to_dict()["total_1h"] == [
            0.0, 4.0, 0.0, 0.0,
        ]  # fmt: skip


def test_rows_that_tie_across_files_are_ordered_as_in_history(folder):
    _, spend = tabled()
    at = NOON - MINUTE
    for number in range(6):
        rows = [pay(f"{number}-{n}", at, float(number), city=f"city {number}") for n in range(2)]
        write_part(folder / f"pays/{number}.parquet", rows)
    with open_store(folder, spend) as fs:
        fs.materialize()
        check_parity(fs, spend, ALL)


def test_ties_are_kept_in_order_when_rows_are_let_go_while_reading(folder, monkeypatch):
    source = payments(table=sl.Parquet("pays"))
    spend = spend_of(source, newest=source.city.last_n(3, last=3))
    monkeypatch.setattr("skewless.stores.offline.tables.parquet_files.CHUNK_ROWS", 4)
    at = NOON - MINUTE
    rows = [pay(str(number), at, city=f"city {number}") for number in range(40)]
    write_part(folder / "pays/a.parquet", rows)
    with open_store(folder, spend) as fs:
        fs.materialize()
        check_parity(fs, spend, ALL)


def test_delay_is_waited_for_online_too(folder):
    _, spend = tabled(delay="10m")
    write_part(folder / "pays/a.parquet", random_rows(3, 80, start=NOON - HOUR))
    with open_store(folder, spend) as fs:
        fs.materialize()
        check_parity(fs, spend, ALL, NOON, NOON - 4 * MINUTE)
        fs.runtime.clock.time += 7 * MINUTE
        check_parity(fs, spend, ALL)


@pytest.mark.parametrize("kind", ["arrow", "polars", "pandas"])
def test_frames_in_memory_are_tables_too(folder, kind):
    table = pa.Table.from_pylist(random_rows(5, 40))
    frames = {"arrow": lambda: table, "pandas": table.to_pandas}
    if kind == "polars":
        frames["polars"] = lambda: pytest.importorskip("polars").from_arrow(table)
    source = payments(table=sl.Frame(frames[kind]()))
    spend = spend_of(source)
    with open_store(folder, spend) as fs:
        fs.materialize()
        check_parity(fs, spend, ALL)


# ---------------------------------------------------------------------------------- intervals


def test_an_end_leaves_no_row_of_an_entity_out(folder):
    """An interval selects entities, it never cuts their rows."""
    _, spend = tabled()
    rows = [pay("a", NOON - HOUR, 1.0), pay("b", NOON - MINUTE, 2.0, card="c2")]
    write_part(folder / "pays/a.parquet", rows)
    with open_store(folder, spend) as fs:
        fs.materialize(end=from_micros(NOON - MINUTE))
        check_parity(fs, spend, ALL)


def test_an_interval_of_the_past_takes_no_newer_row_out(folder):
    _, spend = tabled()
    rows = [pay("a", NOON - 25 * DAY, 1.0), pay("b", NOON - MINUTE, 2.0)]
    write_part(folder / "pays/a.parquet", [*rows, pay("c", NOON - MINUTE, 2.0, card="c2")])
    with open_store(folder, spend) as fs:
        fs.materialize()
        for verb in (fs.materialize, fs.backfill):
            verb(start=from_micros(NOON - 30 * DAY), end=from_micros(NOON - DAY))
            check_parity(fs, spend, ALL)


def test_intervals_in_any_order_bring_all_that_is_known_of_their_entities(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", [pay("a", NOON - DAY, 1.0)])
    with open_store(folder, spend) as fs:
        fs.materialize()
        new = [pay(f"n{n}", NOON - n * HOUR, 2.0, card=f"c{n}") for n in (1, 2, 3)]
        write_part(folder / "pays/b.parquet", [*new, pay("d", NOON - 2 * HOUR - MINUTE, 9.0)])
        hours = [(from_micros(NOON - n * HOUR), from_micros(NOON - n * HOUR + 1)) for n in (2, 1)]
        for start, end in (*hours, *hours):
            fs.materialize(start=start, end=end)
        check_parity(fs, spend, cards("c2"))
        fs.materialize(start=from_micros(NOON - 5 * HOUR), end=from_micros(NOON))
        check_parity(fs, spend, ALL)
        (last,) = fs.materialize()
        assert not last.skipped  # whole parts were never looked at
        check_parity(fs, spend, ALL)


def test_an_interval_that_ends_before_it_starts_is_refused(folder):
    _, spend = tabled()
    with open_store(folder, spend) as fs:
        with pytest.raises(sl.errors.InputError, match="ends before it starts"):
            fs.materialize(start=from_micros(NOON), end=from_micros(NOON - 1))


def test_pushed_rows_are_served_whatever_the_end(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", [pay("a", NOON - HOUR, 1.0)])
    with open_store(folder, spend) as fs:
        fs.materialize()
        fs.push("pays", [pay("b", NOON - MINUTE, 2.0)])
        fs.materialize(end=from_micros(NOON - 30 * MINUTE))
        check_parity(fs, spend, ALL)
        fs.materialize()
        check_parity(fs, spend, ALL)


def test_rows_before_the_start_are_found_by_a_run_without_one(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", [pay("a", NOON - HOUR, 1.0)])
    with open_store(folder, spend) as fs:
        fs.materialize()
        old, new = pay("b", NOON - DAY // 2, card="c2"), pay("c", NOON - MINUTE, card="c3")
        write_part(folder / "pays/b.parquet", [old, new])
        (result,) = fs.materialize(start=from_micros(NOON - HOUR))
        assert result.entities in (1, 2)  # a chunk may be looked at as a whole
        check_parity(fs, spend, cards("c1", "c3"))
        fs.materialize()
        check_parity(fs, spend, ALL)


def test_finished_intervals_are_recorded(folder):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 5))
    with open_store(folder, spend) as fs:
        fs.materialize(start=from_micros(NOON - DAY), end=from_micros(NOON))
        assert fs.runtime.registry.intervals("Spend", 1) == [(0, NOON)]  # built as a whole
        fs.materialize(start=from_micros(NOON), end=from_micros(NOON + DAY))
        assert fs.runtime.registry.intervals("Spend", 1) == [(0, NOON + DAY)]


# ------------------------------------------------------------------------------------- lateness


def test_rows_that_came_too_late_count_after_a_backfill_in_both_paths(folder):
    source = payments(lateness="10m")
    spend = spend_of(source)
    with open_store(folder, spend) as fs:
        clock = fs.runtime.clock
        result = fs.push("pays", [pay("a", NOON - MINUTE), pay("b", NOON - 12 * MINUTE, 7.0)])
        assert (result.accepted, result.late) == (2, 1)
        check_parity(fs, spend, ALL)
        assert fs.get_online_features(["Spend:total_1h"], cards("c1")).values == [[1.0]]
        fs.materialize()
        assert fs.get_online_features(["Spend:total_1h"], cards("c1")).values == [[1.0]]
        clock.time += MINUTE
        fs.backfill()
        assert fs.get_online_features(["Spend:total_1h"], cards("c1")).values == [[8.0]]
        check_parity(fs, spend, ALL, clock.time, clock.time - 1)


def test_backfill_goes_over_everything_after_a_killed_materialize(folder, monkeypatch):
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    source = payments(lateness="10m")
    spend = spend_of(source)
    with open_store(folder, source) as fs:
        rows = [pay("a", NOON - MINUTE, card=f"c{n}") for n in (1, 2, 3)]
        rows += [pay("b", NOON - 12 * MINUTE, 7.0, card=f"c{n}") for n in (1, 2, 3)]
        fs.push("pays", rows)
        fs.apply(fs.plan(spend), build=False)
        interrupt_second_batch(fs, fs.materialize)
        fs.runtime.clock.time += 1
        (result,) = fs.backfill()
        assert (result.resumed, result.entities) == (0, 3)
        check_parity(fs, spend, ALL)


# --------------------------------------------------------------------------- resumption and pushes


class Interrupted(Exception):
    """Stands for whatever stops a run."""


def interrupt_second_batch(fs, run):
    """Run until a first batch is written."""
    written = []

    def progress(text, share):
        if text.startswith("writing"):
            written.append(text)
            raise Interrupted

    with pytest.raises(Interrupted):
        run(progress=progress)
    assert len(written) == 1


def test_interrupted_run_goes_on_where_it_stopped(folder, monkeypatch):
    monkeypatch.setattr(materialize_module, "_BATCH", 2)
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 300, cards=7))
    with open_store(folder, spend) as fs:
        interrupt_second_batch(fs, fs.materialize)
        (result,) = fs.materialize()
        assert (result.resumed, result.entities) == (2, 5)
        check_parity(fs, spend, cards(*(f"c{n}" for n in range(1, 8))))
        (again,) = fs.materialize()
        assert again.skipped
        assert list(fs.runtime.online.scan(PROGRESS)) == []


def test_interrupted_run_begins_anew_when_history_has_changed(folder, monkeypatch):
    monkeypatch.setattr(materialize_module, "_BATCH", 2)
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 300, cards=7))
    with open_store(folder, spend) as fs:
        interrupt_second_batch(fs, fs.materialize)
        write_part(folder / "pays/b.parquet", random_rows(2, 300, cards=7, first=300))
        (result,) = fs.materialize()
        assert (result.resumed, result.entities) == (0, 7)
        check_parity(fs, spend, cards(*(f"c{n}" for n in range(1, 8))))


@pytest.mark.parametrize("moment", ["reading", "writing"])
def test_pushes_during_a_run_are_kept_once(folder, monkeypatch, moment):
    monkeypatch.setattr(materialize_module, "_BATCH", 1)
    _, spend = tabled(row_id="pay_id")
    write_part(folder / "pays/a.parquet", random_rows(1, 60))
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay("x", NOON - 9 * MINUTE, 3.0), pay("y", NOON - 9 * MINUTE, card="c3")])
        pushed = []

        def progress(text, share):
            if not text.startswith(moment):
                return
            number = len(pushed)
            pushed.append(text)
            rows = [pay(f"x{number}", NOON - 8 * MINUTE, 5.0, card=f"c{n}") for n in (1, 2, 3, 4)]
            rows[0] = pay("x", NOON - 7 * MINUTE, float(number), card=f"c{number % 3 + 1}")
            fs.push("pays", rows)
            fs.delete("pays", ["y"])

        fs.materialize(progress=progress)
        assert pushed
        check_parity(fs, spend, [*ALL, *cards("c4")])


def test_push_between_snapshot_and_first_look_is_not_doubled(folder, monkeypatch):
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 20))
    with open_store(folder, spend) as fs:
        original = materialize_module.Materialization.__init__

        def push_then_begin(self, layout, *arguments, **options):
            original(self, layout, *arguments, **options)
            if not pushed:
                pushed.append(fs.push("pays", [pay("x", NOON - MINUTE, 3.0)]))

        pushed = []
        monkeypatch.setattr(materialize_module.Materialization, "__init__", push_then_begin)
        fs.materialize()
        check_parity(fs, spend, ALL)


def test_run_beside_busy_writers_and_readers_loses_and_doubles_nothing(folder, seed):
    """Threads push, materialize and read at once; each entity's rows only become more."""
    source = payments(row_id="pay_id")
    spend = spend_of(source, count=source.count(sl.lifetime()), n=source.n.sum(sl.lifetime()))
    with open_store(folder, spend) as fs:
        fs.push("pays", [pay(f"s{n}", NOON - DAY, card=f"c{n % 3 + 1}") for n in range(30)])
        stop, problems = threading.Event(), []

        def read():
            seen = 10
            while not stop.is_set():
                for row in fs.get_online_features("Spend", cards("c1", "c2", "c3")).values:
                    if row[0] != row[1] or row[0] < 10:
                        problems.append(row)
                seen = max(seen, row[0])

        def push(writer):
            for number in range(25):
                rows = [pay(f"{writer}-{number}-{n}", NOON - MINUTE, card=f"c{n}") for n in (1, 2)]
                fs.push("pays", rows)

        reader = threading.Thread(target=read)
        writers = [threading.Thread(target=push, args=(name,)) for name in "ab"]
        reader.start()
        for writer in writers:
            writer.start()
        while any(writer.is_alive() for writer in writers):
            fs.backfill()
        for writer in writers:
            writer.join()
        stop.set()
        reader.join()
        assert problems == []
        check_parity(fs, spend, ALL)
        assert fs.get_online_features(["Spend:count"], cards("c1")).values == [[60]]


# ------------------------------------------------------------------------------ layouts and views


def test_old_version_serves_on_while_the_new_one_is_not_materialized(folder):
    source = payments()
    old = spend_of(source, total=source.amount.sum("1h"))
    with open_store(folder, old) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0), pay("b", NOON - 5 * HOUR, 3.0)])
        new = spend_of(source, total=source.amount.sum("1d"))
        fs.apply(fs.plan(new))
        fs.push("pays", [pay("c", NOON - MINUTE, 4.0)])
        assert fs.get_online_features(["Spend@v1:total"], cards("c1")).values == [[6.0]]
        fs.materialize()
        both = [["Spend@v1:total"], ["Spend@v2:total"]]
        values = [fs.get_online_features(each, cards("c1")).values for each in both]
        assert values == [[[6.0]], [[9.0]]]
        check_parity(fs, new, ALL)


def test_view_of_another_entity_is_never_served_by_states_of_the_first(folder):
    source = payments()
    town = sl.Entity("town", city=str)
    by_card = spend_of(source, "ByCard", total=source.amount.sum("1h"))
    by_town = sl.FeatureView(
        "ByTown", entity=town, source=source, features={"total": source.amount.sum("1h")}
    )
    with open_store(folder, by_card) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0, card="Bonn", city="c1")])
        fs.apply(fs.plan(by_card, by_town))
        fs.materialize()
        found = fs.get_online_features(["ByTown:total"], [{"city": "c1"}, {"city": "Bonn"}])
        assert found.values == [[2.0], [0.0]]


def test_versions_whose_rows_are_known_at_other_times_have_states_of_their_own(folder):
    write_part(folder / "pays/a.parquet", [pay("a", NOON - MINUTE, 2.0)])
    at_once = payments(table=sl.Parquet("pays"))
    slow = payments(table=sl.Parquet("pays"), delay="10m")
    with open_store(folder, spend_of(at_once)) as fs:
        fs.materialize()
        fs.apply(fs.plan(spend_of(slow)))
        fs.materialize()
        both = [["Spend@v1:total_1h"], ["Spend@v2:total_1h"]]
        values = [fs.get_online_features(each, cards("c1")).values for each in both]
        assert values == [[[2.0]], [[0.0]]]
        check_parity(fs, spend_of(slow), ALL)


def test_view_added_to_a_source_with_history_is_complete_after_materialize(folder):
    source = payments()
    first = spend_of(source, "First", total=source.amount.sum("1h"))
    with open_store(folder, first) as fs:
        fs.push("pays", random_rows(3, 40))
        second = spend_of(source, "Second")
        fs.apply(fs.plan(first, second), build=False)
        (tables,) = [fs.runtime.tables()]
        assert [t.complete for t in tables.wanted().values()] == [False]
        fs.push("pays", random_rows(4, 40, first=40))
        fs.materialize("Second")
        assert [t.complete for t in fs.runtime.tables().wanted().values()] == [True]
        check_parity(fs, second, ALL)
        check_parity(fs, first, ALL)


def test_table_of_states_that_nothing_needs_is_dropped_once_nobody_can_still_use_it(folder):
    source = payments()
    old = spend_of(source, total=source.amount.sum("1h"))
    with open_store(folder, old) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0)])
        (before,) = fs.runtime.tables().tables
        fs.apply(fs.plan(spend_of(source, total=source.amount.sum("1d"))))
        fs.materialize()
        assert before in fs.runtime.online.tables()
        fs.runtime.clock.time += 10 * SECOND
        fs.materialize()
        assert before not in fs.runtime.online.tables()
        assert len(fs.runtime.tables().tables) == 1


def test_other_process_reads_on_while_states_move_to_a_new_table(folder):
    """A store that was open all the while finds the new states, and never none."""
    source = payments()
    with open_store(folder, spend_of(source, total=source.amount.sum("1h"))) as fs:
        with sl.FeatureStore(fs.config, clock=fs.runtime.clock) as other:
            fs.push("pays", [pay("a", NOON - MINUTE, 2.0)])
            read = lambda: other.get_online_features(["Spend:total"], cards("c1")).values  # noqa: E731
            assert read() == [[2.0]]
            fs.apply(fs.plan(spend_of(source, total=source.amount.sum("1d"))))
            fs.materialize()
            assert read() == [[2.0]]
            fs.runtime.clock.time += 10 * SECOND
            assert read() == [[2.0]]
            fs.materialize()
            fs.push("pays", [pay("b", NOON - MINUTE, 3.0)])
            assert read() == [[5.0]]


def test_definition_that_is_taken_back_gets_fresh_states(folder):
    source = payments()
    hour = spend_of(source, total=source.amount.sum("1h"))
    day = spend_of(source, total=source.amount.sum("1d"))
    with open_store(folder, hour) as fs:
        fs.push("pays", [pay("a", NOON - MINUTE, 2.0)])
        fs.apply(fs.plan(day))
        fs.materialize()
        fs.runtime.registry.retire("Spend", 1)
        fs.materialize()
        fs.push("pays", [pay("b", NOON - MINUTE, 3.0)])
        fs.apply(fs.plan(hour))
        fs.materialize()
        check_parity(fs, hour, ALL)


def test_pushing_process_that_missed_an_apply_writes_to_the_new_table_at_once(folder):
    source = payments()
    with open_store(folder, spend_of(source, total=source.amount.sum("1h"))) as fs:
        with sl.FeatureStore(fs.config, clock=fs.runtime.clock) as other:
            other.push("pays", [pay("a", NOON - MINUTE, 2.0)])
            new = spend_of(source, total=source.amount.sum("1d"))
            fs.apply(fs.plan(new))
            fs.materialize()
            other.push("pays", [pay("b", NOON - MINUTE, 3.0)])
        check_parity(fs, new, ALL)


# ---------------------------------------------------------------------------- states from history


@pytest.mark.parametrize("seeded", range(3))
def test_states_rebuilt_from_history_are_those_that_were_pushed(folder, seeded):
    """Drop all states, materialize: the same values and statuses at every moment."""
    source = payments(row_id="pay_id", known_time="seen", closed=["left", "right"][seeded % 2])
    spend = spend_of(source)
    chance = random.Random(seeded)
    with open_store(folder, spend) as fs:
        clock = fs.runtime.clock
        rows = random_rows(seeded, 150)
        for row in rows:
            known = chance.choice([0, 0, MINUTE, HOUR, 5 * HOUR])
            row["seen"] = min(row["at"] + known * MICROSECOND, from_micros(NOON))
            if chance.random() < 0.2:
                row["pay_id"] = f"p{chance.randint(0, 60)}"
        for low in range(0, len(rows), 17):
            fs.push("pays", rows[low : low + 17])
        fs.delete("pays", ["p3", "p4", "p5"])
        moments = [clock.time, clock.time - 4 * MINUTE]
        pushed = [answers(fs, spend, ALL, t) for t in moments]
        assert pushed == [expected_answers(fs, spend, ALL, t) for t in moments]
        (table,) = fs.runtime.tables().tables
        fs.runtime.online.drop(table)
        fs.backfill()
        assert [answers(fs, spend, ALL, t) for t in moments] == pushed
        fs.compact()
        fs.backfill()
        assert [answers(fs, spend, ALL, t) for t in moments] == pushed


def test_other_online_store_is_filled_from_the_same_history(folder):
    """What one store was pushed, another gets that takes its place on purpose."""
    _, spend = tabled()
    write_part(folder / "pays/a.parquet", random_rows(1, 200))
    with open_store(folder, spend) as fs:
        fs.materialize()
        expected = answers(fs, spend, ALL, NOON)
        with sl.FeatureStore(fs.config, clock=fs.runtime.clock, online=MemoryStore()) as other:
            adopt(other.runtime)
            assert answers(other, spend, ALL, NOON) == expected


# --------------------------------------------------------------------------------------- bad input


def test_unknown_view_is_an_error(folder):
    with open_store(folder, spend_of(payments())) as fs:
        with pytest.raises(UnknownName, match="no view 'Spent'.*Did you mean 'Spend'"):
            fs.materialize("Spent")
        with pytest.raises(UnknownName, match="no version 'v9'"):
            fs.materialize("Spend@v9")


@pytest.mark.parametrize("name", ["Spend@vx", "Spend@v"])
def test_version_that_is_no_number_is_an_error(folder, name):
    with open_store(folder, spend_of(payments())) as fs:
        with pytest.raises(UnknownName):
            fs.materialize(name)
        with pytest.raises(UnknownName):
            fs.read_features(name)


def test_on_demand_view_is_not_materialized(folder):
    spend = spend_of(payments())
    double = sl.OnDemandView("Double", features={"twice": spend["count_1d"] * 2})
    with open_store(folder, spend, double) as fs, pytest.raises(InputError, match="on demand"):
        fs.materialize("Double")


MICROSECOND = __import__("datetime").timedelta(microseconds=1)
