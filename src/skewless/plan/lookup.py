"""An online read, compiled: from entities to keys, and from packed states to values. Pure.

A `Lookup` is made once per list of features and reused until the registry changes::

    for part in lookup.parts:
        states = store.read(part.table, part.keys(entities))   # the only I/O
        ...
    result = lookup.assemble(states_per_part, entities, t, k)

Features that are the newest row's columns are read straight out of its packed form; everything
else goes through `plan.moment`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from skewless.clock import iso
from skewless.definitions import Aggregate, Expression, FeatureView
from skewless.errors import CorruptData, InputError, MissingColumn
from skewless.plan.blob import HEADER, VERSION, decode, layout_mark, read_header
from skewless.plan.evaluate import compile_scalar, leaf_key
from skewless.plan.keys import KeyCodec
from skewless.plan.layout import StateLayout
from skewless.plan.moment import Answer, Moment, answer_of
from skewless.plan.on_demand import compute_rows
from skewless.plan.retrieval import is_newest_row
from skewless.plan.selection import Selection
from skewless.plan.slots import Slot
from skewless.plan.status import Status

_CHANGED = frozenset({"bool", "timestamp", "date", "decimal", "vector"})
Answers = tuple[list[Any], list[Status], int | None]
"""Values and statuses of a part's features, and the newest event behind them."""


@dataclass(frozen=True)
class PartFeature:
    """One feature of a view as a part answers for it."""

    reference: str
    expression: Expression


class Part:
    """What one table answers: the features of all views over one entity and source.

    Attributes:
        table: of the online store.
        layout: how its states are packed.
        features: what is answered, in order.
    """

    def __init__(self, layout: StateLayout, views: Sequence[tuple[FeatureView, int, str]]) -> None:
        self.layout = layout
        self.table = layout.table
        self.codec = KeyCodec(layout.entity)
        self.features = tuple(
            PartFeature(f"{view.name}@v{version}:{feature}", view.expressions[feature])
            for view, version, feature in views
        )
        self._views = tuple(view for view, _, _ in views)
        self._mark = layout_mark(layout.fingerprint)
        self._plans = tuple(
            _compile(layout, view, feature.expression)
            for view, feature in zip(self._views, self.features, strict=True)
        )
        self._newest = _NewestRow.compile(layout, self._views, self.features)
        self._unknown = self._answer_nothing()

    def keys(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes]:
        """Return the keys of the entities in the store."""
        encode = self.codec.encode
        return [encode(entity) for entity in entities]

    def answer(self, blob: bytes | None, t: int, k: int) -> Answers:
        """Return the values of one entity at ``t`` with knowledge ``k``."""
        if blob is None:
            return self._unknown
        if self._newest is not None:
            answers = self._newest.read(blob, t, k)
            if answers is not None:
                return answers
        return self._answer_fully(blob, t, k)

    def _answer_fully(self, blob: bytes, t: int, k: int) -> Answers:
        header = read_header(blob)
        if header.layout != self._mark:
            raise CorruptData("a state of another layout", where=f"table {self.table!r}")
        if t < header.floor:
            raise InputError(
                "a moment further back than the online store remembers",
                got=iso(t),
                expected=f"{iso(header.floor)} or later",
                hint="Ask history for it (get_historical_features), or raise rewind.",
            )
        moment = Moment(decode(self.layout.slots, [blob]), self.layout.left, t, k)
        answers = [plan(moment) for plan in self._plans]
        return [v for v, _ in answers], [s for _, s in answers], moment.newest_event

    def _answer_nothing(self) -> Answers:
        """Return the answers for an entity that was never seen."""
        answers = [plan(None) for plan in self._plans]
        return [v for v, _ in answers], [s for _, s in answers], None


def _compile(
    layout: StateLayout, view: FeatureView, expression: Expression
) -> Callable[[Moment | None], Answer]:
    """Return the function from an entity's rows (None: never seen) to a feature's answer."""
    if isinstance(expression, Aggregate):
        read = layout.read_of(view, expression)

        def plain(moment: Moment | None) -> Answer:
            if moment is None:
                return answer_of(read.aggregate, None, Status.UNKNOWN)
            return moment.answer(read)

        return plain
    aggregates = [leaf for leaf in expression.leaves() if isinstance(leaf, Aggregate)]
    inner = [(leaf_key(leaf), _compile(layout, view, leaf)) for leaf in aggregates]
    compute = compile_scalar(expression)

    def derived(moment: Moment | None) -> Answer:
        answers = {key: answer(moment) for key, answer in inner}
        value = compute({key: value for key, (value, _) in answers.items()})
        if moment is None or moment.newest_event is None:
            return value, Status.UNKNOWN
        return value, Status.NULL if value is None else Status.PRESENT

    return derived


