"""Entities: what features describe.

>>> Entity("fab", fab_id=str)
Entity(fab: fab_id String)
>>> Entity("driver_trip", driver_id=int, trip_id=str).join_keys
(('driver_id', Int64), ('trip_id', String))
>>> Entity("site")
Entity(site: no key)
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Protocol

from skewless.definitions.naming import checked_name, checked_text
from skewless.definitions.words import typed_and_words, words_dict, words_from_dict
from skewless.errors import DefinitionError
from skewless.types import DType, dtype_from_dict, dtype_of

KEY_KINDS = frozenset({"str", "int32", "int64", "bytes", "bool", "date", "timestamp"})


class Renamable(Protocol):
    """A definition that can have had another name, under which something is kept."""

    name: str
    was: str
    stored: str


def former(thing: Renamable) -> dict[str, str]:
    """Return what the plain data of a definition says of other names it has: mostly nothing."""
    was = {"was": thing.was} if thing.was else {}
    return was | ({} if thing.stored == thing.name else {"stored": thing.stored})


class Entity:
    """What a feature describes, by typed join keys; without any there is one such entity.

    Args:
        name: of the entity; by position, so that a join key may have this name too.
        description: for people; outside the fingerprint.
        was: the name of before, where it is renamed; its states stay.
        join_keys: ``keyword = type``; str, int, bytes, bool, date or datetime; or an `sl.Column`
            of such a type, with words. None: all rows of a source are about this one entity,
            and it is asked for by an empty row.

    Raises:
        DefinitionError: a join key of a type that cannot be one.
    """

    def __init__(
        self, name: str, /, *, description: str = "", was: str = "", **join_keys: object
    ) -> None:
        self.name = checked_name(name, "entity")
        self.was = checked_text(was, "was", f"entity {name!r}")
        self.stored = self.name
        """The name that its states are kept under: that of before a rename."""
        self.description = checked_text(description, "the description", f"entity {name!r}")
        types, self.words = typed_and_words(join_keys)
        self.join_keys: tuple[tuple[str, DType], ...] = tuple(
            (checked_name(key, "join key"), dtype_of(dtype)) for key, dtype in types.items()
        )
        if moved := [key for key, words in self.words.items() if words.was]:
            hint = f"Views say how it is called in their rows: on={{{moved[0]!r}: 'column'}}."
            raise DefinitionError(f"join key {moved[0]!r} of {name!r} cannot say was=", hint=hint)
        for key, dtype in self.join_keys:
            if dtype.kind not in KEY_KINDS:
                raise DefinitionError(
                    f"join key {key!r} of entity {name!r} cannot be a {dtype!r}",
                    expected="str, int, bytes, bool, date or datetime",
                )

    @property
    def key_names(self) -> tuple[str, ...]:
        """The names of the join keys, in order."""
        return tuple(key for key, _ in self.join_keys)

    def renamed(self, names: Mapping[str, str]) -> Entity:
        """Return the same entity with other names of its join keys; those not named stay.

        >>> Entity("account", account_id=str).renamed({"account_id": "payer"})
        Entity(account: payer String)
        """
        made = copy(self)
        made.join_keys = tuple((names.get(key, key), dtype) for key, dtype in self.join_keys)
        return made

    def to_dict(self) -> dict[str, Any]:
        """Return the entity as plain data."""
        keys = {key: dtype.to_dict() for key, dtype in self.join_keys}
        data = {"name": self.name, "join_keys": keys, "description": self.description}
        return data | words_dict(self.words) | former(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Entity:
        """Return the entity that `to_dict` wrote."""
        keys = {key: dtype_from_dict(dtype) for key, dtype in data["join_keys"].items()}
        made = cls(data["name"], description=data["description"], was=data.get("was", ""), **keys)
        made.stored = data.get("stored", made.name)
        made.words = words_from_dict(data)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entity) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(("entity", self.name))

    def __repr__(self) -> str:
        keys = ", ".join(f"{key} {dtype!r}" for key, dtype in self.join_keys)
        return f"Entity({self.name}: {keys or 'no key'})"
