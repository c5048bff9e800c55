"""Is a feature service fit for production? Each item is looked at, not asked about.

    report = checklist(store, "fraud_model", server="https://features:6566", key="...")
    print(report)

An item is ``ok``, ``missing`` (something has to be done, and what) or ``not looked at`` (it needs
what was not given, such as the address of a server): a report is ok when every item is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from skewless.alerts.routing import routing
from skewless.alerts.rules import PAGE
from skewless.checklist.load import asked_once, body_of, load
from skewless.clock import iso
from skewless.codec import to_json
from skewless.definitions.references import split_reference
from skewless.drift.drift import KIND as DRIFT
from skewless.drift.drift import drifting
from skewless.durations import format_duration, parse_duration
from skewless.errors import SkewlessError
from skewless.formatting import Drawn, ago, aligned, count_of
from skewless.monitoring.freshness import freshness, kept_promises
from skewless.online.some_keys import some_keys
from skewless.parity.examples import ExampleReport
from skewless.parity.verify import verify
from skewless.plan.selection import Selection, select
from skewless.quality.check import check
from skewless.registry.backup import revision_of
from skewless.training.records import training_sets

if TYPE_CHECKING:
    from skewless.online.runtime import Runtime

OK, MISSING, SKIPPED = "ok", "missing", "not looked at"
WANTED_KEPT = 0.95
"""Share of time in which a promise of freshness has to be kept."""
MONTH = parse_duration("30d")
_LATELY = parse_duration("2d")
_ENTITIES = 200
_VIEW_RULES = ("freshness", "check", "drift")


@dataclass(frozen=True)
class Item:
    """One item of the list.

    Attributes:
        name: what it is about.
        status: ``ok``, ``missing`` or ``not looked at``.
        evidence: what was seen.
        do: what helps; empty where nothing has to be done.
    """

    name: str
    status: str
    evidence: str
    do: str = ""


@dataclass(frozen=True)
class ChecklistReport(Drawn):
    """What was found of a service.

    Attributes:
        service: its name.
        at: when, UTC microseconds.
        items: in the order of the list.
    """

    service: str
    at: int
    items: tuple[Item, ...]

    @property
    def ok(self) -> bool:
        """Whether every item is."""
        return all(item.status == OK for item in self.items)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        items = [vars(item) for item in self.items]
        return {"service": self.service, "at": iso(self.at), "ok": self.ok, "items": items}

    def __str__(self) -> str:
        body = [(item.status, item.name, item.evidence) for item in self.items]
        lines = [aligned([("", "item", "evidence"), *body])]
        lines += [f"{item.name}: {item.do}" for item in self.items if item.do]
        done = sum(item.status == OK for item in self.items)
        return "\n\n".join([*lines, f"{done} of {len(self.items)} items are ok."])


@dataclass(frozen=True)
class Given:
    """What a caller has to say for some items.

    Attributes:
        examples: the examples beside the definitions, carried out.
        server: the address of a running server; empty: its items are not looked at.
        key: an API key of it.
        backup: the newest export of the registry; None: the ledger of none.
        rate: requests a second of the load.
        seconds: for so long.
        p99: what the latency has to be below, seconds.
    """

    examples: ExampleReport | None = None
    server: str = ""
    key: str = ""
    backup: Path | None = None
    rate: float = 1000.0
    seconds: float = 10.0
    p99: float = 0.05


def checklist(runtime: Runtime, service: str, given: Given) -> ChecklistReport:
    """Return the checklist of a feature service.

    Raises:
        UnknownName: no such service.
    """
    look = _Look(runtime, service, given)
    items = tuple(_carried_out(name, item) for name, item in look.items().items())
    return ChecklistReport(service, look.now, items)


def _carried_out(name: str, look: Callable[[], Item]) -> Item:
    try:
        return look()
    except SkewlessError as problem:  # the other items are looked at all the same
        return Item(name, MISSING, str(problem), "Look into this error first.")


@dataclass
class _Look:
    """One service, looked at."""

    runtime: Runtime
    service: str
    given: Given
    now: int = 0
    selection: Selection = field(init=False)

    def __post_init__(self) -> None:
        self.state = self.runtime.state(fresh=True)
        self.pins = self.state.service(self.service)
        self.selection = select(self.state, self.service, full_names=True)
        self.now = self.runtime.clock.now()
        self.labels = [f"{need.view.name}@v{need.version}" for need in self.selection.views]
        self.sources = {need.view.source.name: need.view.source for need in self.selection.views}

    def items(self) -> Mapping[str, Callable[[], Item]]:
        """Return what is looked at, by name."""
        made: Sequence[Callable[[str], Item]] = (
            self.tested, self.owned, self.described, self.current, self.promised, self.kept,
            self.checked, self.profiled, self.routed, self.verified, self.clean, self.backed_up,
            self.protected, self.loaded,
        )  # fmt: skip
        names = (
            "examples", "owners", "words", "versions", "freshness promised", "freshness kept",
            "checks", "drift", "alerts", "parity", "leakage", "backup", "keys and TLS", "load",
        )  # fmt: skip
        return {name: partial(look, name) for name, look in zip(names, made, strict=True)}

    # -------------------------------------------------------------------- what is defined

    def tested(self, name: str) -> Item:
        """The definitions have examples, and these hold."""
        report = self.given.examples
        views = {need.view.name for need in self.selection.views}
        views |= {need.view.name for need in self.selection.on_demand}
        of = {each.view for each in report.results} if report else set()
        bare = sorted(views - of)
        if report is not None and not report.ok:
            return Item(name, MISSING, "an example does not hold", "skewless test")
        if bare:
            do = "Write sl.Example(...) beside the definitions."
            return Item(name, MISSING, f"without an example: {', '.join(bare)}", do)
        held = sum(each.view in views for each in report.results) if report else 0
        return Item(name, OK, f"{count_of(held, 'example')} of {count_of(len(views), 'view')} hold")

    def owned(self, name: str) -> Item:
        """Somebody answers for the service and each of its views."""
        owners = {self.service: self.state.services[self.service].labels["owner"]}
        owners |= {need.view.name: need.view.labels["owner"] for need in self._views()}
        bare = [each for each, owner in owners.items() if not owner]
        if bare:
            return Item(name, MISSING, f"without an owner: {', '.join(bare)}", 'owner="..."')
        return Item(name, OK, ", ".join(sorted(set(owners.values()))))

    def described(self, name: str) -> Item:
        """The service and each view say what they are for."""
        words = {self.service: self.state.services[self.service].labels["description"]}
        words |= {need.view.name: need.view.labels["description"] for need in self._views()}
        bare = [each for each, text in words.items() if not text]
        if bare:
            return Item(name, MISSING, f"without a description: {', '.join(bare)}", "A docstring.")
        return Item(name, OK, f"{count_of(len(words), 'description')}")

    def current(self, name: str) -> Item:
        """Nothing that is pinned is deprecated, building or waited for."""
        gone = [n.target for n in self.state.deprecations if self._touches(n.target)]
        if gone:
            do = "Move to what replaces it."
            return Item(name, MISSING, f"deprecated: {', '.join(gone)}", do)
        serving = self.runtime.tables().serving()
        keys = [(need.view.name, need.version) for need in self.selection.views]
        building = [f"{n}@v{v}" for n, v in keys if not serving[n, v].complete]
        if building or self.state.wanted_pins[self.service] != self.pins:
            what = ", ".join(building) or "newer versions are waited for"
            return Item(name, MISSING, f"not built: {what}", "skewless materialize")
        return Item(name, OK, f"{count_of(len(self.pins), 'feature')} pinned, all built")

    def _touches(self, target: str) -> bool:
        """Return whether a deprecation is of the service, or of something that it serves."""
        if target == self.service:
            return True
        for reference in self.pins:
            view, version, feature = split_reference(reference)
            ends = ("", f"@v{version}", f":{feature}", f"@v{version}:{feature}")
            if target in {view + end for end in ends}:
                return True
        return False

    def _views(self) -> Iterator[Any]:
        yield from self.selection.views
        yield from self.selection.on_demand

    # ------------------------------------------------------------------- what is watched

    def promised(self, name: str) -> Item:
        """Each view has a promise of freshness."""
        said = {need.view.name: need.view.labels["freshness"] for need in self.selection.views}
        bare = [view for view, promise in said.items() if promise is None]
        if bare:
            return Item(name, MISSING, f"no promise: {', '.join(bare)}", 'freshness="5m"')
        told = (f"{view} {format_duration(promise)}" for view, promise in said.items() if promise)
        return Item(name, OK, ", ".join(told))

    def kept(self, name: str) -> Item:
        """The promises are kept now, and were in 95 % of the looks of the last 30 days."""
        now = {f"{v.view}@v{v.version}": v for v in freshness(self.runtime).views}
        stale = [label for label in self.labels if now[label].status != "ok"]
        if stale:
            told = ", ".join(f"{label} is {now[label].status}" for label in stale)
            return Item(name, MISSING, told, "skewless status says what to do.")
        kept = kept_promises(self.runtime.ledger, self.now - MONTH)
        unseen = [label for label in self.labels if label not in kept]
        if unseen:
            do = "Run skewless tend from cron: it notes how fresh views are."
            told = f"fresh now, never looked at before: {', '.join(unseen)}"
            return Item(name, MISSING, told, do)
        shares = {label: kept[label][0] / kept[label][1] for label in self.labels}
        worst = min(shares, key=shares.__getitem__)
        told = f"worst: {worst} in {shares[worst]:.1%} of {kept[worst][1]:,} looks in 30 days"
        if shares[worst] < WANTED_KEPT:
            return Item(name, MISSING, told, f"{WANTED_KEPT:.0%} are wanted.")
        return Item(name, OK, told)

    def checked(self, name: str) -> Item:
        """Every source has checks, and all that there are hold now."""
        views = {need.view.name: need.view for need in self.selection.views}
        bare = [each.name for each in self.sources.values() if not each.checks]
        if bare:
            do = "checks=[sl.Check....], or sl.Column(..., between=...)"
            return Item(name, MISSING, f"without a check: {', '.join(bare)}", do)
        names = [*self.sources, *(view.name for view in views.values() if view.checks)]
        report = check(self.runtime, names, None)
        if not report.ok:
            told = "; ".join(map(str, report.failed))
            return Item(name, MISSING, told, "skewless check")
        return Item(name, OK, f"{count_of(len(report.results), 'check')} hold")

    def profiled(self, name: str) -> Item:
        """Distributions are compared with a reference, lately, and nothing has drifted."""
        compared: dict[str, int] = {}
        for record in self.runtime.ledger.records(kinds=[DRIFT], since=self.now - _LATELY):
            if record.data["tests"]:  # else there were too few entities to tell anything
                compared |= dict.fromkeys(record.data["views"], record.at)
        bare = [label for label in self.labels if label not in compared]
        if bare:
            lately = format_duration(_LATELY)
            told = f"not compared within {lately}, or too few entities: {', '.join(bare)}"
            return Item(
                name, MISSING, told, "Run skewless tend from cron: it profiles and compares."
            )
        found = [each for each in drifting(self.runtime.ledger) if each["view"] in self.labels]
        if found:
            told = f"drifted: {', '.join(sorted({each['of'] for each in found}))}"
            return Item(name, MISSING, told, "skewless drift shows how far, and which models.")
        oldest = min(compared[label] for label in self.labels)
        return Item(name, OK, f"compared {ago(self.now - oldest)} ago, nothing has drifted")

    def routed(self, name: str) -> Item:
        """Somebody is told what pages of each view and source, and a message was taken lately."""
        found = routing(self.runtime, self.now - MONTH)
        if not found.receivers:
            do = "Name one in [alerts] of skewless.toml, then: skewless alert test"
            return Item(name, MISSING, "alerts have no receiver", do)
        owners = {n.view.name: n.view.labels["owner"] for n in self.selection.views}
        asked = [(view, owner, rule) for view, owner in owners.items() for rule in _VIEW_RULES]
        asked += [(each.name, each.owner, "check") for each in self.sources.values()]
        bare = [f"{of}/{rule}" for of, owner, rule in asked if not found.takes(PAGE, owner, rule)]
        if bare:
            do = "Let a receiver take pages of these owners and rules."
            return Item(name, MISSING, f"nobody is told of {', '.join(bare)}", do)
        if not found.delivered:
            told = "no receiver has taken a message in 30 days"
            return Item(name, MISSING, told, "skewless alert test")
        last, at = max(found.delivered.items(), key=lambda each: each[1])
        return Item(name, OK, f"{last} took the last one {ago(self.now - at)} ago")

    # --------------------------------------------------------------------- what is proved

    def verified(self, name: str) -> Item:
        """What is served is what history gives, to the last bit: now."""
        report = verify(self.runtime, self.labels, entities=_ENTITIES)
        compared = sum(report.values.values())
        told = f"{compared:,} values compared, {report.differing.total():,} differ"
        if not report.ok:
            return Item(name, MISSING, told, "skewless verify shows the rows responsible.")
        if not compared:
            return Item(name, MISSING, "nothing is online to compare", "skewless materialize")
        return Item(name, OK, told)

    def clean(self, name: str) -> Item:
        """The newest training set of the service has no leakage."""
        sets = [each for each in training_sets(self.runtime.ledger) if each.service == self.service]
        if not sets:
            told = "no training set of the service is on record"
            return Item(name, MISSING, told, "fs.get_historical_features(spine, SERVICE)")
        newest = sets[0]
        told = f"{newest.id}, {newest.rows:,} rows, {newest.leakage}"
        if newest.leaks is None:
            return Item(name, MISSING, told, 'fs.leakage(training, timestamp="...", label="...")')
        if newest.leaks:
            return Item(name, MISSING, told, "skewless leakage names the columns.")
        features = set(newest.features.values())
        if features != set(self.pins):
            told = f"{told}, but of other versions than are served"
            return Item(name, MISSING, told, "Train on what is served.")
        return Item(name, OK, told)

    # ------------------------------------------------------------------ what is outside

    def backed_up(self, name: str) -> Item:
        """There is an export of the registry as it is now."""
        file = self.given.backup
        if file is None:
            return Item(name, SKIPPED, "no backup was named", "--backup FILE")
        if not file.exists():
            do = f"skewless registry export {file}"
            return Item(name, MISSING, f"there is no {file}", do)
        held = revision_of(file)
        told = f"{file}: revision {held} of {self.state.revision}"
        if held != self.state.revision:
            return Item(name, MISSING, told, f"skewless registry export {file}")
        return Item(name, OK, told)

    def protected(self, name: str) -> Item:
        """The server asks for a key, and speaks TLS."""
        server = self.given.server
        if not server:
            return Item(name, SKIPPED, "no server was named", "--server URL")
        status = asked_once(server, self._body())
        told, do = [], []
        if status in (401, 403):
            told.append(f"without a key: {status}")
        else:
            told.append(f"without a key: {status}")
            do.append("skewless keys create")
        secure = server.startswith("https://")
        told.append("TLS" if secure else "no TLS")
        if not secure:
            do.append("--tls-cert, or TLS in front of it, and its address here")
        return Item(name, MISSING if do else OK, ", ".join(told), "; ".join(do))

    def loaded(self, name: str) -> Item:
        """The server answers so many requests a second."""
        given = self.given
        if not given.server:
            return Item(name, SKIPPED, "no server was named", "--server URL")
        found = load(
            given.server, self._bodies(), rate=given.rate, seconds=given.seconds, key=given.key
        )
        if not found.ok:
            do = f"{given.rate:,.0f} requests/s are wanted, each answered with 200."
            return Item(name, MISSING, str(found), do)
        if found.p99 > given.p99:
            do = f"p99 below {1000 * given.p99:,.0f} ms is wanted."
            return Item(name, MISSING, str(found), do)
        return Item(name, OK, str(found))

    def _body(self) -> bytes:
        return self._bodies()[0]

    def _bodies(self) -> list[bytes]:
        """Return requests for entities that history has, one in each."""
        asked = {field.name: _of(field.dtype.kind) for field in self.selection.requests}
        rows: list[dict[str, Any]] = [dict(asked)]
        for need in self.selection.views:
            keys = some_keys(self.runtime, need.view, need.version, _ENTITIES)
            named = [{name: to_json(value) for name, value in key.items()} for key in keys]
            if named:
                many = max(len(rows), len(named))
                rows = [{**rows[at % len(rows)], **named[at % len(named)]} for at in range(many)]
        return [body_of(self.service, [row]) for row in rows]


def _of(kind: str) -> Any:
    """Return a value of a type for a request field."""
    return {"string": "x", "bool": True, "timestamp": 0}.get(kind, 1)
