"""The runner: what is wrong is told once, whoever flaps is told seldom, and its end is told too.

    report = run(runtime)                # one pass; `skewless tend` does one each time

An alert is open from the first pass that sees its problem until the problem has been away for
``every`` (10 minutes): what comes and goes stays one alert, with one page and one end. It is told
again when it becomes worse, and after ``remind`` while nobody has acknowledged it; what a silence
held back is told when that is over. Messages wait in the registry until their receiver takes them:
429 waits as long as it says, what is down is tried again, later and later; what is refused, or not
taken for a day, goes to the ledger as a dead letter. A kill between telling and noting tells it
twice, under the same key.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from skewless.alerts.receivers import (
    ACKNOWLEDGE,
    RESOLVE,
    TIMEOUT,
    TRIGGER,
    Message,
    Receiver,
)
from skewless.alerts.routing import KIND, note_delivered, settings_of
from skewless.alerts.rules import PAGE, Problem, problems
from skewless.clock import iso
from skewless.durations import parse_duration
from skewless.errors import ConfigError, DefinitionError, InputError, UnknownName
from skewless.ledger.ledger import Ledger
from skewless.online.runtime import Runtime

SILENCE, ACKNOWLEDGED = "silence", "acknowledge"
_STATE = "alerts/state"
_FIRST_WAIT, _LONGEST_WAIT = 15_000_000, 300_000_000
_GIVE_UP = 86_400_000_000
HOLDS = 86_400_000_000
"""So long an acknowledgement holds of what no alert is open of, microseconds."""
_DEFAULTS = {"every": "10m", "remind": "4h"}
_MOST_WAITING = 10_000


@dataclass
class Alert:
    """A problem that was told, or would have been.

    Attributes:
        key: ``project/view/rule``.
        rule, of, level, text, owner: see `Problem`.
        opened: since when, UTC microseconds.
        seen: when the problem was there last.
        told: when it was told last; 0: not yet, as under a silence.
        told_level: the level it was told with.
        firing: whether the problem was there at the newest pass.
        flaps: how often it came back while it was open.
        who: acknowledged it; empty: nobody.
        silenced: until when nothing is told of it, UTC microseconds; 0: it is not silenced.
        heeded: the moment from which acknowledgements are of it: those from before it opened are,
            but not those of an alert before it.
    """

    key: str
    rule: str
    of: str
    level: str
    text: str
    owner: str
    opened: int
    seen: int
    told: int = 0
    told_level: str = ""
    firing: bool = True
    flaps: int = 0
    who: str = ""
    silenced: int = 0
    heeded: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return the alert as plain data, times in ISO 8601."""
        maybe = {name: getattr(self, name) for name in ("told", "silenced", "heeded")}
        times = {name: iso(at) if at else None for name, at in maybe.items()}
        return asdict(self) | times | {"opened": iso(self.opened), "seen": iso(self.seen)}


@dataclass
class _Waiting:
    """A message that its receiver has not taken yet."""

    receiver: str
    message: dict[str, Any]
    since: int
    due: int
    tries: int = 0


@dataclass(frozen=True)
class Silence:
    """That somebody wants nothing to be told.

    Attributes:
        of: the keys (``view/rule``) or views, as a pattern.
        until: UTC microseconds.
        who: said so.
        why: for people.
    """

    of: str
    until: int
    who: str
    why: str = ""

    def covers(self, of: str, rule: str) -> bool:
        """Return whether what a rule says of a view, source or job is silenced by it."""
        names = (of, of.partition("@")[0], f"{of}/{rule}")
        return any(fnmatchcase(name, self.of) for name in names)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self) | {"until": iso(self.until)}


@dataclass(frozen=True)
class Acknowledgement:
    """That somebody looks after something.

    Attributes:
        key: ``project/view/rule``.
        who: does.
        at: since when, UTC microseconds.
        why: for people.
    """

    key: str
    who: str
    at: int
    why: str = ""


