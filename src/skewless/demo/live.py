"""A day as it happened: rows come at the moment they became known, vectors are read in between.

    day = replay(fs, clock, flights, start)
    day.served                  # what the online store answered, flight by flight

Departures and landings are streams: each is a line appended to a file, taken in by the worker of
its source, as `skewless stream run` would. Weather reports are pushed. The clock is set to each of
these moments in turn, so the store lives through the day: it cannot see what has not happened yet.
"""

from __future__ import annotations

import heapq
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from skewless.clock import SettableClock, from_micros, to_micros
from skewless.demo.data import Flights
from skewless.errors import RowsRefused

if TYPE_CHECKING:
    import pyarrow as pa

    from skewless.store import FeatureStore

_WEATHER_DELAY = 3_600_000_000
_KNOWN = {"departures": "departed_at", "landings": "landed_at", "weather": "hour_start"}
_STREAMED = ("departures", "landings")
SERVICE = "delay_model"


def pushed_alone(fs: FeatureStore, source: str, row: Mapping[str, Any]) -> int:
    """Push one row and return how many are quarantined."""
    try:
        return len(fs.push(source, [row]).quarantined)
    except RowsRefused as problem:
        return len(problem.result.quarantined)


@dataclass
class Day:
    """What happened on the replayed day.

    Attributes:
        flights: the spine rows that vectors were read for, in order.
        served: the vector of each, feature name to value.
        push_seconds: how long each push took.
        stream_seconds: how long each event of a stream took, from its file into the online store.
        read_seconds: how long each read took.
        late: rows that came after a row with a later event time, by source.
        quarantined: rows that the store set aside.
    """

    flights: list[dict[str, Any]] = field(default_factory=list)
    served: list[dict[str, Any]] = field(default_factory=list)
    push_seconds: list[float] = field(default_factory=list)
    stream_seconds: list[float] = field(default_factory=list)
    read_seconds: list[float] = field(default_factory=list)
    late: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0


def known_before(flights: Flights, moment: int) -> Flights:
    """Return the flights with only those rows that were known before a moment."""
    return _parted(flights, moment)[0]


def _parted(flights: Flights, moment: int) -> tuple[Flights, dict[str, pa.Table]]:
    """Return what was known before a moment, and the rows of each source that came after."""
    import pyarrow as pa
    import pyarrow.compute as pc

    before, after = {}, {}
    for name, column in _KNOWN.items():
        table = getattr(flights, name)
        border = moment - (_WEATHER_DELAY if name == "weather" else 0)
        known = pc.less(table[column], pa.scalar(from_micros(border), table[column].type))
        before[name], after[name] = table.filter(known), table.filter(pc.invert(known))
    return Flights(spine=flights.spine, register=flights.register, **before), after


def replay(fs: FeatureStore, clock: SettableClock, flights: Flights, start: int) -> Day:
    """Live through everything from ``start`` on, in the order in which it became known."""
    day = Day()
    newest: dict[str, int] = {}
    with ExitStack() as stack:
        takes = {source: _taken_in(fs, source, day, stack) for source in _STREAMED}
        for moment, _, source, row in heapq.merge(*_streams(flights, start), key=lambda x: x[:2]):
            clock.time = moment
            began = time.perf_counter()
            if source:
                if source in takes:
                    takes[source](row)
                    day.stream_seconds.append(time.perf_counter() - began)
                else:
                    day.quarantined += pushed_alone(fs, source, row)
                    day.push_seconds.append(time.perf_counter() - began)
                event = to_micros(row["hour_start" if source == "weather" else "scheduled_at"])
                day.late[source] = day.late.get(source, 0) + (event < newest.get(source, event))
                newest[source] = max(event, newest.get(source, event))
            else:
                found = fs.get_online_features(SERVICE, [row])
                day.read_seconds.append(time.perf_counter() - began)
                day.flights.append(row)
                day.served.append(found.to_rows()[0])
    return day


def _taken_in(
    fs: FeatureStore, source: str, day: Day, stack: ExitStack
) -> Callable[[dict[str, Any]], None]:
    """Return what appends an event to the file of a stream and lets its worker take it in."""
    from skewless.ingest.stream.worker import StreamWorker

    worker = stack.enter_context(StreamWorker(fs.runtime, source))
    path = fs.config.folder / "live" / source / "today.jsonl"
    file = stack.enter_context(path.open("a", encoding="utf-8"))

    def take(row: dict[str, Any]) -> None:
        file.write(json.dumps(row, default=datetime.isoformat) + "\n")
        file.flush()
        kept = worker.step()
        day.quarantined += 1 if kept is None else len(kept.result.quarantined)

    return take


def _streams(flights: Flights, start: int) -> list[Iterator[tuple[int, int, str, Any]]]:
    """Return moments in order, with the row that became known, or the flight to ask about."""
    import pyarrow as pa
    import pyarrow.compute as pc

    streams = []
    for source, table in _parted(flights, start)[1].items():
        delay = _WEATHER_DELAY if source == "weather" else 0
        streams.append(_moments(table, _KNOWN[source], source, delay))
    due = flights.spine["scheduled_at"]
    asked = pc.and_(pc.greater_equal(due, pa.scalar(from_micros(start), due.type)),
                    pc.is_valid(flights.spine["tailnum"]))  # fmt: skip
    return [*streams, _moments(flights.spine.filter(asked), "scheduled_at", "", 0)]


def _moments(
    table: pa.Table, column: str, source: str, delay: int
) -> Iterator[tuple[int, int, str, Any]]:
    for row in table.to_pylist():
        # What became known in the very minute is pushed before the flights of it are asked about.
        yield to_micros(row[column]) + delay, int(not source), source, row
