"""What each feature costs: bytes online, reads a day, rows behind it, time of jobs; and a price.

    report = fs.cost()
    print(report)

| number | is |
|---|---|
| bytes | of the online store: keys and states of its table, every one measured, shared |
| reads a day | of entities, by servers, in the span of days |
| rows | of the history of its source: what a training set or a backfill of it scans |
| seconds | of materialize, backfill and tend a month, shared by the rows behind views |

The bytes of a table are shared among its features by the aggregates that they need: each aggregate
weighs as many columns as it keeps, and one that several features need is shared among these.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import iso
from skewless.costs.duplicates import Twins, current_views, equal_values, twins
from skewless.costs.usage import DAY, Usage, usage
from skewless.definitions import Aggregate, FeatureView
from skewless.errors import ConfigError
from skewless.formatting import Drawn, aligned, html_table
from skewless.ledger.runs import runs
from skewless.online.runtime import Runtime

UNUSED_DAYS = 60
MONTH = 30
_JOBS = ("materialize", "backfill", "tend")
_HEAD = ("feature", "owner", "bytes", "reads a day", "rows", "seconds", "price", "used by")
_SHOWN = 40


@dataclass(frozen=True)
class FeatureCost:
    """What one feature costs.

    Attributes:
        of: the feature, version included.
        owner: of its view.
        bytes: of the online store.
        reads: entities a day.
        rows: of its source's history.
        seconds: of jobs, a month.
        price: of a month; None: ``[prices]`` names none.
        services: that pin it.
        unused: whether no pin, read or training set has used it in the span, and it is as old.
    """

    of: str
    owner: str
    bytes: float
    reads: float
    rows: float
    seconds: float
    price: float | None
    services: tuple[str, ...] = ()
    unused: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return vars(self) | {"services": list(self.services)}


@dataclass(frozen=True)
class CostReport(Drawn):
    """What all features cost.

    Attributes:
        at: when, UTC microseconds.
        days: that reads and uses are of.
        features: the dearest first.
        bytes: of all tables of states that serve, measured.
        duplicates: pairs of features that are computed alike.
        equal: pairs whose values are the same now; empty where it was not asked.
        reuse: the share of pins that took a feature another service has too; None without pins.
        currency: of prices; empty without.
        notes: what a reader should know.
    """

    at: int
    days: int
    features: tuple[FeatureCost, ...]
    bytes: int
    duplicates: tuple[tuple[str, str], ...] = ()
    equal: tuple[tuple[str, str], ...] = ()
    reuse: float | None = None
    currency: str = ""
    notes: tuple[str, ...] = field(default=())

    @property
    def unused(self) -> tuple[FeatureCost, ...]:
        """The features that nobody has used."""
        return tuple(each for each in self.features if each.unused)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "at": iso(self.at), "days": self.days, "bytes": self.bytes, "currency": self.currency,
            "features": [each.to_dict() for each in self.features],
            "unused": [each.of for each in self.unused], "reuse": self.reuse,
            "duplicates": [list(pair) for pair in self.duplicates],
            "equal": [list(pair) for pair in self.equal], "notes": list(self.notes),
        }  # fmt: skip

    def __str__(self) -> str:
        if not self.features:
            return "No features."
        lines = [self._title(), "", aligned([_HEAD, *self._rows()], indent=2)]
        if len(self.features) > _SHOWN:
            lines.append(f"  ... and {len(self.features) - _SHOWN:,} more")
        if self.unused:
            names = ", ".join(each.of for each in self.unused)
            lines.append(f"Used by nobody in {self.days} days: {names}")
        lines += [f"{other} is computed as {one} is" for one, other in self.duplicates]
        lines += [f"{other} has the values of {one}" for one, other in self.equal]
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        return html_table(_HEAD, self._rows(), self._title())

    def _title(self) -> str:
        reuse = "" if self.reuse is None else f", {self.reuse:.0%} of the pins reuse a feature"
        return f"{len(self.features):,} features, {self.bytes:,} bytes online{reuse}"

    def _rows(self) -> list[tuple[Any, ...]]:
        return [
            (
                each.of,
                each.owner or "-",
                f"{each.bytes:,.0f}",
                f"{each.reads:,.1f}",
                f"{each.rows:,.0f}",
                f"{each.seconds:,.1f}",
                "-" if each.price is None else f"{each.price:,.2f} {self.currency}",
                ", ".join(each.services) or ("nobody" if each.unused else "-"),
            )
            for each in self.features[:_SHOWN]
        ]


def cost(runtime: Runtime, *, days: int = UNUSED_DAYS, equal: bool = False) -> CostReport:
    """Return what features cost; see `FeatureStore.cost`."""
    state = runtime.state(fresh=True)
    now = runtime.clock.now()
    views = {
        f"{name}@v{version}": view for (name, version), view in state.views.items()
        if not view.is_role
    }  # fmt: skip
    used = usage(runtime.ledger, state, now, days)
    prices = _prices(runtime)
    sizes, total = _bytes(runtime, views)
    rows = {label: runtime.history(view.source).row_count() for label, view in views.items()}
    seconds = _seconds(runtime, views, rows, now)
    applied = {record.key: record.applied_at for record in state.records}
    found = []
    for label, view in views.items():
        name, _, version = label.partition("@v")
        old = now - applied.get((name, int(version)), 0) >= days * DAY
        for feature in view.features:
            of = f"{label}:{feature}"
            reads = used.reads.get(of, 0) / days
            spent = seconds.get(label, 0.0) / len(view.features)
            found.append(
                FeatureCost(
                    of, view.labels["owner"], sizes.get(of, 0.0), reads, rows[label], spent,
                    _price(prices, sizes.get(of, 0.0), reads, rows[label], spent),
                    used.pinned.get(of, ()), old and not used.is_used(of),
                )
            )  # fmt: skip
    found.sort(key=lambda each: (-(each.price or 0), -each.bytes, each.of))
    current = current_views(state)
    pairs: Twins = equal_values(runtime, current) if equal else []
    return CostReport(
        now, days, tuple(found), total, tuple(twins(current)), tuple(pairs), used.reuse,
        str(prices.get("currency", "")) if prices else "", _notes(used, now),
    )  # fmt: skip


def _bytes(runtime: Runtime, views: Mapping[str, FeatureView]) -> tuple[dict[str, float], int]:
    """Return the bytes of each feature, and of all tables of states that serve."""
    tables: dict[str, list[str]] = {}
    for (name, version), by in runtime.tables().serving().items():
        tables.setdefault(by.layout.table, []).append(f"{name}@v{version}")
    found: dict[str, float] = {}
    total = 0
    for table, labels in tables.items():
        size = sum(len(key) + len(state) for key, state in runtime.online.scan(table))
        total += size
        weights = _weights({label: views[label] for label in labels if label in views})
        whole = sum(weights.values())
        found |= {of: size * weight / whole for of, weight in weights.items()}
    return found, total


def _weights(views: Mapping[str, FeatureView]) -> dict[str, float]:
    """Return what each feature weighs in a table of states that several views share."""
    users: dict[str, list[str]] = {}
    sizes: dict[str, int] = {}
    for label, view in views.items():
        for feature, expression in view.expressions.items():
            for leaf in expression.leaves():
                if isinstance(leaf, Aggregate):
                    users.setdefault(leaf.key, []).append(f"{label}:{feature}")
                    sizes[leaf.key] = 1 + sum(
                        part is not None for part in (leaf.column, leaf.by, leaf.where)
                    )
    found: dict[str, float] = {
        f"{label}:{f}": 0.0 for label, v in views.items() for f in v.features
    }
    for key, features in users.items():
        for of in dict.fromkeys(features):
            found[of] += sizes[key] / len(set(features))
    return found


def _seconds(
    runtime: Runtime, views: Mapping[str, FeatureView], rows: Mapping[str, int], now: int
) -> dict[str, float]:
    """Return the seconds that jobs took in a month, by view."""
    found = dict.fromkeys(views, 0.0)
    for run in runs(runtime.ledger, since=now - MONTH * DAY):
        if run.job not in _JOBS or run.seconds is None:
            continue
        named = run.about.get("views") or list(views)
        names = [named] if isinstance(named, str) else list(named)
        hit = [label for label in views if {label, label.partition("@")[0]} & set(names)]
        whole = sum(rows[label] + 1 for label in hit)
        for label in hit:
            found[label] += run.seconds * (rows[label] + 1) / whole
    return found


def _prices(runtime: Runtime) -> Mapping[str, Any]:
    """Return the price table, checked.

    Raises:
        ConfigError: a price is no number.
    """
    prices = runtime.config.prices
    for key, value in prices.items():
        wrong = isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0
        if key not in ("currency",) and wrong:
            where = f"[prices] of {runtime.config.file or runtime.config.folder}"
            raise ConfigError(f"{key!r} is no price", got=repr(value), where=where)
    return prices


def _price(
    prices: Mapping[str, Any], size: float, reads: float, rows: float, seconds: float
) -> float | None:
    """Return what a feature costs a month; None without prices."""
    amounts = {
        "online_gb": size / 1e9, "million_reads": reads * MONTH / 1e6, "cpu_hour": seconds / 3600,
        "million_rows": rows / 1e6,
    }  # fmt: skip
    named: Iterable[str] = [key for key in amounts if key in prices]
    parts = [amounts[key] * prices[key] for key in named]
    return sum(parts) if parts else None


def _notes(used: Usage, now: int) -> tuple[str, ...]:
    since = used.counted_since
    if since is None:
        return ("No server has counted reads yet: what is read in process is not counted.",)
    if now - since < used.days * DAY:
        return (f"Reads are counted since {iso(since)[:10]} only.",)
    return ()
