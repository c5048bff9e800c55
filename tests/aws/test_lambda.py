"""AWS Lambda onto DynamoDB: every record counts once, however it is repeated, cut or raced."""

import dataclasses
import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.aws import _function, handler
from skewless.aws.function import StreamFunction
from skewless.errors import (
    ConfigError,
    Conflict,
    CorruptData,
    DefinitionError,
    InputError,
    StoreError,
    StoreUnavailable,
)
from skewless.ingest.lanes.begin import begin
from tests.aws import events
from tests.aws.conftest import Account
from tests.aws.events import QUEUE, STREAM, TABLE, of_kinesis, of_queue, of_table
from tests.cli.running import ran, run_in
from tests.ingest.stream.events import FABS, bits, source, store, view
from tests.ingest.stream.events import event as row

pytestmark = pytest.mark.server("dynamodb")
Rows = list[dict[str, Any]]


@pytest.fixture
def rows() -> Rows:
    return [row(number) for number in range(80)]


def served(fs: sl.FeatureStore, at: Any = None) -> dict[str, Any]:
    found = fs.get_online_features("Rolling", [{"fab": fab} for fab in FABS], at=at).to_dict()
    return {name: [bits(value) for value in values] for name, values in found.items()}


def statuses(fs: sl.FeatureStore, feature: str, fabs: list[str]) -> list[str]:
    found = fs.get_online_features([feature], [{"fab": fab} for fab in fabs])
    return [str(status) for (status,) in found.statuses]


def assert_counted_once(fs: sl.FeatureStore, folder: Path, rows: Rows) -> None:
    """Online is what a repo with a journal has of the same rows."""
    (folder / "journal").mkdir()
    with store(folder / "journal", source(None)) as other:
        other.push("tests", rows)
        at = other.runtime.clock.now()
        assert served(fs, at) == served(other, at)


@pytest.mark.parametrize(
    ("stream", "records_of"),
    [(STREAM, of_kinesis), (QUEUE, of_queue), (TABLE, of_table)],
    ids=["kinesis", "queue", "table"],
)
def test_records_that_come_again_count_once(
    account: Account,
    tmp_path: Path,
    rows: Rows,
    stream: str,
    records_of: Callable[[Rows], list[events.Record]],
) -> None:
    fs, records = account.begun(stream), records_of(rows)
    first, second = account.function(), account.function()
    for function, since, until in [
        (first, 0, 50),
        (second, 0, 33),
        (first, 21, 80),
        (second, 0, 80),
    ]:
        assert function(events.event(records[since:until])) == {"batchItemFailures": []}
    assert_counted_once(fs, tmp_path, rows)


def test_functions_that_race_for_the_same_states_count_each_record_once(
    account: Account, tmp_path: Path, rows: Rows
) -> None:
    fs, functions = account.begun(), [account.function() for _ in range(4)]
    lanes = [[r for r in rows if r["id"] % 4 == lane] for lane in range(4)]
    work = [of_kinesis(some, key=lambda r: f"lane {r['id'] % 4}") for some in lanes] * 2

    def take(number: int) -> None:
        records = work[number]
        for at in range(0, len(records), 7):
            while True:  # as Lambda does
                try:
                    functions[number % 4](events.event(records[at : at + 7]))
                    break
                except Conflict:
                    continue

    order = list(range(len(work)))
    random.Random(3).shuffle(order)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(take, order))
    assert_counted_once(fs, tmp_path, rows)


def failing(function: StreamFunction, monkeypatch: pytest.MonkeyPatch, calls: int) -> None:
    """Have the store be away after so many units; it is back when that is undone."""
    real, left = function.writer.store.change_together, [calls]

    def change(changes: Any) -> bool:
        left[0] -= 1
        if left[0] < 0:
            raise StoreUnavailable("away")
        return real(changes)

    monkeypatch.setattr(function.writer.store, "change_together", change)


