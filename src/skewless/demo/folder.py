"""The demo's folder: a repo of definitions and the files its sources read."""

from __future__ import annotations

import shutil
from pathlib import Path

from skewless.demo.data import Flights
from skewless.errors import InputError

MARK = ".made-by-skewless-demo"
_OURS = ("data", "live", ".skewless", "features.py", "demo.png", MARK)


def make_repo(folder: Path, flights: Flights) -> Path:
    """Write definitions and data files into a folder and return its absolute path.

    Args:
        folder: new, empty, or made by an earlier run, whose files are replaced.
        flights: what the files hold.

    Raises:
        InputError: the folder holds something else.
    """
    import pyarrow.csv
    import pyarrow.parquet as pq

    folder = folder.expanduser().absolute()
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise InputError(
            "a folder that holds something else",
            got=str(folder),
            expected="a new or empty one, or that of an earlier demo",
            hint="Name another: skewless demo my-flights",
        )
    for name in _OURS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in ("departures", "landings"):
        (folder / "data" / name).mkdir(parents=True)
        (folder / "live" / name).mkdir(parents=True)
        pq.write_table(getattr(flights, name), folder / "data" / name / "2013.parquet")
    (folder / MARK).touch()
    pq.write_table(flights.register, folder / "data" / "register.parquet")
    pyarrow.csv.write_csv(flights.weather, folder / "data" / "weather.csv")
    shutil.copy(Path(__file__).parent / "flights" / "features.py", folder / "features.py")
    return folder
