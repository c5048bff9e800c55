"""Which views are in use although no service names them: they have states, or are read.

Removing such a view is a breaking change: whoever reads it by name finds nothing any more, and its
states are dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from skewless.clock import SECOND, iso
from skewless.errors import StoreError
from skewless.online.runtime import Runtime
from skewless.plan.apply.apply_plan import ApplyPlan, Break
from skewless.plan.apply.registry_state import VIEW_KINDS, RegistryState
from skewless.registry.base import Registry

LATELY = 30 * 86_400 * SECOND
"""How long a read counts."""
_READ = "read/"


def note_reads(registry: Registry, views: Iterable[str], now: int) -> None:
    """Note in the registry that views were read at a moment, UTC microseconds."""
    for view in views:
        registry.set_progress(_READ + view, now)


def with_use(runtime: Runtime, plan: ApplyPlan, state: RegistryState) -> ApplyPlan:
    """Return a plan that also breaks what is in use of the views it removes."""
    removed = [(kind, name) for kind, name in plan.removals if kind in VIEW_KINDS]
    found = [
        Break(kind, name, f"is removed, and it {use}")
        for kind, name in removed
        for use in _uses(runtime, state, name)
    ]
    return replace(plan, breaking=(*plan.breaking, *found)) if found else plan


def _uses(runtime: Runtime, state: RegistryState, view: str) -> Iterator[str]:
    registry = runtime.registry
    read = registry.get_progress(_READ + view)
    if read is not None and runtime.clock.now() - read <= LATELY:
        yield f"was read on {iso(read)[:10]}"
    versions = [key for key in state.views if key[0] == view]
    if any(registry.intervals(*key) for key in versions):
        yield "has states: it was materialized"
        return
    for source in {state.views[key].source.name for key in versions}:
        try:
            rows = runtime.log(state.sources[source]).last_sequence()
        except StoreError as problem:
            yield f"may have states: {problem.what}"
        else:
            if rows:
                yield f"has states of {rows:,} rows of source {source!r}"
