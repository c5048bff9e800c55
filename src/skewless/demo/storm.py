"""The worst day for an airport, as the store knew it and as hindsight tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from skewless.clock import from_micros
from skewless.demo.data import NEW_YORK, Flights

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from skewless.store import FeatureStore

FEATURE = "AirportTraffic:airport_delay_3h"
_STEP, _STEPS = timedelta(minutes=5), 24 * 12


@dataclass(frozen=True)
class Storm:
    """One airport over one day.

    Attributes:
        origin: the airport.
        midnight: the beginning of the day in New York.
        moments: every five minutes of it.
        as_known: the feature at each, as it was known.
        by_event_time: likewise, by event time alone.
        flights: ``scheduled_at`` and ``dep_delay`` of the flights that left.
    """

    origin: str
    midnight: datetime
    moments: list[datetime]
    as_known: list[float | None]
    by_event_time: list[float | None]
    flights: pa.Table

    @property
    def title(self) -> str:
        """Airport and date."""
        return f"{self.origin}, {self.midnight:%-d %B %Y}"


def storm_of(fs: FeatureStore, flights: Flights, *, before: int) -> Storm:
    """Find the airport and day with the longest delays and read the rolling delay through it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    left = flights.departures
    left = left.filter(
        pc.less(left["scheduled_at"], pa.scalar(from_micros(before), left["scheduled_at"].type))
    )
    # New York's day: five hours behind UTC are near enough, no flight leaves around its midnight.
    day = pc.floor_temporal(
        pc.subtract(left["scheduled_at"], pa.scalar(timedelta(hours=5))), 1, "day"
    )
    left = left.append_column("day", day)
    found = left.group_by(["origin", "day"]).aggregate(
        [("dep_delay", "mean"), ("dep_delay", "count")]
    )
    found = found.filter(pc.greater(found["dep_delay_count"], 100))
    worst = found.sort_by([("dep_delay_mean", "descending")]).slice(0, 1).to_pylist()[0]
    midnight = worst["day"].replace(tzinfo=ZoneInfo(NEW_YORK))
    moments = [midnight + step * _STEP for step in range(_STEPS + 1)]
    spine = [{"origin": worst["origin"], "at": moment} for moment in moments]
    known, event = (
        fs.get_historical_features(spine, [FEATURE], timestamp="at", as_of=as_of)
        for as_of in ("known", "event_time")
    )
    name = FEATURE.partition(":")[2]
    there = pc.and_(pc.equal(left["origin"], worst["origin"]), pc.equal(left["day"], worst["day"]))
    return Storm(
        worst["origin"],
        midnight,
        moments,
        known.to_dict()[name],
        event.to_dict()[name],
        left.filter(there).select(["scheduled_at", "dep_delay"]),
    )
