"""API keys: made once, shown once, kept only as hashes; what a caller may do.

    secret = create(registry, scope="read", services=("fraud_model",))
    Keyring.load(registry).caller("Bearer " + secret)

A key is ``sk_<id>_<secret>``; of its 256 random bits only the SHA-256 is kept, in the registry, so
that every server of it knows the key and a revocation within seconds. (A slow hash protects
guessable passwords; 256 random bits cannot be guessed.)
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import msgspec

from skewless.clock import iso
from skewless.errors import CorruptData, InputError, StoreError, UnknownName
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
_NOTES = "skewless.keys"
"""In the journal: the projects that have had a key, and behind each a row for each it revoked."""
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
    """

    id: str
    digest: str
    scope: str
    services: tuple[str, ...] = ()
    rate: float = 0.0
    note: str = ""
    created: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return what may be shown: all but the digest."""
        return {
            "id": self.id,
            "scope": self.scope,
            "services": list(self.services),
            "rate": self.rate,
            "note": self.note,
            "created": iso(self.created),
        }


def create(
    registry: Registry,
    *,
    scope: str,
    services: Sequence[str] = (),
    rate: float = 0.0,
    note: str = "",
    now: int = 0,
) -> str:
    """Make a key and return it; it cannot be shown again.

    Args:
        registry: where its hash is kept.
        scope: one of `SCOPES`.
        services: the feature services it may read; only for the scope ``read``.
        rate: small requests a second that it may make, per worker; 0: any number.
        note: whose it is.
        now: the present, UTC microseconds.

    `keyring_of` then notes in the journal that there are keys; servers do so, too.

    Raises:
        InputError: no such scope, or services for another scope than ``read``.
    """
    if scope not in SCOPES:
        raise InputError("no such scope", got=scope, expected=", ".join(SCOPES))
    if services and scope != "read":
        raise InputError(
            "a key for some services only can only read", got=scope, expected="the scope read"
        )
    if rate < 0:
        raise InputError("a rate below zero", got=rate)
    number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    body = {
        "digest": _digest(secret),
        "scope": scope,
        "services": list(services),
        "rate": rate,
        "note": note,
        "created": now,
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
    match = _FORM.match(number)
    number = match[1] if match else number
    if registry.get_progress(_PREFIX + number) is None:
        raise UnknownName.of("key", number, (k.id for k in listed(registry)), where="the registry")
    registry.set_progress(_REVOKED + number, True)  # for the journals of all who use the registry
    registry.set_progress(_PREFIX + number, None)


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
        bucket: what it may still ask for; None: anything.
    """

    scope: str = "admin"
    services: frozenset[str] = frozenset()
    key: str = ""
    bucket: _Bucket | None = field(default=None, compare=False, repr=False)

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
    """

    keys: dict[str, Key] = field(default_factory=dict)
    required: bool = False
    forgotten: bool = False
    _buckets: dict[str, _Bucket] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, registry: Registry, before: Keyring | None = None) -> Keyring:
        """Return the keys of a registry; allowances go on from those of ``before``."""
        return cls.of(listed(registry), bool(registry.get_progress(_EVER)), before)

    @classmethod
    def of(cls, keys: Iterable[Key], required: bool, before: Keyring | None = None) -> Keyring:
        """Return a ring of these keys; allowances go on from those of ``before``."""
        found = {key.id: key for key in keys}
        buckets = {}
        for key in found.values():
            if key.rate:
                old = before._buckets.get(key.id) if before else None
                buckets[key.id] = old if old and old.rate == key.rate else _Bucket(key.rate)
        return cls(found, required, _buckets=buckets)

    def without(self, revoked: Set[str]) -> Keyring:
        """Return the ring without keys of these ids."""
        if revoked.isdisjoint(self.keys):
            return self
        kept = {number: key for number, key in self.keys.items() if number not in revoked}
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
        bucket = self._buckets[number] if key.rate else None
        if bucket is not None and (wait := bucket.take()):
            raise TooManyRequests(
                "this key is used too often",
                expected=f"at most {key.rate:g} small requests a second",
                headers={"retry-after": str(max(1, round(wait)))},
            )
        return Caller(key.scope, frozenset(key.services), key.id, bucket)


def keyring_of(runtime: Runtime, before: Keyring | None) -> Keyring:
    """Return the keys that count for a repo; that there are any is noted in its journal.

    A registry that was lost, or restored from before the first key, knows of none: that opens no
    door which was shut. The keys of ``before`` go on counting then. One restored from before a key
    was revoked lists it again: it does not count.

    Args:
        runtime: the open repo.
        before: the keys that counted until now; None at the start.
    """
    revoked = _noted_revocations(runtime)
    ring = Keyring.load(runtime.registry, before).without(revoked)
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


def _noted_revocations(runtime: Runtime) -> set[str]:
    """Return the ids of keys that were ever revoked; those of the registry are noted."""
    prefix = runtime.config.project.encode() + b"\0"
    noted = {
        key.removeprefix(prefix).decode("ascii", "replace")
        for key, _ in runtime.journal.scan(_NOTES, prefix=prefix)
    }
    told = {name.removeprefix(_REVOKED) for name in runtime.registry.progress(_REVOKED)}
    new = sorted(told - noted)
    if new:
        with contextlib.suppress(StoreError):  # where nothing can be written
            runtime.journal.write(_NOTES, [(prefix + number.encode(), b"") for number in new])
    return noted | told


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
