"""What is on record of one access: plain data, with entities as keyed hashes. Pure.

A record of kind ``access``::

    {"action": "read online", "actor": "service:checkout", "purpose": "fraud",
     "features": "1f0c...", "entities": ["9a41...", "77b0..."], "requests": ["5f1c-7", "5f1c-8"],
     "ago": [212, 40], "count": 2, "outcome": "ok"}

Small reads by one actor of one list of features stand in one record: entities, ids of requests and
how long ago each was (milliseconds before the record) go together. Of what is larger, ``request``
and ``ago`` are of the whole.

``features`` names a record of kind ``features`` in the same file, which lists the references with
their versions: so a read of 400 features is not 400 times as long. ``entities`` are hashes under
the key of the project (`skewless.access.keyed`), one for each entity that a row names; they are
found by whoever knows an entity's key and has the key of the project, and name nobody by
themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any, NamedTuple, Self

from skewless.access.keyed import KeyedHash
from skewless.definitions import Entity
from skewless.errors import InputError
from skewless.plan.selection import Selection
from skewless.state.keys import KeyCodec

ACCESS, FEATURES = "access", "features"
"""Kinds of records."""
READ, HISTORY, SEARCH = "read online", "read history", "search audit"
OK, BEGUN, REFUSED = "ok", "begun", "refused"
Rows = Sequence[Mapping[str, Any]]


class Subjects:
    """Names the entity of one kind that each row of a read names.

    Args:
        entity: with its join keys as the rows call them.
        constants: join keys that the view gives itself.

    Attributes:
        columns: the join keys that rows have.
    """

    def __init__(self, entity: Entity, constants: Mapping[str, Any]) -> None:
        self._codec = KeyCodec(entity)
        self._kind = entity.stored.encode() + b"\0"
        self._constants = constants
        self.columns = tuple(name for name in entity.key_names if name not in constants)

    def of(self, rows: Rows, keyed: KeyedHash) -> list[str | None]:
        """Return the keyed hash of the entity that each row names; None where it names none.

        What join keys are called makes no difference: an entity has one hash in every role.
        """
        if self._constants:
            rows = [{**row, **self._constants} for row in rows]
        hashed, kind = partial(keyed.of, "audit"), self._kind
        try:
            return [hashed(kind + key) for key in self._codec.encode_all(rows)]
        except InputError:  # none, or no key: whoever reads is told; this is only the record
            return [None if (key := self._key(row)) is None else hashed(kind + key) for row in rows]

    def _key(self, row: Mapping[str, Any]) -> bytes | None:
        try:
            return self._codec.encode(row)
        except InputError:
            return None

    @classmethod
    def of_selection(cls, selection: Selection) -> tuple[Self, ...]:
        """Return what names the entities of a read, each once; of an entity without a key none."""
        found = {}
        for need in selection.views:
            entity, constants = need.view.asked_entity, need.view.constants
            if entity.join_keys:
                found[entity.stored, entity.key_names] = cls(entity, constants)
        return tuple(found.values())


class FeatureList(NamedTuple):
    """Features that are read together.

    Attributes:
        name: what the list is called; empty where it is.
        references: with versions.
    """

    name: str
    references: tuple[str, ...]

    @classmethod
    def of(cls, references: Iterable[str]) -> Self:
        """Return the list of some references."""
        listed = tuple(references)
        made = blake2b("\n".join(listed).encode(), digest_size=16).hexdigest()
        return cls(made if listed else "", listed)

    @classmethod
    def of_selection(cls, selection: Selection) -> Self:
        """Return the list of what a read gives."""
        return cls.of(output.reference for output in selection.outputs)


NO_FEATURES = FeatureList("", ())


@dataclass(slots=True)
class Access:
    """One access, as it waits to be written.

    Attributes:
        action: ``read online``, ``read history``, ``write`` ...
        actor: who, ``service:checkout`` or ``key:4f6c``.
        features: that are read.
        subjects: name the entities of rows.
        rows: that name entities; of a write none.
        count: of entities, or rows.
        outcome: ``ok``, or what refused it.
        purpose: what it is for, as the caller says.
        request: the id of the request; empty: there is none.
        at: when, UTC microseconds; 0: when it is written.
        about: what else there is to say.
    """

    action: str
    actor: str
    features: FeatureList = NO_FEATURES
    subjects: Sequence[Subjects] = ()
    rows: Rows = ()
    count: int = 0
    outcome: str = OK
    purpose: str = ""
    request: str = ""
    at: int = 0
    about: Mapping[str, Any] | None = None

    @property
    def group(self) -> tuple[Any, ...] | None:
        """What small reads have in common that stand in one record; None: it stands alone."""
        if len(self.rows) != 1 or len(self.subjects) != 1 or self.about is not None:
            return None
        return self.action, self.actor, self.features.name, self.outcome, self.purpose


def said_of(access: Access, keyed: KeyedHash, now: int) -> dict[str, Any]:
    """Return an access as plain data.

    Args:
        access: it.
        keyed: the key of the project.
        now: the moment of the record.
    """
    entities = dict.fromkeys(
        subject
        for subjects in access.subjects
        for subject in subjects.of(access.rows, keyed)
        if subject is not None
    )
    more = {"entities": list(entities), "request": access.request, "ago": _ago(access, now)}
    return _said(access, access.count, more)


def said_together(some: Sequence[Access], keyed: KeyedHash, now: int) -> dict[str, Any]:
    """Return small reads of one `Access.group` as plain data; see `said_of`."""
    first = some[0]
    hashes = first.subjects[0].of([access.rows[0] for access in some], keyed)
    more = {
        "entities": ["" if each is None else each for each in hashes],
        "requests": [access.request for access in some],
        "ago": [_ago(access, now) for access in some],
    }
    return _said(first, len(some), more)


def _said(access: Access, count: int, more: Mapping[str, Any]) -> dict[str, Any]:
    said = {
        "action": access.action,
        "actor": access.actor,
        "purpose": access.purpose,
        "features": access.features.name,
        **more,
        "count": count,
        "outcome": access.outcome,
        **(access.about or {}),
    }
    return {name: value for name, value in said.items() if value not in ("", [])}


def _ago(access: Access, now: int) -> int:
    return max(0, now - access.at) // 1000 if access.at else 0


def subjects_named(
    entities: Iterable[Entity], given: Mapping[str, Any], keyed: KeyedHash
) -> dict[str, str]:
    """Return the hash of what given join keys name, by entity: there may be several of such keys.

    Args:
        entities: those there are.
        given: join keys and their values.
        keyed: the key of the project.
    """
    return {
        entity.name: subject
        for entity in entities
        if entity.join_keys
        and set(entity.key_names) == set(given)
        and (subject := Subjects(entity, {}).of([given], keyed)[0]) is not None
    }
