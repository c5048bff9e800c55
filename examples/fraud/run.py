"""Card payments: training, a day of the stream, what leakage costs, and a picture.

The data is SYNTHETIC.

python examples/fraud/run.py [--picture fraud.png]
"""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "_shared"))

import generate
import numpy as np
import pyarrow as pa
import steps
from sklearn.metrics import roc_auc_score
from steps import heading

import skewless as sl
from skewless.clock import SettableClock, to_micros
from skewless.ingest.stream.worker import StreamWorker

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, tzinfo=UTC)
STOLEN = "c0007"
Asked = dict[str, Any]


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "fraud.png")
    print("Card payments. All data here is SYNTHETIC: made up by generate.py.")
    payments, frauds = generate.history(NOW, cards=150, days=40)
    with steps.repo(HERE, NOW, payments=payments) as (fs, clock):
        heading("Register, and build the states of all cards")
        fs.apply(fs.plan())
        print(f"  {len(payments)} payments of 150 cards, {sum(frauds.values())} by thieves")
        trained = steps.train(
            fs, spine_of(payments, frauds), "fraud_model", timestamp="paid_at", label="fraud",
            leak="payments that are booked late, and those of the thief after this one",
        )  # fmt: skip
        day = replay(fs, clock, trained)
        asked = [steps.Asked(each["asked"], each["at"], each["vector"]) for each in day]
        steps.prove(fs, "fraud_model", asked)
        explain(fs, day)
        steps.measure(fs, "fraud_model", [each.keys for each in asked])
        draw(picture, day)


def spine_of(payments: list[generate.Payment], frauds: dict[str, bool]) -> pa.Table:
    """Return what is asked about: every fraud, and every fifth other payment of the last month."""
    begin = NOW - timedelta(days=30)
    asked = [each for each in payments if each["paid_at"] >= begin]
    chosen = [e for n, e in enumerate(asked) if frauds[e["payment_id"]] or n % 5 == 0]
    names = ("card_id", "amount", "country", "paid_at")
    rows = [{name: e[name] for name in names} | {"fraud": frauds[e["payment_id"]]} for e in chosen]
    return pa.Table.from_pylist(rows)


def replay(fs: sl.FeatureStore, clock: SettableClock, trained: steps.Trained) -> list[Asked]:
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
            score = float(trained.score([vector])[0])
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


def explain(fs: sl.FeatureStore, day: list[Asked]) -> None:
    """Show the payments behind a value of the last payment by the thief."""
    by_thief = next(each for each in reversed(day) if each["fraud"])
    why = str(fs.explain("Velocity:busiest", by_thief["asked"])).splitlines()
    print("\n".join(f"  {line}" for line in why[:16]))


def draw(path: Path, day: list[Asked]) -> None:
    """Draw the day: every payment by its score, and the stolen card's last day by its features."""
    figure, (above, below) = steps.drawing(2, figsize=(10, 7), height_ratios=[3, 2])
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
    steps.save(figure, path)


if __name__ == "__main__":
    main()
