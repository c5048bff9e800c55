"""Which features are used: pinned, read from a server, or in a training set.

Servers write down once an hour of how many entities each feature was read (kind ``reads``); reads
in process, such as those of a notebook, are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from skewless.ledger.ledger import Ledger
from skewless.plan.apply.registry_state import RegistryState
from skewless.plan.selection import references

READS = "reads"
DAY = 86_400_000_000


@dataclass(frozen=True)
class Usage:
    """Which features were used in a span of days.

    Attributes:
        days: of the span.
        reads: feature, version included, to of how many entities servers read it.
        trained: features in training sets.
        pinned: feature to the feature services that pin it, in this version or another.
        counted_since: when reads were first counted, UTC microseconds; None: never.
    """

    days: int
    reads: Mapping[str, int] = field(default_factory=dict)
    trained: frozenset[str] = frozenset()
    pinned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counted_since: int | None = None

    def is_used(self, feature: str) -> bool:
        """Return whether a feature was used in any way."""
        return bool(self.reads.get(feature) or feature in self.trained or self.pinned.get(feature))

    @property
    def reuse(self) -> float | None:
        """The share of pins that took a feature another service has too; None without pins."""
        counts = [len(services) for services in self.pinned.values()]
        pins = sum(counts)
        return (pins - len(counts)) / pins if pins else None


def usage(ledger: Ledger, state: RegistryState, now: int, days: int) -> Usage:
    """Return which features were used in the last days.

    Args:
        ledger: of the repo.
        state: of the registry.
        now: the present, UTC microseconds.
        days: that are looked back.
    """
    since = now - days * DAY
    reads: Counter[str] = Counter()
    trained: set[str] = set()
    first: int | None = None
    for record in ledger.records(kinds=[READS]):
        first = record.at if first is None else first
        if record.at >= since:
            reads.update(record.data["features"])
    for record in ledger.records(kinds=["training_set"], since=since):
        trained |= set(record.data["features"].values())
    pinned: dict[str, list[str]] = {}
    for service, pins in state.pins.items():
        for feature in _with_inputs(state, list(pins)):
            pinned.setdefault(feature, []).append(service)
    services = {feature: tuple(sorted(found)) for feature, found in pinned.items()}
    return Usage(days, reads, frozenset(trained), services, first)


def _with_inputs(state: RegistryState, pins: list[str]) -> dict[str, None]:
    """Return features, and those that on-demand ones among them are computed from."""
    from skewless.plan.selection import select

    selection = select(state, pins, full_names=True)
    found = dict.fromkeys(references(state, pins))
    for need in selection.views:
        label = f"{need.view.name}@v{need.version}"
        found |= dict.fromkeys(f"{label}:{feature}" for feature in need.features)
    return found
