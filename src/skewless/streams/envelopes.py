"""Columns that lie deep in a message's value, or in its key, its headers, its time.

>>> from skewless.types import Float64, String
>>> rows = EnvelopeRows({"card": String, "vdd": Float64}, {"vdd": ("after", "vdd")})
>>> made = rows.decode([b'{"card": "c1", "after": {"vdd": 0.5}}', b'{"after": null}'])
>>> made.rows.to_pylist()
[{'card': 'c1', 'vdd': 0.5}, {'card': None, 'vdd': None}]

A place that a message does not have, or that lies in null, is null. Where an object should be and
something else is, the message is poison.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from skewless.clock import from_micros
from skewless.definitions.message_parts import HEADER, KEY, MessagePart, part_of
from skewless.streams.decoding import Decoded, JsonRows
from skewless.streams.keys import values_of_key
from skewless.streams.records import Record

if TYPE_CHECKING:
    from skewless.types import DType

Place = tuple[str, ...]
_NULL = msgspec.Raw(b"null")


def paths_of(places: Mapping[str, Any]) -> dict[str, Place]:
    """Return the paths into the value among the places of columns."""
    return {n: tuple(place.split(".")) for n, place in places.items() if part_of(place) is None}


def parts_of(places: Mapping[str, Any]) -> dict[str, MessagePart]:
    """Return the parts beside the value among the places of columns."""
    found = {name: part_of(place) for name, place in places.items()}
    return {name: part for name, part in found.items() if part is not None}


def value_at(data: Any, path: Place) -> Any:
    """Return what lies at a path of a record.

    Raises:
        ValueError: something on the way is no object.
    """
    for number, name in enumerate(path):
        if data is None:
            return None
        if not isinstance(data, Mapping):
            place = ".".join(path[:number]) or "it"
            raise ValueError(f"{place} is no object but {type(data).__name__}")
        data = data.get(name)
    return data


def json_rows(columns: Mapping[str, DType], paths: Mapping[str, Place]) -> JsonRows | EnvelopeRows:
    """Return what makes rows of JSON objects with some columns at paths of them."""
    return EnvelopeRows(columns, paths) if paths else JsonRows(columns)


class EnvelopeRows:
    """Makes rows of JSON objects whose columns lie at paths.

    The texts of the columns are taken out, as they are, and decoded as those of a flat object: so a
    value means the same wherever it lies. Other fields are the envelope's and not counted.

    Args:
        columns: names and types of the columns asked for.
        paths: of those that do not lie at the top under their own name.
    """

    def __init__(self, columns: Mapping[str, DType], paths: Mapping[str, Place]) -> None:
        self._paths = {name: paths.get(name, (name,)) for name in columns}
        self._take = _taker(self._paths)
        self._heads = {name: json.dumps(name).encode() + b":" for name in columns}
        self._rows = JsonRows(columns)

    def decode(self, values: Sequence[bytes]) -> Decoded:
        """Return the rows that are in values, one each."""
        flat: list[bytes] = []
        taken: list[int] = []
        poison: list[tuple[int, str]] = []
        for number, value in enumerate(values):
            try:
                flat.append(self._flat(value))
                taken.append(number)
            except ValueError as problem:
                poison.append((number, str(problem)))
        made = self._rows.decode(flat)
        poison += [(taken[number], reason) for number, reason in made.poison]
        return Decoded(made.rows, [taken[number] for number in made.taken], sorted(poison))

    def _flat(self, value: bytes) -> bytes:
        try:
            found: dict[str, bytes] = {}
            self._take(value, found)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            data = _parsed(value)
            found = {n: _text(value_at(data, path)).encode() for n, path in self._paths.items()}
        return b"{%b}" % b",".join(self._heads[name] + text for name, text in found.items())


def _taker(paths: Mapping[str, Place]) -> Callable[[bytes, dict[str, bytes]], None]:
    """Return what takes the texts at some paths out of an object."""
    own: dict[str, list[str]] = {}
    deeper: dict[str, dict[str, Place]] = {}
    for column, (first, *rest) in paths.items():
        if rest:
            deeper.setdefault(first, {})[column] = tuple(rest)
        else:
            own.setdefault(first, []).append(column)
    names = list(dict.fromkeys([*own, *deeper]))
    kind = msgspec.defstruct(
        "Envelope",
        [(f"c{number}", msgspec.Raw, _NULL) for number in range(len(names))],
        rename={f"c{number}": name for number, name in enumerate(names)},
    )
    decode = msgspec.json.Decoder(kind | None).decode
    takers = {name: _taker(some) for name, some in deeper.items()}

    def take(text: bytes, found: dict[str, bytes]) -> None:
        made = decode(text)
        if made is None:
            found |= dict.fromkeys(paths, b"null")
            return
        for number, name in enumerate(names):
            part = getattr(made, f"c{number}")
            for column in own.get(name, ()):
                found[column] = bytes(part)
            if name in takers:
                takers[name](part, found)

    return take


class _Number(str):
    """A number of JSON as it was written."""

    __slots__ = ()


def _parsed(value: bytes) -> Any:
    """Return an object of JSON, of what Python's parser takes too; numbers stay as written."""
    try:
        data = json.loads(value.decode(), parse_float=_Number, parse_constant=_Number)
    except (ValueError, RecursionError) as problem:
        raise ValueError(f"not JSON: {problem}") from None
    if not isinstance(data, dict):
        raise ValueError(f"not a JSON object but {type(data).__name__}")
    return data


