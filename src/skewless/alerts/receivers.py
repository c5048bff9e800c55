"""Who is told: Slack, Teams, PagerDuty or anything that takes JSON over HTTPS.

    [alerts.receivers.oncall]
    kind = "pagerduty"
    key = "${PAGERDUTY_KEY}"
    levels = ["page"]

A receiver has an address of its kind's hosts, or of one that ``allow`` in ``[alerts]`` names; only
HTTPS, but for a loopback address that is named there. Redirects are not followed.
"""

from __future__ import annotations

import hashlib
import hmac
import http.client
import json
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from skewless.alerts.rules import LEVELS, PAGE
from skewless.clock import iso
from skewless.errors import ConfigError, UnknownName

TRIGGER, ACKNOWLEDGE, RESOLVE = "trigger", "acknowledge", "resolve"
HOSTS: Mapping[str, tuple[str, ...]] = {
    "slack": ("hooks.slack.com", "hooks.slack-gov.com"),
    "teams": ("*.webhook.office.com", "*.logic.azure.com", "*.environment.api.powerplatform.com"),
    "pagerduty": ("events.pagerduty.com", "events.eu.pagerduty.com"),
    "webhook": (),
}
PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"
TIMEOUT = 10.0
_LONGEST = 1000
_KEYS = ("kind", "url", "key", "secret", "levels", "owners", "rules")
_SECRETS = ("key", "secret")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_SIGNS = {TRIGGER: {PAGE: "PAGE", "warn": "warning"}, RESOLVE: {}, ACKNOWLEDGE: {}}


@dataclass(frozen=True)
class Message:
    """Something to tell.

    Attributes:
        action: ``trigger``, ``acknowledge`` or ``resolve``.
        key: what it is told under: ``project/view/rule``.
        rule, of, level, text, owner: see `Problem`.
        project: of the repo.
        at: since when, UTC microseconds.
    """

    action: str
    key: str
    rule: str
    of: str
    level: str
    text: str
    owner: str
    project: str
    at: int

    @property
    def line(self) -> str:
        """What it says in a line."""
        if self.action == RESOLVE:
            return f"Resolved: {self.of} ({self.rule})"[:_LONGEST]
        return f"{_SIGNS[self.action].get(self.level, self.action)}: {self.text}"[:_LONGEST]


@dataclass(frozen=True)
class Answer:
    """What became of a try to tell it.

    Attributes:
        status: of HTTP; 0: there was no answer.
        wait: how long the receiver asks to wait, microseconds; None: it says nothing.
        problem: why there was no answer.
    """

    status: int
    wait: int | None = None
    problem: str = ""

    @property
    def ok(self) -> bool:
        """Whether the receiver took it."""
        return 200 <= self.status < 300

    @property
    def hopeless(self) -> bool:
        """Whether another try would be refused as well."""
        return 300 <= self.status < 500 and self.status not in (408, 425, 429)


@dataclass(frozen=True)
class Receiver:
    """Somebody who is told.

    Attributes:
        name: in the settings.
        kind: ``slack``, ``teams``, ``pagerduty`` or ``webhook``.
        url: where to.
        key: of PagerDuty's integration.
        secret: that a webhook's messages are signed with; empty: they are not.
        levels: of problems that are told.
        owners, rules: of problems that are told, as patterns; none: all.
    """

    name: str
    kind: str
    url: str
    key: str = ""
    secret: str = ""
    levels: tuple[str, ...] = LEVELS
    owners: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def wants(self, level: str, owner: str, rule: str) -> bool:
        """Return whether a problem is told to it."""
        owned = not self.owners or any(fnmatchcase(owner, each) for each in self.owners)
        ruled = not self.rules or any(fnmatchcase(rule, each) for each in self.rules)
        return level in self.levels and owned and ruled

    def body(self, message: Message) -> Any:
        """Return what is sent, as plain data."""
        return _BODIES[self.kind](self, message)

    def send(self, message: Message, timeout: float = TIMEOUT) -> Answer:
        """Try once to tell it."""
        data = json.dumps(self.body(message), ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "User-Agent": "skewless"}
        if self.secret:
            signed = hmac.new(self.secret.encode(), data, hashlib.sha256).hexdigest()
            headers["X-Skewless-Signature"] = f"sha256={signed}"
        return post(self.url, data, headers, timeout)


