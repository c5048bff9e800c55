"""Four wind turbines of La Haute Borne, every ten minutes: real measurements, by ENGIE.

The file ships in the package OpenOA (its code is not used); the data is under Open License 2.0
(Etalab). Turbines stand in for testers: machines that are watched, and that stop.
"""

import io
import os
import zipfile
from datetime import UTC, datetime, timedelta
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

Row = dict[str, Any]
AT_WORK = 150.0
"""From so many kW on a turbine is at work."""
START = datetime(2015, 2, 1, tzinfo=UTC)
TEN_MINUTES = timedelta(minutes=10)
MEMBER = "la-haute-borne-data-2014-2015.csv"
NAMES = {
    "Wind_turbine_name": "machine_id", "Date_time": "measured_at", "Ba_avg": "pitch",
    "P_avg": "power", "Ws_avg": "wind", "Va_avg": "vane", "Ot_avg": "outdoor",
}  # fmt: skip
HOW = "pip install --no-deps OpenOA==3.2, or say where la_haute_borne.zip lies: LA_HAUTE_BORNE=..."


def archive() -> Path:
    """Return where the file lies: as the environment says, or in the installed package."""
    if named := os.environ.get("LA_HAUTE_BORNE"):
        return Path(named)
    try:
        found = [each for each in files("OpenOA") or () if each.name == "la_haute_borne.zip"]
    except PackageNotFoundError:
        found = []
    if not found:
        raise SystemExit(f"The data is not here. {HOW}")
    return Path(str(found[0].locate()))


def measured(start: datetime, end: datetime) -> pa.Table:
    """Return what was measured between two moments, in order of time; blanks are null.

    The clock change of a spring has some moments twice: the first of each is taken.
    """
    with zipfile.ZipFile(archive()) as outer:
        text = io.BytesIO(outer.read(MEMBER))
    options = csv.ConvertOptions(
        include_columns=list(NAMES), column_types={"Date_time": pa.timestamp("us", "UTC")}
    )
    table = csv.read_csv(text, convert_options=options).rename_columns(list(NAMES.values()))
    at = table["measured_at"]
    inside = pc.and_(
        pc.greater_equal(at, pa.scalar(start, at.type)), pc.less(at, pa.scalar(end, at.type))
    )
    table = table.filter(inside).sort_by(
        [("measured_at", "ascending"), ("machine_id", "ascending")]
    )
    keys = list(zip(table["machine_id"].to_pylist(), table["measured_at"].to_pylist(), strict=True))
    first = {key: place for place, key in reversed(list(enumerate(keys)))}
    return table.take(pa.array(sorted(first.values())))


def labelled(table: pa.Table, every: timedelta = timedelta(hours=1)) -> list[Row]:
    """Return for each machine at work, hour by hour, whether its power halves; the spine.

    What it delivers on average over the hour that follows, against the reading of the moment.
    """
    rows = table.to_pylist()
    power = {(row["machine_id"], row["measured_at"]): row["power"] for row in rows}
    found = []
    for row in rows:
        at = row["measured_at"].astimezone(UTC)
        if (at - START) % every or (row["power"] or 0) < AT_WORK:
            continue
        later = [power.get((row["machine_id"], at + n * TEN_MINUTES)) for n in range(1, 7)]
        if None not in later:
            halves = sum(later) / len(later) < row["power"] / 2
            found.append({"machine_id": row["machine_id"], "asked_at": at, "halves": halves})
    return found
