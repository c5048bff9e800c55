"""kill -9 at every step of every job: nothing lost, nothing doubled, nothing half."""

import contextlib
import random
import shutil
import signal
import time

import pytest

from skewless.clock import from_micros
from skewless.errors import ConcurrentApply
from tests.materialize import victim
from tests.materialize.victim import CARDS, SOURCE, SPEND, first_rows, opened, process
from tests.shop import NOON, answers, cards, check_parity, open_store, rows_of, write_part

ALL = cards(*CARDS, "nobody")
MOST = 12
PATIENCE = 60


@pytest.fixture(params=["lmdb", pytest.param("sqlite", marks=pytest.mark.slow)])
def kind(request):
    return request.param


@pytest.fixture
def prepared(tmp_path, kind):
    """A repo with rows in a table and in the log, materialized."""
    folder = tmp_path / "prepared"
    rows = first_rows()
    write_part(
        folder / "pays/a.parquet", [row | {"pay_id": "t" + row["pay_id"]} for row in rows[:20]]
    )
    with open_store(folder, SPEND, online={"kind": kind}) as fs:
        fs.push("pays", rows[20:40])
        fs.compact()
        fs.push("pays", [*rows[:20], *rows[40:]])
        fs.materialize()
        check_parity(fs, SPEND, ALL)
    return folder


def killed_at(folder, kind, name, last):
    """Run an operation in a process until it is killed; return its steps if it was not."""
    child, reports = process(victim.work, folder, kind, name, last)
    steps = None
    try:
        if not reports.poll(PATIENCE):
            raise TimeoutError(f"{name} does not end")
        with contextlib.suppress(EOFError):
            steps = reports.recv()
        child.join(PATIENCE)
        assert child.exitcode == (0 if steps else -signal.SIGKILL)
    finally:
        child.kill()
        reports.close()
    return steps


def copies(prepared, kind, name, seed):
    """A copy of the repo for every step, or for as many as time allows, that kills an operation."""
    folder = prepared.parent / "count"
    shutil.copytree(prepared, folder)
    steps = killed_at(folder, kind, name, None)
    assert steps[-1] == "return"
    for last in chosen_steps(steps, random.Random(seed)):
        copy = prepared.parent / f"{name}-{last}"
        shutil.copytree(prepared, copy)
        assert killed_at(copy, kind, name, last) is None
        yield copy


