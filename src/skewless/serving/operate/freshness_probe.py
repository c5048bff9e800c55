"""How fresh views are, for metrics: what costs time is done in a process of its own.

The newest event of an event log is one row; that of a table may mean reading files, which would
take the interpreter away from requests. So tables are looked at by a child process, and only when
they have changed.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from skewless.definitions.freshness import Freshness, promise_of
from skewless.errors import StoreError
from skewless.serving.handover import handed, taken
from skewless.store import FeatureStore
from skewless.stores.offline.base import TableReader

_PATIENCE = 600.0
_NICE = 10


@dataclass(frozen=True)
class ViewAge:
    """What is known of a view's freshness.

    Attributes:
        view: its name.
        served: event time of the newest event it serves, UTC microseconds, or None.
        promised: the greatest age its owner promised, microseconds, or None.
        promise: all that its owner promised.
    """

    view: str
    served: int | None
    promised: int | None
    promise: Freshness | None = None

    def fresh(self, now: int) -> bool:
        """Return whether the promise is kept; outside of its hours it is."""
        return self._within(now, None if self.promise is None else self.promise.error)

    def late(self, now: int) -> bool:
        """Return whether it is worth a look, and not stale yet."""
        warns = None if self.promise is None else self.promise.warn
        return self.fresh(now) and not self._within(now, warns)

    def _within(self, now: int, limit: int | None) -> bool:
        if self.promise is None or limit is None or not self.promise.open_at(now):
            return True
        return self.served is not None and self.promise.age(self.served, now) <= limit


class ViewAges:
    """Keeps what is known of views' freshness up to date.

    Args:
        store: the feature store.

    Attributes:
        stopped: whether the server is stopping: nothing is found out any more, which is no failure.
    """

    def __init__(self, store: FeatureStore) -> None:
        self._store = store
        self._seen: Any = None
        self._of_tables: list[ViewAge] = []
        self._child: subprocess.Popen[bytes] | None = None
        self.stopped = False

    def now(self) -> list[ViewAge]:
        """Return what is known of the current version of each view.

        Raises:
            SkewlessError: a registry, table or store cannot be read.
        """
        runtime = self._store.runtime
        state = runtime.state()
        seen = (
            state.revision,
            [(name, _parts(runtime.table(source))) for name, source in state.sources.items()],
            [runtime.registry.intervals(*key) for key in state.views],
        )
        if seen != self._seen:
            self._of_tables = self._look()
            self._seen = seen
        newest = {}
        for name, source in state.sources.items():
            newest[name] = runtime.log(source).newest_event()
        found = []
        for age in self._of_tables:
            view = state.views.get((age.view, state.current.get(age.view, 0)))
            if view is None:
                continue
            known = [t for t in (age.served, newest[view.source.name]) if t is not None]
            promise = promise_of(view.labels)
            found.append(ViewAge(age.view, max(known, default=None), age.promised, promise))
        return found

    def _look(self) -> list[ViewAge]:
        config = self._store.config
        shared = self._store.runtime.online.capabilities.shared_by_processes
        frames = any(
            source.table is not None and source.table.kind == "frame"
            for source in self._store.runtime.state().sources.values()
        )
        if not shared or frames:
            return look(self._store)
        try:
            # Ctrl-C is for the server, which then ends it.
            self._child = child = subprocess.Popen(
                [sys.executable, "-m", "skewless.serving.operate.freshness_probe"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                process_group=0,
            )  # fmt: skip
            with child:
                if self.stopped:
                    child.kill()
                try:
                    out, said = child.communicate(handed(config), timeout=_PATIENCE)
                finally:
                    child.kill()  # or it would be waited for however long it takes
            if child.returncode:
                last = said.decode(errors="replace").strip().rpartition("\n")[2]
                raise OSError(last or f"its process ended with code {child.returncode}")
            found = json.loads(out)
        except (OSError, ValueError, subprocess.TimeoutExpired) as problem:
            raise StoreError("the freshness of views is not known", got=str(problem)) from None
        finally:
            self._child = None
        return [ViewAge(*entry) for entry in found]

    def stop(self) -> None:
        """End the child process, if there is one; from now on nothing is found out."""
        self.stopped = True
        child = self._child
        if child is not None:
            child.kill()


def look(store: FeatureStore) -> list[ViewAge]:
    """Return the freshness of the current version of each view."""
    current = store.runtime.state().current
    return [
        ViewAge(view.view, view.served, view.promised)
        for view in store.freshness().views
        if current.get(view.view) == view.version
    ]


def _parts(table: TableReader | None) -> list[tuple[str, str]]:
    """Return name and version of each part of a source's table."""
    return [] if table is None else [(part.name, part.version) for part in table.parts()]


def main() -> None:
    """Print the freshness of a repo's views as JSON, without haste."""
    import os

    os.nice(_NICE)
    with FeatureStore(taken(sys.stdin.buffer.readline())) as store:
        print(json.dumps([(age.view, age.served, age.promised) for age in look(store)]))


if __name__ == "__main__":
    main()