def test_what_was_not_kept_is_returned_and_comes_again(
    account: Account, tmp_path: Path, rows: Rows
) -> None:
    fs, records = account.begun(QUEUE), of_queue(rows)
    function = account.function(reports=True)
    with pytest.MonkeyPatch.context() as patch:
        failing(function, patch, 1)
        failed = function(events.event(records))["batchItemFailures"]
        assert 0 < len(failed) < len(records)
        ids = [each["itemIdentifier"] for each in failed]
        assert ids == [each["messageId"] for each in records[-len(ids) :]]
        with pytest.raises(StoreUnavailable, match="away"):  # nothing was kept: it failed
            function(events.event(records[-len(ids) :]))
    assert function(events.event(records[-len(ids) :])) == {"batchItemFailures": []}
    assert_counted_once(fs, tmp_path, rows)


def test_without_reports_the_whole_of_a_batch_comes_again(
    account: Account, tmp_path: Path, rows: Rows
) -> None:
    fs, function = account.begun(), account.function()
    with pytest.MonkeyPatch.context() as patch:
        failing(function, patch, 1)
        with pytest.raises(StoreUnavailable, match="away"):
            function(events.event(of_kinesis(rows)))
    function(events.event(of_kinesis(rows)))
    assert_counted_once(fs, tmp_path, rows)


