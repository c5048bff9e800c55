"""An online read, compiled: from entities to keys, and from packed states to values. Pure.

A `Lookup` is made once per list of features and reused until the registry changes::

    keys = [part.keys(entities) for part in lookup.parts]
    ...                                       # `online.reader` reads them: the only I/O
    found = lookup.assemble(states, entities, t, k)

Features that are the newest row's columns are read straight out of its packed form; everything
else goes through `state.window_eval`.

A part whose table is not complete has no keys to read: its values are null, their status is
`building`, and so is that of every on-demand feature computed from one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar, cast

from skewless.clock import from_micros
from skewless.definitions import FeatureView
from skewless.definitions.references import split_reference
from skewless.errors import InputError, MissingColumn
from skewless.expressions.on_demand import compute_rows
from skewless.expressions.scalar import NOW
from skewless.forks import cached_property
from skewless.plan.selection import Selection
from skewless.plan.table_read import Ahead, State, TableRead
from skewless.state.layout import StateLayout
from skewless.state.newest_row import Answers, Columns
from skewless.state.status import Status

T = TypeVar("T")
Found = tuple[list[list[Any]], list[list[Status]], list[list[int | None]]]
"""Values, statuses and newest event times: a list per entity, in the order of the features."""


@dataclass(frozen=True)
class ServedBy:
    """The table of states that answers for a view version.

    Attributes:
        layout: of the table.
        complete: whether its states are built from every row that can count; while they are not,
            the view's values are `building`.
    """

    layout: StateLayout
    complete: bool = True


class Lookup:
    """The compiled plan of an online read.

    Args:
        selection: what is asked for.
        serving: what answers for each view version, see `StateTables.serving`.

    Attributes:
        selection: what was asked for.
        parts: one per table to read.
    """

    def __init__(self, selection: Selection, serving: Mapping[tuple[str, int], ServedBy]) -> None:
        self.selection = selection
        grouped: dict[Any, tuple[StateLayout, bool, list[tuple[FeatureView, int, str]]]] = {}
        for need in selection.views:
            by = serving[need.view.name, need.version]
            keys = tuple(need.view.asked_entity.key_names), repr(need.view.constants)
            place = (by.layout.table, by.complete, keys)
            members = grouped.setdefault(place, (by.layout, by.complete, []))[2]
            members += [(need.view, need.version, feature) for feature in need.features]
        self.parts = tuple(
            TableRead(layout, views, complete=complete)
            for layout, complete, views in grouped.values()
        )
        names = [reference for part in self.parts for reference in part.references]
        self._place = {name: at for at, name in enumerate(names)}
        wanted = [self._place.get(output.reference) for output in selection.outputs]
        self._pick: Callable[[Sequence[Any]], Sequence[Any]] | None = None
        if not selection.on_demand and wanted != list(range(len(names))):
            self._pick = itemgetter(*wanted)  # two at least: one would be in order
        self._wanted = wanted
        self._asks_now = selection.asks_now
        self._alone = len(self.parts) == 1 and not selection.on_demand
        self._newest = self._newest_columns()
        self.names = tuple(output.name for output in selection.outputs)

    def explain(self) -> str:
        """Return the stages of the read, one a line."""
        lines = [
            f"read table {part.table}: {len(part.references)} features ({part.how})"
            for part in self.parts
        ]
        lines += [f"compute on demand: {need.view!r}" for need in self.selection.on_demand]
        return "\n".join(lines)

    def _newest_columns(self) -> Columns | None:
        """Return what reads all of it out of the newest rows of one table, in output order."""
        if not self._alone or not self.parts[0].complete or self.parts[0].newest is None:
            return None
        return self.parts[0].newest.columns(at for at in self._wanted if at is not None)

    def newest(self, states: Sequence[Sequence[State | None]], t: int, k: int) -> Found | None:
        """Return what `assemble` does if every newest row answers alone, by the compiled module."""
        if self._newest is None:
            return None
        found: Found | None = self._newest(cast("Sequence[bytes | None]", states[0]), t, k)
        return found

    def assemble(
        self,
        states: Sequence[Sequence[State | None]],
        entities: Sequence[Mapping[str, Any]],
        t: int,
        k: int,
        vanished: Iterable[tuple[int, int]] = (),
        *,
        ahead: Ahead | None = None,
    ) -> Found:
        """Return values, statuses and newest event times: a list per entity, in output order.

        Args:
            states: what the store gave for each part, an item per entity.
            entities: join keys and request fields, as the caller gave them.
            t: the moment, microseconds.
            k: the knowledge, microseconds.
            vanished: part and number of each entity that was seen and whose state is missing.
            ahead: of a read of the present, see `Part.answers`.
        """
        count = len(entities)
        answers = [
            part.answers(blobs, t, k, ahead, shared=not self._alone)
            if part.complete
            else part.building(count)
            for part, blobs in zip(self.parts, states, strict=True)
        ]
        for part, number in vanished:
            answers[part][number] = self.parts[part].building(1)[0]
        if self._alone:
            return self._of_one_part(answers[0])
        values, statuses, events = self._joined(answers, count)
        if self.selection.on_demand:
            return self._with_on_demand(values, statuses, events, entities, t)
        if self._pick is None:
            return values, statuses, events
        pick = self._pick
        return _in_order(pick, values), _in_order(pick, statuses), _in_order(pick, events)

    def _joined(self, answers: Sequence[Sequence[Answers]], count: int) -> Found:
        """Return the answers of all parts in one list for each entity."""
        values: list[list[Any]] = [[] for _ in range(count)]
        statuses: list[list[Status]] = [[] for _ in range(count)]
        events: list[list[int | None]] = [[] for _ in range(count)]
        for part, its in zip(self.parts, answers, strict=True):
            width = len(part.references)
            for number, (found, how, event) in enumerate(its):
                values[number] += found
                statuses[number] += how
                events[number] += (event,) * width
        return values, statuses, events

    def _of_one_part(self, answers: Sequence[Answers]) -> Found:
        """Return the answers of the only part in output order."""
        width = len(self._wanted)
        if len(answers) == 1:
            ((values, statuses, event),) = answers
            found: Found = [values], [statuses], [[event] * width]
        else:
            found = (
                [answer[0] for answer in answers],
                [answer[1] for answer in answers],
                [[answer[2]] * width for answer in answers],
            )
        if self._pick is None:
            return found
        return _in_order(self._pick, found[0]), _in_order(self._pick, found[1]), found[2]

    def _with_on_demand(
        self,
        values: list[list[Any]],
        statuses: list[list[Status]],
        events: list[list[int | None]],
        entities: Sequence[Mapping[str, Any]],
        t: int,
    ) -> Found:
        columns: dict[str, list[Any]] = {
            name: [row[at] for row in values] for name, at in self._place.items()
        }
        for request in self.selection.requests:
            columns[request.name] = [_field(entity, request) for entity in entities]
        if self._asks_now:
            columns[NOW] = [from_micros(t)] * len(entities)
        building = any(Status.BUILDING in status for status in statuses)
        if building:
            self._compute_where_complete(columns, statuses)
        else:
            compute_rows(self.selection.on_demand, columns, len(entities))
        for number, (row, status, event) in enumerate(zip(values, statuses, events, strict=True)):
            found = [columns[output.reference][number] for output in self.selection.outputs]
            values[number] = found
            statuses[number] = [
                (Status.NULL if value is None else Status.PRESENT) if at is None else status[at]
                for at, value in zip(self._wanted, found, strict=True)
            ]
            if building:
                self._mark_building(statuses[number], status)
            events[number] = [None if at is None else event[at] for at in self._wanted]
            del row
        return values, statuses, events

    def _mark_building(self, statuses: list[Status], inputs: list[Status]) -> None:
        """Give outputs that are computed from values with status `building` the same status."""
        for place, (output, at) in enumerate(
            zip(self.selection.outputs, self._wanted, strict=True)
        ):
            needs = self._inputs[output.view, output.version] if at is None else ()
            if any(inputs[number] is Status.BUILDING for number in needs):
                statuses[place] = Status.BUILDING

    def _compute_where_complete(
        self, columns: dict[str, list[Any]], statuses: list[list[Status]]
    ) -> None:
        """Add the on-demand features; null where something they are computed from is building.

        Functions of users never see a value that is not there yet.
        """
        groups: dict[frozenset[tuple[str, int]], list[int]] = {}
        for number, status in enumerate(statuses):
            waits = frozenset(
                view
                for view, inputs in self._inputs.items()
                if any(status[at] is Status.BUILDING for at in inputs)
            )
            groups.setdefault(waits, []).append(number)
        given, on_demand = dict(columns), self.selection.on_demand
        for need in on_demand:
            for feature in need.view.features:
                columns[need.reference(feature)] = [None] * len(statuses)
        for waits, numbers in groups.items():
            others = tuple(n for n in on_demand if (n.view.name, n.version) not in waits)
            some = {name: [column[number] for number in numbers] for name, column in given.items()}
            compute_rows(others, some, len(numbers))
            for name in some.keys() - given.keys():
                for number, value in zip(numbers, some[name], strict=True):
                    columns[name][number] = value

    @cached_property
    def _inputs(self) -> dict[tuple[str, int], frozenset[int]]:
        """The places of the values that each on-demand view is computed from, in the end."""
        found: dict[tuple[str, int], frozenset[int]] = {}
        for need in self.selection.on_demand:  # each after those it needs
            places: frozenset[int] = frozenset()
            for ref in need.view.refs:
                if ref.reference in self._place:
                    places |= {self._place[ref.reference]}
                else:
                    name, version, _ = split_reference(ref.reference)
                    places |= found[name, version or 0]
            found[need.view.name, need.version] = places
        return found


def _in_order(pick: Callable[[Sequence[T]], Sequence[T]], rows: list[list[T]]) -> list[list[T]]:
    """Return rows in the order asked for; rows that are one and the same list stay so."""
    found: list[list[T]] = []
    before: list[T] | None = None
    for row in rows:
        found.append(found[-1] if row is before else list(pick(row)))
        before = row
    return found


def _field(entity: Mapping[str, Any], request: Any) -> Any:
    if request.name not in entity:
        raise MissingColumn.of(request.name, entity, where="the request")
    try:
        return request.dtype.coerce(entity[request.name])
    except ValueError as problem:
        raise InputError(
            f"request field {request.name!r}: {problem}", where="the request"
        ) from None
