"""Airflow's triggerer waits for fresh views: one process for all tasks that wait, no worker.

`FreshnessSensor` with ``deferrable=True`` defers to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from skewless.clock import from_micros
from skewless.errors import SkewlessError, StoreError, UnknownName
from skewless.store import FeatureStore


def reached(
    repo: str, views: Sequence[str] | None, until: int | None, log: Callable[..., None]
) -> bool:
    """Return whether history has events of views up to a moment.

    Args:
        repo: the folder of a repo.
        views: names; None for all.
        until: the moment, in microseconds since 1970; None: whether they are as fresh as promised.
        log: takes what is found of each.

    Raises:
        SkewlessError: the repo cannot be read, or has no such view.
    """
    with FeatureStore(repo) as fs:
        found = {each.view: each for each in fs.freshness().views}
    for name in views or ():
        if name not in found:
            raise UnknownName.of("view", name, found, where=repo)
    wanted = [found[name] for name in (found if views is None else views)]
    for each in wanted:
        newest = "none" if each.newest is None else from_micros(each.newest).isoformat()
        log("%s: newest event %s, %s", each.view, newest, each.status)
    if until is None:
        return all(each.status == "ok" for each in wanted)
    return all(each.newest is not None and each.newest >= until for each in wanted)


class FreshnessTrigger(BaseTrigger):  # type: ignore[misc]
    """Fires once views are fresh, or with what a further look cannot mend.

    Each look is in a thread, so that it holds no other trigger up; an outage of a store is waited
    for, as long as the task's ``timeout`` says.

    Args:
        repo: the folder of a repo, as the triggerer sees it.
        views: names; None for all.
        until: see `reached`.
        poke_interval: seconds between two looks.
    """

    def __init__(
        self, repo: str, views: list[str] | None, until: int | None, poke_interval: float
    ) -> None:
        super().__init__()
        self.repo, self.views, self.until = repo, views, until
        self.poke_interval = poke_interval

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return how the triggerer makes it anew."""
        names = ("repo", "views", "until", "poke_interval")
        path = f"{type(self).__module__}.{type(self).__qualname__}"
        return path, {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, until they are fresh."""
        while True:
            try:
                if await asyncio.to_thread(
                    reached, self.repo, self.views, self.until, self.log.info
                ):
                    yield TriggerEvent({"problem": None})
                    return
            except StoreError as problem:
                self.log.warning("not looked at: %s", problem)
            except SkewlessError as problem:
                yield TriggerEvent({"problem": str(problem)})
                return
            await asyncio.sleep(self.poke_interval)
