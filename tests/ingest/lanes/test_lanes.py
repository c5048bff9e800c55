"""States on Redis that are kept up without a journal: counted once, and missed when they are lost."""

import json
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.errors import Conflict, StoreError, StoreUnavailable
from skewless.ingest.lanes.begin import begin
from skewless.ingest.lanes.records import LaneRecord
from skewless.ingest.lanes.writer import LaneWriter
from skewless.online.log_owned import lanes_table
from skewless.testing.servers import Server, running
from tests.ingest.stream.events import FABS, bits, event, source, store

pytestmark = pytest.mark.server("redis")
STREAM = "kafka:cluster/tests/id"
Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def redis() -> Iterator[Server]:
    with running("redis") as server:
        yield server


@pytest.fixture
def folder(redis: Server, tmp_path: Path) -> Path:
    namespace = uuid.uuid4().hex
    (tmp_path / "skewless.toml").write_text(
        f'[online]\nkind = "redis"\nurl = "{redis.url}"\nnamespace = "{namespace}"\n'
    )
    return tmp_path


@pytest.fixture
def fs(folder: Path) -> Iterator[sl.FeatureStore]:
    with store(folder, source(None)) as fs:
        yield fs


def records(rows: Rows, lanes: int = 2) -> list[LaneRecord]:
    """Records of partitions that a key decides, known when the test says."""
    numbers = [0] * lanes
    found = []
    for row in rows:
        lane = int(row["fab"][1:]) % lanes
        value, key = json.dumps(row).encode(), row["fab"].encode()
        found.append(LaneRecord(b"%d" % lane, numbers[lane], value, key, 0, known=10**15))
        numbers[lane] += 1
    return found


def keep(writer: LaneWriter, some: Sequence[LaneRecord]) -> None:
    for _ in writer.kept(some):
        pass


def served(fs: sl.FeatureStore, at: Any = None) -> dict[str, Any]:
    found = fs.get_online_features("Rolling", [{"fab": fab} for fab in FABS], at=at).to_dict()
    return {name: [bits(value) for value in values] for name, values in found.items()}


def test_writers_that_race_and_repeat_count_each_record_once(
    fs: sl.FeatureStore, folder: Path
) -> None:
    begin(fs.runtime, "tests", STREAM)
    rows = [event(number) for number in range(400)]
    some = records(rows)

    def work(number: int) -> None:
        with LaneWriter(folder, "tests") as writer:
            for first in range(0, len(some), 40 + number):
                keep(writer, some[max(0, first - 7) : first + 40 + number])

    with ThreadPoolExecutor(3) as threads:
        list(threads.map(work, range(3)))
    (folder / "journal").mkdir()
    (folder / "journal/skewless.toml").write_text("")
    with store(folder / "journal", source(None)) as other:
        other.push("tests", rows)
        at = other.runtime.clock.now()
        assert served(fs, at) == served(other, at)
    lanes = dict(fs.runtime.online.scan(lanes_table("tests")))
    assert sorted(int(number) + 1 for number in lanes.values()) == [160, 240]


def test_lanes_begin_behind_what_was_there_before_and_only_once(fs: sl.FeatureStore) -> None:
    begin(fs.runtime, "tests", STREAM, {b"0": 41, b"1": -1})
    begin(fs.runtime, "tests", STREAM, {b"0": 99})
    lanes = dict(fs.runtime.online.scan(lanes_table("tests")))
    assert lanes == {b"0": b"41", b"1": b"-1"}


def test_a_store_that_lost_its_states_is_missed_by_whoever_read_and_wrote_them(
    fs: sl.FeatureStore, folder: Path
) -> None:
    begin(fs.runtime, "tests", STREAM)
    with LaneWriter(folder, "tests") as writer:
        keep(writer, records([event(number) for number in range(10)]))
        assert None not in served(fs)["newest"]
        for table in fs.runtime.home.states.tables():
            fs.runtime.home.states.drop(table)
        with pytest.raises(Conflict, match="no states of 'tests' were begun"):
            writer.check(STREAM)
    with sl.FeatureStore(folder) as again, pytest.raises(StoreUnavailable, match="no mark"):
        served(again)


def test_what_a_begin_that_was_cut_off_left_is_believed_for_the_same_beginning_alone(
    fs: sl.FeatureStore,
) -> None:
    """Of a topic made anew its first messages would have counted as kept."""
    states = fs.runtime.home.states
    states.compare_and_set(lanes_table("tests"), [(b"0", None, b"99")])
    for reached in ({b"0": -1}, {b"1": 99}, None):
        with pytest.raises(Conflict, match="for a topic that began elsewhere"):
            begin(fs.runtime, "tests", STREAM, reached)
    begin(fs.runtime, "tests", STREAM, {b"0": 99, b"1": -1})
    assert dict(states.scan(lanes_table("tests"))) == {b"0": b"99", b"1": b"-1"}


def test_rows_set_aside_without_a_journal_are_shown_and_not_said_to_be_purged(
    fs: sl.FeatureStore, folder: Path
) -> None:
    begin(fs.runtime, "tests", STREAM)
    with LaneWriter(folder, "tests") as writer:
        keep(writer, [LaneRecord(b"0", 0, b"no row", b"k", 0, known=10**15)])
    assert len(fs.quarantine("tests")) == 1
    with pytest.raises(StoreError, match="without a journal are not purged"):
        fs.purge_quarantine("tests")
    assert len(fs.quarantine("tests")) == 1
