"""The plan of a training set: which columns of which source are scanned, and how. Pure.

A retrieval is a list of steps, one or two per source and entity:

- `LatestStep`: columns of the newest row that counts, found by one streaming pass over times and
  keys and a second one that fetches the winners (memory follows the spine, not the history);
- `WindowStep`: aggregations over windows, for which the rows of the asked-for entities are held.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from skewless.aggregations.forms import counted
from skewless.definitions import Aggregate, Entity, Expression, FeatureView, Source
from skewless.definitions.source import exclusive_of
from skewless.errors import InputError
from skewless.expressions.scalar import leaf_key
from skewless.plan.selection import NeededView, Selection
from skewless.state.layout import filter_of
from skewless.state.newest_row import is_latest

AsOf = Literal["known", "event_time"]


@dataclass(frozen=True)
class WantedAggregate:
    """An aggregate to compute, with the whole condition its rows must meet."""

    aggregate: Aggregate
    where: Expression | None

    @property
    def key(self) -> tuple[str, str]:
        """What tells it apart within its source and entity."""
        return leaf_key(self.aggregate), "" if self.where is None else repr(self.where.to_dict())


@dataclass(frozen=True)
class LatestStep:
    """Columns of the newest row that counts.

    Attributes:
        source: whose rows.
        entity: whose keys.
        where: which rows count at all; None for all.
        offset: how far back from the spine's time, microseconds.
        wanted: the aggregates answered by that row.
        keys: the names of the entity's keys in the spine.
    """

    source: Source
    entity: Entity
    where: Expression | None
    offset: int
    wanted: tuple[WantedAggregate, ...]
    keys: tuple[str, ...]

    @property
    def exclusive(self) -> int:
        """1 where the moment asked about does not count itself, else 0."""
        return exclusive_of(self.source)

    def explain(self) -> str:
        """Return the step in a line."""
        columns = ", ".join(sorted({repr(w.aggregate.column) for w in self.wanted}))
        where = "" if self.where is None else f" where {self.where!r}"
        return f"newest row of {self.source.name} by {self.entity.name}{where}: {columns}"


@dataclass(frozen=True)
class WindowStep:
    """Aggregations over windows of rows.

    Attributes:
        source: whose rows.
        entity: whose keys, named as the source's columns.
        wanted: the aggregates.
        keys: the names of the entity's keys in the spine.
    """

    source: Source
    entity: Entity
    wanted: tuple[WantedAggregate, ...]
    keys: tuple[str, ...]

    @property
    def exclusive(self) -> int:
        """1 where the moment asked about does not count itself, else 0."""
        return exclusive_of(self.source)

    def explain(self) -> str:
        """Return the step in a line."""
        windows = sorted({repr(w.aggregate.window) for w in self.wanted})
        return (
            f"{len(self.wanted)} aggregations of {self.source.name} by {self.entity.name}"
            f" over {', '.join(windows)}: "
            f"{counted(item.aggregate.forms.training for item in self.wanted)}"
        )


Step = LatestStep | WindowStep


@dataclass(frozen=True)
class RetrievalPlan:
    """Everything an engine needs to build a training set.

    Attributes:
        selection: what was asked for.
        steps: what is computed, in order.
        timestamp: the spine's time column.
        as_of: ``known`` (what was known at the time) or ``event_time`` (known time ignored).
    """

    selection: Selection
    steps: tuple[Step, ...]
    timestamp: str
    as_of: AsOf

    def explain(self) -> str:
        """Return the stages of the run, one a line."""
        lines = [step.explain() for step in self.steps]
        lines += [f"compute on demand: {need.view!r}" for need in self.selection.on_demand]
        lines.append(f"as of {self.as_of} at spine column {self.timestamp!r}")
        return "\n".join(lines)


def plan_retrieval(selection: Selection, *, timestamp: str, as_of: str) -> RetrievalPlan:
    """Return the plan of a training set.

    Args:
        selection: what was asked for.
        timestamp: the spine's time column.
        as_of: ``known`` or ``event_time``.

    Raises:
        InputError: another ``as_of``.
    """
    if as_of not in ("known", "event_time"):
        raise InputError("as_of", got=repr(as_of), expected="'known' or 'event_time'")
    grouped: dict[Any, tuple[FeatureView, dict[Any, WantedAggregate]]] = {}
    for need in selection.views:
        view = need.view
        keys = (view.row_entity.key_names, view.asked_entity.key_names)
        place = (repr(view.source.to_dict()), view.entity.name, keys)
        wanted = grouped.setdefault(place, (view, {}))[1]
        for aggregate in needed_aggregates(need):
            item = WantedAggregate(aggregate, filter_of(view, aggregate))
            wanted.setdefault(item.key, item)
    steps: list[Step] = []
    for view, wanted in grouped.values():
        steps += _steps(view, tuple(wanted.values()))
    chosen: AsOf = "known" if as_of == "known" else "event_time"
    return RetrievalPlan(selection, tuple(steps), timestamp, chosen)


def steps_by_source(plan: RetrievalPlan) -> dict[str, list[Step]]:
    """Return the steps that read each source, see `history_names`."""
    found: dict[str, list[Step]] = {}
    names = history_names(plan)
    for step in plan.steps:
        found.setdefault(names[rows_of(step.source)], []).append(step)
    return found


def rows_of(source: Source) -> str:
    """Return what says which rows a source has, known when."""
    times = source.event_time, source.known_time, source.delay, source.lateness
    return repr((source.name, *times, source.row_id, source.epochs))


def history_names(plan: RetrievalPlan) -> dict[str, str]:
    """Return what each history of a plan is called: as its source, each by `rows_of`.

    Versions of views from before a source changed see its rows otherwise: they have a history of
    their own.
    """
    found: dict[str, str] = {}
    for source in (step.source for step in plan.steps):
        number = sum(name.partition("#")[0] == source.name for name in found.values())
        found.setdefault(rows_of(source), f"{source.name}#{number}" if number else source.name)
    return found


def needed_times(steps: Sequence[Step], first: int, last: int) -> tuple[int | None, int]:
    """Return between which event times rows can matter to some steps, microseconds.

    Args:
        steps: of one source.
        first: the earliest time asked about.
        last: the latest.

    Returns:
        The earliest event time, None where the oldest row of all may matter, and that after the
        latest.
    """
    spans = [
        item.aggregate.window.span if isinstance(step, WindowStep) else None
        for step in steps
        for item in step.wanted
    ]
    if None in spans:
        return None, last + 1
    return first - max((span for span in spans if span is not None), default=0) - 1, last + 1


def needed_aggregates(need: NeededView) -> list[Aggregate]:
    """Return the aggregates behind the needed features of a view."""
    return [
        leaf
        for feature in need.features
        for leaf in need.view.expressions[feature].leaves()
        if isinstance(leaf, Aggregate)
    ]


def _steps(view: FeatureView, wanted: tuple[WantedAggregate, ...]) -> list[Step]:
    source, entity, keys = view.source, view.row_entity, view.asked_entity.key_names
    latest: dict[tuple[str, int], list[WantedAggregate]] = {}
    windows = []
    for item in wanted:
        if is_latest(item.aggregate):
            group = (item.key[1], item.aggregate.window.offset)
            latest.setdefault(group, []).append(item)
        else:
            windows.append(item)
    steps: list[Step] = [
        LatestStep(source, entity, group[0].where, offset, tuple(group), keys)
        for (_, offset), group in latest.items()
    ]
    if windows:
        steps.append(WindowStep(source, entity, tuple(windows), keys))
    return steps
