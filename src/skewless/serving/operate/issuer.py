"""The public keys of whoever issues tokens: fetched in the background, kept, never asked in a read.

    issuer = Issuer(OidcSettings.of(config.oidc, where))
    issuer.refresh()                       # in a thread of the background, once a second
    issuer.key("2026-01")                  # out of memory

- Keys are fetched anew every five minutes, and when a token names one that is not known: at most
  every ten seconds, so that nobody can make a server ask its issuer all the time.
- An issuer that is away is no reason to refuse whom it has let in: its keys count for a day after
  they were fetched last. Until they were fetched once, and after that day, tokens are a 503.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from skewless.durations import parse_duration
from skewless.errors import ConfigError, DefinitionError, MissingDependency, StoreUnavailable
from skewless.request_errors import AccessDenied

if TYPE_CHECKING:
    from joserfc.jwk import KeySet

EVERY, AGAIN, STALE = 300.0, 10.0, 86_400.0
"""Seconds: between two looks at the keys, at least between two tries, and that old ones count."""
_TIMEOUT = 5.0
_MOST_BYTES = 1 << 20
_PUBLIC = ("RSA", "EC", "OKP")
"""Kinds of keys that have a public half; a shared secret in a key set proves nothing."""
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_DISCOVERY = "/.well-known/openid-configuration"
REFUSED = {"www-authenticate": 'Bearer error="invalid_token"'}


@dataclass(frozen=True)
class OidcSettings:
    """Whose tokens count, and what their holders may do: ``[oidc]`` of ``skewless.toml``.

    Attributes:
        issuer: its address, as tokens name it.
        audience: what tokens must be made for.
        jwks: the address of its keys; empty: as it says itself (OpenID Connect Discovery).
        claim: the claim that lists groups or roles; dots lead into objects.
        scopes: by scope the groups that have it; ``*`` is everybody with a token.
        leeway: how far the clocks of issuer and server may be apart, seconds.
    """

    issuer: str
    audience: str
    jwks: str = ""
    claim: str = "groups"
    scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    leeway: int = 60

    @classmethod
    def of(cls, section: Mapping[str, Any], where: str) -> OidcSettings:
        """Return the settings of a section.

        Raises:
            ConfigError: something is missing or wrong.
        """
        texts = {name: section.get(name, "") for name in ("issuer", "audience", "jwks")}
        texts["claim"] = section.get("claim", "groups")
        for name, text in texts.items():
            if not isinstance(text, str) or (not text and name != "jwks"):
                raise ConfigError(f"{name!r} is no text", got=repr(text), where=where)
        for name in ("issuer", "jwks"):
            if texts[name]:
                _checked_address(texts[name], f"{name!r} in {where}")
        scopes = {}
        for scope in ("read", "write", "admin"):
            groups = section.get(scope, [])
            if not isinstance(groups, list) or not all(isinstance(g, str) and g for g in groups):
                raise ConfigError(
                    f"{scope!r} is no list of groups", got=repr(groups), where=where,
                    expected=f'{scope} = ["a-group"], or ["*"] for everybody with a token',
                )  # fmt: skip
            scopes[scope] = tuple(groups)
        if not any(scopes.values()):
            raise ConfigError(
                "tokens would let nobody do anything", where=where, expected='read = ["a-group"]'
            )
        try:
            leeway = parse_duration(section.get("leeway", "60s"), what="leeway") // 1_000_000
        except DefinitionError as problem:
            raise ConfigError("'leeway' is no duration", got=problem.got, where=where) from None
        if leeway > 600:
            raise ConfigError("a leeway of more than ten minutes", got=f"{leeway}s", where=where)
        return cls(**texts, scopes=scopes, leeway=leeway)


def _checked_address(address: str, where: str) -> None:
    """Raise `ConfigError` unless an address is https, or plain on this machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        parts, host = urlsplit(""), None
    if host and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        return
    raise ConfigError("not an address of an issuer", got=address, expected="https://...",
                      where=where)  # fmt: skip


