"""Card payments: training, a day of the stream, what leakage costs, and a picture.

The data is SYNTHETIC.

python examples/fraud/run.py [--picture fraud.png]
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # a small model: threads would only wait

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

import skewless as sl
from skewless.clock import SettableClock, to_micros
from skewless.formatting import same_bits
from skewless.ingest.stream.worker import StreamWorker

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
import generate  # noqa: E402

NOW = datetime(2026, 3, 1, tzinfo=UTC)
STOLEN = "c0007"
Asked = dict[str, Any]


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--picture", type=Path, default=Path("fraud.png"))
    picture = parser.parse_args().picture
    print("Card payments. All data here is SYNTHETIC: made up by generate.py.")
    with tempfile.TemporaryDirectory() as name:
        repo = Path(name)
        payments, frauds = generate.history(NOW, cards=150, days=40)
        (repo / "data" / "payments").mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(payments), repo / "data" / "payments" / "a.parquet")
        shutil.copy(HERE / "features.py", repo)
        clock = SettableClock(to_micros(NOW))
        with sl.FeatureStore(repo, clock=clock) as fs:
            heading("Register, and build the states of all cards")
            fs.apply(fs.plan())
            print(f"  {len(payments)} payments of 150 cards, {sum(frauds.values())} by thieves")
            model, names = train(fs, spine_of(payments, frauds))
            day = replay(fs, clock, model, names)
            prove(fs, day)
            measure(fs, day)
            draw(picture, day)


def spine_of(payments: list[generate.Payment], frauds: dict[str, bool]) -> pa.Table:
    """Return what is asked about: every fraud, and every fifth other payment of the last month."""
    begin = NOW - timedelta(days=30)
    asked = [each for each in payments if each["paid_at"] >= begin]
    chosen = [e for n, e in enumerate(asked) if frauds[e["payment_id"]] or n % 5 == 0]
    names = ("card_id", "amount", "country", "paid_at")
    rows = [{name: e[name] for name in names} | {"fraud": frauds[e["payment_id"]]} for e in chosen]
    return pa.Table.from_pylist(rows)


def train(fs: sl.FeatureStore, spine: pa.Table) -> tuple[Any, list[str]]:
    """Train on what was known at each payment; say what worse joins would have promised."""
    heading("Training set, as known at each payment")
    training = fs.get_historical_features(spine, "fraud_model", timestamp="paid_at")
    print(training)
    print(fs.leakage(training, timestamp="paid_at", label="fraud"))
    heading("What leakage would have cost")
    print(fs.backtest(spine, "fraud_model", timestamp="paid_at", label="fraud"))
    names = features_of(training, spine)
    table = training.to_arrow()
    x, y = matrix(table.to_pylist(), names), np.asarray(table["fraud"])
    cut = len(y) * 3 // 4
    model = HistGradientBoostingClassifier(random_state=0).fit(x[:cut], y[:cut])
    score = roc_auc_score(y[cut:], model.predict_proba(x[cut:])[:, 1])
    print(f"\n  {len(names)} features; AUC of the latest quarter {score:.3f}")
    return model, names


def features_of(training: sl.TrainingSet, spine: pa.Table) -> list[str]:
    """Return the names of the features: the columns that the spine has not."""
    return [name for name in training.to_arrow().column_names if name not in spine.column_names]


def replay(fs: sl.FeatureStore, clock: SettableClock, model: Any, names: list[str]) -> list[Asked]:
    """Score each payment of a day before it is streamed in."""
    heading("A day of the stream: each payment is scored before it is a row")
    payments, frauds = generate.replayed(NOW)
    landing = fs.config.folder / "landing"
    landing.mkdir()
    day = []
    # What `skewless stream run payments` does, step by step, since the clock is simulated.
    with (
        (landing / "switch-1.jsonl").open("a") as file,
        StreamWorker(fs.runtime, "payments") as worker,
    ):
        for each in payments:
            clock.time = to_micros(each["paid_at"])
            asked = {name: each[name] for name in ("card_id", "amount", "country")}
            vector = fs.get_online_features("fraud_model", asked).to_rows()[0]
            score = float(model.predict_proba(matrix([vector], names))[0, 1])
            day.append({"asked": asked, "at": each["paid_at"], "vector": vector, "score": score,
                        "fraud": frauds[each["payment_id"]]})  # fmt: skip
            clock.time = to_micros(each["booked_at"])
            print(json.dumps(each, default=datetime.isoformat), file=file, flush=True)
            worker.step()
        print(f"  {worker.metrics.to_dict()['rows']} payments came by the stream")
    truth = [each["fraud"] for each in day]
    print(f"  AUC of the day {roc_auc_score(truth, [each['score'] for each in day]):.3f}")
    refused = [each for each in day if each["score"] > 0.5]
    thief = [each for each in day if each["fraud"]]
    caught = sum(each["fraud"] for each in refused)
    print(f"  {caught} of {len(thief)} payments of the thief are refused, and"
          f" {len(refused) - caught} of {len(day) - len(thief)} of owners")  # fmt: skip
    return day


def prove(fs: sl.FeatureStore, day: list[Asked]) -> None:
    """Build a training set of the same moments, and compare every bit with what was served."""
    heading("Served and trained: the same to the bit")
    spine = [each["asked"] | {"paid_at": each["at"]} for each in day]
    training = fs.get_historical_features(spine, "fraud_model", timestamp="paid_at").to_arrow()
    values = differing = 0
    for trained, each in zip(training.to_pylist(), day, strict=True):
        for name, served in each["vector"].items():
            values += 1
            differing += not same_bits(served, trained[name])
    print(f"  {values} values of {len(day)} vectors; {differing} differ")
    if differing:
        raise SystemExit("They differ.")
    usual = next(each for each in reversed(day) if each["fraud"])
    why = str(fs.explain("Velocity:busiest", usual["asked"])).splitlines()
    print("\n".join(f"  {line}" for line in why[:16]))


def measure(fs: sl.FeatureStore, day: list[Asked]) -> None:
    """Time reads of one vector, in this process."""
    heading("Latency of one vector, in process")
    asked = [each["asked"] for each in day]
    times = []
    for number in range(1_000):
        begin = time.perf_counter()
        fs.get_online_features("fraud_model", asked[number % len(asked)])
        times.append((time.perf_counter() - begin) * 1e6)
    p50, p99 = np.percentile(times, [50, 99])
    print(f"  {len(times)} reads: half within {p50:.0f} us, 99 % within {p99:.0f} us")


def draw(path: Path, day: list[Asked]) -> None:
    """Draw the day: every payment by its score, and the stolen card's last day by its features."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(10, 7), height_ratios=[3, 2])
    hours = [(each["at"] - NOW).total_seconds() / 3600 for each in day]
    fraud = np.array([each["fraud"] for each in day])
    scores, amounts = (np.array([v[k] for v in values]) for values, k in (
        (day, "score"), ([each["asked"] for each in day], "amount")))  # fmt: skip
    for some, colour, said in ((~fraud, "#0b7285", "owner"), (fraud, "#e8590c", "thief")):
        above.scatter(np.array(hours)[some], scores[some], s=8 + amounts[some], c=colour,
                      alpha=0.6, edgecolor="none", label=f"paid by the {said}")  # fmt: skip
    above.set(title="A day of card payments, scored before each is a row (synthetic)",
              xlabel="hour of the day", ylabel="score of the model",
              xlim=(0, 24), ylim=(-0.03, 1.03))  # fmt: skip
    above.legend(loc="center left", frameon=False)
    stolen = [each for each in day if each["asked"]["card_id"] == STOLEN]
    places = range(len(stolen))
    below.bar(places, [each["vector"]["many_1h"] for each in stolen], color="#b8c1cc",
              label="payments within the hour (stream)")  # fmt: skip
    below.plot(places, [each["vector"]["busiest"] for each in stolen], "o-", c="#e8590c",
               label="most within ten minutes")  # fmt: skip
    below.set(title=f"Card {STOLEN}: what is known when each payment is asked about",
              xlabel="payment of the card that day", ylabel="payments before it",
              xticks=list(places))  # fmt: skip
    below.legend(loc="upper left", frameon=False)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    print(f"\nThe picture is {path}.")


def matrix(rows: list[dict[str, Any]], names: list[str]) -> Any:
    """Return features as numbers, null as NaN."""
    numbers = [[np.nan if row[n] is None else float(row[n]) for n in names] for row in rows]
    return np.array(numbers, np.float64)


def heading(text: str) -> None:
    """Print the title of a step."""
    print(f"\n== {text}")


if __name__ == "__main__":
    main()
