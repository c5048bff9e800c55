"""Airflow 3: operators and a sensor over a repo.

    from airflow.sdk import DAG
    from skewless.plugs.airflow import FreshnessSensor, MaterializeOperator, VerifyOperator

    with DAG("features", schedule="@hourly", start_date=datetime(2026, 1, 1, tzinfo=UTC)):
        fresh = FreshnessSensor(task_id="fresh", repo="features", views=["Spend"])
        built = MaterializeOperator(task_id="materialize", repo="features", views=["Spend"])
        fresh >> built >> VerifyOperator(task_id="verify", repo="features")

They run where the worker's Python has skewless; where its dependencies clash with others, let a
``BashOperator`` call ``skewless materialize``. What a retry cannot mend (a check that fails, a
value that differs, a name that is not there) fails a task at once; an outage is retried.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from airflow.sdk import Asset, BaseOperator, BaseSensorOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException

from skewless.clock import iso, to_micros
from skewless.errors import SkewlessError, StoreError
from skewless.plugs.airflow_trigger import FreshnessTrigger, reached
from skewless.store import FeatureStore


def asset_of(project: str, view: str) -> Asset:
    """Return the asset that stands for a view: of ``outlets=``, and what a DAG is scheduled by."""
    return Asset(name=f"{project}/{view}", uri=f"skewless://{project}/{view}")


class MaterializeOperator(BaseOperator):  # type: ignore[misc]
    """Brings views up to date with what has changed in the data interval of its run.

    Runs may come in any order and more than once. A run without an interval (one by hand) looks at
    everything. Each of its ``outlets`` gets an event with what was done.

    Args:
        repo: the folder of a repo.
        views: names; None for all.
        options: of `BaseOperator`: ``task_id``, ``outlets``, ``retries``.
    """

    template_fields: Sequence[str] = ("repo", "views")

    def __init__(self, *, repo: str, views: Sequence[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.repo = repo
        self.views = views

    def execute(self, context: Any) -> dict[str, Any]:
        """Materialize; the returned figures are the task's XCom."""
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        if start is None or end is None or start >= end:
            start = end = None
        with _opened(self.repo) as fs:
            done = fs.materialize(_names(self.views), start=start, end=end)
        figures = {
            "entities": sum(each.entities for each in done),
            "rows": sum(each.rows for each in done),
            "start": None if start is None else iso(to_micros(start)),
            "end": None if end is None else iso(to_micros(end)),
        }
        for outlet in self.outlets or ():
            context["outlet_events"][outlet].extra = dict(figures)
        return figures


class VerifyOperator(BaseOperator):  # type: ignore[misc]
    """Fails where what is served is not, bit for bit, what history gives.

    Args:
        repo: the folder of a repo.
        views: names; None for all.
        entities: how many of each view are read.
        options: of `BaseOperator`.
    """

    template_fields: Sequence[str] = ("repo", "views")

    def __init__(
        self, *, repo: str, views: Sequence[str] | None = None, entities: int = 1000, **options: Any
    ) -> None:
        super().__init__(**options)
        self.repo = repo
        self.views = views
        self.entities = entities

    def execute(self, context: Any) -> int:  # noqa: ARG002
        """Verify; return how many values were compared."""
        with _opened(self.repo) as fs:
            report = fs.verify(_names(self.views), entities=self.entities)
        if not report.ok:
            raise AirflowFailException(str(report))
        return int(report.values.total())


class TendOperator(BaseOperator):  # type: ignore[misc]
    """Does what is due of everything periodic, and tells who has to know; see `FeatureStore.tend`.

    Args:
        repo: the folder of a repo.
        options: of `BaseOperator`.
    """

    template_fields: Sequence[str] = ("repo",)

    def __init__(self, *, repo: str, **options: Any) -> None:
        super().__init__(**options)
        self.repo = repo

    def execute(self, context: Any) -> str:  # noqa: ARG002
        """Tend; return the report."""
        with _opened(self.repo) as fs:
            return str(fs.tend())


class FreshnessSensor(BaseSensorOperator):  # type: ignore[misc]
    """Waits until views have events up to the end of the data interval of its run, in history.

    A run without an interval waits until they are as fresh as promised.

    Args:
        repo: the folder of a repo.
        views: names; None for all.
        deferrable: whether the triggerer waits, which then reads the repo, for any number of tasks
            in one process; by default what Airflow's setting ``default_deferrable`` says. Else
            ``mode`` is ``"reschedule"``: a worker looks, and is free between looks.
        options: of `BaseSensorOperator`: ``poke_interval``, ``timeout``.
    """

    template_fields: Sequence[str] = ("repo", "views")

    def __init__(
        self, *, repo: str, views: Sequence[str] | None = None, deferrable: bool | None = None,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(**({"mode": "reschedule"} | options))
        self.repo = repo
        self.views = views
        by_default: bool = conf.getboolean("operators", "default_deferrable", fallback=False)
        self.deferrable = by_default if deferrable is None else deferrable

    def poke(self, context: Any) -> bool:
        """Look once."""
        with _failing_at_once():
            return reached(self.repo, self.views, _until(context), self.log.info)

    def execute(self, context: Any) -> Any:
        """Wait, or leave the waiting to the triggerer."""
        if not self.deferrable:
            return super().execute(context)
        if not self.poke(context):
            trigger = FreshnessTrigger(
                self.repo, _names(self.views), _until(context), self.poke_interval
            )
            seconds = timedelta(seconds=self.timeout)
            self.defer(trigger=trigger, method_name="execute_complete", timeout=seconds)
        return None

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:  # noqa: ARG002
        """Go on after the triggerer has waited."""
        if event["problem"] is not None:
            raise AirflowFailException(event["problem"])


def _until(context: Any) -> int | None:
    """Return the end of a run's data interval; None of a run without one."""
    start, end = context.get("data_interval_start"), context.get("data_interval_end")
    return None if start is None or end is None or start >= end else to_micros(end)


@contextmanager
def _opened(repo: str) -> Iterator[FeatureStore]:
    """Open a repo."""
    with _failing_at_once(), FeatureStore(repo) as fs:
        yield fs


@contextmanager
def _failing_at_once() -> Iterator[None]:
    """Fail the task at once for what a retry cannot mend."""
    try:
        yield
    except StoreError:
        raise
    except SkewlessError as problem:
        raise AirflowFailException(str(problem)) from problem


def _names(views: Sequence[str] | None) -> list[str] | None:
    return None if views is None else list(views)
