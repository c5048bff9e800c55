"""One pass over everything periodic: what is due is done, each part whether another fails or not.

    report = tend(runtime)
    print(report)

| part | due | what |
|---|---|---|
| materialize | every hour | all views are brought up to date; what has not changed costs little |
| backfill | every day | rows that came too late for their source (`lateness`) count from now on |
| compact | every day | event logs are settled into files |
| check | every hour | the checks of sources and views are carried out |
| profile | every day | the profiles of all features go into the ledger |
| drift | every day | the newest profiles are compared with their references |
| freshness | at every pass | how fresh each view is goes into the ledger, for its attainment |
| alerts | at every pass | who has to know is told what is wrong, and what no longer is |
| checkpoint | at every pass | how far the ledger goes is signed, where a second place is named |

``[tend]`` in ``skewless.toml`` says otherwise: ``materialize = "15m"``, ``backfill = "off"``;
``[tend.views.Spend]`` of one view. Where a view or a source fails, the others are done, and it is
due again at the next pass.

When a part was last done stands in the registry, so passes may come as often as they like, from
cron, a container or a DAG. One pass at a time: a lease in the journal keeps a second one, on any
machine, from beginning; it ends with its holder.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import iso
from skewless.durations import format_duration
from skewless.errors import Conflict, SkewlessError, said_by
from skewless.ledger.runs import recorded
from skewless.online.lease import Holder, Lease
from skewless.online.runtime import Runtime
from skewless.tend.parts import PARTS, Task
from skewless.tend.schedule import VIEWS, Schedule, earliest, names

LEASE = "skewless:tend"
"""The name of the lease: no source can have it."""
_SHOWN = 5
"""Views that are told of those that failed."""


@dataclass(frozen=True)
class Part:
    """What became of one part of a pass.

    Attributes:
        name: of the part.
        status: ``done``, ``failed``, ``not due`` or ``off``.
        said: what it did, why it failed, or when it is due.
        ok: False where it failed, or found what needs somebody.
    """

    name: str
    status: str
    said: str
    ok: bool = True


@dataclass(frozen=True)
class TendReport:
    """What became of a pass.

    Attributes:
        at: when it began, UTC microseconds.
        parts: of it, in order.
    """

    at: int
    parts: tuple[Part, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """Whether every part was done and found nothing that needs somebody."""
        return all(part.ok for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {"at": iso(self.at), "ok": self.ok, "parts": [vars(part) for part in self.parts]}

    def __str__(self) -> str:
        return "\n".join(f"{part.name}: {part.status}, {part.said}" for part in self.parts)


def _result(report: TendReport) -> dict[str, Any]:
    return {part.name: part.status for part in report.parts} | {"ok": report.ok}


@recorded("tend", result=_result)
def tend(runtime: Runtime, *, everything: bool = False) -> TendReport:
    """Do what is due; see `FeatureStore.tend`.

    Raises:
        Conflict: another pass is at work.
    """
    schedule = Schedule(runtime)
    lease = Lease(runtime.journal, LEASE, dict)
    if not lease.take():
        raise Conflict("another pass is at work", hint="It ends by itself, or with its process.")
    try:
        made = _Pass(runtime, schedule, lease, everything=everything)
        return TendReport(made.now, tuple(made.parts()))
    finally:
        lease.release()


def at_work(runtime: Runtime) -> Holder | None:
    """Return who does a pass now; None: nobody."""
    return next((each for each in Holder.read(runtime.journal, LEASE) if each.alive), None)


class _Pass:
    """One pass: does what is due, and keeps when it was done."""

    def __init__(
        self, runtime: Runtime, schedule: Schedule, lease: Lease, *, everything: bool
    ) -> None:
        self.runtime, self.schedule, self.lease = runtime, schedule, lease
        self.everything = everything
        self.now = runtime.clock.now()

    def parts(self) -> Iterator[Part]:
        """Do the parts, in order."""
        for problem in self.schedule.misnamed():
            yield Part(VIEWS, "failed", problem, ok=False)
        for name in names(self.runtime):
            # One that was taken for dead leaves the rest to the pass that has begun since.
            if self.lease.lost.is_set():
                yield Part(name, "failed", "another pass took over", ok=False)
                continue
            try:
                task = PARTS[name]
                items = [] if task.items is None else task.items(self.runtime)
                yield self._by_item(name, task, items) if items else self._whole(name, task)
            except Exception as problem:  # noqa: BLE001 - told, and the others are done
                yield Part(name, "failed", _told(problem), ok=False)

    def _whole(self, name: str, task: Task) -> Part:
        """Do a part that is one thing."""
        due = self.schedule.part(name)
        if not self.everything:
            if due.every is None:
                return Part(name, "off", "by [tend]")
            if (waits := due.waits(self.now)) is not None:
                return Part(name, "not due", f"next in {format_duration(waits)}")
        said, ok = task.do(self.runtime, None)
        self.schedule.note(name, "", self.now)
        return Part(name, "done", said, ok)

    def _by_item(self, name: str, task: Task, items: Sequence[str]) -> Part:
        """Do a part for the views or sources that it is due of."""
        dues = [self.schedule.item(name, item) for item in items]
        wanted = [each for each in dues if each.every is not None]
        if not self.everything:
            if not wanted:
                return Part(name, "off", "by [tend]")
            dues = [each for each in wanted if each.waits(self.now) is None]
            if not dues:
                waits = earliest(wanted, self.now)
                return Part(name, "not due", f"next in {format_duration(waits)}")
        due = [each.of for each in dues]
        try:  # all at once: they share what they read
            said, ok = task.do(self.runtime, None if len(due) == len(items) else due)
            failed: dict[str, str] = {}
            done = due
        except Exception as problem:  # noqa: BLE001 - then each by itself
            if len(due) == 1:
                done, failed, said, ok = [], {due[0]: _told(problem)}, "", True
            else:
                done, failed, said, ok = self._one_by_one(task, due)
        self._note(name, done, failed)
        if not failed:
            return Part(name, "done", said, ok)
        told = [f"{item}: {why}" for item, why in [*failed.items()][:_SHOWN]]
        count = f"{len(failed)} of {len(due)} failed"
        return Part(name, "failed", "; ".join([count, *told, *([said] if said else [])]), ok=False)

    def _one_by_one(
        self, task: Task, due: Sequence[str]
    ) -> tuple[list[str], dict[str, str], str, bool]:
        """Do a part for each item; those done, why others failed, what it found that is wrong."""
        done: list[str] = []
        failed: dict[str, str] = {}
        wrong: list[str] = []
        for item in due:
            if self.lease.lost.is_set():
                failed[item] = "another pass took over"
                continue
            try:
                said, ok = task.do(self.runtime, [item])
            except Exception as problem:  # noqa: BLE001 - told, and the others are done
                failed[item] = _told(problem)
                continue
            done.append(item)
            if not ok:
                wrong.append(f"{item}: {said}")
        return done, failed, "; ".join(wrong[:_SHOWN]), not wrong

    def _note(self, name: str, done: Sequence[str], failed: dict[str, str]) -> None:
        """Keep when items were done; those without a time of their own share that of the part."""
        apart = [item for item in done if self.schedule.apart(name, item)]
        if not self.lease.lost.is_set():
            for item in failed:
                self.schedule.note(name, item, 0)
        for item in apart:
            self.schedule.note(name, item, self.now)
        if len(apart) < len(done):
            self.schedule.note(name, "", self.now)


def _told(problem: Exception) -> str:
    return str(problem) if isinstance(problem, SkewlessError) else said_by(problem)
