"""An online read, compiled: from entities to keys, and from packed states to values. Pure.

A `Lookup` is made once per list of features and reused until the registry changes::

    for part in lookup.parts:
        states = store.read(part.table, part.keys(entities))   # the only I/O
        ...
    result = lookup.assemble(states_per_part, entities, t, k)

Features that are the newest row's columns are read straight out of its packed form; everything
else goes through `state.window_eval`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from skewless.definitions import FeatureView
from skewless.errors import InputError, MissingColumn
from skewless.expressions.on_demand import compute_rows
from skewless.plan.selection import Selection
from skewless.plan.table_read import Part
from skewless.state.layout import StateLayout
from skewless.state.status import Status


class Lookup:
    """The compiled plan of an online read.

    Attributes:
        selection: what was asked for.
        parts: one per table to read.
    """

    def __init__(
        self, selection: Selection, layouts: Mapping[tuple[str, int], StateLayout]
    ) -> None:
        self.selection = selection
        grouped: dict[str, tuple[StateLayout, list[tuple[FeatureView, int, str]]]] = {}
        for need in selection.views:
            layout = layouts[need.view.name, need.version]
            members = grouped.setdefault(layout.table, (layout, []))[1]
            members += [(need.view, need.version, feature) for feature in need.features]
        self.parts = tuple(Part(layout, views) for layout, views in grouped.values())
        names = [reference for part in self.parts for reference in part.references]
        self._place = {name: at for at, name in enumerate(names)}
        wanted = [self._place.get(output.reference) for output in selection.outputs]
        self.simple = not selection.on_demand and wanted == list(range(len(names)))
        self._wanted = wanted
        self._part_of = [n for n, part in enumerate(self.parts) for _ in part.references]
        self.names = tuple(output.name for output in selection.outputs)

    def explain(self) -> str:
        """Return the stages of the read, one a line."""
        lines = [
            f"read table {part.table}: {len(part.references)} features"
            f" ({'newest row only' if part.newest else 'rows of windows'})"
            for part in self.parts
        ]
        lines += [f"compute on demand: {need.view!r}" for need in self.selection.on_demand]
        return "\n".join(lines)

    def assemble(
        self,
        states: Sequence[Sequence[bytes | None]],
        entities: Sequence[Mapping[str, Any]],
        t: int,
        k: int,
    ) -> tuple[list[list[Any]], list[list[Status]], list[list[int | None]]]:
        """Return values, statuses and newest event times: a list per entity, in output order.

        Args:
            states: what the store gave for each part, an item per entity.
            entities: join keys and request fields, as the caller gave them.
            t: the moment, microseconds.
            k: the knowledge, microseconds.
        """
        answers = [
            part.answers(blobs, t, k) for part, blobs in zip(self.parts, states, strict=True)
        ]
        if self.simple and len(self.parts) == 1:
            only = answers[0]
            width = len(self._wanted)
            return [a[0] for a in only], [a[1] for a in only], [[a[2]] * width for a in only]
        values, statuses, events = [], [], []
        for number in range(len(entities)):
            row = [part[number] for part in answers]
            values.append([value for part in row for value in part[0]])
            statuses.append([status for part in row for status in part[1]])
            events.append([row[part][2] for part in self._part_of])
        if self.simple:
            return values, statuses, events
        return self._with_on_demand(values, statuses, events, entities)

    def _with_on_demand(
        self,
        values: list[list[Any]],
        statuses: list[list[Status]],
        events: list[list[int | None]],
        entities: Sequence[Mapping[str, Any]],
    ) -> tuple[list[list[Any]], list[list[Status]], list[list[int | None]]]:
        columns: dict[str, list[Any]] = {
            name: [row[at] for row in values] for name, at in self._place.items()
        }
        for request in self.selection.requests:
            columns[request.name] = [_field(entity, request) for entity in entities]
        compute_rows(self.selection.on_demand, columns, len(entities))
        for number, (row, status, event) in enumerate(zip(values, statuses, events, strict=True)):
            found = [columns[output.reference][number] for output in self.selection.outputs]
            values[number] = found
            statuses[number] = [
                (Status.NULL if value is None else Status.PRESENT) if at is None else status[at]
                for at, value in zip(self._wanted, found, strict=True)
            ]
            events[number] = [None if at is None else event[at] for at in self._wanted]
            del row
        return values, statuses, events


def _field(entity: Mapping[str, Any], request: Any) -> Any:
    if request.name not in entity:
        raise MissingColumn.of(request.name, entity, where="the request")
    try:
        return request.dtype.coerce(entity[request.name])
    except ValueError as problem:
        raise InputError(f"request field {request.name!r}: {problem}") from None
