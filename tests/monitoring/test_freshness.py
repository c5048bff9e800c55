"""How old the newest event is that a view can serve, and what was promised."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import skewless as sl
from skewless.clock import SettableClock, iso, to_micros
from skewless.monitoring.freshness import freshness_history, newest_of_table
from tests.monitoring.shop import NOON, at, pay, payments, spend_of, store

MINUTE = 60_000_000


def entry(fs):
    (only,) = fs.freshness().views
    return only


def events(path, minutes, **options):
    """A Parquet file of events some minutes before noon."""
    stamps = pa.array([NOON - m * MINUTE for m in minutes], pa.timestamp("us", "UTC"))
    pq.write_table(pa.table({"card_id": ["c1"] * len(minutes), "at": stamps}), path, **options)


def view_of_table(path, **labels):
    rows = sl.Source("rows", schema={"card_id": str}, event_time="at", table=sl.Parquet(path))
    return sl.FeatureView(
        "Seen",
        entity=sl.Entity("card", card_id=str),
        source=rows,
        features={"n": rows.count("1h")},
        **labels,
    )


def test_a_view_without_events_was_never_fresh(tmp_path):
    with store(tmp_path, spend_of(payments(), freshness="1h")) as fs:
        found = entry(fs)
        assert (found.status, found.age, found.note) == ("never", None, "no events yet")
        assert fs.freshness().ok is False


def test_a_pushed_event_is_fresh_until_it_is_older_than_promised(tmp_path):
    clock = SettableClock(NOON)
    with store(tmp_path, spend_of(payments(), freshness="1h"), clock=clock) as fs:
        fs.push("pays", [pay("a", "11:30")])
        assert (entry(fs).status, entry(fs).age) == ("ok", 30 * MINUTE)
        clock.time += 30 * MINUTE
        assert entry(fs).status == "ok"
        clock.time += 1
        assert entry(fs).status == "stale"
        assert fs.freshness().ok is False


def test_a_view_without_a_promise_is_never_stale(tmp_path):
    with store(tmp_path, spend_of(payments())) as fs:
        fs.push("pays", [pay("a", "11:30", day=1)])
        assert entry(fs).status == "ok"
        assert fs.freshness().ok is True


def test_a_table_is_served_only_once_it_was_materialized(tmp_path):
    events(tmp_path / "a.parquet", [90, 30])
    view = view_of_table(tmp_path / "*.parquet", freshness="2h")
    with store(tmp_path / "repo", view, build=False) as fs:
        before = entry(fs)
        assert (before.status, before.served) == ("building", None)
        assert before.newest == NOON - 30 * MINUTE
        assert before.note == "not built from all of history: materialize Seen"
        fs.materialize(end=at("11:00"))  # an end leaves nothing out of what is built
        after = entry(fs)
        assert (after.status, after.served, after.note) == ("ok", NOON - 30 * MINUTE, "")


def test_rows_of_the_future_do_not_make_a_table_fresh(tmp_path):
    events(tmp_path / "a.parquet", [-600, 30])
    with store(tmp_path / "repo", view_of_table(tmp_path / "a.parquet")) as fs:
        assert entry(fs).newest == NOON - 30 * MINUTE


def test_the_newest_event_of_an_old_table_is_found(tmp_path):
    events(tmp_path / "a.parquet", [12 * 365 * 24 * 60, 13 * 365 * 24 * 60])
    with store(tmp_path / "repo", view_of_table(tmp_path / "a.parquet")) as fs:
        assert entry(fs).newest == NOON - 12 * 365 * 24 * 60 * MINUTE


def test_only_row_groups_that_may_hold_the_newest_event_are_read(tmp_path):
    events(tmp_path / "a.parquet", list(range(100_000, 0, -1)), row_group_size=1_000)
    with store(tmp_path / "repo", view_of_table(tmp_path / "a.parquet")) as fs:
        counted = Counted(fs.runtime.history(fs.runtime.source("rows")))
        assert newest_of_table(counted, NOON) == NOON - MINUTE
    assert counted.read <= 1_000


class Counted:
    """A history that counts the rows it hands out."""

    def __init__(self, history):
        self.source, self.parts, self.read = history.source, history.parts, 0
        self._history = history

    def chunks(self, columns, **options):
        for chunk in self._history.chunks(columns, **options):
            self.read += len(chunk.event)
            yield chunk


def test_unsorted_tables_give_their_newest_event(tmp_path, seed):
    minutes = np.random.default_rng(seed).integers(1, 10**6, 5_000).tolist()
    events(tmp_path / "a.parquet", minutes, row_group_size=500)
    with store(tmp_path / "repo", view_of_table(tmp_path / "a.parquet")) as fs:
        assert entry(fs).newest == NOON - min(minutes) * MINUTE


def test_a_report_reads_as_a_table_and_as_json(tmp_path):
    with store(tmp_path, spend_of(payments(), freshness="1h")) as fs:
        fs.push("pays", [pay("a", "09:30")])
        report = fs.freshness()
    lines = str(report).splitlines()
    assert lines[0].split()[:7] == [
        "view",
        "status",
        "age",
        "promised",
        "newest",
        "event",
        "served",
    ]
    assert lines[1].split()[:5] == ["Spend@v1", "stale", "2h30m", "1h", at("09:30")]
    told = report.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told["views"][0] | {"age_seconds": 9000.0, "status": "stale"} == told["views"][0]
    assert told["at"] == iso(to_micros(at("12:00")))


def test_two_levels_since_when_and_whose_models(tmp_path):
    clock = SettableClock(NOON)
    promise = sl.Freshness(warn="30m", error="1h")
    view = spend_of(payments(), freshness=promise)
    with store(tmp_path, view, sl.FeatureService("fraud", [view]), clock=clock) as fs:
        fs.push("pays", [pay("a", "11:50")])
        spine = [{"card_id": "c1", "t": at("11:55")}]
        made = fs.get_historical_features(spine, "fraud", timestamp="t")
        fs.log_model("fraud@3", made)
        assert (entry(fs).level, entry(fs).shown) == ("", "ok")
        clock.time += 25 * MINUTE
        late = fs.freshness()
        assert (late.views[0].level, late.views[0].shown, late.ok) == ("warn", "late", True)
        clock.time += 30 * MINUTE
        found = entry(fs)
        assert (found.level, found.status) == ("error", "stale")
        assert iso(found.since) == at("12:50")
        assert found.models == ("fraud@3",)
        assert "fraud@3" in str(fs.freshness())


def test_outside_of_its_hours_nothing_is_stale(tmp_path):
    clock = SettableClock(to_micros(at("20:00")))
    promise = sl.Freshness(error="1h", hours="08-18")
    with store(tmp_path, spend_of(payments(), freshness=promise), clock=clock) as fs:
        fs.push("pays", [pay("a", "12:00")])
        assert entry(fs).status == "ok"
        clock.time = to_micros(at("08:30", 3))
        assert entry(fs).status == "stale"
        assert iso(entry(fs).since) == at("13:00")


def test_the_lag_of_the_newest_rows_and_the_age_of_the_job(tmp_path):
    with store(tmp_path, spend_of(payments())) as fs:
        fs.push("pays", [pay(f"p{n}", "10:00", known=f"10:{n:02d}") for n in range(1, 60)])
        fs.materialize()
        fs.runtime.clock.time += 5 * MINUTE
        found = entry(fs)
        assert found.lag == (30 * MINUTE, int(58.42 * MINUTE))
        assert found.job == 5 * MINUTE
        told = found.to_dict()
        assert (told["job_age_seconds"], told["lag_seconds"][0]) == (300.0, 1800.0)


def test_how_fresh_a_view_was_is_kept(tmp_path):
    clock = SettableClock(NOON)
    with store(tmp_path, spend_of(payments(), freshness="1h"), clock=clock) as fs:
        fs.push("pays", [pay("a", "11:30")])
        fs.tend()
        clock.time += 60 * MINUTE
        fs.tend()
        first, second = freshness_history(fs.runtime.ledger, "Spend@v1", 0)
        assert (first["status"], first["age"]) == ("ok", 30 * MINUTE)
        assert (second["level"], second["since"]) == ("error", NOON + 30 * MINUTE)
