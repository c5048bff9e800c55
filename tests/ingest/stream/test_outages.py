"""A store that cannot be reached is waited for, and nothing is lost or doubled."""

from pathlib import Path
from typing import Any

import pytest

import skewless as sl
from skewless.config import Config
from skewless.errors import StoreUnavailable
from skewless.ingest.stream.worker import StreamWorker
from skewless.testing.memory import MemoryStore
from tests.ingest.stream.events import (
    LANDING,
    append,
    event,
    lines,
    run,
    served_and_computed,
    source,
    taken_in,
    view,
)


class Outage(MemoryStore):
    """A store that cannot be reached at times."""

    def __init__(self) -> None:
        super().__init__()
        self.before: list[bool] = []
        self.after: list[bool] = []

    def transaction(self) -> Any:
        return _Unreliable(super().transaction(), self)


class _Unreliable:
    def __init__(self, inner: Any, store: Outage) -> None:
        self.inner, self.store = inner, store

    def __enter__(self) -> Any:
        if self.store.before and self.store.before.pop(0):
            raise StoreUnavailable("cannot be reached")
        return self.inner.__enter__()

    def __exit__(self, *failure: Any) -> Any:
        result = self.inner.__exit__(*failure)
        if failure[0] is None and self.store.after and self.store.after.pop(0):
            raise StoreUnavailable("lost on the way")
        return result


def outages(landing: Path) -> tuple[Outage, sl.FeatureStore]:
    unreliable = Outage()
    fs = sl.FeatureStore(landing.parent, online=unreliable)
    fs.apply(fs.plan(view(source(LANDING))))
    return unreliable, fs


def test_an_outage_is_waited_for_and_nothing_is_lost_or_doubled(landing: Path) -> None:
    """Whether a transaction fails before it began or after it was kept."""
    unreliable, fs = outages(landing)
    append(landing / "a.jsonl", lines(event(n) for n in range(60)))
    worker = StreamWorker(fs.runtime, "tests", max_rows=20)
    with fs, worker:
        unreliable.before = [True]
        worker.step()
        unreliable.after = [True]
        worker.step()
        unreliable.after = [True]
        worker.step()
        assert (worker.metrics.retries, worker.metrics.rows) == (3, 60)
        assert worker.step(0) is None
        assert taken_in(fs) == list(range(60))
        served, computed = served_and_computed(fs)
        assert served == computed


def test_a_worker_that_may_give_up_does(landing: Path) -> None:
    unreliable, fs = outages(landing)
    append(landing / "a.jsonl", lines([event(1)]))
    with fs, StreamWorker(fs.runtime, "tests", give_up=0.2) as worker:
        unreliable.before = [True] * 50
        with pytest.raises(StoreUnavailable):
            worker.step()
        unreliable.before = []
        worker.step()
    assert taken_in(fs) == [1]


def test_states_in_a_store_of_their_own_catch_up(landing: Path) -> None:
    """The log is in another store than the states, which is lost between the two."""

    class Apart(MemoryStore):
        capabilities = MemoryStore.capabilities.__class__(atomic_batch=True, ordered_scan=True)
        refusals = 0

        def write(self, table: str, items: Any) -> None:
            if self.refusals:
                self.refusals -= 1
                raise StoreUnavailable("cannot be reached")
            super().write(table, items)

    online = Apart()
    config = Config.of(landing.parent, {})
    with sl.FeatureStore(config, online=online) as fs:
        fs.apply(fs.plan(view(source(LANDING))))
        append(landing / "a.jsonl", lines(event(n) for n in range(20)))
        online.refusals = 2
        assert run(fs, max_rows=10).retries == 2
        assert taken_in(fs) == list(range(20))
        served, computed = served_and_computed(fs)
        assert served == computed
