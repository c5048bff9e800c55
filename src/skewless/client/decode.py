"""Answers to reads as the results that reads in process give."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from skewless.clock import to_micros
from skewless.codec import read_back
from skewless.definitions.references import split_reference
from skewless.plan.results import OnlineResult
from skewless.plan.selection import Output
from skewless.state.status import Status
from skewless.types import dtype_from_dict

_AS_IT_IS = {
    "bool": frozenset({bool, type(None)}),
    "str": frozenset({str, type(None)}),
    "float64": frozenset({float, type(None)}),
    "int32": frozenset({int, type(None)}),
    "int64": frozenset({int, type(None)}),
}
"""Classes of values that are the same in JSON."""
_INTEGERS = {"int32": "i", "int64": "q"}


class _Answer(msgspec.Struct, gc=False):
    at: str
    values: dict[str, list[Any]]
    statuses: dict[str, list[str]]
    event_times: dict[str, list[str | None]]
    versions: msgspec.Raw
    types: msgspec.Raw


_ANSWER = msgspec.json.Decoder(_Answer)
_outputs: dict[bytes, tuple[Output, ...]] = {}


def result(body: bytes, entities: Sequence[Mapping[str, Any]]) -> OnlineResult:
    """Return the answer to a read as the result that reads in process give.

    Whatever is raised, it is no such answer.
    """
    answer = _ANSWER.decode(body)
    outputs = _outputs_of(bytes(answer.versions), bytes(answer.types))
    columns = []
    for output in outputs:
        column = answer.values[output.name]
        if len(column) != len(entities):
            raise ValueError(f"{len(column)} values for {len(entities)} entities")
        if not _is_as_it_is(column, output.dtype.kind):
            column = [read_back(value, output.dtype) for value in column]
        columns.append(column)
    statuses = ([Status(s) for s in answer.statuses[output.name]] for output in outputs)
    times: dict[str | None, int | None] = {None: None}
    events = []
    for output in outputs:
        texts = answer.event_times[output.name]
        for text in texts:
            if text not in times and text is not None:
                times[text] = to_micros(text)
        events.append([times[text] for text in texts])
    rows = [list(row) for row in zip(*columns, strict=True)]
    states = [list(row) for row in zip(*statuses, strict=True)]
    newest = [list(row) for row in zip(*events, strict=True)]
    return OnlineResult(outputs, entities, (rows, states, newest), to_micros(answer.at))


def _is_as_it_is(column: list[Any], kind: str) -> bool:
    """Return whether the values of a column are in JSON what they are: a look at each is dear.

    Raises:
        OverflowError: a number that the type has no room for.
    """
    kinds = set(map(type, column))
    if not kinds <= _AS_IT_IS.get(kind, frozenset()):
        return False
    if kind in _INTEGERS:
        some = [v for v in column if v is not None] if type(None) in kinds else column
        array(_INTEGERS[kind], some)
    return True


def _outputs_of(versions: bytes, types: bytes) -> tuple[Output, ...]:
    key = versions + types
    found = _outputs.get(key)
    if found is None:
        dtypes = msgspec.json.decode(types)
        listed = []
        for name, reference in msgspec.json.decode(versions).items():
            view, version, feature = split_reference(reference)
            dtype = dtype_from_dict(dtypes[name])
            listed.append(Output(name, view, version or 0, feature, dtype))
        if len(_outputs) > 1_000:
            _outputs.clear()
        found = _outputs[key] = tuple(listed)
    return found