def receivers(settings: Mapping[str, Any], typed: Mapping[str, Any], where: str) -> list[Receiver]:
    """Return the receivers that ``[alerts]`` names.

    Args:
        settings: the section.
        typed: the section as it stands in the file, variables not looked up.
        where: the file.

    Raises:
        ConfigError: a receiver of no kind, an address that is not allowed, an unknown option, a
            secret that stands in the file.
    """
    allowed = _texts(settings, "allow", where)
    found = []
    for name, given in dict(settings.get("receivers", {})).items():
        place = f"[alerts.receivers.{name}] of {where}"
        if not isinstance(given, Mapping) or given.get("kind") not in HOSTS:
            raise ConfigError("a receiver of no kind", expected=", ".join(HOSTS), where=place)
        for key in given:
            if key not in _KEYS:
                raise ConfigError(str(UnknownName.of("key", key, _KEYS, where=place)))
        kind = given["kind"]
        for key in (*_SECRETS, "url") if kind in ("slack", "teams") else _SECRETS:
            if key in given and "${" not in str(typed["receivers"][name][key]):
                hint = f'{key} = "${{{name.upper()}_{key.upper()}}}", and that in the environment.'
                raise ConfigError(f"{key!r} is a secret: not in the file", where=place, hint=hint)
        url = given.get("url", PAGERDUTY if kind == "pagerduty" else "")
        _check(url, (*HOSTS[kind], *allowed), allowed, place)
        if kind == "pagerduty" and not given.get("key"):
            raise ConfigError("PagerDuty needs a key", where=place, hint='key = "${PAGERDUTY_KEY}"')
        more = {each: tuple(_texts(given, each, place)) for each in ("owners", "rules")}
        levels = tuple(_texts(given, "levels", place)) or LEVELS
        if any(level not in LEVELS for level in levels):
            raise ConfigError("no level", got=str(levels), expected="warn, page", where=place)
        found.append(
            Receiver(
                name, kind, url, str(given.get("key", "")), str(given.get("secret", "")), levels,
                **more,
            )
        )  # fmt: skip
    return found


def _check(url: Any, hosts: Sequence[str], allowed: Sequence[str], place: str) -> None:
    """Refuse an address that is not of the hosts; the address is a secret, its host is not."""
    if not isinstance(url, str) or not url:
        raise ConfigError("a receiver without an address", where=place, hint='url = "${SLACK_URL}"')
    parts = urlsplit(url)
    host = parts.hostname or ""
    plain = parts.scheme == "http" and host in _LOOPBACK and host in allowed
    if parts.scheme != "https" and not plain:
        raise ConfigError(
            "an address that is not https", got=f"{parts.scheme}://{host}", where=place
        )
    if parts.username or not any(fnmatchcase(host, each) for each in hosts):
        raise ConfigError(
            "an address that is not allowed", got=host, expected=", ".join(hosts) or "none",
            where=place, hint='Name its host: allow = ["hooks.example.com"] in [alerts].',
        )  # fmt: skip


def _texts(given: Mapping[str, Any], key: str, place: str) -> list[str]:
    value = given.get(key, [])
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise ConfigError(f"{key!r} is no list of texts", got=repr(value), where=place)
    return value


def post(url: str, data: bytes, headers: Mapping[str, str], timeout: float) -> Answer:
    """Send data once; what goes wrong is an `Answer` too. Redirects are not followed."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path or "/"
    path += f"?{parts.query}" if parts.query else ""
    connection = (
        http.client.HTTPSConnection(
            host, parts.port, timeout=timeout, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, parts.port, timeout=timeout)
    )
    try:
        connection.request("POST", path, data, dict(headers))
        answer = connection.getresponse()
        answer.read(_LONGEST)
        return Answer(answer.status, _wait(answer.getheader("Retry-After")))
    except (OSError, http.client.HTTPException) as problem:
        return Answer(0, problem=f"{type(problem).__name__}: {problem}")
    finally:
        connection.close()


def _wait(text: str | None) -> int | None:
    """Return how long ``Retry-After`` asks to wait, microseconds."""
    if text is None:
        return None
    if text.strip().isdigit():
        return int(text) * 1_000_000
    try:
        from datetime import datetime

        until = parsedate_to_datetime(text)
        return max(0, int((until - datetime.now(UTC)).total_seconds() * 1e6))
    except (TypeError, ValueError):
        return None


# ------------------------------------------------------------------------------------------ bodies


def _slack(_: Receiver, message: Message) -> Any:
    said = message.line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    about = f"{message.project} · {message.of} · {message.rule}"
    about += f" · owner {message.owner}" if message.owner else ""
    return {
        "text": said,
        "blocks": [
            {"type": "section", "text": {"type": "mrkdwn", "text": said}},
            {"type": "context", "elements": [{"type": "plain_text", "text": about}]},
        ],
    }


def _teams(_: Receiver, message: Message) -> Any:
    facts = {"project": message.project, "of": message.of, "rule": message.rule}
    facts |= {"owner": message.owner} if message.owner else {}
    card = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [
            {"type": "TextBlock", "text": message.line, "wrap": True, "weight": "bolder"},
            {"type": "FactSet", "facts": [{"title": k, "value": v} for k, v in facts.items()]},
        ],
    }
    content = "application/vnd.microsoft.card.adaptive"
    return {"type": "message", "attachments": [{"contentType": content, "content": card}]}


def _pagerduty(receiver: Receiver, message: Message) -> Any:
    event: dict[str, Any] = {
        "routing_key": receiver.key,
        "event_action": message.action,
        "dedup_key": message.key,
    }
    if message.action == TRIGGER:
        event["payload"] = {
            "summary": message.line,
            "source": message.project,
            "severity": "critical" if message.level == PAGE else "warning",
            "component": message.of,
            "class": message.rule,
            "timestamp": iso(message.at),
            "custom_details": {"owner": message.owner},
        }
    return event


def _webhook(_: Receiver, message: Message) -> Any:
    return vars(message) | {"version": 1, "at": iso(message.at)}


_BODIES = {"slack": _slack, "teams": _teams, "pagerduty": _pagerduty, "webhook": _webhook}
