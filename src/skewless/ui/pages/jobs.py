"""The jobs of a repo: what is due, who is at work, and how each kind of job has gone of late."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median
from typing import Any

from skewless.clock import iso
from skewless.ledger.runs import Run, runs
from skewless.tend.schedule import Due, due_items, due_parts
from skewless.tend.tend import at_work
from skewless.ui.page import Page
from skewless.ui.site import Site

DAYS, DAY = 30, 86_400_000_000
_BAD = ("failed", "killed")


def page(site: Site, given: dict[str, str]) -> Page:
    """Return when each part of `skewless tend` is due, and the jobs that ran in thirty days."""
    del given
    now = site.now()
    recent = [run for run in runs(site.runtime.ledger) if now - run.started < DAYS * DAY]
    groups: dict[str, list[Run]] = {}
    for run in recent:
        groups.setdefault(run.job, []).append(run)
    holder = at_work(site.runtime)
    data = {
        "parts": [_part(each, now) for each in due_parts(site.runtime)],
        "views": [_part(each, now) for each in due_items(site.runtime, apart=True)],
        "at_work": None if holder is None else {"host": holder.host, "since": iso(holder.since)},
        "jobs": sorted((_job(name, found) for name, found in groups.items()), key=_urgent),
        "days": DAYS,
    }
    drawn = {name: list(reversed(found)) for name, found in groups.items()}
    return Page("jobs.html", "Jobs", data, {"drawn": drawn}, "jobs")


def _part(due: Due, now: int) -> dict[str, Any]:
    late = due.every is not None and (due.next is None or due.next < now)
    return {
        "name": due.name,
        "of": due.of,
        "every": due.every,
        "last": None if due.last is None else iso(due.last),
        "ago": None if due.last is None else max(0, now - due.last),
        "next": None if due.next is None else iso(due.next),
        "overdue": late and due.last is not None and now - due.last > 2 * max(due.every or 0, DAY),
        "never": due.last is None,
    }


def _job(name: str, found: Iterable[Run]) -> dict[str, Any]:
    """Return how a job has gone; its runs are given newest first."""
    every = list(found)
    seconds = [run.seconds for run in every if run.seconds is not None]
    failed = [run for run in every if run.status in _BAD]
    newest = every[0]
    error = failed[0].error or {} if failed else {}
    return {
        "job": name,
        "status": newest.status,
        "started": iso(newest.started),
        "runs": len(every),
        "failed": len(failed),
        "median": median(seconds) if seconds else None,
        "longest": max(seconds) if seconds else None,
        "problem": str(error.get("what") or error.get("error") or "") if failed else "",
        "problem_at": iso(failed[0].started) if failed else None,
    }


def _urgent(job: dict[str, Any]) -> tuple[bool, bool, str]:
    return job["status"] not in _BAD, not job["failed"], job["job"]
