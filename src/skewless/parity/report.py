"""What `FeatureStore.verify` gives back: counts, and the rows behind every difference."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from skewless.clock import iso
from skewless.codec import to_json
from skewless.explain.report import ExplainedRow
from skewless.formatting import aligned, shown

KEPT_DIFFERENCES = 20
_SHOWN_DIFFERENCES = 5
_SHOWN_ROWS = 12
_SHOWN_FEATURES = 60


@dataclass(frozen=True)
class Difference:
    """A value that was served, and is not what history gives.

    Attributes:
        feature: its full reference.
        entity: join keys and request fields.
        at: the moment, UTC microseconds.
        served: what the online path gave, and its status.
        computed: what the offline path gives.
        reference: what the reference engine gives, and its status.
        why: which side the reference engine agrees with, and what tells the two apart.
        rows: the rows responsible: those without which history gives what was served; where no
            such rows are found, those that count.
    """

    feature: str
    entity: Mapping[str, Any]
    at: int
    served: tuple[Any, str]
    computed: Any
    reference: tuple[Any, str]
    why: str
    rows: tuple[ExplainedRow, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the difference as plain data."""
        return {
            "feature": self.feature,
            "entity": to_json(dict(self.entity)),
            "at": iso(self.at),
            "served": to_json(self.served[0]),
            "served_status": self.served[1],
            "computed": to_json(self.computed),
            "reference": to_json(self.reference[0]),
            "reference_status": self.reference[1],
            "why": self.why,
            "rows": [row.to_dict() for row in self.rows],
        }

    def __str__(self) -> str:
        key = " ".join(f"{name}={shown(value)}" for name, value in self.entity.items())
        lines = [
            f"{self.feature} of {key} at {iso(self.at)}",
            f"  served     {exactly(self.served[0])}  {self.served[1]}",
            f"  computed   {exactly(self.computed)}",
            f"  reference  {exactly(self.reference[0])}  {self.reference[1]}",
            f"  {self.why}",
        ]
        if self.rows:
            newest = sorted(self.rows, key=lambda row: (row.event, row.known), reverse=True)
            body = [
                (iso(row.event), iso(row.known), row.value, row.verdict)
                for row in newest[:_SHOWN_ROWS]
            ]
            head = ("event time", "known time", "value", "")
            lines.append(aligned([head, *body], indent=4))
            if len(newest) > _SHOWN_ROWS:
                lines.append(f"    and {len(newest) - _SHOWN_ROWS} older rows")
        return "\n".join(lines)


