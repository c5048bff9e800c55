"""Compiled reads as requests need them: what an entity must have, parts of the answer as JSON.

A request finds its plan in memory, beside the lookups of the snapshot (`online.reader`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from skewless.codec import differs_in_json, from_json
from skewless.definitions.mask import Mask
from skewless.errors import SkewlessError
from skewless.lineage.access import Asker
from skewless.lineage.masks import Masks
from skewless.plan.lookup import Lookup
from skewless.request_errors import RequestError, TooLarge
from skewless.serving.http.http import dump
from skewless.serving.problems import missing_key, unknown_key
from skewless.types import DType, Misfit

Row = Mapping[str, Any]
_SECONDS_PER_VALUE = 1e-6
_LEARNT, _ENOUGH = 0.3, 16
_READ_AS_JSON = (str, list, dict)
_FLOATS = {"float32", "float64"}
_MAY_HOLD_FLOATS = {"list", "vector", "map", "struct", "json"}


class ReadPlan:
    """A compiled read with what is needed to take a request and to write its answer.

    Attributes:
        lookup: the compiled read.
        names: of the features, in order.
        inputs: the join keys and request fields that every entity must have, no others.
        views: for each part of the read the view its age is counted under.
        floats: the places of features that are floats; None if others may hold floats too.
        fragile: whether it calls functions of users, which may raise anything.
        weight: values of one entity; an element of a vector is one.
        pace: seconds of CPU that reading and writing one entity takes: a guess, then what was seen.
        paced: whether it was seen.
        masks: show it to whom grants do not show it as it is; None: nothing is masked.
        permitted: the plan by which those read who may, by the grants of its snapshot, as far as
            they have asked: this one, or the one with their masks.
        masked: the plans with masks, by these.
    """

    def __init__(self, lookup: Lookup, masks: Masks | None = None) -> None:
        selection = lookup.selection
        self.lookup = lookup
        self.names = tuple(output.name for output in selection.outputs)
        types = selection.join_keys | {r.name: r.dtype for r in selection.requests}
        self.inputs = frozenset(types)
        self.types = types
        self.views = tuple((part.references[0].partition("@v")[0],) for part in lookup.parts)
        self.fragile = any(need.view.code for need in selection.on_demand)
        self._in_json = {name: dtype for name, dtype in types.items() if differs_in_json(dtype)}
        kinds = [output.dtype.kind for output in selection.outputs]
        self.floats: tuple[int, ...] | None = None
        if not _MAY_HOLD_FLOATS & set(kinds):
            self.floats = tuple(at for at, kind in enumerate(kinds) if kind in _FLOATS)
        self.weight = sum(max(1, output.dtype.size) if output.dtype.kind == "vector" else 1
                          for output in selection.outputs)  # fmt: skip
        self.pace = self.weight * _SECONDS_PER_VALUE
        self.paced = False
        self.masks = masks
        self.permitted: dict[Asker, ReadPlan] = {}
        self.masked: dict[tuple[Mask | None, ...], ReadPlan] = {}
        self._fragments: dict[str, bytes] = {}
        self.present: dict[int, bytes] = {}

    def note_pace(self, seconds: float, entities: int) -> None:
        """Note how long some entities took; an outlier, and a few of them, count for little."""
        seen = max(seconds / entities, 1e-9)
        if self.paced or entities < _ENOUGH:
            self.pace += _LEARNT * (min(seen, 4 * self.pace) - self.pace)
        else:
            self.pace, self.paced = seen, True

    def entities(self, given: Any, most: int, where: str) -> Sequence[Row]:
        """Return the entities of a request in JSON: a list of objects, or an object of lists.

        Raises:
            RequestError: a key nobody asked for, or lists of unequal length.
            MissingColumn: a key is missing.
            TooLarge: they are more than ``most``.
        """
        if isinstance(given, dict):
            rows = self._of_columns(given, where)
        else:
            rows = given
            width = len(self.inputs)
            for number, row in enumerate(rows):
                if len(row) != width:
                    self.check(row, number)
        if not 0 < len(rows) <= most:
            raise wrong_number(len(rows), most, where)
        for name, dtype in self._in_json.items():
            if any(row.get(name).__class__ in _READ_AS_JSON for row in rows):
                rows = self._read(rows, name, dtype, where)
        return rows

    @staticmethod
    def _read(rows: Sequence[Row], name: str, dtype: DType, where: str) -> list[dict[str, Any]]:
        """Return rows with a column out of JSON: bytes of base64, whole numbers of text."""
        found, number = [], 0
        try:
            for number, row in enumerate(rows):  # noqa: B007 - says where it ended
                found.append({**row, name: from_json(row.get(name), dtype, name)})
        except Misfit as problem:
            raise problem.inside(f"entities[{number}]").as_input(where) from None
        return found

    def check(self, row: Mapping[str, Any], number: int | None = None) -> None:
        """Raise unless the keys of an entity are those that are needed."""
        for name in row:
            if name not in self.inputs:
                raise unknown_key(name, self.inputs, number)
        for name in self.types:
            if name not in row:
                raise missing_key(name, list(row), number)

    def _of_columns(self, columns: dict[str, list[Any]], where: str) -> list[dict[str, Any]]:
        if columns.keys() != self.inputs:
            self.check(columns)
        if len(columns) == 1:
            ((name, values),) = columns.items()
            return [{name: value} for value in values]
        if len(set(map(len, columns.values()))) > 1:
            lengths = {name: len(values) for name, values in columns.items()}
            raise RequestError(
                "the lists of entities are of unequal length", got=lengths, where=where
            )
        if not columns:
            return [{}]  # nothing is needed: the one entity without keys
        names = tuple(columns)
        return [
            dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)
        ]

    def fragment(self, name: str, make: Callable[[], Any]) -> bytes:
        """Return a part of every answer as JSON, made when it is first needed."""
        found = self._fragments.get(name)
        if found is None:
            found = self._fragments[name] = dump(make())
        return found


def wrong_number(count: int, most: int, where: str) -> SkewlessError:
    """Return the error for no entities, or too many."""
    if not count:
        return RequestError("no entities are asked for", expected="1 or more", where=where)
    return TooLarge(
        "too many entities",
        got=count, expected=f"at most {most}", where=where,
        hint="Split the request, or raise --max-entities.",
    )  # fmt: skip