class Issuer:
    """The keys of an issuer.

    Args:
        settings: whose.
        ticks: tells seconds that pass.

    Attributes:
        changes: how often its keys were found to be others.
        problem: why they could not be fetched the last time; empty: they could.
    """

    def __init__(self, settings: OidcSettings, ticks: Callable[[], float] = time.monotonic) -> None:
        try:
            from joserfc import jwk
        except ModuleNotFoundError:
            raise MissingDependency.of(
                "joserfc", "oidc", needed_for="tokens of an issuer"
            ) from None
        self._jwk = jwk
        self._settings = settings
        self._ticks = ticks
        self._keys: KeySet | None = None
        self._said: list[Any] = []
        self._fetched = self._tried = float("-inf")
        self._wanted = False
        self.changes = 0
        self.problem = ""

    def refresh(self) -> bool:
        """Fetch the keys if it is time to; return whether it was tried. It waits for the issuer."""
        now = self._ticks()
        pressing = self._wanted or bool(self.problem)
        if now - self._tried < (AGAIN if pressing else EVERY):
            return False
        self._tried = now
        try:
            said = self._asked()
            if said != self._said:
                self._keys, self._said = self._read(said), said
                self.changes += 1
        except StoreUnavailable as problem:
            self.problem = str(problem)
        else:
            self.problem, self._fetched, self._wanted = "", now, False
        return True

    def check(self) -> None:
        """Raise `StoreUnavailable` where there are no keys, or they are too old to count."""
        if self._keys is None or self._ticks() - self._fetched > STALE:
            raise StoreUnavailable(
                "the keys of the issuer of tokens are not there, or older than a day",
                got=self.problem or None,
                hint="API keys go on to count.",
            )

    def key(self, kid: Any) -> Any:
        """Return a public key by its id; None: the only one.

        Raises:
            AccessDenied: the issuer has no such key.
            StoreUnavailable: it may have one by now; it is being asked.
        """
        self.check()
        assert self._keys is not None
        known = self._keys.keys
        for key in known:
            if (kid is None and len(known) == 1) or (kid is not None and key.kid == kid):
                return key
        if kid is not None and (self.problem or self._ticks() - self._tried >= AGAIN):
            self._wanted = True
            raise StoreUnavailable(
                "a token by a key that is not known yet", hint="The issuer is asked. Try again."
            )
        raise AccessDenied("a token by no key of the issuer", headers=REFUSED)

    def _asked(self) -> list[Any]:
        """Return the public keys of the issuer as it has them now."""
        address = self._settings.jwks
        if not address:
            discovered = _object(self._settings.issuer.rstrip("/") + _DISCOVERY)
            if discovered.get("issuer") != self._settings.issuer:
                raise StoreUnavailable(
                    "the issuer calls itself otherwise",
                    got=str(discovered.get("issuer"))[:200], expected=self._settings.issuer,
                )  # fmt: skip
            address = str(discovered.get("jwks_uri"))
            try:
                _checked_address(address, "jwks_uri")
            except ConfigError as problem:
                raise StoreUnavailable(str(problem)) from None
        keys = _object(address).get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
            raise StoreUnavailable("not a set of keys", where=address)
        found = [key for key in keys if key.get("kty") in _PUBLIC and key.get("use") != "enc"]
        if not found:
            raise StoreUnavailable("a set without public keys", where=address)
        return found

    def _read(self, said: list[Any]) -> KeySet:
        """Return the keys that can be read; others may be of kinds yet to come."""
        from joserfc.errors import JoseError

        found = []
        for each in said:
            with contextlib.suppress(JoseError, ValueError, TypeError, KeyError):
                found.append(self._jwk.import_key(each))
        if not found:
            raise StoreUnavailable("none of the issuer's keys can be read")
        return self._jwk.KeySet(found)


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: keys come from where the settings say."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _object(address: str) -> dict[str, Any]:
    """Return the JSON object at an address; `StoreUnavailable` if there is none."""
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(address, timeout=_TIMEOUT) as answer:
            body = answer.read(_MOST_BYTES + 1)
        data = json.loads(body) if len(body) <= _MOST_BYTES else None
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as problem:
        raise StoreUnavailable(
            "the issuer does not answer", got=str(problem)[:200], where=address
        ) from None
    if not isinstance(data, dict):
        raise StoreUnavailable("the issuer answers with no object of JSON", where=address)
    return data