@dataclass(frozen=True)
class AlertReport:
    """What one pass did.

    Attributes:
        opened, resolved: keys of alerts.
        sent: messages that were taken.
        waiting: messages that are tried again.
        dead: messages that were given up.
        open: how many alerts are open.
    """

    opened: tuple[str, ...] = ()
    resolved: tuple[str, ...] = ()
    sent: int = 0
    waiting: int = 0
    dead: int = 0
    open: int = 0

    def __str__(self) -> str:
        said = f"{self.open} open, {len(self.opened)} new, {len(self.resolved)} resolved"
        told = f"{self.sent} messages taken, {self.waiting} waiting, {self.dead} given up"
        return f"{said}; {told}"


@dataclass
class _State:
    alerts: dict[str, Alert] = field(default_factory=dict)
    waiting: list[_Waiting] = field(default_factory=list)
    ended: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, data: Mapping[str, Any] | None) -> _State:
        known = data or {}
        return cls(
            {each["key"]: Alert(**each) for each in known.get("alerts", ())},
            [_Waiting(**each) for each in known.get("waiting", ())],
            dict(known.get("ended", {})),
        )

    def to_data(self) -> dict[str, Any]:
        alerts = [asdict(each) for each in self.alerts.values()]
        waiting = [asdict(each) for each in self.waiting]
        return {"alerts": alerts, "waiting": waiting, "ended": self.ended}


# -------------------------------------------------------------------------------------------- pass


