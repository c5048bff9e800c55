"""Counters, gauges and histograms in the text format of Prometheus.

    requests = Counter("skewless_http_requests_total", "Requests.", ("route", "status"))
    requests.add(("/v1/features", "200"))

Values are summed over the workers of a server: each one writes its own down every second, and
whichever is asked writes its own down and adds them up. A worker that takes the place of a dead one
goes on from what that one wrote. So counters never fall: what was shown once had been written. What
a worker counted in its last second is lost when it is killed.
"""

from __future__ import annotations

import contextlib
import json
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from skewless.forks import Lock

Labels = tuple[str, ...]
KIND = b"text/plain; version=0.0.4; charset=utf-8"
SECONDS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0,
)  # fmt: skip
"""Upper bounds of durations."""
AGES = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 21600.0, 86400.0, 604800.0, 2592000.0)
"""Upper bounds of ages of values, seconds."""


class Metric:
    """What all metrics have: a name, a help text, label names, and values by labels."""

    kind = ""

    def __init__(self, name: str, text: str, labels: Labels = ()) -> None:
        self.name = name
        self.text = text
        self.labels = labels
        self.values: dict[Labels, Any] = {}

    def merge(self, values: Iterable[tuple[Sequence[str], Any]]) -> None:
        """Add what another process counted."""
        for labels, value in values:
            key = tuple(labels)
            self.values[key] = self._sum(self.values.get(key), value)

    def _sum(self, mine: Any, other: Any) -> Any:
        return other if mine is None else mine + other

    def copy(self) -> Metric:
        """Return a metric of its own with the same values."""
        made = type(self)(self.name, self.text, self.labels)
        made.merge((key, value) for key, value in list(self.values.items()))
        return made

    def lines(self) -> Iterator[str]:
        """Yield the metric in the text format."""
        yield f"# HELP {self.name} {self.text}"
        yield f"# TYPE {self.name} {self.kind}"
        for key in sorted(self.values):
            yield from self._samples(dict(zip(self.labels, key, strict=True)), self.values[key])

    def _samples(self, labels: dict[str, str], value: Any) -> Iterator[str]:
        yield sample(self.name, labels, value)


class Counter(Metric):
    """A number that only grows."""

    kind = "counter"

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Count."""
        self.values[labels] = self.values.get(labels, 0) + amount


class Gauge(Metric):
    """A number that goes up and down; of several workers' the greatest is shown."""

    kind = "gauge"

    def set(self, labels: Labels, value: float) -> None:
        """Set the number."""
        self.values[labels] = value

    def _sum(self, mine: Any, other: Any) -> Any:
        return other if mine is None else max(mine, other)


class LeastGauge(Gauge):
    """A gauge of which the least of the workers' numbers is shown."""

    def _sum(self, mine: Any, other: Any) -> Any:
        return other if mine is None else min(mine, other)


class SummedGauge(Gauge):
    """A gauge whose numbers are added up over the workers."""

    def _sum(self, mine: Any, other: Any) -> Any:
        return other if mine is None else mine + other


class Total(SummedGauge):
    """A number that only grows, and is read off instead of being counted."""

    kind = "counter"


class Histogram(Metric):
    """How many observations lie below each bound, and their sum."""

    kind = "histogram"

    def __init__(
        self, name: str, text: str, labels: Labels = (), bounds: Sequence[float] = SECONDS
    ) -> None:
        super().__init__(name, text, labels)
        self.bounds = tuple(bounds)

    def observe(self, labels: Labels, value: float) -> None:
        """Count an observation."""
        found = self.values.get(labels)
        if found is None:
            found = self.values[labels] = [0] * (len(self.bounds) + 1) + [0.0]
        found[bisect_left(self.bounds, value)] += 1
        found[-1] += value

    def copy(self) -> Histogram:
        """Return a histogram of its own with the same values."""
        made = Histogram(self.name, self.text, self.labels, self.bounds)
        made.merge((key, list(value)) for key, value in list(self.values.items()))
        return made

    def _sum(self, mine: Any, other: Any) -> Any:
        return other if mine is None else [a + b for a, b in zip(mine, other, strict=True)]

    def _samples(self, labels: dict[str, str], value: Any) -> Iterator[str]:
        below = 0
        for bound, count in zip((*self.bounds, None), value, strict=False):
            below += count
            text = "+Inf" if bound is None else number(bound)
            yield sample(f"{self.name}_bucket", {**labels, "le": text}, below)
        yield sample(f"{self.name}_sum", labels, value[-1])
        yield sample(f"{self.name}_count", labels, below)


def sample(name: str, labels: Mapping[str, str], value: float) -> str:
    """Return one line of the text format."""
    inside = ",".join(f'{label}="{escaped(text)}"' for label, text in labels.items())
    return f"{name}{{{inside}}} {number(value)}" if inside else f"{name} {number(value)}"


def escaped(text: str) -> str:
    """Return a label's value as it stands between quotes."""
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def number(value: float) -> str:
    """Return a number without a needless fraction."""
    return (
        str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))
    )