def chosen_steps(steps, chance):
    """All of a few steps; of many some writes of the store, some of files, and some of the rest."""
    every = range(1, len(steps) + 1)
    if len(steps) <= MOST:
        return every
    files = [at for at in every if steps[at - 1].startswith("module.")]
    writes = [at for at in every if at not in files and steps[at - 1] != "Connection.execute"]
    spread = [*spread_over(writes, MOST), *spread_over(files, MOST // 3)]
    return sorted({len(steps), len(steps) - 1, *spread, *chance.sample(every, 2)})


def spread_over(steps, most):
    """At most so many of some steps, evenly."""
    return steps[:: -(-len(steps) // most)] if steps else []


def ids(fs):
    """The ids of all rows that count, each as often as it does."""
    from skewless.engines.reference import visible

    return sorted(row.row_id[0] for row in visible(rows_of(fs, "pays"), NOON))


@pytest.mark.parametrize("name", ["push", "push_one", "correct", "delete"])
def test_killed_push_is_there_whole_or_not_at_all(prepared, kind, name, seed):
    with opened(prepared, kind) as fs:
        before = ids(fs), answers(fs, SPEND, ALL, NOON), len(fs.quarantine("pays"))
    complete = prepared.parent / "complete"
    shutil.copytree(prepared, complete)
    with opened(complete, kind) as fs:
        victim.OPERATIONS[name](fs)
        after = ids(fs), answers(fs, SPEND, ALL, NOON), len(fs.quarantine("pays"))
    found = []
    for folder in copies(prepared, kind, name, seed):
        with opened(folder, kind) as fs:
            now = ids(fs), answers(fs, SPEND, ALL, NOON), len(fs.quarantine("pays"))
            assert now in (before, after)
            found.append(now == after)
            check_parity(fs, SPEND, ALL)
            victim.OPERATIONS[name](fs)
            assert (ids(fs), answers(fs, SPEND, ALL, NOON)) == after[:2]
            check_parity(fs, SPEND, ALL)
    assert sorted(found) == found
    assert set(found) == {False, True}


def test_killed_compaction_loses_and_doubles_nothing(prepared, kind, seed):
    with opened(prepared, kind) as fs:
        before = ids(fs), answers(fs, SPEND, ALL, NOON)
    for folder in copies(prepared, kind, "compact", seed):
        with opened(folder, kind) as fs:
            assert (ids(fs), answers(fs, SPEND, ALL, NOON)) == before
            check_parity(fs, SPEND, ALL)
            fs.compact()
            assert ids(fs) == before[0]
            fs.push("pays", victim.batch(1))
            check_parity(fs, SPEND, ALL)
            fs.backfill()
            check_parity(fs, SPEND, ALL)


def test_killed_apply_is_old_or_new_and_is_done_by_applying_again(prepared, kind, seed):
    revisions = set()
    for folder in copies(prepared, kind, "apply", seed):
        with opened(folder, kind) as fs:
            revisions.add(fs.runtime.registry.state().revision)
            current = fs.runtime.registry.state().view("Spend")
            check_parity_of_first(fs)
            fs.push("pays", victim.batch(1))
            check_parity_of_first(fs)
            victim.apply(fs)
            fs.materialize()
            for view in fs.runtime.state(fresh=True).views.values():
                if view.name != "Spend" or view.features != SPEND.features:
                    check_parity(fs, view, ALL)
            check_parity_of_first(fs)
            assert current.name == "Spend"
    assert len(revisions) == 2


def check_parity_of_first(fs):
    """The first version serves what its history says, whatever became of the second."""
    names = [f"Spend@v1:{feature}" for feature in SPEND.features]
    spine = [key | {"t": from_micros(NOON)} for key in ALL]
    table = fs.get_historical_features(spine, names, timestamp="t").to_arrow()
    online = fs.get_online_features(names, ALL).to_rows()
    assert online == table.select(list(SPEND.features)).to_pylist()


def test_killed_materialize_goes_on_where_it_stopped(prepared, kind, seed):
    resumed = []
    for folder in copies(prepared, kind, "apply_and_materialize", seed):
        with opened(folder, kind) as fs:
            check_parity_of_first(fs)
            victim.apply(fs)
            results = fs.materialize()
            resumed += [result.resumed for result in results]
            for name in ("More", "Spend"):
                view = fs.runtime.state(fresh=True).view(name)
                check_parity(fs, view, ALL)
            check_parity_of_first(fs)
            assert all(result.skipped for result in fs.materialize())
    assert max(resumed) > 0


def test_killed_backfill_serves_on_and_goes_on(prepared, kind, seed):
    with opened(prepared, kind) as fs:
        before = answers(fs, SPEND, ALL, NOON)
    resumed = []
    for folder in copies(prepared, kind, "backfill", seed):
        with opened(folder, kind) as fs:
            assert answers(fs, SPEND, ALL, NOON) == before
            fs.push("pays", [])
            resumed += [result.resumed for result in fs.backfill()]
            assert answers(fs, SPEND, ALL, NOON) == before
            check_parity(fs, SPEND, ALL)
    assert max(resumed) > 0


@pytest.mark.slow
def test_kills_at_any_moment_lose_no_acknowledged_row_and_show_no_half_batch(prepared, kind, seed):
    """Reads beside see every batch whole; after each kill all that was reported is there."""
    chance = random.Random(seed)
    told: dict[str, set[int]] = {"pushed": set(), "corrected": set(), "deleted": set()}

    def is_whole(fs):
        found = fs.get_online_features(["Spend:count_1d", "Spend:sum_n"], ALL[:3]).values
        return len({count - start for (count, _), start in zip(found, starts, strict=True)}) == 1

    with opened(prepared, kind) as fs:
        starts = [c for (c,) in fs.get_online_features(["Spend:count_1d"], ALL[:3]).values]
        for _ in range(4):
            first = max(told["pushed"], default=9)
            child, reports = process(victim.work_for_ever, prepared, kind, first)
            deadline = time.monotonic() + PATIENCE
            expected = chance.randint(1, 25)
            while expected:
                assert time.monotonic() < deadline
                assert is_whole(fs)
                if reports.poll():
                    what, number = reports.recv()
                    told[what].add(number)
                    expected -= 1
            time.sleep(chance.uniform(0, 0.02))
            child.kill()
            child.join()
            with contextlib.suppress(EOFError):
                while reports.poll():
                    what, number = reports.recv()
                    told[what].add(number)
            assert is_whole(fs)
            check_told(fs, told)
            check_parity(fs, SPEND, ALL)


def check_told(fs, told):
    """Everything acknowledged holds; what was under way is whole or not there."""
    found = ids(fs)
    assert len(found) == len(set(found))
    live = told["pushed"] - told["deleted"]
    expected = {row["pay_id"] for number in live for row in victim.batch(number)}
    missing = expected - set(found)
    # The last deletion may have been kept without the word of it.
    assert len(missing) in (0, 3)
    extra = {i for i in found if i.startswith("new")} - expected
    assert len(extra) % 3 == 0


def test_two_processes_that_push_at_once_lose_and_double_nothing(prepared, kind):
    batches = 12
    children = [process(victim.push_batches, prepared, kind, name, batches) for name in "ab"]
    for _, reports in children:
        assert reports.recv() == "ready"
    for _, reports in children:
        reports.send("go")
    with opened(prepared, kind) as fs:
        fs.push("pays", [])
        for child, reports in children:
            assert reports.poll(PATIENCE)
            assert reports.recv() == "done"
            child.join()
        found = [i for i in ids(fs) if not i.startswith(("old", "told"))]
        expected = [
            f"{w}-{row['pay_id']}" for w in "ab" for n in range(batches) for row in victim.batch(n)
        ]
        assert found == sorted([*expected, "shared"])
        check_parity(fs, SPEND, ALL)
        fs.backfill()
        check_parity(fs, SPEND, ALL)


def test_of_two_applies_at_once_one_is_told_to_plan_again(prepared, kind):
    with opened(prepared, kind) as one, opened(prepared, kind) as two:
        plans = [
            fs.plan(SPEND, victim.spend_of(SOURCE, name)) for fs, name in ((one, "A"), (two, "B"))
        ]
        one.apply(plans[0])
        with pytest.raises(ConcurrentApply):
            two.apply(plans[1])
        two.apply(two.plan(SPEND, victim.spend_of(SOURCE, "B")))
        one.materialize()
        for name in "AB":
            check_parity(two, victim.spend_of(SOURCE, name), ALL)