class Runner:
    """Does passes over what is wrong; whoever calls it sees to it that two do not run at once.

    Args:
        runtime: the open repo.
        timeout: seconds that a receiver may take to answer.

    Raises:
        ConfigError: ``[alerts]`` is wrong.
    """

    def __init__(self, runtime: Runtime, *, timeout: float = TIMEOUT) -> None:
        given, found, where = settings_of(runtime)
        self._runtime = runtime
        self._timeout = timeout
        self.receivers: dict[str, Receiver] = {each.name: each for each in found}
        self._every, self._remind = (_span(given, name, where) for name in ("every", "remind"))

    def run(self, found: Sequence[Problem] | None = None) -> AlertReport:
        """Do one pass, over what is wrong now or over given problems."""
        now = self._runtime.clock.now()
        found = problems(self._runtime) if found is None else found
        state = _State.of(self._runtime.registry.get_progress(_STATE))
        before = set(state.alerts)
        self._see(state, found, now)
        resolved = self._resolve(state, now)
        self._tell(state, now)
        self._keep(state)  # first: what is told and not noted would be lost with this process
        sent, dead = self._deliver(state, now)
        self._keep(state)
        opened = tuple(key for key in state.alerts if key not in before)
        for key in opened:
            self._note(state.alerts[key], "opened")
        return AlertReport(
            opened, tuple(each.key for each in resolved), sent, len(state.waiting), dead,
            len(state.alerts),
        )  # fmt: skip

    def _see(self, state: _State, found: Sequence[Problem], now: int) -> None:
        """Bring alerts up to date with the problems there are."""
        project = self._runtime.config.project
        keys = set()
        for problem in found:
            key = f"{project}/{problem.key}"
            keys.add(key)
            alert = state.alerts.get(key)
            if alert is None:
                since = max(now - HOLDS, state.ended.get(key, 0)) + 1
                alert = Alert(key, **vars(problem), opened=now, seen=now, heeded=since)
                state.alerts[key] = alert
            alert.flaps += not alert.firing
            alert.firing, alert.seen = True, now
            alert.level, alert.text, alert.owner = problem.level, problem.text, problem.owner
        for key, alert in state.alerts.items():
            alert.firing = key in keys

    def _resolve(self, state: _State, now: int) -> list[Alert]:
        """End the alerts whose problems have been away for long enough."""
        over = [a for a in state.alerts.values() if not a.firing and now - a.seen >= self._every]
        state.ended = {key: at for key, at in state.ended.items() if now - at < HOLDS}
        for alert in over:
            state.ended[alert.key] = now
            del state.alerts[alert.key]
            if alert.told:
                self._queue(state, alert, RESOLVE, now, level=alert.told_level)
            self._note(alert, "resolved")
        return over

    def _tell(self, state: _State, now: int) -> None:
        """Queue what has to be told: what is new or worse, and what nobody has acknowledged."""
        ledger = self._runtime.ledger
        silenced, known = silences(ledger, now), acknowledgements(ledger)
        for alert in state.alerts.values():
            said = _who(alert, known)
            if said and not alert.who and alert.told:
                self._queue(state, alert, ACKNOWLEDGE, now)
            alert.who = said
            if not alert.firing or any(each.covers(alert.of, alert.rule) for each in silenced):
                continue
            worse = alert.level == PAGE and alert.told_level not in ("", PAGE)
            again = not alert.who and now - alert.told >= self._remind
            if not alert.told or worse or (again and alert.level == PAGE):
                self._queue(state, alert, TRIGGER, now)
                alert.told, alert.told_level = now, alert.level

    def _queue(self, state: _State, alert: Alert, action: str, now: int, level: str = "") -> None:
        message = Message(
            action, alert.key, alert.rule, alert.of, level or alert.level, alert.text, alert.owner,
            self._runtime.config.project, alert.opened,
        )  # fmt: skip
        for receiver in self.receivers.values():
            wanted = receiver.wants(message.level, message.owner, message.rule)
            silent = action == ACKNOWLEDGE and receiver.kind not in ("pagerduty", "webhook")
            if wanted and not silent:
                state.waiting.append(_Waiting(receiver.name, asdict(message), now, now))

    # -------------------------------------------------------------------------------------- deliver

    def _deliver(self, state: _State, now: int) -> tuple[int, int]:
        """Try what is due, in order for each receiver and key; count what is taken and given up."""
        left: list[_Waiting] = []
        blocked: set[tuple[str, str]] = set()
        down: set[str] = set()
        dead = 0
        sent: Counter[str] = Counter()
        for waiting in state.waiting:
            receiver = self.receivers.get(waiting.receiver)
            place = waiting.receiver, waiting.message["key"]
            if receiver is None:
                dead += self._give_up(waiting, "the receiver is no longer in the settings")
            elif place in blocked or receiver.name in down or waiting.due > now:
                blocked.add(place)
                left.append(waiting)
            else:
                outcome = self._try(receiver, waiting, now)
                if outcome == "sent":
                    sent[receiver.name] += 1
                elif outcome == "dead":
                    dead += 1
                else:
                    blocked.add(place)
                    down.add(receiver.name)  # one that is down is not waited for again and again
                    left.append(waiting)
        while len(left) > _MOST_WAITING:
            dead += self._give_up(left.pop(0), "too many messages wait")
        state.waiting = left
        note_delivered(self._runtime.ledger, sent)
        return sent.total(), dead

    def _try(self, receiver: Receiver, waiting: _Waiting, now: int) -> str:
        answer = receiver.send(Message(**waiting.message), self._timeout)
        waiting.tries += 1
        if answer.ok:
            return "sent"
        said = answer.problem or f"HTTP {answer.status}"
        if answer.hopeless or now - waiting.since >= _GIVE_UP:
            self._give_up(waiting, said)
            return "dead"
        wait = min(_FIRST_WAIT << min(waiting.tries - 1, 10), _LONGEST_WAIT)
        waiting.due = now + (wait if answer.wait is None else answer.wait)
        return "waits"

    def _give_up(self, waiting: _Waiting, why: str) -> bool:
        data = {"receiver": waiting.receiver, "why": why, "tries": waiting.tries}
        self._runtime.ledger.record(KIND, {"what": "dead letter", **data, **waiting.message})
        return True

    def _note(self, alert: Alert, what: str) -> None:
        self._runtime.ledger.record(KIND, {"what": what, **asdict(alert)})

    def _keep(self, state: _State) -> None:
        self._runtime.registry.set_progress(_STATE, state.to_data())


