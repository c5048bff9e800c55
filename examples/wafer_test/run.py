"""Wafers, fabs and their tests, from definitions to an alert. The data is SYNTHETIC.

python examples/wafer_test/run.py
"""

import json
import math
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import mean, pstdev
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "_shared"))

import generate
import steps
from steps import heading

import skewless as sl
from skewless.clock import SECOND, SettableClock, to_micros
from skewless.ingest.stream.worker import StreamWorker

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, 6, tzinfo=UTC)
EVENTS, DROP_AT, ALERT_BELOW = 240, 120, -4.0


def main() -> None:
    """Run everything in a temporary folder."""
    print("Wafer tests. All data here is SYNTHETIC: made up by generate.py.")
    results = generate.history(NOW, wafers=2_000)
    with steps.repo(HERE, NOW, wafer_tests=results) as (fs, clock):
        register(fs)
        read_history(fs)
        serve(fs)
        train(fs, results)
        watch(fs, clock, results)


def register(fs: sl.FeatureStore) -> None:
    """Show what would change, then change it."""
    heading("Register")
    plan = fs.plan()
    print(plan)
    fs.apply(plan)


def read_history(fs: sl.FeatureStore) -> None:
    """Read every change of a view over a range of time."""
    heading("History of a fab, over one hour")
    changes = fs.read_features(
        "FabRolling",
        entities=[{"fab_id": "fab-austin"}],
        start=NOW - timedelta(hours=8),
        end=NOW - timedelta(hours=7),
    )
    for row in changes.select(["at", "vdd_mean", "vdd_std", "yield_trend"]).to_pylist():
        print(f"  {row['at']:%H:%M:%S}  vdd {row['vdd_mean']:.4f} +- {row['vdd_std']:.4f} V"
              f"  yield trend {row['yield_trend']:+.2f} %")  # fmt: skip


def serve(fs: sl.FeatureStore) -> None:
    """Bring the online store up to date and read vectors of two wafers."""
    heading("Materialize and read online")
    for done in fs.materialize():
        print(f"  {done.table}: {done.entities} entities from {done.rows} rows")
    asked = [{"wafer_id": f"w{n:05}", "fab_id": generate.FABS[n % 2]} for n in (1900, 1901)]
    found = fs.get_online_features("scrap_model", asked)
    for wafer, vector in zip(asked, found.to_rows(), strict=True):
        print(f"  {wafer['wafer_id']}: {shown(vector)}")


def train(fs: sl.FeatureStore, results: list[generate.Result]) -> None:
    """Build a training set of 100 wafers, and ask for its leakage receipt and for a naive one's."""
    heading("Training set of 100 wafers")
    spine = generate.inspections(results, 100)
    training = fs.get_historical_features(spine, "scrap_model", timestamp="inspected_at")
    print(training)
    print(fs.leakage(training, timestamp="inspected_at", label="scrapped"))

    heading("The same wafers, with their fab's newest test joined on")
    newest = {row["fab_id"]: row for row in results}
    naive = [
        row | {"idd": newest[row["fab_id"]]["idd"], "idd_at": newest[row["fab_id"]]["tested_at"]}
        for row in spine
    ]
    print(fs.leakage(naive, timestamp="inspected_at", label="scrapped", times={"idd": "idd_at"}))


def watch(fs: sl.FeatureStore, clock: SettableClock, results: list[generate.Result]) -> None:
    """Stream test results and read the fab after each; the yield drops halfway."""
    heading(f"{EVENTS} test results of one fab stream in; its yield drops at number {DROP_AT}")
    fab_id, alert_at, dropped_at = generate.FABS[0], None, None
    seen = [row for row in results if row["fab_id"] == fab_id]
    landing = fs.config.folder / "landing"
    landing.mkdir()
    # What `skewless stream run wafer_tests` does, step by step, since the clock is simulated.
    with (
        (landing / "tester-7.jsonl").open("a") as tester,
        StreamWorker(fs.runtime, "wafer_tests") as worker,
    ):
        for number, row in enumerate(generate.stream(NOW, EVENTS, DROP_AT)):
            row["ingested_at"] = now = row["tested_at"] + timedelta(seconds=5)
            clock.time = to_micros(now)
            print(json.dumps(row, default=datetime.isoformat), file=tester, flush=True)
            worker.step()
            seen.append(row)
            fab = read_fab(fs, fab_id)
            dropped_at = row["tested_at"] if number == DROP_AT else dropped_at
            if number % 40 == 39:
                print(f"  {now:%H:%M:%S}  {statistics_of(fab)}")
            if alert_at is None and fab["yield_trend"] < ALERT_BELOW:
                alert_at = now
                print(f"  {now:%H:%M:%S}  ALERT: newest 10 wafers"
                      f" {fab['yield_trend']:+.2f} % against the 90 before")  # fmt: skip
        told = worker.metrics.to_dict()
        print(f"  {told['rows']} rows came by the stream, {told['quarantined']} were refused; half"
              f" were readable {told['p50_ms']:.0f} ms after they were found.")  # fmt: skip
    if alert_at is None or dropped_at is None:
        raise SystemExit("The drop was not seen.")
    print(f"  The alert came {(alert_at - dropped_at).total_seconds() / 60:.1f} minutes after the"
          " first wafer of the drop.")  # fmt: skip
    heading("The same by hand, and how fresh it is")
    check_by_hand(fab, seen[-100:])
    clock.time += 37 * SECOND
    print(f"  the newest test is {read_fab(fs, fab_id)['seconds_since_test']:.0f} seconds old\n")
    print(fs.freshness())


def read_fab(fs: sl.FeatureStore, fab_id: str) -> dict[str, Any]:
    """Return a fab's rolling statistics from the online store."""
    return fs.get_online_features("FabRolling", [{"fab_id": fab_id}]).to_rows()[0]


def check_by_hand(fab: dict[str, Any], rows: list[generate.Result]) -> None:
    """Compare what was read with plain Python over the last 100 rows."""
    vdd = [row["vdd"] for row in rows]
    new, old = (mean(row["yield_pct"] for row in part) for part in (rows[-10:], rows[:-10]))
    by_hand = {
        "vdd_mean": mean(vdd), "vdd_std": pstdev(vdd), "vdd_min": min(vdd), "vdd_max": max(vdd),
        "yield_trend": (new - old) / old * 100,
    }  # fmt: skip
    for name, value in by_hand.items():
        print(f"  {name:12} {fab[name]!r}; of the last {len(rows)} rows by hand {value!r}")
        if not math.isclose(fab[name], value, rel_tol=1e-11):
            raise SystemExit("They differ.")


def statistics_of(fab: dict[str, Any]) -> str:
    """Return a fab's rolling statistics on one line."""
    return (
        f"vdd {fab['vdd_mean']:.4f} +- {fab['vdd_std']:.4f} V in"
        f" [{fab['vdd_min']:.4f}, {fab['vdd_max']:.4f}],"
        f" yield {fab['yield_mean']:.2f} %, trend {fab['yield_trend']:+.2f} %"
    )


def shown(vector: dict[str, Any]) -> str:
    """Return a vector on one line."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in vector.items()
    )


if __name__ == "__main__":
    main()