class _NewestRow:
    """Reads features that are columns of the newest row, without unpacking the others."""

    def __init__(self, layout: StateLayout, wanted: Sequence[tuple[Aggregate, int]]) -> None:
        slots = layout.slots
        self._left = layout.left
        self._tails = [at for at, slot in enumerate(slots) if not slot.fixed]
        nulls = (len(slots) + 7) // 8
        picked = sorted({slot for _, slot in wanted} | set(self._tails))
        codes = [
            slot.struct_code if at in picked else f"{struct.calcsize('<' + slot.struct_code)}x"
            for at, slot in enumerate(slots)
        ]
        tails = f"{len(self._tails)}I" if self._tails else ""
        self._struct = struct.Struct(f"{HEADER.format}{tails}qqq{nulls}s{''.join(codes)}")
        self._version = VERSION
        self._mark = layout_mark(layout.fingerprint)
        self._record = self._struct.size - HEADER.size - 4 * len(self._tails)
        first = 13 + len(self._tails)
        place = {slot: first + at for at, slot in enumerate(picked)}
        self._first = first
        self._wanted = tuple(
            (place[slot], slot, 1 << slot, slots[slot], aggregate) for aggregate, slot in wanted
        )
        self._plain = all(
            slots[slot].fixed and slots[slot].dtype.kind not in _CHANGED
            and aggregate.ttl is None
            for aggregate, slot in wanted
        )  # fmt: skip
        self._present = [Status.PRESENT] * len(wanted)
        places = [place[slot] for _, slot in wanted]
        self._slice = (
            slice(places[0], places[-1] + 1)
            if places == list(range(places[0], places[0] + len(places)))
            else None
        )
        self._places = places
        self._place_of = place

    @classmethod
    def compile(
        cls, layout: StateLayout, views: Sequence[FeatureView], features: Sequence[PartFeature]
    ) -> _NewestRow | None:
        """Return the reader, or None when a feature is not a column of the newest row."""
        wanted = []
        for view, feature in zip(views, features, strict=True):
            if not is_newest_row(view, feature.expression):
                return None
            read = layout.read_of(view, feature.expression)  # type: ignore[arg-type]
            if read.slot is None:
                return None
            wanted.append((read.aggregate, read.slot))
        return cls(layout, wanted)

    def read(self, blob: bytes, t: int, k: int) -> Answers | None:
        """Return the answers, or None when an older row has to be looked at."""
        try:
            found = self._struct.unpack_from(blob)
        except struct.error:
            raise CorruptData("a state shorter than one row", got=f"{len(blob)} bytes") from None
        version, _, _, mark, rows, corrections, _, floor, _ = found[:9]
        head = 9 + len(self._tails)
        event, known, null_bytes = found[head], found[head + 1], found[head + 3]
        if version != self._version or mark != self._mark or corrections or t < floor:
            return None
        at = t - self._left
        if event > at or known > k:
            return None
        null_bits = int.from_bytes(null_bytes, "little")
        if self._plain and not null_bits:
            if self._slice is not None:
                return list(found[self._slice]), self._present, event
            return [found[place] for place in self._places], self._present, event
        tails = self._tail_values(blob, found, rows) if self._tails else {}
        values, statuses = [], []
        for place, at_slot, bit, slot, aggregate in self._wanted:
            value, status = self._one(found[place], null_bits & bit, slot, tails.get(at_slot))
            if aggregate.ttl is not None and at - event >= aggregate.ttl:
                value, status = None, Status.EXPIRED
            if value is None:
                value = aggregate.default
            values.append(value)
            statuses.append(status)
        return values, statuses, event

    @staticmethod
    def _one(raw: Any, null: int, slot: Slot, tail: bytes | None) -> tuple[Any, Status]:
        if null:
            return None, Status.NULL
        if tail is not None:
            return slot.unpack(tail), Status.PRESENT
        return (slot.unpack(raw) if slot.dtype.kind in _CHANGED else raw), Status.PRESENT

    def _tail_values(self, blob: bytes, found: tuple[Any, ...], rows: int) -> dict[int, bytes]:
        """Return the tail bytes of the newest row, by slot."""
        at = HEADER.size + 4 * len(self._tails) + rows * self._record
        values = {}
        for number, slot in enumerate(self._tails):
            values[slot] = blob[at : at + found[self._place_of[slot]]]
            at += found[9 + number]
        return values


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
        names = [feature.reference for part in self.parts for feature in part.features]
        self._place = {name: at for at, name in enumerate(names)}
        wanted = [self._place.get(output.reference) for output in selection.outputs]
        self.simple = not selection.on_demand and wanted == list(range(len(names)))
        self._wanted = wanted
        self._part_of = [n for n, part in enumerate(self.parts) for _ in part.features]
        self.names = tuple(output.name for output in selection.outputs)

    def explain(self) -> str:
        """Return the stages of the read, one a line."""
        lines = [
            f"read table {part.table}: {len(part.features)} features"
            f" ({'newest row only' if part._newest else 'rows of windows'})"
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
            [part.answer(blob, t, k) for blob in blobs]
            for part, blobs in zip(self.parts, states, strict=True)
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
        compute_rows(self.selection, columns, len(entities))
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
