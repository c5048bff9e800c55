"""Equipment: real wind turbines in the place of testers, on PostgreSQL alone where there is one.

SKEWLESS_POSTGRES=postgresql://... python examples/equipment/run.py [--picture equipment.png]
"""

import os
import sys
from datetime import timedelta
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "_shared"))

import data
import numpy as np
import pyarrow as pa
import steps
from steps import heading

import skewless as sl
from skewless.clock import SettableClock, to_micros

HERE = Path(__file__).parent
NOW = data.START + timedelta(days=80)
PAIRS = ("power_mean_6h", "wind_mean_6h", "power_std_6h", "pitch_mean_24h", "of_wind", "outdoor")


def main() -> None:
    """Run everything in a temporary folder; the picture is all that is left."""
    picture = steps.picture_of(__doc__, "equipment.png")
    print("Equipment. Real data: wind turbines of La Haute Borne (ENGIE, Open License 2.0).")
    table = data.measured(data.START, NOW)
    with steps.repo(HERE, NOW, settings(), readings=table) as (fs, clock):
        heading("Register, and build the states of all machines")
        fs.apply(fs.plan(), build=True)
        spine = data.labelled(table)
        halves = sum(each["halves"] for each in spine)
        print(f"  {table.num_rows} readings of 4 machines; their power halves within the hour"
              f" after {halves} of {len(spine)} moments")  # fmt: skip
        trained = steps.train(
            fs, spine, "health_model", timestamp="asked_at", label="halves",
            leak="a reading that was made, and not known yet", max_depth=4,
            learning_rate=0.05,
        )  # fmt: skip
        asked = watch(fs, clock, trained)
        steps.prove(fs, "health_model", asked)
        steps.measure(fs, "health_model", [each.keys for each in asked], reads=500)
        tell_of_database()
        draw(picture, trained)


def settings() -> str:
    """Return settings by which all but the settled history lies in one PostgreSQL, if there is."""
    url = os.environ.get("SKEWLESS_POSTGRES")
    if url is None:
        print("SKEWLESS_POSTGRES is not set: the stores are embedded.")
        return ""
    print("Registry, journal, log and online store lie in one PostgreSQL.")
    return "".join(
        f'[{part}]\nkind = "postgres"\ndsn = "{url}"\n' for part in ("online", "registry")
    )


def watch(fs: sl.FeatureStore, clock: SettableClock, trained: steps.Trained) -> list[steps.Asked]:
    """Push the readings of the day that follows, and score each machine every hour."""
    heading("The day that follows, pushed reading by reading")
    asked: list[steps.Asked] = []
    rows = data.measured(NOW, NOW + timedelta(days=1)).to_pylist()
    moments = sorted({row["measured_at"] for row in rows})
    for number, moment in enumerate(moments):
        now = moment + timedelta(minutes=5)
        clock.time = to_micros(now)
        fs.push("readings", [row for row in rows if row["measured_at"] == moment])
        if number % 6 == 5:
            for machine in sorted({row["machine_id"] for row in rows}):
                keys = {"machine_id": machine}
                vector = fs.get_online_features("health_model", keys).to_rows()[0]
                asked.append(steps.Asked(keys, now, vector))
    scores = trained.score([each.vector for each in asked])
    worst = asked[int(np.argmax(scores))]
    print(f"  {len(rows)} readings, {len(asked)} vectors; likeliest to halve:"
          f" {worst.keys['machine_id']} at {worst.at:%H:%M}, {max(scores):.2f}")  # fmt: skip
    return asked


def tell_of_database() -> None:
    """Say what lies in the database, and how large it is."""
    url = os.environ.get("SKEWLESS_POSTGRES")
    if url is None:
        return
    import psycopg

    heading("What lies in PostgreSQL")
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT schemaname || '.' || relname, pg_total_relation_size(relid)"
            " FROM pg_stat_user_tables ORDER BY 2 DESC"
        ).fetchall()
    for name, size in found:
        print(f"  {name:40} {size / 1024:8,.0f} KB")


def draw(path: Path, trained: steps.Trained) -> None:
    """Draw the correlations of features of all machines with one another."""
    table = trained.training.to_arrow()
    machines = sorted(set(table["machine_id"].to_pylist()))
    series = [
        dict(zip(some["asked_at"].to_pylist(), steps.matrix(some.to_pylist(), PAIRS), strict=True))
        for some in (of_machine(table, machine) for machine in machines)
    ]
    moments = sorted(set.intersection(*map(set, series)))
    values = np.array([[each[moment] for moment in moments] for each in series])
    flat = values.transpose(2, 0, 1).reshape(len(PAIRS) * len(machines), -1)
    flat = flat[:, ~np.isnan(flat).any(axis=0)]
    together = np.corrcoef(flat)
    figure, axes = steps.drawing(figsize=(10, 8.4))
    image = axes.imshow(together, cmap="PuOr_r", vmin=-1, vmax=1)
    names = [machine for _ in PAIRS for machine in machines]
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    for n, feature in enumerate(PAIRS):
        middle = n * len(machines) + (len(machines) - 1) / 2
        axes.text(-4.2, middle, feature, ha="right", va="center", fontsize=10, fontweight="bold")
        if n:
            axes.axhline(n * len(machines) - 0.5, color="white", linewidth=2)
            axes.axvline(n * len(machines) - 0.5, color="white", linewidth=2)
    axes.set_title(f"How features of four turbines go together, over {flat.shape[1]} moments")
    figure.colorbar(image, ax=axes, label="correlation", shrink=0.7)
    steps.save(figure, path)


def of_machine(table: pa.Table, machine: str) -> pa.Table:
    """Return the rows of a machine."""
    import pyarrow.compute as pc

    return table.filter(pc.equal(table["machine_id"], machine))


if __name__ == "__main__":
    main()