@dataclass
class ParityReport:
    """How what was served compares with what history gives, bit for bit.

    Attributes:
        of: what was verified.
        reads: how many answers were compared: an entity at a moment, for a list of features.
        values: of each feature, how many values were compared.
        differing: likewise, how many differ.
        in_flight: likewise, how many are right but for rows that were being written at the time.
        kinds: aggregation and window to how many values were compared.
        differing_kinds: likewise, how many differ.
        statuses: how many values were also compared with the reference engine, status included.
        differences: the first ones, with the rows responsible.
        skipped: answers that could not be compared, by reason.
        traffic: of generated traffic: what happened in it.
        notes: what else a reader should know.
        damaged: what of the stores and logs is not what was written; then nothing is compared.
        lost: what the online store has lost; then nothing is compared.
    """

    of: str
    reads: int = 0
    values: Counter[str] = field(default_factory=Counter)
    differing: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    differing_kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    statuses: int = 0
    differences: list[Difference] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    traffic: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing differs, and nothing is damaged or lost."""
        return not (self.differing.total() or self.damaged or self.lost)

    def keep(self, difference: Difference) -> None:
        """Keep a difference, if it is among the first."""
        if len(self.differences) < KEPT_DIFFERENCES:
            self.differences.append(difference)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain data."""
        return {
            "of": self.of,
            "ok": self.ok,
            "reads": self.reads,
            "values": self.values.total(),
            "differing": self.differing.total(),
            "in_flight": self.in_flight.total(),
            "statuses": self.statuses,
            "views": {
                view: {"values": values, "differing": differing, "in_flight": in_flight}
                for view, values, differing, in_flight in self._by_view()
            },
            "features": {
                name: {
                    "values": self.values[name],
                    "differing": self.differing[name],
                    "in_flight": self.in_flight[name],
                }
                for name in sorted(self.values)
            },
            "aggregations": [
                {
                    "aggregation": kind[0],
                    "window": kind[1],
                    "values": self.kinds[kind],
                    "differing": self.differing_kinds[kind],
                }
                for kind in sorted(self.kinds)
            ],
            "differences": [difference.to_dict() for difference in self.differences],
            "skipped": dict(self.skipped),
            "traffic": dict(self.traffic),
            "notes": list(self.notes),
            "damaged": list(self.damaged),
            "lost": list(self.lost),
        }

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def __repr__(self) -> str:
        return f"ParityReport({self._verdict()})"

    def _verdict(self) -> str:
        compared = f"{self.values.total():,} values of {self.reads:,} reads"
        if self.damaged:
            return f"{len(self.damaged):,} DAMAGED places, so nothing was compared"
        if self.lost:
            return f"LOST: {len(self.lost):,} tables of states, so nothing was compared"
        if not self.values:
            return "nothing to compare"
        if self.ok:
            return f"{compared}: all the same to the last bit"
        return f"{compared}: {self.differing.total():,} DIFFER"

    def _lines(self) -> Iterator[str]:
        yield f"Verified {self.of}."
        yield f"{self._verdict()}."
        if self.in_flight:
            yield f"{self.in_flight.total():,} of them were read while a row was being written."
        if self.statuses:
            yield (
                f"{self.statuses:,} also agree with the reference engine, status included."
                if (self.ok)
                else f"{self.statuses:,} were also compared with the reference engine."
            )
        if self.traffic:
            yield ", ".join(f"{count:,} {what}" for what, count in self.traffic.items()) + "."
        for reason, count in self.skipped.items():
            yield f"{count:,} answers were left out: {reason}."
        yield from self.notes
        yield from (f"  {place}" for place in (self.damaged + self.lost)[:KEPT_DIFFERENCES])
        if self.lost:
            yield "A push to their source rebuilds them; or: skewless materialize"
        if self.damaged:
            yield "States are rebuilt by: skewless online rebuild. For a log restore a copy."
        if self.values and not (self.traffic and self.ok):
            yield ""
            yield self._table()
        if self.kinds:
            yield ""
            yield self._kinds()
        for difference in self.differences[:_SHOWN_DIFFERENCES]:
            yield ""
            yield str(difference)

    def _table(self) -> str:
        names = sorted(self.values)
        if len(names) > _SHOWN_FEATURES:
            if not self.ok:
                names = [name for name in names if self.differing[name]][:_SHOWN_FEATURES]
            else:
                return aligned([("view", "values", "differing"), *(x[:3] for x in self._by_view())])
        body = [(name, self.values[name], self.differing[name]) for name in names]
        return aligned([("feature", "values", "differing"), *body])

    def _by_view(self) -> list[tuple[str, int, int, int]]:
        found: dict[str, list[int]] = {}
        for name in self.values:
            counts = found.setdefault(name.partition(":")[0], [0, 0, 0])
            for at, counter in enumerate((self.values, self.differing, self.in_flight)):
                counts[at] += counter[name]
        return [(view, *counts) for view, counts in sorted(found.items())]  # type: ignore[misc]

    def _kinds(self) -> str:
        """Return values compared by aggregation (down) and window (across)."""
        windows = _in_order(kind[1] for kind in self.kinds)
        names = sorted({kind[0] for kind in self.kinds})
        body = [(name, *(self._cell((name, window)) for window in windows)) for name in names]
        return aligned([("", *windows), *body])

    def _cell(self, kind: tuple[str, str]) -> str:
        if kind not in self.kinds:
            return "-"
        differing = self.differing_kinds[kind]
        return f"{self.kinds[kind]:,}" + (f" ({differing:,} DIFFER)" if differing else "")


def exactly(value: Any) -> str:
    """Return a value as text that tells every bit: floats in decimal and in hexadecimal.

    >>> exactly(0.1)
    '0.1 (0x1.999999999999ap-4)'
    """
    if isinstance(value, float):
        return f"{value!r} ({value.hex()})"
    return shown(value)


def _in_order(windows: Iterable[str]) -> list[str]:
    order = ["sliding", "resolution", "last n", "tumbling", "session", "standing", "lifetime"]
    return sorted(set(windows), key=lambda name: order.index(name) if name in order else 9)
