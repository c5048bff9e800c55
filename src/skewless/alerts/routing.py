"""Where alerts go: the receivers of ``[alerts]``, when each took a message last, and a test.

    for receiver, problem in try_out(runtime).items():
        print(receiver, problem or "took it")

Each pass that delivers says so in the ledger (kind ``alert``, ``what`` is ``delivered``), with how
many messages each receiver took.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from skewless.alerts.receivers import RESOLVE, TIMEOUT, TRIGGER, Message, Receiver, receivers
from skewless.ledger.ledger import Ledger
from skewless.online.runtime import Runtime

KIND = "alert"
DELIVERED = "delivered"
TEST = "test"


@dataclass(frozen=True)
class Routing:
    """Where alerts go.

    Attributes:
        receivers: that ``[alerts]`` names.
        delivered: receiver to when it took a message last, UTC microseconds.
    """

    receivers: tuple[Receiver, ...]
    delivered: Mapping[str, int]

    def takes(self, level: str, owner: str, rule: str) -> bool:
        """Return whether a receiver is told of such a problem."""
        return any(each.wants(level, owner, rule) for each in self.receivers)


def settings_of(runtime: Runtime) -> tuple[Mapping[str, Any], list[Receiver], str]:
    """Return ``[alerts]``, the receivers that it names, and the file that it stands in.

    Raises:
        ConfigError: it is wrong.
    """
    settings = runtime.config.alerts
    where = str(runtime.config.file or runtime.config.folder)
    given: Mapping[str, Any] = {} if settings is None else settings.options
    typed = {} if settings is None else settings.to_dict()
    return given, receivers(given, typed, where), where


def routing(runtime: Runtime, since: int) -> Routing:
    """Return where alerts go, and what was delivered since a moment, UTC microseconds."""
    _, found, _ = settings_of(runtime)
    delivered: dict[str, int] = {}
    for record in runtime.ledger.records(kinds=[KIND], since=since):
        if record.data["what"] == DELIVERED:
            delivered |= dict.fromkeys(record.data["receivers"], record.at)
    names = {each.name for each in found}
    return Routing(tuple(found), {name: at for name, at in delivered.items() if name in names})


def note_delivered(ledger: Ledger, counts: Mapping[str, int]) -> None:
    """Say in the ledger how many messages each receiver took."""
    if counts:
        ledger.record(KIND, {"what": DELIVERED, "receivers": dict(counts)})


def try_out(runtime: Runtime, *, timeout: float = TIMEOUT) -> dict[str, str]:
    """Send a test to each receiver, and its end; see `FeatureStore.test_alerts`."""
    _, found, _ = settings_of(runtime)
    project, now = runtime.config.project, runtime.clock.now()
    outcome = {}
    for receiver in found:
        level = receiver.levels[0]
        problem = ""
        for action in (TRIGGER, RESOLVE):
            text = "a test of this receiver: nothing is wrong"
            message = Message(
                action, f"{project}/{TEST}/{receiver.name}", TEST, TEST, level, text, "", project,
                now,
            )  # fmt: skip
            answer = receiver.send(message, timeout)
            if not answer.ok:
                problem = answer.problem or f"HTTP {answer.status}"
                break
        outcome[receiver.name] = problem
    note_delivered(runtime.ledger, {name: 2 for name, problem in outcome.items() if not problem})
    return outcome
