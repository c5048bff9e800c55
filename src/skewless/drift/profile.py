"""The profile of a feature: how its values and their statuses are distributed at a time.

    profiler = Profiler(Float64, now=clock.now())
    profiler.add([1.0, None], [Status.PRESENT, Status.UNKNOWN])
    profile = profiler.profile("Spend@v1:total", point="online", start=..., end=...)
    Profile.from_record(profile.to_record()) == profile

| kind of value | what is kept |
|---|---|
| numbers | 1,001 quantiles; while there are at most 50 different ones, how often each occurs |
| text, flags | the 50 most frequent with their counts, all others together, 64 counts by hash |
| lists, vectors | quantiles of the length, and of the norm of those of numbers |
| times, dates | quantiles of the age, seconds |

and of all: how many entities there are by status, and about how many different values. A profile of
a day is less than 12 kB in the ledger. Values of features with personal data are not listed.
"""

from __future__ import annotations

import base64
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from skewless.clock import iso
from skewless.codec import to_json
from skewless.drift.sketches import (
    MOST_LISTED,
    Counts,
    Distinct,
    Floats,
    Quantiles,
    number_hashes,
    text_hashes,
)
from skewless.state.status import UNTOLD, Status
from skewless.types import DType

if TYPE_CHECKING:
    import pyarrow as pa

ONLINE, SERVED, TRAINING = "online", "served", "training"
MISSING = "missing"
"""Stands for every reason why there is no value, where reasons are not known (training sets)."""
_LOOKED_AT = 200
_AT_ONCE = 100_000
_LONGEST = 64


@dataclass(frozen=True, eq=False)
class Profile:
    """The distribution of one feature over entities, each counted once.

    Attributes:
        of: the feature, version included.
        point: ``online`` (all entities now), ``served`` (what was answered: the last answer of each
            entity in the window) or ``training``.
        start, end: of the window, UTC microseconds; both the same where it is a moment.
        entities: how many were looked at; those whose state is building are none.
        statuses: status to how many entities; of training sets ``present`` and ``missing``.
        asked: how many entities statuses are of: of many a part is asked online.
        n: how many have a value.
        curves: ``""``, ``length``, ``norm`` or ``age`` to numbers in order, see `Quantiles.curve`.
        counts: value (as text) to how many entities have it, the most frequent first.
        complete: whether ``counts`` has every value that occurs.
        buckets: how many values there are by hash; empty of numbers.
        distinct: about how many different values there are.
        id: what it is of: the id of a training set; else empty.
    """

    of: str
    point: str
    start: int
    end: int
    entities: int
    statuses: Mapping[str, int]
    asked: int
    n: int
    curves: Mapping[str, Floats] = field(default_factory=dict)
    counts: Mapping[str, float] = field(default_factory=dict)
    complete: bool = False
    buckets: tuple[float, ...] = ()
    distinct: int = 0
    id: str = ""

    @property
    def missing_share(self) -> float | None:
        """The share of entities without a value; None of no entities."""
        return 1 - self.n / self.entities if self.entities else None

    @property
    def name(self) -> str:
        """What it is called where a reference is named: point and day, or the training set."""
        return f"{self.point}:{self.id or iso(self.end)[:10]}"

    def to_record(self) -> dict[str, Any]:
        """Return the profile as the ledger keeps it."""
        return {
            "of": self.of, "point": self.point, "start": self.start, "end": self.end,
            "entities": self.entities, "statuses": dict(self.statuses), "asked": self.asked,
            "n": self.n, "distinct": self.distinct,
            **({"curves": {k: _packed(v) for k, v in self.curves.items()}} if self.curves else {}),
            **({"counts": list(self.counts.items())} if self.counts else {}),
            **({"complete": True} if self.complete else {}),
            **({"buckets": list(self.buckets)} if self.buckets else {}),
            **({"id": self.id} if self.id else {}),
        }  # fmt: skip

    @classmethod
    def from_record(cls, data: Mapping[str, Any]) -> Profile:
        """Return the profile that `to_record` gave."""
        curves = {name: _unpacked(text) for name, text in data.get("curves", {}).items()}
        counts = {value: count for value, count in data.get("counts", ())}
        buckets = tuple(data.get("buckets", ()))
        return cls(**{**data, "curves": curves, "counts": counts, "buckets": buckets})

    def to_dict(self) -> dict[str, Any]:
        """Return the profile as plain data for people: a few quantiles of each curve."""
        marks = (0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1)
        return {
            "feature": self.of, "point": self.point, "name": self.name, "from": iso(self.start),
            "until": iso(self.end), "entities": self.entities, "statuses": dict(self.statuses),
            "values": self.n, "missing_share": self.missing_share, "distinct": self.distinct,
            "quantiles": {
                name: {f"{m:g}": to_json(float(np.quantile(c, m, method="lower"))) for m in marks}
                for name, c in self.curves.items() if len(c)
            },
            "top": [[value, count] for value, count in list(self.counts.items())[:10]],
        }  # fmt: skip


