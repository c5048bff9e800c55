"""What one table of the online store answers: from packed states to values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from skewless.aggregations.forms import counted
from skewless.clock import NEVER, iso
from skewless.definitions import Aggregate, Expression, FeatureView, Source
from skewless.errors import CorruptData, InputError
from skewless.expressions.evaluate import compile_scalar, leaf_key
from skewless.forks import cached_property
from skewless.state.header import layout_mark, read_header
from skewless.state.keys import KeyCodec, NullKey
from skewless.state.layout import AggregateRead, StateLayout
from skewless.state.newest_row import Answers, NewestRow, is_of_newest_row
from skewless.state.status import Status, answer_of

if TYPE_CHECKING:
    from skewless.state.packed_rows import RowSet
    from skewless.state.window_eval import AggregatePlan, Quick

State = bytes | Answers
"""A packed state, or what it answers."""
Derived = tuple[Callable[[Mapping[str, Any]], Any], tuple[tuple[str, int], ...]]


class OnlineReads(Protocol):
    """The reads of an online store."""

    def read(self, table: str, keys: Sequence[bytes], /) -> Sequence[bytes | None]:
        """Return the values of keys; see `KeyValues.read`."""

    def read_each(
        self, table: str, keys: Sequence[bytes], each: Callable[[int, bytes], State], /
    ) -> Sequence[State | None]:
        """Return what ``each`` makes of the values; see `KeyValues.read_each`."""


class Ahead(Protocol):
    """What a read of the present does where a clock was ahead of the one that asks.

    Attributes:
        states: part and number of the entities whose states answer for later moments only.
    """

    states: list[tuple[TableRead, int]]

    def knowledge(self, source: Source, rows: RowSet, k: int) -> int:
        """Return the knowledge that counts everything the log of a source has.

        Args:
            source: of the rows.
            rows: of one entity.
            k: what the clock says.
        """


class TableRead:
    """The features of all views over one entity and source, as one table answers for them.

    Args:
        layout: of the table.
        features: view, version and name of each feature, in order; their views ask for the join
            keys by the same names.
        complete: whether the table may answer; else every value is `building`.

    Attributes:
        table: of the online store.
        layout: how its states are packed.
        references: the full references of the features, in order.
    """

    def __init__(
        self,
        layout: StateLayout,
        features: Sequence[tuple[FeatureView, int, str]],
        *,
        complete: bool = True,
    ) -> None:
        self.complete = complete
        self.layout = layout
        self.table = layout.table
        asked = features[0][0] if features else None
        self.codec = KeyCodec(layout.entity if asked is None else asked.asked_entity)
        self._constants = {} if asked is None else asked.constants
        self.references = tuple(f"{view.name}@v{n}:{feature}" for view, n, feature in features)
        self._mark = layout_mark(layout.fingerprint)
        expressions = [(view, view.expressions[feature]) for view, _, feature in features]
        self.newest = NewestRow.compile(layout, expressions)
        reads = _Places(layout)
        self._plans = [reads.plan(view, expression) for view, expression in expressions]
        self._found = reads.found
        self._plain = [plan for plan in self._plans if isinstance(plan, int)] == list(
            range(len(self._plans))
        )
        nothing = [answer_of(read.aggregate, None, Status.UNKNOWN)[0] for read in reads.found]
        self._unknown = self._with_derived(nothing, [Status.UNKNOWN] * len(nothing), None)

    @property
    def how(self) -> str:
        """In which forms the aggregates are computed."""
        if self.newest is not None:
            return "newest row only"
        return "rows of windows: " + counted(read.aggregate.forms.online for read in self._found)

    @cached_property
    def _reads(self) -> AggregatePlan:
        """How the aggregates are read where the newest row alone does not do.

        NumPy is imported with it, which takes longer than a read out of the newest row.
        """
        from skewless.state.window_eval import AggregatePlan

        return AggregatePlan(self.layout, self._found)

    @cached_property
    def _untiled(self) -> AggregatePlan:
        """How the aggregates are read out of rows alone."""
        from skewless.state.window_eval import AggregatePlan

        return AggregatePlan(self.layout, [replace(read, rule=None) for read in self._found])

    @cached_property
    def _newest_of_left(self) -> tuple[NewestRow, tuple[int, ...]] | None:
        """What reads all that `AggregatePlan.quick` leaves, and its places; None: nothing does.

        That is so where all of it is columns of the newest row.
        """
        groups = self._reads.left
        places = tuple(place for group in groups for place in group.others)
        if any(group.tiled or group.counts or group.summed for group in groups):
            return None
        wanted = []
        for read in (self._found[place] for place in places):
            if read.slot is None or read.filter is not None or not is_of_newest_row(read.aggregate):
                return None
            wanted.append((read.aggregate, read.slot))
        return (NewestRow(self.layout, wanted), places) if wanted else None

    def _at_once(self, blob: bytes, t: int, k: int, quick: Quick) -> Answers | None:
        """Return the answer of a state whose windows were read; None: its rows have to be.

        What windows leave is looked for in the newest row.
        """
        if not self._reads.left:
            return self._with_derived(*quick)
        if self._newest_of_left is None:
            return None
        reader, places = self._newest_of_left
        (newest,) = reader.read_many([blob], t, k)
        if newest is None:
            return None
        values, statuses, event = quick
        for place, value, status in zip(places, *newest[:2], strict=True):
            values[place], statuses[place] = value, status
        return self._with_derived(values, statuses, event)

    def keys(self, entities: Sequence[Mapping[str, Any]]) -> list[bytes | None]:
        """Return the keys of the entities in the store; none where the table may not answer.

        A null join key names no entity, so there is no key of it: its place holds None.

        Raises:
            MissingColumn, InputError: join keys are missing or of another type.
        """
        if self._constants:
            entities = [{**entity, **self._constants} for entity in entities]
        try:
            keys = cast("list[bytes | None]", self.codec.encode_all(entities))
        except NullKey:
            encode = self.codec.encode
            keys = [encode(entity) if self.names(entity) else None for entity in entities]
        return keys if self.complete else []

    def read(
        self,
        read: Callable[[str, Sequence[bytes]], Sequence[bytes | None]],
        keys: Sequence[bytes | None],
    ) -> Sequence[bytes | None]:
        """Return the states of entities; there is none where there is no key.

        Args:
            read: of the online store: from a table and keys to states.
            keys: of the entities.
        """
        if None not in keys:
            return read(self.table, cast("Sequence[bytes]", keys))
        found = iter(read(self.table, [key for key in keys if key is not None]))
        return [None if key is None else next(found) for key in keys]

    def read_at(
        self, store: OnlineReads, keys: Sequence[bytes | None], t: int, k: int
    ) -> Sequence[State | None]:
        """Return what `read` does for an answer at one moment: states, or what they answer.

        Equal keys are read and answered once. Of windows each state is answered as it comes out of
        the store, if the rows of it alone give the answer: many of them together are megabytes.
        """
        if self.newest is not None or len(keys) == 1:
            return self.read(store.read, keys)
        places = {key: at for at, key in enumerate(dict.fromkeys(keys)) if key is not None}
        distinct = list(places)

        def answered(_: int, state: bytes) -> State:
            quick = self._reads.quick(state, t, k)
            return state if quick is None else self._with_derived(*quick)

        found: Sequence[State | None]
        if self._reads.left:
            found = store.read(self.table, distinct)
        else:
            found = store.read_each(self.table, distinct, answered)
        by_key = dict(zip(distinct, found, strict=True))
        return [None if key is None else by_key[key] for key in keys]

    def names(self, entity: Mapping[str, Any]) -> bool:
        """Return whether join keys name an entity: none of them is null."""
        try:
            self.key(entity)
        except NullKey:
            return False
        return True

    def key(self, entity: Mapping[str, Any]) -> bytes:
        """Return the key of an entity in the store, as `KeyCodec.encode` does."""
        return self.codec.encode({**entity, **self._constants} if self._constants else entity)

    def building(self, count: int) -> list[Answers]:
        """Return the answers for so many entities while the table is not complete."""
        width = len(self.references)
        return [([None] * width, [Status.BUILDING] * width, None) for _ in range(count)]

    def answers(
        self,
        blobs: Sequence[State | None],
        t: int,
        k: int,
        ahead: Ahead | None = None,
        *,
        shared: bool = False,
    ) -> list[Answers]:
        """Return the values of entities, each by its state, at ``t`` with knowledge ``k``.

        Args:
            blobs: the states, or what `read_at` answered.
            t: the moment, microseconds.
            k: the knowledge, microseconds.
            ahead: for a read of the present, what is to be done where clocks were ahead of it.
            shared: whether entities of one state may have one answer: nobody changes it.
        """
        if shared and len(blobs) > 1 and all(blob is blobs[0] for blob in blobs):
            noted = 0 if ahead is None else len(ahead.states)
            once = self.answers(blobs[:1], t, k, ahead)
            if ahead is None or len(ahead.states) == noted:  # else each of them is to be noted
                return once * len(blobs)
        found: Sequence[Answers | None] = [None] * len(blobs)
        if self.newest is not None:
            found = self.newest.read_many(cast("Sequence[bytes | None]", blobs), t, k)
            if None not in found:
                return cast("list[Answers]", found)
        before: dict[int, Answers] = {}
        return [
            self._unknown
            if blob is None
            else answers or self._answer(blob, (t, k), ahead, number, before)
            for number, (blob, answers) in enumerate(zip(blobs, found, strict=True))
        ]

    def _answer(
        self,
        state: State,
        asked: tuple[int, int],
        ahead: Ahead | None,
        number: int,
        before: dict[int, Answers],
    ) -> Answers:
        """Return the answer of a state; of one that another entity has too, from ``before``."""
        if isinstance(state, bytes):
            held = before.get(id(state))
            if held is None:
                noted = 0 if ahead is None else len(ahead.states)
                held = self._from_rows(state, *asked, ahead, number)
                if ahead is None or len(ahead.states) == noted:  # else each of them is to be noted
                    before[id(state)] = held
                return held
            state = held
        values, statuses, event = state
        return list(values), list(statuses), event  # it may be the answer of another entity too

    def _from_rows(
        self, blob: bytes, t: int, k: int, ahead: Ahead | None = None, number: int = 0
    ) -> Answers:
        """Return the values of one entity from all rows of its state."""
        quick = self._reads.quick(blob, t, k)
        at_once = None if quick is None else self._at_once(blob, t, k, quick)
        if at_once is not None:
            return at_once
        header = read_header(blob)
        if header.layout != self._mark:
            raise CorruptData("a state of another layout", where=f"table {self.table!r}")
        if t < header.floor:
            if ahead is not None:
                ahead.states.append((self, number))
                return self.building(1)[0]
            raise InputError(
                "a moment further back than the online store remembers",
                got=iso(t),
                expected=f"{iso(header.floor)} or later",
                hint="Ask history for it (get_historical_features), or raise rewind.",
            )
        from skewless.state.blob import decode, tile_bytes
        from skewless.state.window_eval import EntityWindows

        layout = self.layout
        rows = decode(layout.slots, [blob], layout.record)
        tiles = tile_bytes(blob, layout.record.itemsize) if layout.tiled else None
        moment = EntityWindows(rows, layout.exclusive, t, k, tiles)
        if ahead is not None and (moment.visible is not None or rows.corrected):
            known = ahead.knowledge(layout.source, rows, k)
            moment = (
                moment if known == k else EntityWindows(rows, layout.exclusive, t, known, tiles)
            )
        return self._with_derived(*moment.answers(self._reads, quick), moment.newest_event)

    def of_rows(self, rows: RowSet, t: int) -> Answers:
        """Return the values of one entity at ``t``, of rows that all count, without tiles."""
        from skewless.state.window_eval import EntityWindows

        moment = EntityWindows(rows, self.layout.exclusive, t, NEVER)
        return self._with_derived(*moment.answers(self._untiled), moment.newest_event)

    def _with_derived(
        self, values: list[Any], statuses: list[Status], newest: int | None
    ) -> Answers:
        """Return the features' answers from those of the aggregates."""
        if self._plain:
            return values, statuses, newest
        found: list[Any] = []
        how: list[Status] = []
        for plan in self._plans:
            if isinstance(plan, int):
                found.append(values[plan])
                how.append(statuses[plan])
                continue
            compute, inputs = plan
            value = compute({key: values[at] for key, at in inputs})
            found.append(value)
            present = Status.NULL if value is None else Status.PRESENT
            how.append(Status.UNKNOWN if newest is None else present)
        return found, how, newest


class _Places:
    """The distinct aggregates of a table's features, each with its place among them."""

    def __init__(self, layout: StateLayout) -> None:
        self.found: list[AggregateRead] = []
        self._layout = layout
        self._place: dict[tuple[str, int | None], int] = {}

    def plan(self, view: FeatureView, expression: Expression) -> int | Derived:
        """Return the place of a feature's aggregate, or how it is computed from such places."""
        if isinstance(expression, Aggregate):
            return self._of(view, expression)
        leaves = [leaf for leaf in expression.leaves() if isinstance(leaf, Aggregate)]
        inputs = tuple((leaf_key(leaf), self._of(view, leaf)) for leaf in leaves)
        return compile_scalar(expression), inputs

    def _of(self, view: FeatureView, aggregate: Aggregate) -> int:
        read = self._layout.read_of(view, aggregate)
        key = (leaf_key(aggregate), read.filter)
        if key not in self._place:
            self._place[key] = len(self.found)
            self.found.append(read)
        return self._place[key]