def _text(value: Any) -> str:
    match value:
        case _Number():
            return str(value)
        case dict():
            items = (f"{json.dumps(name)}:{_text(item)}" for name, item in value.items())
            return f"{{{','.join(items)}}}"
        case list():
            return f"[{','.join(map(_text, value))}]"
    return json.dumps(value)


class BesideValue:
    """Adds columns that lie beside the value of a message to the rows of values.

    Args:
        columns: names and types of all columns asked for.
        parts: of those that lie there.
        decode_key: returns what a key with headers says, see `Keys.decode`.
    """

    def __init__(
        self,
        columns: Mapping[str, DType],
        parts: Mapping[str, MessagePart],
        decode_key: Callable[[bytes | None, Any], Any],
    ) -> None:
        self._columns = columns
        self._parts = {name: part for name, part in parts.items() if name in columns}
        self._decode_key = decode_key

    @property
    def of_values(self) -> dict[str, DType]:
        """The other columns."""
        return {name: dtype for name, dtype in self._columns.items() if name not in self._parts}

    def added(self, made: Decoded, records: Sequence[Record]) -> Decoded:
        """Return the rows of records with all columns, without those that cannot have them."""
        if not self._parts:
            return made
        rows, taken, poison = [], [], list(made.poison)
        plain = made.rows if isinstance(made.rows, list) else made.rows.to_pylist()
        if not self.of_values:  # rows without columns are not even counted
            plain = [{}] * len(made.taken)
        for row, number in zip(plain, made.taken, strict=True):
            try:
                found = {name: self._value(name, records[number]) for name in self._parts}
            except ValueError as problem:
                poison.append((number, str(problem)))
                continue
            rows.append(row | found)
            taken.append(number)
        return Decoded(rows, taken, sorted(poison), made.ignored)

    def _value(self, name: str, record: Record) -> Any:
        part = self._parts[name]
        if part.part == KEY:
            said = self._decode_key(record.key, record.headers)
        elif part.part == HEADER:
            said = next((v for n, v in reversed(record.headers or []) if n == part.name), None)
        else:
            return None if record.arrived is None else from_micros(record.arrived)
        field = name if part.part == HEADER or not part.name else part.name
        try:
            found = values_of_key(said, {field: self._columns[name]})
        except ValueError as problem:
            raise ValueError(f"its {part.part}: {problem}") from None
        return None if found is None else found[0]
