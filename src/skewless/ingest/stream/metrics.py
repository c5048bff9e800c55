"""What a stream worker counts, as plain data and as Prometheus text.

>>> counted = StreamMetrics("wafer_tests", lag_unit="messages")
>>> counted.add(rows=3, waited_ms=4.0)
>>> counted.to_dict()["rows"], counted.p99_ms
(3, 4.0)
>>> print(prometheus([counted]).splitlines()[2])
skewless_stream_rows_total{source="wafer_tests"} 3
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_WAITS = 2_000
_RATE_SECONDS = 10.0

_COUNTERS = {
    "rows": "rows taken in, corrections and late ones among them",
    "corrections": "rows that replaced an earlier one of their row id",
    "duplicates": "rows that were there already",
    "late": "rows beyond the source's lateness, kept but not counted",
    "quarantined": "rows set aside with a reason",
    "deleted": "rows deleted by the stream",
    "unmatched": "deletions of rows that are not there, or no more",
    "ignored": "rows with fields that the source does not have, which were left out",
    "batches": "batches kept",
    "retries": "times a batch or a read was tried again",
}


@dataclass
class StreamMetrics:
    """What became of a stream since its worker began.

    Attributes:
        source: its name.
        lag_unit: what ``lag`` counts.
        rows, corrections, duplicates, late, quarantined, deleted, unmatched, ignored, batches,
            retries: how many.
        lag: what is there and was not read yet; None: not known.
        newest_event: newest event time taken in, UTC microseconds; None: none yet.
    """

    source: str
    lag_unit: str = "rows"
    rows: int = 0
    corrections: int = 0
    duplicates: int = 0
    late: int = 0
    quarantined: int = 0
    deleted: int = 0
    unmatched: int = 0
    ignored: int = 0
    batches: int = 0
    retries: int = 0
    lag: int | None = None
    newest_event: int | None = None
    _waits: deque[float] = field(default_factory=lambda: deque(maxlen=_WAITS), repr=False)
    _recent: deque[tuple[float, int]] = field(default_factory=deque, repr=False)

    def add(
        self,
        *,
        waited_ms: float | None = None,
        newest_event: int | None = None,
        **counts: int,
    ) -> None:
        """Count a batch that was kept.

        Args:
            waited_ms: from the arrival of its oldest row in the stream until it was readable.
            newest_event: newest event time in it, UTC microseconds.
            counts: how many rows, late ones and so on.
        """
        self.batches += 1
        for name, count in counts.items():
            setattr(self, name, getattr(self, name) + count)
        if waited_ms is not None:
            self._waits.append(waited_ms)
        if newest_event is not None:
            self.newest_event = max(newest_event, self.newest_event or newest_event)
        self._recent.append((time.monotonic(), counts.get("rows", 0)))

    @property
    def rows_per_second(self) -> float:
        """Rows a second, over the last ten seconds."""
        now = time.monotonic()
        while self._recent and self._recent[0][0] < now - _RATE_SECONDS:
            self._recent.popleft()
        if not self._recent:
            return 0.0
        span = max(now - self._recent[0][0], 1.0)
        return round(sum(rows for _, rows in self._recent.copy()) / span, 1)

    @property
    def p50_ms(self) -> float | None:
        """Half of the last batches took no longer from arrival to readable, milliseconds."""
        return self._quantile(0.5)

    @property
    def p99_ms(self) -> float | None:
        """99 % of the last batches took no longer from arrival to readable, milliseconds."""
        return self._quantile(0.99)

    def _quantile(self, share: float) -> float | None:
        waits = sorted(self._waits.copy())
        return round(waits[min(int(share * len(waits)), len(waits) - 1)], 3) if waits else None

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data."""
        found: dict[str, Any] = {"source": self.source}
        found |= {name: getattr(self, name) for name in _COUNTERS}
        found |= {"rows_per_second": self.rows_per_second, "lag": self.lag}
        found |= {"lag_unit": self.lag_unit, "newest_event": self.newest_event}
        return found | {"p50_ms": self.p50_ms, "p99_ms": self.p99_ms}


def together(counted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what several workers of one source counted as if it had been one.

    >>> a, b = (StreamMetrics("tests", rows=n, lag=n).to_dict() for n in (1, 2))
    >>> found = together([a, b])
    >>> found["rows"], found["lag"], found["p99_ms"]
    (3, 3, None)
    """
    found = dict(counted[0])
    for name in (*_COUNTERS, "rows_per_second"):
        found[name] = sum(each[name] for each in counted)
    lags = [each["lag"] for each in counted]
    found["lag"] = None if None in lags else sum(lags)
    for name in ("newest_event", "p50_ms", "p99_ms"):
        found[name] = max((each[name] for each in counted if each[name] is not None), default=None)
    return found


def prometheus(metrics: Iterable[StreamMetrics]) -> str:
    """Return the metrics of workers in the text format of Prometheus."""
    found = list(metrics)
    lines = []
    for name, about in _COUNTERS.items():
        full = f"skewless_stream_{name}_total"
        lines += [f"# HELP {full} {about}", f"# TYPE {full} counter"]
        lines += [f"{full}{{{_label(m)}}} {getattr(m, name)}" for m in found]
    lines.append("# TYPE skewless_stream_lag gauge")
    for m in found:
        if m.lag is not None:
            lines.append(f'skewless_stream_lag{{{_label(m)},unit="{m.lag_unit}"}} {m.lag}')
    lines.append("# TYPE skewless_stream_newest_event_seconds gauge")
    for m in found:
        if m.newest_event is not None:
            value = m.newest_event / 1e6
            lines.append(f"skewless_stream_newest_event_seconds{{{_label(m)}}} {value:.6f}")
    lines.append("# TYPE skewless_stream_event_to_readable_seconds gauge")
    for m in found:
        for quantile, wait in (("0.5", m.p50_ms), ("0.99", m.p99_ms)):
            if wait is not None:
                label = f'{_label(m)},quantile="{quantile}"'
                seconds = wait / 1e3
                lines.append(f"skewless_stream_event_to_readable_seconds{{{label}}} {seconds:.6f}")
    return "\n".join(lines) + "\n"


def _label(metrics: StreamMetrics) -> str:
    text = metrics.source.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'source="{text}"'
