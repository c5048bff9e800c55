"""Answers of large reads, written slice by slice while they are read.

    answer = JsonPieces(plan, t, extras, statuses=True)
    answer.add(entities[:500], found)                # the next rows, in the order of the entities
    answer.add(entities[500:], more)
    answer.response()                                # to the byte what `features_json` gives

Values are dropped once they are written, so memory follows the answer and not its objects.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

import orjson

from skewless.codec import whole_as_text
from skewless.plan.lookup import Found
from skewless.serving.http.http import ARROW, LargeResponse, Part, Response
from skewless.serving.read.encode import (
    OF_EVENTS,
    all_present,
    batch_of,
    by_event,
    column_json,
    extra_parts,
    opening,
    stream_of,
    texts_of,
)
from skewless.serving.read.plans import ReadPlan, Row

if TYPE_CHECKING:
    import pyarrow as pa


_ENOUGH = 64 << 10


class Pieces(Protocol):
    """What takes the slices of a read and becomes its answer."""

    def add(self, entities: Sequence[Row], found: Found) -> None:
        """Take the next rows."""

    def response(self) -> Response:
        """Return the answer; nothing is added afterwards."""


class Columns:
    """Lists in JSON, one a feature, to which rows are added.

    Args:
        names: of the features.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._parts: list[list[bytes | bytearray]] = []

    def add(self, columns: Iterable[bytes]) -> None:
        """Take the next items of each list: lists in JSON that are not empty."""
        if not self._parts:
            self._parts = [[column] for column in columns]
            return
        for parts, column in zip(self._parts, columns, strict=True):
            last = parts[-1]
            if isinstance(last, bytes):  # the only slice until now: a list that is closed
                last = parts[-1] = bytearray(memoryview(last)[:-1])
            elif len(last) > _ENOUGH:
                last = bytearray()
                parts.append(last)
            last += b","
            last += memoryview(column)[1:-1]

    def lists(self) -> Iterator[Sequence[Part]]:
        """Yield the list of each feature."""
        for parts in self._parts:
            yield parts if isinstance(parts[0], bytes) else [*parts, b"]"]

    def parts(self) -> Iterator[Part]:
        """Yield the object of all lists."""
        opening = b"{"
        for name, parts in zip(self._names, self.lists(), strict=True):
            yield opening + orjson.dumps(name) + b":"
            yield from parts
            opening = b","
        yield b"}"


class JsonPieces:
    """The answer of `features_json`.

    Args:
        plan: the compiled read.
        t: the moment, UTC microseconds.
        extras: what is wanted beside values, of `encode.EXTRAS`.
        statuses: whether statuses are wanted.
        int64_as_text: whether whole numbers are written as text.
    """

    def __init__(
        self, plan: ReadPlan, t: int, extras: Sequence[str], *, statuses: bool, int64_as_text: bool
    ) -> None:
        self._plan = plan
        self._t = t
        self._extras = extras
        self._as_text = int64_as_text
        self._values = Columns(plan.names)
        self._statuses = Columns(plan.names) if statuses else None
        self._by_event = {
            extra: Columns(plan.names) for extra in dict.fromkeys(extras) if extra in OF_EVENTS
        }

    def add(self, entities: Sequence[Row], found: Found) -> None:
        """Take the next rows."""
        rows, states, events = found
        if self._as_text:
            rows = whole_as_text(rows)
        self._values.add(map(column_json, zip(*rows, strict=True)))
        if self._statuses is not None:
            if all_present(states):
                shown = orjson.dumps(["present"] * len(entities))
                self._statuses.add([shown] * len(self._plan.names))
            else:
                self._statuses.add(map(orjson.dumps, texts_of(states)))
        for extra, columns in self._by_event.items():
            columns.add(map(orjson.dumps, by_event(events, extra, self._t)))

    def response(self) -> LargeResponse:
        """Return the answer."""
        parts: list[Part] = [*opening(self._t), *self._values.parts()]
        if self._statuses is not None:
            parts += [b',"statuses":', *self._statuses.parts()]
        parts += extra_parts(self._plan, self._extras, lambda extra: self._by_event[extra].parts())
        parts.append(b"}")
        return LargeResponse(parts)


class ArrowPieces:
    """The answer of `features_arrow`, with a batch for each slice.

    Args:
        plan: the compiled read.
        t: the moment, UTC microseconds.
        extras: what is wanted beside values, of `encode.EXTRAS`.
    """

    def __init__(self, plan: ReadPlan, t: int, extras: Sequence[str]) -> None:
        self._plan = plan
        self._t = t
        self._extras = extras
        self._batches: list[pa.RecordBatch] = []

    def add(self, entities: Sequence[Row], found: Found) -> None:
        """Take the next rows."""
        self._batches.append(batch_of(self._plan, entities, found, self._t, self._extras))

    def response(self) -> Response:
        """Return the answer."""
        return LargeResponse([stream_of(self._batches)], kind=ARROW)