class Metrics:
    """The metrics of a server, see docs/serving.md.

    Args:
        folder: where the workers of one server write theirs down; None: there is but one.
        worker: the number of this one.

    Attributes:
        all: every metric.
        cpu_before: seconds that the dead workers used in whose place this one is.
    """

    def __init__(self, folder: Path | None = None, worker: int = 0) -> None:
        self.folder = folder
        self.worker = worker
        self.duration = Histogram(
            "skewless_http_request_duration_seconds",
            "Time from a request's headers to the end of its answer; large reads apart.",
            ("route", "size"),
        )
        self.requests = Counter(
            "skewless_http_requests_total", "Requests answered.", ("route", "status")
        )
        self.shed = Counter(
            "skewless_requests_shed_total", "Requests refused to keep up.", ("reason",)
        )
        self.in_progress = SummedGauge(
            "skewless_http_requests_in_progress", "Requests being worked on."
        )
        self.values = Counter("skewless_values_total", "Feature values served.", ("status",))
        self.age = Histogram(
            "skewless_served_value_age_seconds",
            "Age of the newest event behind what was served, of one entity of each read.",
            ("view",),
            AGES,
        )
        self.store_read = Histogram(
            "skewless_store_read_duration_seconds", "Time of one read of the online store."
        )
        self.store_up = LeastGauge("skewless_store_up", "Whether the online store answers (1).")
        self.pushed = Counter(
            "skewless_push_rows_total", "Rows handed in by pushes.", ("source", "outcome")
        )
        self.last_event = Gauge(
            "skewless_view_last_event_timestamp_seconds", "Newest event a view serves.", ("view",)
        )
        self.promised = Gauge(
            "skewless_view_freshness_promise_seconds", "Greatest age a view's owner promised.",
            ("view",),
        )  # fmt: skip
        self.fresh = Gauge("skewless_view_fresh", "Whether a promise is kept (1).", ("view",))
        self.unrecorded = Gauge("skewless_ledger_unrecorded", "Records the ledger could not take.")
        self.building = Gauge("skewless_view_building", "States not complete (1).", ("view",))
        self.jobs = Counter("skewless_jobs_total", "Jobs that ended.", ("kind", "outcome"))
        self.logged = Counter(
            "skewless_served_log_entities_total", "Entities of the served log.", ("outcome",)
        )
        self.revision = Gauge("skewless_registry_revision", "Revision that is served.")
        self.refresh_failures = Counter(
            "skewless_registry_refresh_failures_total", "Times the registry could not be read."
        )
        self.lag = Gauge(
            "skewless_event_loop_lag_seconds", "How far behind the event loop is, of any worker."
        )
        self._of_rows()
        self._of_views()
        self._of_the_process()
        self.all: tuple[Metric, ...] = tuple(
            metric for metric in vars(self).values() if isinstance(metric, Metric)
        )
        self._lock, self.cpu_before = Lock(), 0.0
        self._begin()

    def _begin(self) -> None:
        """Go on from what was written down; counters that alerts look at begin at 0.

        One that appears with its first count has not increased, as Prometheus sees it.
        """
        self._go_on()
        for kind in ("materialize", "backfill"):
            for outcome in ("done", "failed"):
                self.jobs.add((kind, outcome), 0)
        for reason in ("large", "requests", "lag"):
            self.shed.add((reason,), 0)

    def _of_views(self) -> None:
        self.failing = Gauge("skewless_check_failing", "Fails (1).", ("of", "point", "check"))
        self.late = Gauge("skewless_view_late", "Older than what warns (1).", ("view",))
        self.drifting = Gauge(
            "skewless_view_drifting", "Features that drifted at the last look.", ("view", "level")
        )
        self.skewed = Gauge("skewless_skew_found", "The last verify found skew (1).")

    def _of_rows(self) -> None:
        self.oversize = Gauge(
            "skewless_states_set_aside", "States larger than their store takes.", ("table",)
        )
        self.clock_off = SummedGauge(
            "skewless_pushes_clock_off", "Pushes while this host's clock was off the database's."
        )

    def _of_the_process(self) -> None:
        self.cpu = Total("process_cpu_seconds_total", "User and system CPU time.")
        self.memory = SummedGauge("process_resident_memory_bytes", "Resident memory.")
        self.info = Gauge("skewless_build_info", "Versions.", ("version", "python", "project"))

    def text(self) -> bytes:
        """Return the metrics of all workers in the text format."""
        with contextlib.suppress(OSError):  # a full disk is no reason to show nothing
            self.write()
        shown = {metric.name: metric.copy() for metric in self.all}
        for data in self._others():
            for name, values in data.items():
                if name in shown:
                    shown[name].merge(values)
        return ("\n".join(line for m in shown.values() for line in m.lines()) + "\n").encode()

    def write(self) -> None:
        """Write down what this worker counted, for the others and for its successor."""
        process(self)
        if self.folder is None:
            return
        unfinished = self.folder / f".{self.worker}.unfinished"
        with self._lock:  # the event loop's thread writes when asked, upkeep's every second
            data = {metric.name: list(metric.values.items()) for metric in self.all}
            unfinished.write_text(json.dumps(data), encoding="utf-8")
            unfinished.replace(self._file(self.worker))

    def _file(self, worker: int) -> Path:
        return (self.folder or Path()) / f"metrics-{worker}.json"

    def _others(self) -> Iterator[dict[str, Any]]:
        if self.folder is None:
            return
        own = self._file(self.worker)
        for path in sorted(self.folder.glob("metrics-*.json")):
            if path != own:
                yield json.loads(path.read_text(encoding="utf-8"))

    def _go_on(self) -> None:
        if self.folder is None or not self._file(self.worker).exists():
            return
        before = json.loads(self._file(self.worker).read_text(encoding="utf-8"))
        for metric in self.all:
            if not isinstance(metric, Gauge):
                metric.merge(before.get(metric.name, ()))
        for _, seconds in before.get(self.cpu.name, ()):
            self.cpu_before = seconds


def process(metrics: Metrics) -> None:
    """Bring the metrics about this process up to date."""
    times = os.times()
    metrics.cpu.set((), round(metrics.cpu_before + times.user + times.system, 3))
    pages = int(Path("/proc/self/statm").read_text().split()[1]) if _PROC else 0
    metrics.memory.set((), pages * os.sysconf("SC_PAGE_SIZE"))


_PROC = Path("/proc/self/statm").exists()
