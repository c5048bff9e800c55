"""Sepsis: what was known at the bedside, what worse joins would have promised, and a stay drawn.

The data is SYNTHETIC. This is no medical device.

python examples/clinical/run.py [--picture clinical.png]
"""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "_shared"))

import generate
import numpy as np
import steps
from steps import heading

import skewless as sl
from skewless.clock import SettableClock, to_micros

HERE = Path(__file__).parent
NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
TABLES = ("labs", "vitals", "drugs", "notes", "ranges", "concepts")


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "clinical.png")
    print("Sepsis. All data here is SYNTHETIC: made up by generate.py. This is no medical device.")
    made = generate.history(NOW, patients=220)
    with steps.repo(HERE, NOW, **{name: getattr(made, name) for name in TABLES}) as (fs, clock):
        heading("Register, and build the states of all patients")
        fs.apply(fs.plan())
        print(f"  {len(made.labs)} results, {len(made.vitals)} vitals of 220 patients;"
              f" {len(made.onsets)} have sepsis")  # fmt: skip
        trained = steps.train(
            fs, made.asked, "sepsis_model", timestamp="asked_at", label="sepsis",
            leak="blood that was drawn and whose result was not known, results corrected later",
        )  # fmt: skip
        asked = round_of(fs, clock)
        steps.prove(fs, "sepsis_model", asked)
        steps.measure(fs, "sepsis_model", [each.keys for each in asked])
        draw(picture, fs, made, trained)


def round_of(fs: sl.FeatureStore, clock: SettableClock) -> list[steps.Asked]:
    """Push results to the ward's newest patients, and read each vector before and after."""
    heading("A round: results come in, each patient is read before and after")
    asked = []
    for number in range(200, 220):
        keys = {"patient_id": f"p{number:04}"}
        at = NOW + timedelta(minutes=number)
        result = keys | {"sample_id": f"new-{number}", "test": "lactate", "value": 3.5,
                         "sampled_at": at - timedelta(hours=2), "resulted_at": at}  # fmt: skip
        for moment, row in ((at - timedelta(seconds=1), None), (at, result)):
            clock.time = to_micros(moment)
            if row is not None:
                fs.push("labs", [row])
            vector = fs.get_online_features("sepsis_model", keys).to_rows()[0]
            asked.append(steps.Asked(keys, moment, vector))
    changed = sum(a.vector["lactate"] != b.vector["lactate"]
                  for a, b in zip(asked[::2], asked[1::2], strict=True))  # fmt: skip
    print(f"  {changed} of {len(asked) // 2} results were read the moment they were known")
    return asked


def draw(path: Path, fs: sl.FeatureStore, made: generate.Made, trained: steps.Trained) -> None:
    """Draw a stay: blood drawn and results known, the range, and the risk hour by hour."""
    tested = [key for key in made.onsets if key >= "p0170"]
    stays = {key: [v["measured_at"] for v in made.vitals if v["patient_id"] == key]
             for key in tested}  # fmt: skip
    late = {key: made.onsets[key] - stays[key][0] for key in tested}
    key = max(late, key=lambda each: late[each])
    start, onset = stays[key][0], made.onsets[key]
    hours = np.arange(12, late[key] / timedelta(hours=1), 0.5)
    spine = [{"patient_id": key, "at": start + timedelta(hours=float(h))} for h in hours]
    figure, (above, below) = steps.drawing(2, figsize=(11, 7), sharex=True)
    low, high = generate.RANGES["lactate"]
    above.axhspan(low, high, color="#d8f3e3", zorder=0, label="reference range")
    for row in made.labs:
        if row["patient_id"] == key and row["test"] == "lactate":
            drawn, known = ((row[name] - start) / timedelta(hours=1)
                            for name in ("sampled_at", "resulted_at"))  # fmt: skip
            above.plot([drawn, known], [row["value"]] * 2, color="#b8c1cc", linewidth=1.5)
            above.plot(drawn, row["value"], "o", color="#0b7285", fillstyle="none")
            above.plot(known, row["value"], "o", color="#0b7285")
    above.plot([], [], "o", color="#0b7285", fillstyle="none", label="blood is drawn")
    above.plot([], [], "o", color="#0b7285", label="the result is known")
    for as_of, colour, said in (("event_time", "#b8c1cc", "as if results were known at once"),
                                ("known", "#e8590c", "as known at the bedside")):  # fmt: skip
        table = fs.get_historical_features(spine, "sepsis_model", timestamp="at", as_of=as_of)
        rows = table.to_arrow().to_pylist()
        below.step(hours, trained.score(rows), where="post", color=colour, label=said)
        lactate = [np.nan if row["lactate"] is None else row["lactate"] for row in rows]
        if as_of == "known":
            above.step(hours, lactate, where="post", color=colour, label="feature: lactate")
    for axes in (above, below):
        axes.axvline((onset - start) / timedelta(hours=1), color="#5f3dc4", linestyle="--")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, frameon=False)
    below.text((onset - start) / timedelta(hours=1), 0.97, "sepsis is seen ", ha="right", va="top",
               color="#5f3dc4")  # fmt: skip
    above.set(ylabel="lactate, mmol/l")
    figure.suptitle(f"A synthetic stay: patient {key}, and what was known when")
    below.set(ylabel="risk within 12 hours", xlabel="hours since admission", ylim=(-0.03, 1.03))
    steps.save(figure, path)


if __name__ == "__main__":
    main()