def test_bad_records_are_set_aside_once(account: Account, rows: Rows) -> None:
    fs = account.begun(TABLE)
    bad = {**rows[0], "vdd": "high", "id": 900}
    gone = of_table([{**rows[1], "id": 901}], "REMOVE")
    expired = of_table([{**rows[1], "id": 902}], "REMOVE")
    expired[0]["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    records = [*of_table([bad]), *gone, *expired, *of_table(rows[2:3])]
    for _ in range(2):
        account.function()(events.event(records))
    kept = [row.reason for row in fs.quarantine("tests")]
    assert len(kept) == 2
    assert sum("vdd" in text for text in kept) == sum("a deletion" in text for text in kept) == 1
    assert (
        sum(fs.get_online_features(["Rolling:low"], [{"fab": f} for f in FABS]).to_dict()["low"])
        <= 1
    )


def test_entities_never_seen_are_unknown_and_lost_ones_building(
    account: Account, rows: Rows
) -> None:
    fs, function = account.begun(), account.function()
    one = [r for r in rows if r["fab"] == "f0"]
    function(events.event(of_kinesis(one[:2])))

    def found() -> list[str]:
        return statuses(fs, "Rolling:total_1h", ["f0", "f1"])

    assert found() == ["present", "unknown"]
    (table,) = (layout.table for layout in function.writer.stream_log.layouts)
    ((key, _),) = fs.runtime.online.scan(table)
    fs.runtime.online.delete(table, [key])
    assert found() == ["building", "unknown"]
    with pytest.raises(CorruptData, match="missing of entities that had one"):
        function(events.event(of_kinesis(one)))


def test_a_state_that_is_too_large_is_set_aside_and_the_others_go_on(
    account: Account, rows: Rows
) -> None:
    fs, function = account.begun(), account.function()
    small = dataclasses.replace(function.writer.store.capabilities, max_value_bytes=700)
    function.writer.store.capabilities = small
    many = [{**row(n), "fab": "f0"} for n in range(100, 140)]
    for some in (many, rows[:10], [row(number) for number in range(140, 150)]):
        function(events.event(of_kinesis(some, key=lambda r: str(r["id"]))))
    assert statuses(fs, "Rolling:newest", FABS) == ["building", *["present"] * 4]


def test_whoever_does_not_own_the_states_is_refused(account: Account, rows: Rows) -> None:
    fs, function = account.begun(), account.function()
    function(events.event(of_kinesis(rows)))
    with pytest.raises(Conflict, match="written by log"):
        fs.push("tests", rows)
    with pytest.raises(Conflict, match="another stream"):
        function(events.event(of_queue(rows)))
    with pytest.raises(Conflict, match="another stream"):
        begin(fs.runtime, "tests", QUEUE)
    fs.runtime.ownership.adopt([])
    with pytest.raises(Conflict, match=r"written by journal"):
        function(events.event(of_kinesis(rows)))


def test_states_wanted_later_are_refused_and_never_present(account: Account, rows: Rows) -> None:
    fs = account.begun()
    account.function()(events.event(of_kinesis(rows)))
    tests = source(None)

    @sl.feature_view(entity=sl.Entity("fab", fab=str), source=tests)
    class Later:
        most = tests.vdd.max("3d")

    again = account.repo("again", view(tests), Later)
    with pytest.raises(Conflict, match="counted before these states were wanted"):
        begin(again.runtime, "tests", STREAM)
    assert statuses(again, "Later:most", ["f0"]) == ["building"]
    assert statuses(fs, "Rolling:low", ["f0"]) == ["present"]


def test_what_cannot_be_exact_is_refused_with_its_reasons(account: Account) -> None:
    tests = source(None, row_id="id", lateness="1h")

    @sl.feature_view(entity=sl.Entity("fab", fab=str), source=tests)
    class Sessions:
        visits = tests.count(sl.session("30m"))

    fs = account.repo("repo", Sessions)
    with pytest.raises(DefinitionError) as refused:
        begin(fs.runtime, "tests", STREAM)
    for reason in ("its row id (id)", "its lateness", "a late row may join", "stream run"):
        assert reason in str(refused.value)


def test_events_that_cannot_be_exact_are_refused(account: Account, rows: Rows) -> None:
    account.begun(QUEUE)
    function = account.function()
    with pytest.raises(InputError, match=r"standard queue.*FIFO"):
        function(events.event(of_queue(rows[:1], fifo=False)))
    aggregated = of_kinesis(rows[:1])
    aggregated[0]["kinesis"]["data"] = "84mawgo="
    with pytest.raises(InputError, match="AggregationEnabled"):
        function(events.event(aggregated))
    keys_only = of_table(rows[:1])
    del keys_only[0]["dynamodb"]["NewImage"]
    with pytest.raises(InputError, match="NEW_IMAGE"):
        function(events.event(keys_only))
    for wrong in ({}, {"Records": [{"eventSource": "aws:s3", "eventSourceARN": "arn:aws:s3:::b"}]}):
        with pytest.raises(InputError):
            function(wrong)


def test_a_repo_with_rows_or_another_store_is_refused(account: Account, tmp_path: Path) -> None:
    (tmp_path / "lmdb").mkdir()
    with store(tmp_path / "lmdb", source(None)) as fs, pytest.raises(StoreError, match="dynamodb"):
        begin(fs.runtime, "tests", STREAM)
    fs = account.repo("repo", view(source(None)))
    with pytest.raises(Conflict, match="no states of 'tests' were begun"):
        account.function()
    fs.push("tests", [row(1)])
    with pytest.raises(Conflict, match="rows in the log of this repo"):
        begin(fs.runtime, "tests", STREAM)


def test_the_command_begins_and_the_handler_goes_by_its_environment(
    account: Account, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs = account.repo("repo", view(source(None)))
    folder = account.folder / "repo"
    for _ in range(2):
        ran(run_in(folder, "online", "begin", "tests", "--stream", STREAM))
    _function.cache_clear()
    with pytest.raises(ConfigError, match="SKEWLESS_SOURCE"):
        handler(events.event(of_kinesis(rows)))
    monkeypatch.setenv("SKEWLESS_SOURCE", "tests")
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(folder))
    assert handler(events.event(of_kinesis(rows)), None) == {"batchItemFailures": []}
    _function.cache_clear()
    assert (
        None not in fs.get_online_features(["Rolling:newest"], [{"fab": "f0"}]).to_dict()["newest"]
    )
