"""Settles an event log into a lake and dies at one step: the victim of test_lake_log.py.

    python lake_worker.py <folder> <kind> <step>

Steps: claimed, committed, noted, forgotten, compacted.
"""

import os
import sys
from pathlib import Path
from typing import Any

from skewless.config import TableSettings
from skewless.definitions import Source
from skewless.stores.offline.log import settle as _settle
from skewless.stores.offline.log.lake import LakeTable, lake_table
from skewless.stores.offline.log.log import EventLog
from skewless.stores.online.lmdb.store import LMDBStore

SOURCE = Source("events", schema={"n": int, "text": str}, event_time="at")
STEPS = ["claimed", "committed", "noted", "forgotten", "compacted"]


def lake_of(kind: str, folder: Path, source: Source = SOURCE) -> LakeTable:
    """Return the lake table of a log in ``folder``."""
    place = {
        "type": "sql",
        "uri": f"sqlite:///{folder}/catalog.db",
        "warehouse": f"file://{folder}/warehouse",
    }
    options = {
        "delta": {"kind": "delta", "path": "lake"},
        "iceberg": {"kind": "iceberg", "catalog": "pond"},
    }
    settings = TableSettings(connections={"pond": place})
    return lake_table(options[kind], source, folder, settings)


def opened(kind: str, folder: Path) -> EventLog:
    """Return the log of ``folder``, with its lake."""
    store = LMDBStore(folder / "kv", map_size=1 << 28)
    return EventLog(SOURCE, store, folder, lake_of(kind, folder))


def dying_after(owner: Any, name: str) -> None:
    """Let a method be the last that runs."""
    method = getattr(owner, name)

    def last(*arguments: Any, **options: Any) -> None:
        method(*arguments, **options)
        os._exit(9)

    setattr(owner, name, last)


def main(folder: Path, kind: str, step: str) -> None:
    _settle.RUN_ROWS = 5
    _settle.JOINED_FILES = 3
    log = opened(kind, folder)
    lake = type(log._lake)
    settler = _settle._LakeSettler
    places = {
        "claimed": (lake, "claim"),
        "committed": (lake, "append"),
        "noted": (settler, "_replace"),
        "forgotten": (settler, "_forget_settled"),
        "compacted": (lake, "compact"),
    }
    if step == "noted":  # the first note is that the log has a lake, the second that rows are there
        made = settler(SOURCE, log._store, log.folder, log._lake)
        made._claimed(made._manifest())
    dying_after(*places[step])
    log.settle()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