class Profiler:
    """Makes the profile of one feature out of chunks of values, in bounded memory.

    Args:
        dtype: of the feature.
        now: the moment that ages are of, UTC microseconds.
        hidden: whether its values must not be listed: personal data.
    """

    def __init__(self, dtype: DType, *, now: int, hidden: bool = False) -> None:
        self._dtype = dtype
        self._now = now
        self._hidden = hidden
        self._statuses: dict[str, int] = {}
        self._n = 0
        self._entities = self._asked = 0
        self._curves: dict[str, Quantiles] = {}
        self._counts: Counts | None = Counts()
        self._distinct = Distinct()

    def add(self, values: Sequence[Any], statuses: Sequence[Status]) -> None:
        """Take the values of some entities, each of which comes once, with their statuses."""
        self._entities += self.add_statuses(statuses)
        self._take(values)  # those that are building have none

    def add_statuses(self, statuses: Sequence[Status]) -> int:
        """Take the statuses of some entities, and return of how many they are."""
        found = _counted(statuses)
        left_out = sum(found.pop(status, 0) for status in UNTOLD)
        self._count_statuses(found)
        return len(statuses) - left_out

    def add_array(self, values: pa.Array | pa.ChunkedArray, *, missing: bool = True) -> None:
        """Take the values of a column.

        Args:
            values: of entities, each of which comes once.
            missing: whether null is `MISSING`; else statuses come from elsewhere.
        """
        there = len(values) - values.null_count
        if missing:
            self._count_statuses({Status.PRESENT.value: there, MISSING: values.null_count})
        self._entities += len(values)
        if self._dtype.is_numeric and self._dtype.kind != "decimal":
            import pyarrow as pa

            numbers = values.drop_null().cast(pa.float64(), safe=False).to_numpy()
            for start in range(0, len(numbers), _AT_ONCE):
                self._numbers("", np.asarray(numbers[start : start + _AT_ONCE]))
        else:
            for start in range(0, len(values), _AT_ONCE):
                self._take(values.slice(start, _AT_ONCE).to_pylist())

    def _count_statuses(self, found: Mapping[str, int]) -> None:
        self._asked += sum(found.values())
        for status, times in found.items():
            if times:
                self._statuses[status] = self._statuses.get(status, 0) + times

    def profile(self, of: str, *, point: str, start: int, end: int, id: str = "") -> Profile:
        """Return the profile of what was taken."""
        counts: dict[str, float] = {}
        complete, buckets = False, tuple[float, ...]()
        if self._counts is not None:
            top, complete = self._counts.top()
            counts = {_text(value): float(count) for value, count in top}
            complete = complete and len(counts) == len(top)
            if self._curves:
                counts = counts if complete else {}
            else:
                buckets = tuple(float(count) for count in self._counts.buckets)
        if self._hidden:
            counts, complete = {}, False
        exact = self._counts is not None and self._counts.complete
        distinct = len(self._counts.listed) if exact and self._counts else self._distinct.estimate()
        curves = {name: made.curve() for name, made in self._curves.items()}
        return Profile(
            of, point, start, end, self._entities, self._statuses, self._asked, self._n, curves,
            counts, complete, buckets, distinct, id,
        )  # fmt: skip

    def _take(self, values: Sequence[Any]) -> None:
        kind = self._dtype.kind
        if self._dtype.is_numeric:
            numbers = np.array(values, float)
            self._numbers("", numbers[~np.isnan(numbers)])
        elif kind in ("timestamp", "date"):
            self._aged([value for value in values if value is not None])
        elif kind in ("list", "vector"):
            self._lists([value for value in values if value is not None])
        elif kind in ("map", "struct", "json"):
            self._n += sum(value is not None for value in values)
            self._counts = None
        else:
            self._categories([value for value in values if value is not None])

    def _numbers(self, name: str, numbers: Floats) -> None:
        if not name:
            self._n += len(numbers)
            self._distinct.add(number_hashes(numbers))
            self._count(numbers)
        self._curves.setdefault(name, Quantiles()).add(numbers)

    def _count(self, numbers: Floats) -> None:
        """Count numbers one by one while they are few."""
        if self._counts is None or not len(numbers):
            return
        if len(np.unique(numbers[:_LOOKED_AT])) > MOST_LISTED:
            self._counts = None
            return
        values, times = np.unique(numbers, return_counts=True)
        self._counts.add(zip(values.tolist(), times.tolist(), strict=True), number_hashes(values))
        if len(self._counts.listed) > 10 * MOST_LISTED:
            self._counts = None

    def _aged(self, values: list[Any]) -> None:
        from skewless.clock import to_micros

        moments = (
            to_micros(f"{value.isoformat()}T00:00:00Z") if self._dtype.kind == "date"
            else value if isinstance(value, int) else to_micros(value)
            for value in values
        )  # fmt: skip
        ages = np.array([(self._now - moment) / 1e6 for moment in moments], float)
        self._n += len(ages)
        self._counts = None
        self._distinct.add(number_hashes(ages))
        self._curves.setdefault("age", Quantiles()).add(ages)

    def _lists(self, values: list[Any]) -> None:
        self._n += len(values)
        self._counts = None
        self._numbers("length", np.array([len(value) for value in values], float))
        item = self._dtype.item
        if self._dtype.kind == "vector" or (item is not None and item.is_numeric):
            arrays = (np.array([x for x in v if x is not None], float) for v in values)
            self._numbers("norm", np.array([float(np.sqrt((a * a).sum())) for a in arrays], float))
        self._distinct.add(text_hashes(values))

    def _categories(self, values: list[Any]) -> None:
        self._n += len(values)
        times: dict[Any, int] = {}
        for value in values:
            times[value] = times.get(value, 0) + 1
        hashes = text_hashes(times)
        self._distinct.add(hashes)
        if self._counts is not None:
            self._counts.add(times.items(), hashes)


def _counted(statuses: Sequence[Status]) -> dict[str, int]:
    """Return how often each status occurs; most are of one kind."""
    found: dict[str, int] = {}
    left = len(statuses)
    for status in Status:
        if not left:
            break
        count = statuses.count(status)
        found[status.value] = count
        left -= count
    if left:
        found["masked"] = left
    return found


def _text(value: Any) -> str:
    if isinstance(value, float):
        return repr(value)
    return str(to_json(value))[:_LONGEST]


def _packed(curve: Floats) -> str:
    """Return numbers as text; bytes of one place stand together, so that they compress."""
    data = np.ascontiguousarray(curve, "<f8").view(np.uint8).reshape(-1, 8).T.tobytes()
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _unpacked(text: str) -> Floats:
    data = np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8).reshape(8, -1)
    return np.ascontiguousarray(data.T).view("<f8").reshape(-1).astype(float)
