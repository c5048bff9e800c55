"""The demo on the first days of 2013, end to end; and its times, which must be right."""

from __future__ import annotations

import json
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import skewless as sl
from skewless.demo import main
from skewless.demo.data import Flights, local_to_utc, read_flights, utc_to_local
from skewless.demo.folder import make_repo
from skewless.errors import InputError
from skewless.ingest.stream.status import stream_status

DAYS = 5


@pytest.fixture(scope="module")
def flights() -> Flights:
    return read_flights(DAYS)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("demo") / "flights"
    with pytest.MonkeyPatch.context() as patch:
        lines: list[str] = []
        patch.setattr("builtins.print", lambda text, **_: lines.append(text))
        main(folder, as_json=True, days=DAYS)
    return folder, json.loads(lines[-1])


def test_served_vectors_are_the_training_values_to_the_bit(
    run: tuple[Path, dict[str, Any]],
) -> None:
    parity = run[1]["parity"]
    assert parity["vectors"] > 500
    assert parity["values"] == 33 * parity["vectors"]
    assert parity["same"] == parity["values"]


def test_departures_and_landings_came_by_their_streams(
    run: tuple[Path, dict[str, Any]], flights: Flights
) -> None:
    folder, told = run
    assert told["streamed"] > 1_000
    with sl.FeatureStore(folder) as fs:
        found = {status.source: status for status in stream_status(fs.runtime)}
    assert sorted(found) == ["departures", "landings"]
    rows = [status.metrics["rows"] for status in found.values()]
    assert sum(rows) == told["streamed"]
    assert all(status.state == "stopped" for status in found.values())


def test_joining_by_event_time_promises_what_serving_does_not_keep(
    run: tuple[Path, dict[str, Any]],
) -> None:
    scores = {score["kind"]: score for score in run[1]["backtest"]["scores"]}
    leaky, honest = scores["event_time"], scores["known"]
    assert leaky["promised"]["AUC"] > 0.95
    assert leaky["served"]["AUC"] < honest["served"]["AUC"]
    assert honest["promised"] == honest["served"]


def test_the_plot_is_a_picture(run: tuple[Path, dict[str, Any]]) -> None:
    data = Path(run[1]["plot"]).read_bytes()
    width, height = struct.unpack(">II", data[16:24])
    assert data.startswith(b"\x89PNG")
    assert min(width, height) > 800


def test_a_second_run_replaces_the_first_and_nothing_else(tmp_path: Path, flights: Flights) -> None:
    folder = make_repo(tmp_path / "flights", flights)
    (folder / "notes.txt").write_text("mine")
    (folder / ".skewless").mkdir()
    make_repo(folder, flights)
    assert (folder / "notes.txt").read_text() == "mine"
    assert not (folder / ".skewless").exists()


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path, flights: Flights) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(InputError, match="holds something else"):
        make_repo(tmp_path, flights)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_an_aircraft_lands_after_it_left_and_was_in_the_air(flights: Flights) -> None:
    left = {row["flight_id"]: row["departed_at"] for row in flights.departures.to_pylist()}
    taxiing = [
        row["landed_at"] - left[row["flight_id"]] - timedelta(minutes=row["air_time"])
        for row in flights.landings.to_pylist()
    ]
    assert min(taxiing) > timedelta(0)
    assert max(taxiing) < timedelta(hours=4)


def test_a_flight_that_left_after_midnight_left_on_the_next_day(flights: Flights) -> None:
    rows = [row for row in flights.departures.to_pylist() if row["dep_delay"] > 0]
    zone = ZoneInfo("America/New_York")
    over = [
        row
        for row in rows
        if row["departed_at"].astimezone(zone).date() > row["scheduled_at"].astimezone(zone).date()
    ]
    assert over
    assert all(
        row["departed_at"] - row["scheduled_at"] == timedelta(minutes=row["dep_delay"])
        for row in over
    )


def test_nothing_that_is_asked_about_was_known_before(flights: Flights) -> None:
    """A landing is never known when its flight is due to leave."""
    rows = flights.landings.to_pylist()
    assert [row for row in rows if row["landed_at"] <= row["scheduled_at"]] == []


@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (datetime(2013, 1, 1, 5, 15), datetime(2013, 1, 1, 10, 15)),
        (datetime(2013, 7, 1, 5, 15), datetime(2013, 7, 1, 9, 15)),
        (datetime(2013, 3, 10, 1, 59), datetime(2013, 3, 10, 6, 59)),
        (datetime(2013, 3, 10, 3, 0), datetime(2013, 3, 10, 7, 0)),
        (datetime(2013, 11, 3, 1, 30), datetime(2013, 11, 3, 5, 30)),
    ],
)
def test_new_york_clocks_become_utc(local: datetime, utc: datetime) -> None:
    there, here = (
        np.array([int(t.replace(tzinfo=UTC).timestamp()) * 1_000_000]) for t in (local, utc)
    )
    assert local_to_utc(there, "America/New_York").tolist() == here.tolist()
    assert utc_to_local(here, "America/New_York").tolist() == there.tolist()
