"""Materialize into Redis: the newest row of every entity from Parquet, skewless beside Feast.

Both write to the same server, one after the other. Feast is measured on fewer entities (the
results say how many); rows per second are compared. Afterwards some entities are read back.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from benchmarks import data
from benchmarks.child import Clock
from benchmarks.harness import Contender, Figures, Options, import_arrow, run_all
from benchmarks.peers.feast_env import feast_python

OWN, PEER = "materialize, skewless, Redis", "materialize, Feast, Redis"


def run(options: Options, url: str) -> list[Figures]:
    """Measure both on the Redis at ``url``."""
    entities = options.pick(2_000, 100_000, 1_000_000)
    fewer = options.pick(500, 20_000, 100_000)
    newest, newest_of_fewer = data.newest_rows(entities, 10), data.newest_rows(fewer, 10)
    server = urlsplit(url)
    address = f"{server.hostname}:{server.port},password={unquote(server.password or '')}"
    own = {"url": url, "newest": str(newest), "rows": entities}
    peer = {"redis": address, "newest": str(newest_of_fewer), "rows": fewer, "width": 10}
    contenders = [
        Contender(OWN, "benchmarks.store_writes:skewless", own, about=f"{entities:,} entities"),
        Contender(
            PEER,
            "benchmarks.peers.feast_tasks:materialize",
            peer,
            feast_python(options.install),
            once=options.size == "full",
            about=f"{fewer:,} entities only",
        ),
    ]
    return run_all(contenders, options)


def skewless(clock: Clock, url: str, newest: str, rows: int) -> dict[str, Any]:
    """Fill an empty namespace from the file; afterwards read some entities back."""
    import skewless as sl
    from benchmarks.stores import features_of, write_configuration

    import_arrow()
    view = features_of(newest)
    columns = data.read_columns(newest, ["entity", *data.FEATURES])
    sample = [{"entity": int(key)} for key in columns[0][:100]]
    right = [[float(column[at]) for column in columns[1:]] for at in range(len(sample))]
    with tempfile.TemporaryDirectory() as folder:
        write_configuration(Path(folder), "redis", url, namespace=Path(folder).name)
        with sl.FeatureStore(folder) as store:
            store.apply(store.plan(view), build=False)
            with clock:
                store.materialize()
            if store.get_online_features(view, sample).values != right:
                raise RuntimeError("what was materialized is not what was in the file")
            for table in store.runtime.online.tables():
                store.runtime.online.drop(table)
    return {"entities": rows, "rows_per_s": round(rows / clock.figures["wall_s"])}
