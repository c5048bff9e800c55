"""What the pages look at: an open store, and what was computed of it lately.

    site = Site(FeatureStore("repo/"))
    site.freshness().views

Freshness asks every log and table, statistics scan history and costs measure states, so all are
kept for a while and say when they were made.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from threading import Lock
from typing import Any

from skewless.costs.cost import CostReport
from skewless.definitions import FeatureRef, FeatureView
from skewless.errors import UnknownName
from skewless.monitoring.freshness import FreshnessReport, ViewFreshness
from skewless.monitoring.statistics import ViewStatistics
from skewless.online.some_keys import some_keys
from skewless.plan.apply.registry_state import Deprecation, RegistryState, View
from skewless.store import FeatureStore

FRESHNESS_SECONDS = 15.0
STATISTICS_SECONDS = 600.0
_KEPT_STATISTICS = 64


class Site:
    """An open store for pages to look at; may be shared by threads.

    Args:
        store: the open repo.
    """

    def __init__(self, store: FeatureStore) -> None:
        self.store = store
        self.runtime = store.runtime
        self._freshness: tuple[float, int, FreshnessReport] | None = None
        self._statistics: OrderedDict[tuple[str, int], tuple[float, ViewStatistics]] = OrderedDict()
        self._cost: tuple[float, int, CostReport] | None = None
        self._lock = Lock()

    @property
    def state(self) -> RegistryState:
        """The registry's state, at most a second old."""
        return self.runtime.state()

    def now(self) -> int:
        """Return the present that pages show, UTC microseconds."""
        return self.runtime.clock.now()

    def freshness(self) -> FreshnessReport:
        """Return how fresh views are, at most `FRESHNESS_SECONDS` old."""
        with self._lock:
            revision = self.state.revision
            kept = self._freshness
            if kept and kept[1] == revision and time.monotonic() - kept[0] < FRESHNESS_SECONDS:
                return kept[2]
            found = self.store.freshness()
            self._freshness = (time.monotonic(), revision, found)
            return found

    def freshness_of(self, view: str, version: int) -> ViewFreshness | None:
        """Return how fresh a version of a feature view is; None of an on-demand view."""
        views = self.freshness().views
        return next((each for each in views if (each.view, each.version) == (view, version)), None)

    def statistics(self, view: str) -> ViewStatistics:
        """Return the distributions of a view's features, at most `STATISTICS_SECONDS` old.

        Args:
            view: with its version, ``Spend@v2``.
        """
        found = self.kept_statistics(view)
        if found is None:
            found = self.store.statistics(view)
            with self._lock:
                self._statistics[view, self.state.revision] = (time.monotonic(), found)
                while len(self._statistics) > _KEPT_STATISTICS:
                    self._statistics.popitem(last=False)
        return found

    def kept_statistics(self, view: str) -> ViewStatistics | None:
        """Return the distributions of a view's features if they were computed lately."""
        kept = self._statistics.get((view, self.state.revision))
        if kept is None or time.monotonic() - kept[0] > STATISTICS_SECONDS:
            return None
        return kept[1]

    def cost(self) -> CostReport:
        """Return what features cost, at most `STATISTICS_SECONDS` old: every state is measured."""
        revision, kept = self.state.revision, self._cost
        if kept and kept[1] == revision and time.monotonic() - kept[0] < STATISTICS_SECONDS:
            return kept[2]
        found = self.store.cost()  # not under the lock: other pages go on meanwhile
        self._cost = (time.monotonic(), revision, found)
        return found

    def deprecation_of(self, view: str, version: int, feature: str = "") -> Deprecation | None:
        """Return the notice that a view, a version of it or a feature should not be used."""
        ends = ["", f"@v{version}"]
        if feature:
            ends += [f":{feature}", f"@v{version}:{feature}"]
        targets = {view + end for end in ends}
        return next((n for n in self.state.deprecations if n.target in targets), None)

    def unknown(self, kind: str, name: str, known: Iterable[str]) -> UnknownName:
        """Return the error for a name that the registry does not have."""
        return UnknownName.of(kind, name, known, where=self.state.place)

    def users_of(self, reference: str) -> list[str]:
        """Return the feature services that are pinned to a feature, by its full reference."""
        return [name for name, pins in sorted(self.state.pins.items()) if reference in pins]

    def derived_from(self, view: str, version: int, feature: str = "") -> list[str]:
        """Return the on-demand features that take from a view or a feature."""
        found = []
        for (name, number), each in self.state.on_demand.items():
            for output in each.features:
                if any(
                    ref.view == view
                    and ref.version == version
                    and (not feature or ref.feature == feature)
                    for ref in inputs_of(each, output)
                ):
                    found.append(f"{name}@v{number}:{output}")
        return sorted(found)

    def examples(self, view: FeatureView, version: int, count: int) -> list[dict[str, Any]]:
        """Return the keys of some entities that the online store holds, as they are asked for."""
        return some_keys(self.runtime, view, version, count)

    def examples_of_entity(self, entity: str, count: int = 6) -> list[dict[str, Any]]:
        """Return the keys of some entities of a kind; none where nothing of it is online."""
        for view, version in self.views_of_entity(entity):
            if found := self.examples(view, version, count):
                return found
        return []

    def views_of_entity(self, entity: str) -> Iterator[tuple[FeatureView, int]]:
        """Yield the current feature views of an entity with their versions, by name."""
        for name, version in sorted(self.state.current.items()):
            view = self.state.view(name)
            if isinstance(view, FeatureView) and view.entity.name == entity:
                yield view, version


def inputs_of(view: Any, feature: str) -> list[Any]:
    """Return the references that a feature of an on-demand view takes."""
    expression = view.expressions.get(feature)
    leaves = view.inputs.values() if expression is None else expression.leaves()
    return [leaf for leaf in leaves if isinstance(leaf, FeatureRef)]


def label_of(view: View, version: int) -> str:
    """Return the name of a view with its version."""
    return f"{view.name}@v{version}"
