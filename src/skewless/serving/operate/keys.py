"""API keys: made once, shown once, kept only as hashes; what a caller may do.

    secret = create(registry, scope="read", services=("fraud_model",))
    Keyring.load(registry).caller("Bearer " + secret)

A key is ``sk_<id>_<secret>``; of its 256 random bits only the SHA-256 is kept, in the registry, so
that every server of it knows the key and a revocation within seconds. (A slow hash protects
guessable passwords; 256 random bits cannot be guessed.)

A key may end at a moment. `rotate` makes another one like it and lets the old one count for a while
yet, so that clients can be given the new one first.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from skewless.access.actors import checked_actor
from skewless.clock import NEVER, SystemClock, iso
from skewless.errors import CorruptData, InputError, StoreError, UnknownName
from skewless.lineage.access import Asker
from skewless.online.runtime import Runtime
from skewless.registry.base import Registry
from skewless.request_errors import AccessDenied, Forbidden, TooManyRequests

SCOPES = ("read", "write", "admin")
"""What a key may do, each with all before it: read values; push rows; materialize."""
VALUES_A_PERMIT = 1_000
"""A request costs a permit, and one more for each so many values (and `http.SMALL_BODY` bytes)."""
_PREFIX = "serving.key/"
_EVER = "serving.keys"
_REVOKED = "serving.revoked/"
_USED = "serving.used/"
USED_EVERY = 300_000_000
"""Microseconds between two notes of a worker that a key is used."""
_NOTES = "skewless.keys"
"""In the journal: the projects that have had a key, and behind each a row for each it revoked; its
value is the moment from which on that counts, nothing where it is at once."""
_ENDED = "skewless.keys.ended"
"""In the journal: a row for each key of a project that was seen to have expired."""
_FORM = re.compile(r"sk_([0-9a-f]{12})_([\w-]{43})\Z")


@dataclass(frozen=True)
class Key:
    """What is known of a key; not the key itself.

    Attributes:
        id: names it.
        digest: SHA-256 of its secret, hexadecimal.
        scope: one of `SCOPES`.
        services: the feature services it may read; empty: everything.
        rate: small requests a second, see `VALUES_A_PERMIT`; 0: any number.
        note: whose it is, for people.
        created: when, UTC microseconds.
        actor: who acts by it, ``user:ada`` or ``service:checkout``; empty: nobody by name.
        expires: from when on it is worthless, UTC microseconds; 0: never.
    """

    id: str
    digest: str
    scope: str
    services: tuple[str, ...] = ()
    rate: float = 0.0
    note: str = ""
    created: int = 0
    actor: str = ""
    expires: int = 0

    def is_over(self, now: int) -> bool:
        """Whether it has expired."""
        return bool(self.expires) and now >= self.expires

    def to_dict(self) -> dict[str, Any]:
        """Return what may be shown: all but the digest."""
        return {
            "id": self.id,
            "scope": self.scope,
            "services": list(self.services),
            "rate": self.rate,
            "note": self.note,
            "created": iso(self.created),
            "actor": self.actor,
            "expires": iso(self.expires) if self.expires else None,
        }


def create(
    registry: Registry,
    *,
    scope: str,
    services: Sequence[str] = (),
    rate: float = 0.0,
    note: str = "",
    actor: str = "",
    expires: int = 0,
    now: int = 0,
) -> str:
    """Make a key and return it; it cannot be shown again.

    Args:
        registry: where its hash is kept.
        scope: one of `SCOPES`.
        services: the feature services it may read; only for the scope ``read``.
        rate: small requests a second that it may make, per worker; 0: any number.
        note: whose it is.
        actor: who acts by it, ``user:ada`` or ``service:checkout``; empty: nobody by name.
        expires: from when on it is worthless, UTC microseconds; 0: never.
        now: the present, UTC microseconds.

    `keyring_of` then notes in the journal that there are keys; servers do so, too.

    Raises:
        InputError: no such scope, services for another scope than ``read``, what is no actor, or
            an end that has passed.
    """
    if scope not in SCOPES:
        raise InputError("no such scope", got=scope, expected=", ".join(SCOPES))
    if services and scope != "read":
        raise InputError(
            "a key for some services only can only read", got=scope, expected="the scope read"
        )
    if rate < 0:
        raise InputError("a rate below zero", got=rate)
    if expires and expires <= now:
        raise InputError("a key that has expired already", got=iso(expires))
    number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    body = {
        "digest": _digest(secret),
        "scope": scope,
        "services": list(services),
        "rate": rate,
        "note": note,
        "created": now,
        "actor": checked_actor(actor) if actor else "",
        "expires": expires,
    }
    registry.set_progress(_EVER, True)
    registry.set_progress(_PREFIX + number, body)
    return f"sk_{number}_{secret}"


def revoke(registry: Registry, number: str) -> None:
    """Make a key worthless, in running servers within seconds.

    `keyring_of` then notes it in the journal; servers do so, too.

    Args:
        registry: where its hash is kept.
        number: its id, or the whole key.

    Raises:
        UnknownName: there is no such key.
    """
    number = _known(registry, number).id
    registry.set_progress(_REVOKED + number, True)  # for the journals of all who use the registry
    registry.set_progress(_PREFIX + number, None)
    registry.set_progress(_USED + number, None)


def rotate(registry: Registry, number: str, *, overlap: int, expires: int = 0, now: int) -> str:
    """Make a key like another one, which ends after a while, and return the new one.

    It may do what the old one may, for the same actor. `keyring_of` then notes in the journal when
    the old one ends, so that no older registry brings it back.

    Args:
        registry: where their hashes are kept.
        number: the id of the old one, or the whole key.
        overlap: how long the old one counts yet, microseconds; 0: it ends now.
        expires: from when on the new one is worthless, UTC microseconds; 0: it lasts as long as
            the old one was made for.
        now: the present, UTC microseconds.

    Raises:
        UnknownName: there is no such key.
        InputError: it has ended already, or ``expires`` has passed.
    """
    old = _known(registry, number)
    ends = _moment(registry.get_progress(_REVOKED + old.id))
    if old.is_over(now) or (ends is not None and ends <= now):
        raise InputError("a key that has ended", got=old.id, hint="Make one: skewless keys create")
    if not expires and old.expires:
        expires = now + (old.expires - old.created)
    made = create(
        registry, scope=old.scope, services=old.services, rate=old.rate, note=old.note,
        actor=old.actor, expires=expires, now=now,
    )  # fmt: skip
    last = min(now + overlap, old.expires or NEVER, NEVER if ends is None else ends)
    registry.set_progress(_REVOKED + old.id, last)
    return made


def last_uses(registry: Registry) -> dict[str, int]:
    """Return when each key was used last, to `USED_EVERY`, UTC microseconds by id."""
    return {name.removeprefix(_USED): at for name, at in registry.progress(_USED).items()}


def _known(registry: Registry, number: str) -> Key:
    """Return a key by its id, or by itself."""
    match = _FORM.match(number)
    number = match[1] if match else number
    keys = {key.id: key for key in listed(registry)}
    if number not in keys:
        raise UnknownName.of("key", number, keys, where="the registry")
    return keys[number]


def _moment(told: Any) -> int | None:
    """Return from when on a key is revoked, as the registry has it; None: it is not."""
    return None if not told else 0 if told is True else int(told)


def listed(registry: Registry) -> list[Key]:
    """Return all keys, oldest first.

    Raises:
        CorruptData: what the registry holds of one is none.
    """
    found = []
    for name, body in registry.progress(_PREFIX).items():
        try:
            found.append(msgspec.convert({**body, "id": name.removeprefix(_PREFIX)}, Key))
        except (msgspec.ValidationError, TypeError) as problem:
            raise CorruptData(
                "a key in the registry that is none", got=str(problem), where=name,
                hint="Restore the registry from a backup.",
            ) from None  # fmt: skip
    return sorted(found, key=lambda key: (key.created, key.id))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True)
class Caller:
    """Who makes a request, and what that one may do.

    Attributes:
        scope: one of `SCOPES`.
        services: the feature services it may read; empty: everything.
        key: the id of its key; empty for callers without one.
        actor: who it is by name, ``service:checkout``; empty: nobody.
        groups: that its token names.
        bucket: what it may still ask for; None: anything.
    """

    scope: str = "admin"
    services: frozenset[str] = frozenset()
    key: str = ""
    actor: str = ""
    groups: frozenset[str] = frozenset()
    bucket: _Bucket | None = field(default=None, compare=False, repr=False)

    @property
    def who(self) -> str:
        """How the record calls whoever asks: the actor, else the key; empty: nobody by name."""
        return self.actor or (f"key:{self.key}" if self.key else "")

    @property
    def asker(self) -> Asker:
        """How grants know whoever asks; one without an actor is nobody to them."""
        return Asker(self.actor, self.groups)

    def pay(self, permits: int) -> None:
        """Pay for a request that costs more than others: the next ones wait until that is made up.

        Args:
            permits: that it costs beside the one it came in with.
        """
        if permits and self.bucket is not None:
            self.bucket.spend(permits)

    def require(self, scope: str, where: str) -> None:
        """Raise `Forbidden` unless the caller may do what needs ``scope``."""
        if SCOPES.index(self.scope) < SCOPES.index(scope):
            raise Forbidden(
                "this key may not do that",
                got=f"the scope {self.scope}", expected=f"the scope {scope}", where=where,
            )  # fmt: skip

    def require_service(self, service: str | None, where: str) -> None:
        """Raise `Forbidden` unless the caller may read a service; None: features of any view."""
        if self.services and service not in self.services:
            raise Forbidden(
                "this key may read some feature services only",
                expected=f"service: {' or '.join(sorted(self.services))}",
                where=where,
            )

    def require_everything(self, where: str) -> None:
        """Raise `Forbidden` if the caller may read some services only."""
        self.require_service(None, where)


ANYBODY = Caller()
"""Callers where no key was ever made."""


@dataclass(frozen=True)
class Keyring:
    """The keys that count at the moment.

    Attributes:
        keys: by id.
        required: whether callers need one: since the first was made, even when all are revoked.
        forgotten: whether the registry knows of none, though there were some.
        now: tells the present, UTC microseconds.
        used: when each key was used last here, UTC microseconds by id.
        ended: ids of keys that were seen to have expired: a clock set back revives none.
    """

    keys: dict[str, Key] = field(default_factory=dict)
    required: bool = False
    forgotten: bool = False
    now: Callable[[], int] = field(default=SystemClock().now, repr=False, compare=False)
    used: dict[str, int] = field(default_factory=dict, repr=False, compare=False)
    ended: set[str] = field(default_factory=set, repr=False, compare=False)
    _buckets: dict[str, _Bucket] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, registry: Registry, before: Keyring | None = None) -> Keyring:
        """Return the keys of a registry; allowances and uses go on from those of ``before``."""
        return cls.of(listed(registry), bool(registry.get_progress(_EVER)), before)

    @classmethod
    def of(cls, keys: Iterable[Key], required: bool, before: Keyring | None = None) -> Keyring:
        """Return a ring of these keys; allowances and uses go on from those of ``before``."""
        found = {key.id: key for key in keys}
        buckets = {}
        for key in found.values():
            if key.rate:
                old = before._buckets.get(key.id) if before else None
                buckets[key.id] = old if old and old.rate == key.rate else _Bucket(key.rate)
        used = {} if before is None else before.used
        ended = set() if before is None else before.ended
        return cls(found, required, used=used, ended=ended, _buckets=buckets)

    def without(self, revoked: Mapping[str, int]) -> Keyring:
        """Return the ring without keys that are revoked; 0 is at once, else the moment they end."""
        if revoked.keys().isdisjoint(self.keys):
            return self
        kept = {}
        for number, key in self.keys.items():
            ends = revoked.get(number)
            if ends is None:
                kept[number] = key
            elif ends:
                ends = min(ends, key.expires or ends)
                kept[number] = dataclasses.replace(key, expires=ends)
        return dataclasses.replace(self, keys=kept)

    def caller(self, authorization: bytes | None) -> Caller:
        """Return who the header ``Authorization`` stands for.

        Raises:
            AccessDenied: there are keys, and this is none of them.
            TooManyRequests: the key has used up what it may for the moment.
        """
        if not self.required:
            return ANYBODY
        kind, _, token = (authorization or b"").decode("latin-1").partition(" ")
        match = _FORM.match(token.strip()) if kind.lower() == "bearer" else None
        number, secret = match.groups() if match else ("", "")
        key = self.keys.get(number)
        digest = _digest(secret)
        # Compared even where there is no such key: an answer's time tells nothing.
        right = hmac.compare_digest(digest, key.digest if key else _NOBODY)
        if key is None or not right:
            raise AccessDenied(
                "a key is needed" if not authorization else "not a key that counts here",
                expected="the header Authorization: Bearer sk_...",
                hint="Keys are made with: skewless keys create",
                headers={"www-authenticate": "Bearer"},
            )
        now = self.now()
        if number in self.ended or key.is_over(now):
            self.ended.add(number)
            raise AccessDenied(
                "this key has expired",
                got=iso(key.expires),
                hint="Ask whoever gave it to you for another one.",
                headers={"www-authenticate": "Bearer"},
            )
        self.used[number] = now
        bucket = self._buckets[number] if key.rate else None
        if bucket is not None and (wait := bucket.take()):
            raise TooManyRequests(
                "this key is used too often",
                expected=f"at most {key.rate:g} small requests a second",
                headers={"retry-after": str(max(1, round(wait)))},
            )
        return Caller(key.scope, frozenset(key.services), key.id, key.actor, bucket=bucket)


def note_uses(registry: Registry, ring: Keyring, noted: dict[str, int]) -> None:
    """Note in the registry when keys were used last; each at most every `USED_EVERY`.

    Args:
        registry: where it is kept.
        ring: whose keys were used.
        noted: what was noted before, by id; it is brought up to date.
    """
    for number, at in list(ring.used.items()):
        if number in ring.keys and at - noted.get(number, -USED_EVERY) >= USED_EVERY:
            if at > (registry.get_progress(_USED + number) or 0):
                registry.set_progress(_USED + number, at)
            noted[number] = at


def keyring_of(runtime: Runtime, before: Keyring | None) -> Keyring:
    """Return the keys that count for a repo; that there are any is noted in its journal.

    A registry that was lost, or restored from before the first key, knows of none: that opens no
    door which was shut. The keys of ``before`` go on counting then. One restored from before a key
    was revoked lists it again: it does not count. Nor does a key that was seen to have expired,
    whatever the clock says later.

    Args:
        runtime: the open repo.
        before: the keys that counted until now; None at the start.
    """
    ring = _ring_of(runtime, before)
    _note_ended(runtime, ring)
    return ring


def _ring_of(runtime: Runtime, before: Keyring | None) -> Keyring:
    revoked = _noted_revocations(runtime)
    loaded = dataclasses.replace(Keyring.load(runtime.registry, before), now=runtime.clock.now)
    ring = loaded.without(revoked)
    project = runtime.config.project.encode()
    noted = runtime.journal.read_one(_NOTES, project) is not None
    if ring.required:
        if not noted:
            with contextlib.suppress(StoreError):  # where nothing can be written
                runtime.journal.write(_NOTES, [(project, b"")])
        return ring
    if not noted and (before is None or not before.required):
        return ring
    kept = (before or ring).without(revoked)
    return dataclasses.replace(kept, required=True, forgotten=True)


def _note_ended(runtime: Runtime, ring: Keyring) -> None:
    """Tell a ring which keys were seen to have expired, and note those that are new."""
    prefix, now = runtime.config.project.encode() + b"\0", runtime.clock.now()
    noted = {
        name.removeprefix(prefix).decode("ascii", "replace")
        for name, _ in runtime.journal.scan(_ENDED, prefix=prefix)
    }
    ring.ended.update(noted, (number for number, key in ring.keys.items() if key.is_over(now)))
    if new := (ring.ended & ring.keys.keys()) - noted:
        with contextlib.suppress(StoreError):  # where nothing can be written
            rows = [(prefix + number.encode(), b"") for number in sorted(new)]
            runtime.journal.write(_ENDED, rows)


def _noted_revocations(runtime: Runtime) -> dict[str, int]:
    """Return from when on keys are revoked, by id; what the registry has of it is noted."""
    prefix = runtime.config.project.encode() + b"\0"
    noted = {
        key.removeprefix(prefix).decode("ascii", "replace"): int.from_bytes(value, "big")
        for key, value in runtime.journal.scan(_NOTES, prefix=prefix)
    }
    new = {}
    for name, told in runtime.registry.progress(_REVOKED).items():
        number, ends = name.removeprefix(_REVOKED), _moment(told)
        if ends is not None and ends < noted.get(number, NEVER):
            new[number] = ends
    if new:
        rows = [
            (prefix + number.encode(), ends.to_bytes(8, "big") if ends else b"")
            for number, ends in sorted(new.items())
        ]
        with contextlib.suppress(StoreError):  # where nothing can be written
            runtime.journal.write(_NOTES, rows)
    return noted | new


class _Bucket:
    """Fills with ``rate`` permits a second, up to one second's worth."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._most = max(rate, 1.0)
        self._permits = self._most
        self._at = time.monotonic()

    def take(self) -> float:
        """Take a permit; return 0, or the seconds until there is one."""
        self.spend(0)
        if self._permits < 1:
            return (1 - self._permits) / self.rate
        self._permits -= 1
        return 0.0

    def spend(self, permits: int) -> None:
        """Take permits, also where there are not so many."""
        now = time.monotonic()
        self._permits = min(self._most, self._permits + (now - self._at) * self.rate) - permits
        self._at = now


_NOBODY = _digest("nobody")