def _span(given: Mapping[str, Any], name: str, where: str) -> int:
    try:
        return parse_duration(given.get(name, _DEFAULTS[name]), what=name)
    except DefinitionError as problem:
        place = f"[alerts] of {where}"
        raise ConfigError(f"{name!r} is no duration", got=problem.got, where=place) from None


# ------------------------------------------------------------------------------------------ people


def open_alerts(runtime: Runtime) -> list[Alert]:
    """Return the alerts that are open, pages first, the oldest first."""
    state = _State.of(runtime.registry.get_progress(_STATE))
    known = acknowledgements(runtime.ledger)
    silenced = silences(runtime.ledger, runtime.clock.now())
    for alert in state.alerts.values():
        alert.who = _who(alert, known)
        ends = (each.until for each in silenced if each.covers(alert.of, alert.rule))
        alert.silenced = max(ends, default=0)
    return sorted(state.alerts.values(), key=lambda each: (each.level != PAGE, each.opened))


def silence(runtime: Runtime, of: str, *, length: int, who: str, why: str = "") -> Silence:
    """Let nothing be told of some alerts for a while; see `FeatureStore.silence`.

    Raises:
        InputError: nobody's name.
        StoreError: the ledger cannot be written.
    """
    if not who:
        raise InputError("somebody silences an alert", hint="Say who.")
    made = Silence(of, runtime.clock.now() + length, who, why)
    runtime.ledger.append([(SILENCE, vars(made))])
    return made


def silences(ledger: Ledger, now: int) -> list[Silence]:
    """Return the silences that hold at a moment; of a pattern the newest counts."""
    found = {
        record.data["of"]: Silence(**record.data) for record in ledger.records(kinds=[SILENCE])
    }
    return [each for each in found.values() if each.until > now]


def acknowledge(runtime: Runtime, key: str, *, who: str, why: str = "") -> Alert:
    """Say that somebody looks after an alert; see `FeatureStore.acknowledge`.

    Raises:
        UnknownName: no such alert is open, and nothing of the kind is wrong now.
        InputError: nobody's name.
        StoreError: the ledger cannot be written.
    """
    found = {alert.key: alert for alert in open_alerts(runtime)}
    project = f"{runtime.config.project}/"
    alert = found.get(key) or found.get(project + key)
    if alert is None:  # what is wrong already, and the next pass will tell
        now = runtime.clock.now()
        coming = {project + problem.key: problem for problem in problems(runtime)}
        found |= {
            name: Alert(name, **vars(problem), opened=now, seen=now)
            for name, problem in coming.items()
            if name not in found
        }
        alert = found.get(key) or found.get(project + key)
    if alert is None:
        known = [name.removeprefix(project) for name in found]
        raise UnknownName.of("open alert", key, known, where=project.rstrip("/"))
    look_after(runtime, alert.key.removeprefix(project), who=who, why=why)
    alert.who = who
    return alert


def look_after(runtime: Runtime, key: str, *, who: str, why: str = "") -> None:
    """Say that somebody looks after something, whether an alert of it is open or not.

    Args:
        runtime: the open repo.
        key: ``view/rule``.
        who: does.
        why: for people.

    Raises:
        InputError: nobody's name.
        StoreError: the ledger cannot be written.
    """
    if not who:
        raise InputError("somebody acknowledges an alert", hint="Say who.")
    about = {"key": f"{runtime.config.project}/{key}", "who": who, "why": why}
    runtime.ledger.append([(ACKNOWLEDGED, about)])


def _who(alert: Alert, known: Mapping[str, Acknowledgement]) -> str:
    """Return who has acknowledged an alert, perhaps before it opened; empty: nobody."""
    said = known.get(alert.key)
    return said.who if said is not None and said.at >= (alert.heeded or alert.opened) else ""


def acknowledgements(ledger: Ledger) -> dict[str, Acknowledgement]:
    """Return the newest acknowledgement of each key there ever was one of."""
    return {
        record.data["key"]: Acknowledgement(at=record.at, **record.data)
        for record in ledger.records(kinds=[ACKNOWLEDGED])
    }
