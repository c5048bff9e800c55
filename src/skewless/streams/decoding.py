"""From the texts of a stream to columns of the types a source declares.

>>> from skewless.types import Float64, String
>>> made = JsonRows({"fab": String, "vdd": Float64}).decode([b'{"fab": "f1", "lot": 7}', b"oops"])
>>> made.rows.to_pylist(), made.taken
([{'fab': 'f1', 'vdd': None}], [0])
>>> made.poison[0]
(1, 'not JSON: Expecting value: line 1 column 1 (char 0)')

Fields nobody asked for are skipped, missing ones are null. A value of another type makes its
row poison; the others go in. Sources of plain columns become Arrow tables at once, those with
decimals, bytes or nested columns lists of dicts.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from skewless.codec import from_json, from_text
from skewless.types import DType, Misfit, String, is_epoch

if TYPE_CHECKING:
    import pyarrow as pa

NULL_TEXTS = frozenset({"", "NA"})
"""Cells of a CSV file that stand for null."""

_PLAIN = {"bool": "bool", "int32": "int64", "int64": "int64", "float32": "float64",
          "float64": "float64", "str": "string", "timestamp": "string"}  # fmt: skip
_INT32 = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
_INT64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_JSON: dict[str, Any] = {"bool": bool, "int32": _INT32, "int64": _INT64, "float32": float,
                         "float64": float, "str": str, "timestamp": str, "date": str,
                         "decimal": Decimal, "bytes": bytes}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Decoded:
    """Values made rows.

    Attributes:
        rows: an Arrow table, or dicts.
        taken: which of the values they are.
        poison: of the others, their number and the reason.
        ignored: how many of the rows had fields that nobody asked for.
    """

    rows: pa.Table | list[dict[str, Any]]
    taken: Sequence[int]
    poison: list[tuple[int, str]]
    ignored: int = 0


def _json_type(dtype: DType) -> Any:
    """Return what a parser makes of a value in JSON, before it is typed."""
    return Any if is_epoch(dtype) else _JSON.get(dtype.kind, Any) | None


class JsonRows:
    """Makes rows of JSON objects.

    Args:
        columns: names and types of the columns asked for.
    """

    def __init__(self, columns: Mapping[str, DType]) -> None:
        self._columns = dict(columns)
        fields = [
            (
                f"c{number}",
                Any
                if dtype.kind == "timestamp" and dtype.size
                else _JSON.get(dtype.kind, Any) | None,
                None,
            )
            for number, dtype in enumerate(self._columns.values())
        ]
        self._getters = [attrgetter(name) for name, *_ in fields]
        names = {f"c{number}": name for number, name in enumerate(self._columns)}
        self._row = msgspec.defstruct("Row", fields, rename=names, gc=False)
        exact = msgspec.defstruct(
            "Exact", fields, rename=names, gc=False, forbid_unknown_fields=True
        )
        self._decode = msgspec.json.Decoder(self._row).decode
        self._decode_exact = msgspec.json.Decoder(exact).decode
        self._fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
        self._had_more = False
        self._nested = [
            (number, name, dtype)
            for number, (name, dtype) in enumerate(self._columns.items())
            if dtype.kind not in _JSON or is_epoch(dtype)
        ]

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Return the rows that are in values, one each."""
        poison: list[tuple[int, str]] = []
        taken: Sequence[int] = range(len(values))
        if not self._had_more:  # most streams have the columns and nothing else
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return self._made(list(map(self._decode_exact, values)), taken, poison)
        try:
            rows = list(map(self._decode, values))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            rows, taken = [], []
            for number, value in enumerate(values):
                try:
                    rows.append(self._one(value))
                    taken.append(number)
                except ValueError as problem:
                    poison.append((number, str(problem)))
        made = self._made(rows, taken, poison)
        ignored = sum(self._has_more(values[number]) for number in made.taken)
        self._had_more = ignored > 0
        return replace(made, ignored=ignored)

    def _made(
        self, rows: list[Any], taken: Sequence[int], poison: list[tuple[int, str]]
    ) -> Decoded:
        lists = [list(map(getter, rows)) for getter in self._getters]
        if self._nested:
            lists, taken = self._typed(lists, taken, poison)
        return _decoded(self._columns, lists, (taken, sorted(poison)))

    def _has_more(self, value: bytes) -> bool:
        """Whether an object that became a row has fields that nobody asked for."""
        try:
            fields: Iterable[str] = self._fields(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fields = json.loads(value.decode())
        return not self._columns.keys() >= set(fields)

    def _typed(
        self, lists: list[list[Any]], taken: Sequence[int], poison: list[tuple[int, str]]
    ) -> tuple[list[list[Any]], Sequence[int]]:
        """Return columns with the values that nested JSON stands for, without rows of misfits."""
        bad: dict[int, str] = {}
        for number, name, dtype in self._nested:
            for row, value in enumerate(lists[number]):
                try:
                    lists[number][row] = from_json(value, dtype, name)
                except Misfit as problem:
                    bad.setdefault(row, str(problem))
        if not bad:
            return lists, taken
        poison += [(taken[row], reason) for row, reason in bad.items()]
        good = [row for row in range(len(taken)) if row not in bad]
        return [[values[row] for row in good] for values in lists], [taken[row] for row in good]

    def _one(self, value: bytes) -> Any:
        """Return a row; what Python's own parser takes is JSON too: NaN, Infinity, 1e400."""
        try:
            return self._decode(value)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        try:
            data = json.loads(value.decode())
        except (ValueError, RecursionError) as problem:
            raise ValueError(f"not JSON: {problem}") from None
        if not isinstance(data, dict):
            raise ValueError(f"not a JSON object but {type(data).__name__}")
        if any(dtype.kind == "decimal" for dtype in self._columns.values()):
            exact = json.loads(value, parse_float=Decimal)
            data |= {n: exact.get(n) for n, t in self._columns.items() if t.kind == "decimal"}
        return self._row(*(self._value(data.get(name), name) for name in self._columns))

    def _value(self, value: Any, name: str) -> Any:
        """Return a value as the decoder would: nested ones and times are typed later."""
        dtype = self._columns[name]
        if is_epoch(dtype):
            return value
        if dtype.kind in ("timestamp", "date") and isinstance(value, str):
            dtype = String
        return from_json(value, dtype, name) if dtype.kind in _JSON else value


def csv_rows(columns: Mapping[str, DType], header: Sequence[str], lines: Sequence[str]) -> Decoded:
    """Return the rows of CSV lines, without line breaks inside of cells.

    Args:
        columns: names and types of the columns asked for.
        header: the names in the file, in its order.
        lines: without the header.
    """
    poison: dict[int, str] = {}
    rows = _cells(header, lines, poison)
    lists = []
    for name, dtype in columns.items():
        if name not in header:
            lists.append([None] * len(rows))
            continue
        at = header.index(name)
        lists.append(_convert([row[at] for row in rows], dtype, name, poison))
    taken: Sequence[int] = range(len(rows))
    if poison:
        taken = [number for number in taken if number not in poison]
        lists = [[values[number] for number in taken] for values in lists]
    made = _decoded(columns, lists, (taken, sorted(poison.items())))
    return made if columns.keys() >= set(header) else replace(made, ignored=len(taken))


def _cells(header: Sequence[str], lines: Sequence[str], poison: dict[int, str]) -> list[list[str]]:
    import csv

    delimiter = delimiter_of(header)
    try:
        rows = list(csv.reader(lines, delimiter=delimiter, strict=True))
        if len(rows) == len(lines) and all(len(row) == len(header) for row in rows):
            return rows
    except csv.Error:
        pass
    rows = []
    for number, line in enumerate(lines):
        try:
            cells = next(csv.reader([line], delimiter=delimiter, strict=True), [])
            if len(cells) != len(header):
                poison[number] = f"{len(cells)} cells under a header of {len(header)}"
        except csv.Error as problem:
            poison[number] = f"not CSV: {problem}"
        rows.append(cells if number not in poison else [""] * len(header))
    return rows


class Header(list[str]):
    """Names of the columns of a CSV file, and what stands between its cells."""

    delimiter: str = ","

    @classmethod
    def of(cls, line: str) -> Header:
        """Read the first line of a file: with tabs and no commas, tabs stand between cells."""
        import csv

        delimiter = "\t" if "\t" in line and "," not in line else ","
        header = cls(next(csv.reader([line], delimiter=delimiter), []))
        header.delimiter = delimiter
        return header


def delimiter_of(header: Sequence[str]) -> str:
    """Return what stands between the cells of a file with this header."""
    return getattr(header, "delimiter", ",")


def _convert(texts: list[str], dtype: DType, name: str, poison: dict[int, str]) -> list[Any]:
    nulls = NULL_TEXTS
    if dtype.kind == "str" or (
        dtype.kind == "timestamp" and not dtype.size
    ):  # times are typed with the others, all at once
        return [None if text in nulls else text for text in texts]
    values = []
    for number, text in enumerate(texts):
        value = None
        try:
            value = None if text in nulls else from_text(text, dtype, name)
        except Misfit as problem:
            poison.setdefault(number, str(problem))
        values.append(value)
    return values


def _decoded(
    columns: Mapping[str, DType],
    lists: list[list[Any]],
    outcome: tuple[Sequence[int], list[tuple[int, str]]],
) -> Decoded:
    """Return lists of values as a table where all columns are plain, else as dicts."""
    taken, poison = outcome
    kinds = [dtype.kind for dtype in columns.values()]
    numbered = any(map(is_epoch, columns.values()))
    if all(kind in _PLAIN for kind in kinds) and not numbered:
        import pyarrow as pa

        arrays = [
            pa.array(values, type=pa.type_for_alias(_PLAIN[kind]))
            for values, kind in zip(lists, kinds, strict=True)
        ]
        return Decoded(pa.Table.from_arrays(arrays, names=list(columns)), taken, poison)
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*lists, strict=True)]
    return Decoded(rows, taken, poison)
