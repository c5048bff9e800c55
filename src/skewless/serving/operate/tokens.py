"""Tokens of an OpenID Connect issuer: who holds one, and what that one may do.

    tokens = Tokens(OidcSettings.of(config.oidc, where), clock.now)
    tokens.caller(b"Bearer eyJ...")             # Caller(scope="read", actor="user:ada")

A token counts when the issuer signed it by a key that it publishes, for this audience, and its time
has come and not passed. Whoever is a client of the issuer by itself (``sub`` is its ``client_id``
or ``azp``, RFC 9068) is a service, everybody else a user. A token that was checked is kept until it
ends or the keys of the issuer change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from skewless.access.actors import checked_actor
from skewless.errors import InputError
from skewless.request_errors import AccessDenied, Forbidden
from skewless.serving.operate.issuer import REFUSED, Issuer, OidcSettings
from skewless.serving.operate.keys import SCOPES, Caller

ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519",
    "EdDSA",
)  # fmt: skip
"""Those that sign with one key and are checked with another: a shared secret is none of them."""
_MOST = 4_096
_LONGEST = 16_384
_SECOND = 1_000_000
_FAR = 1e12
"""Seconds since 1970 that no token lasts to."""
_BY_ITSELF = ("client_id", "azp")


class _Known(NamedTuple):
    """A token that was checked: whose it is, until when, and how often keys had changed."""

    caller: Caller
    until: float
    changes: int


class Tokens:
    """Takes tokens of one issuer.

    Args:
        settings: whose, and what groups may do.
        now: tells the present, UTC microseconds.
        issuer: has the keys.
    """

    def __init__(
        self, settings: OidcSettings, now: Callable[[], int], issuer: Issuer | None = None
    ) -> None:
        self.issuer = Issuer(settings) if issuer is None else issuer
        self._settings = settings
        self._now = now
        self._known: dict[bytes, _Known] = {}

    def caller(self, authorization: bytes | None) -> Caller | None:
        """Return whom the header ``Authorization`` stands for; None: it holds no token.

        Raises:
            AccessDenied: a token that does not count here.
            Forbidden: one that does, and whose holder may do nothing.
            StoreUnavailable: it cannot be checked now.
        """
        kind, _, text = (authorization or b"").partition(b" ")
        token = text.strip()
        if kind.lower() != b"bearer" or token.count(b".") != 2:
            return None
        if len(token) > _LONGEST:
            raise AccessDenied("a token that is too long", headers=REFUSED)
        self.issuer.check()
        mark, now = hashlib.sha256(token).digest(), self._now()
        known = self._known.get(mark)
        if known is None or known.changes != self.issuer.changes or now >= known.until:
            changes = self.issuer.changes
            claims = self._checked(token, now)
            until = (claims["exp"] + self._settings.leeway) * _SECOND
            known = _Known(self._holder(claims), until, changes)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[mark] = known
        return known.caller

    def _checked(self, token: bytes, now: int) -> dict[str, Any]:
        """Return the claims of a token that counts at ``now``, UTC microseconds."""
        from joserfc import jwt
        from joserfc.errors import JoseError

        try:
            claims = jwt.decode(token, self._key_of, algorithms=ALGORITHMS).claims
        except (JoseError, ValueError, TypeError, RecursionError):
            raise AccessDenied("a token that does not count here", headers=REFUSED) from None
        audience = claims.get("aud")
        audiences = [audience] if isinstance(audience, str) else audience
        sub = claims.get("sub")
        leeway = self._settings.leeway
        right = {
            "iss": claims.get("iss") == self._settings.issuer,
            "aud": isinstance(audiences, list) and self._settings.audience in audiences,
            "sub": isinstance(sub, str) and sub != "",
            "exp": _is_time(claims.get("exp")),
            "nbf": _has_come(claims.get("nbf", 0), now, leeway),
            "iat": _has_come(claims.get("iat", 0), now, leeway),
        }
        for name, holds in right.items():
            if not holds:
                raise AccessDenied(
                    "a token that does not count here", got=f"its {name!r}", headers=REFUSED
                )
        if now >= (claims["exp"] + leeway) * _SECOND:
            raise AccessDenied("this token has expired", headers=REFUSED)
        return claims

    def _key_of(self, token: Any) -> Any:
        return self.issuer.key(token.headers().get("kid"))

    def _holder(self, claims: Mapping[str, Any]) -> Caller:
        sub = claims["sub"]
        kind = "service" if any(claims.get(name) == sub for name in _BY_ITSELF) else "user"
        try:
            actor = checked_actor(f"{kind}:{quote(sub, safe='@.+=/|:-_')}")
        except InputError:
            raise AccessDenied("a token whose subject is no name", headers=REFUSED) from None
        groups = _listed(claims, self._settings.claim)
        for scope in reversed(SCOPES):
            wanted = self._settings.scopes[scope]
            if "*" in wanted or not groups.isdisjoint(wanted):
                return Caller(scope, actor=actor, groups=groups)
        raise Forbidden(
            "the holder of this token may do nothing here",
            got=actor, expected=f"a group in {self._settings.claim!r} that [oidc] names",
        )  # fmt: skip


def _is_time(value: Any) -> bool:
    """Whether a claim is a moment: seconds since 1970, a finite number (RFC 7519)."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _FAR


def _has_come(value: Any, now: int, leeway: int) -> bool:
    return _is_time(value) and (value - leeway) * _SECOND <= now


def _listed(claims: Mapping[str, Any], name: str) -> frozenset[str]:
    """Return what a claim lists: texts, or words of one text (as ``scope`` has them).

    >>> sorted(_listed({"realm": {"roles": ["a", 1]}, "scope": "b c"}, "realm.roles"))
    ['a']
    >>> sorted(_listed({"scope": "b c"}, "scope"))
    ['b', 'c']
    """
    found: Any = claims.get(name)
    if found is None:
        found = claims
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        found = found.split()
    each = found if isinstance(found, list) else ()
    return frozenset(one for one in each if isinstance(one, str))
