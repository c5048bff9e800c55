"""Where columns lie in a message of a stream, when not under their own name at its top.

    sl.Kafka("payments", "broker:9092", columns={
        "amount": "payload.after.amount",    # a path into the value
        "card_id": sl.key(),                 # the message's key
        "region": sl.header("region"),       # one of its headers
        "at": sl.message_time(),             # when it was written
    })

>>> places_of({"amount": "payload.after.amount", "at": message_time()}, "topic payments")
{'amount': 'payload.after.amount', 'at': {'part': 'time', 'name': ''}}
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skewless.errors import DefinitionError, UnknownName
from skewless.types import DType, Timestamp

KEY, HEADER, TIME = "key", "header", "time"


@dataclass(frozen=True)
class MessagePart:
    """A part of a message beside its value.

    Attributes:
        part: ``key``, ``header`` or ``time``.
        name: of the header, or of the field of a key that is an object; empty where there is none.
    """

    part: str
    name: str = ""


def key(field: str = "") -> MessagePart:
    """Return the key of a message as the place of a column.

    Args:
        field: of a key that is an object; by default the column's own name. A key that is no object
            is the value.

    >>> key("pay_id")
    MessagePart(part='key', name='pay_id')
    """
    return MessagePart(KEY, field)


def header(name: str) -> MessagePart:
    """Return a header of a message as the place of a column; of several of one name the last.

    >>> header("region")
    MessagePart(part='header', name='region')
    """
    return MessagePart(HEADER, name)


def message_time() -> MessagePart:
    """Return the time of a message, as its topic has it, as the place of a `Timestamp`.

    >>> message_time()
    MessagePart(part='time', name='')
    """
    return MessagePart(TIME)


def places_of(
    columns: Mapping[str, str | MessagePart] | None, where: str, *, parts: bool = True
) -> dict[str, Any] | None:
    """Return where columns lie as plain data.

    Args:
        columns: names, and a path into the value (``a.b.c``) or a part of the message each.
        where: named in errors.
        parts: whether messages have keys, headers and times.

    Raises:
        DefinitionError: what is no place.
    """
    if columns is None:
        return None
    if not isinstance(columns, Mapping):
        raise DefinitionError(
            "columns= says where columns lie in a message",
            got=f"{columns!r:.60}",
            expected="{'amount': 'payload.after.amount'}",
            where=where,
        )
    return {name: _place(name, place, where, parts=parts) for name, place in columns.items()}


def _place(name: object, place: object, where: str, *, parts: bool) -> Any:
    if isinstance(place, str) and all(place.split(".")):
        return place
    if isinstance(place, MessagePart) and parts and (place.part != HEADER or place.name):
        return {"part": place.part, "name": place.name}
    raise DefinitionError(
        f"no place of column {name!r}",
        got=f"{place!r:.60}",
        expected="a path such as 'payload.after.amount'"
        + (", sl.key(), sl.header('name') or sl.message_time()" if parts else ""),
        where=where,
    )


def check_places(places: Mapping[str, Any], columns: Mapping[str, DType], where: str) -> None:
    """Raise unless every place is one of a column, and times are those of times.

    Raises:
        UnknownName: a column that the source does not have.
        DefinitionError: the time of a message for a column of another type.
    """
    for name, place in places.items():
        if name not in columns:
            raise UnknownName.of("column", name, columns, where=where)
        if part_of(place) == MessagePart(TIME) and columns[name] != Timestamp:
            raise DefinitionError(
                f"the time of a message is no {columns[name]!r}",
                got=f"column {name!r}",
                expected="a column of times, without a unit",
                where=where,
            )


def part_of(place: Any) -> MessagePart | None:
    """Return the part of a message that a place names; None for a path into its value."""
    return MessagePart(**place) if isinstance(place, Mapping) else None
