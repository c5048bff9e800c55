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
from typing import Any

from skewless.definitions.naming import checked_name, checked_text
from skewless.definitions.words import typed_and_words, words_dict, words_from_dict
from skewless.errors import DefinitionError
from skewless.types import DType, dtype_from_dict, dtype_of

KEY_KINDS = frozenset({"str", "int32", "int64", "bytes", "bool", "date", "timestamp"})


class Entity:
    """What a feature describes, by typed join keys; without any there is one such entity.

    Args:
        name: of the entity; by position, so that a join key may have this name too.
        description: for people; outside the fingerprint.
        join_keys: ``keyword = type``; str, int, bytes, bool, date or datetime; or an `sl.Column`
            of such a type, with words. None: all rows of a source are about this one entity,
            and it is asked for by an empty row.

    Raises:
        DefinitionError: a join key of a type that cannot be one.
    """

    def __init__(self, name: str, /, *, description: str = "", **join_keys: object) -> None:
        self.name = checked_name(name, "entity")
        self.description = checked_text(description, "the description", f"entity {name!r}")
        types, self.words = typed_and_words(join_keys)
        self.join_keys: tuple[tuple[str, DType], ...] = tuple(
            (checked_name(key, "join key"), dtype_of(dtype)) for key, dtype in types.items()
        )
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
        return data | words_dict(self.words)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Entity:
        """Return the entity that `to_dict` wrote."""
        keys = {key: dtype_from_dict(dtype) for key, dtype in data["join_keys"].items()}
        made = cls(data["name"], description=data["description"], **keys)
        made.words = words_from_dict(data)
        return made

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entity) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(("entity", self.name))

    def __repr__(self) -> str:
        keys = ", ".join(f"{key} {dtype!r}" for key, dtype in self.join_keys)
        return f"Entity({self.name}: {keys or 'no key'})"
